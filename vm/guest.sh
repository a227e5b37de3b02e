#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-only
#
# Linux as a guest, with all of its memory off the direct map, and in it.
#
#   guest.sh [CPUS...]
#
# Starts the kernel of this machine once more, with 512 MiB and so many processors (1, and
# 4); types into its shell, which says hello and turns the guest off. What "guest" says (see
# its --help) has to be, off the direct map: no more than 32 shootdowns for all of the
# memory, no split, every page off when the guest runs, and no word of the guest's to be
# found by the direct map. In the direct map: the other way round. Exit 4: this kernel
# cannot.
. /bin/load-kvm.sh
kernel=/lib/guest/bzImage
[ -e $kernel ] || { echo "skip: no $kernel, as the kernel has no KVM"; exit 4; }
# What modules were initialised by is freed a moment later, which splits the direct map
sleep 2

dir=/tmp/guest
mkdir -p $dir

bad=0
no() { echo "not so: $*"; bad=1; }
# is NAME LEAST MOST: what "guest" said with this name
is()
{
	value=$(sed -n "s/^guest: .* $1 \([0-9][0-9]*\).*/\1/p" $dir/said | tail -n 1)
	value=${value:--1}
	[ "$value" -ge "$2" ] && [ "$value" -le "$3" ] || no "$1 $value: from $2 to $3"
}

pages=131072
[ $# -gt 0 ] || set -- 1 4
for cpus; do
	for option in --no-direct-map ''; do
		start=$(date +%s) rc=0
		guest-boot.sh "$cpus" 512 $option >$dir/console 2>$dir/said || rc=$?
		cat $dir/console $dir/said
		echo "guest: exit $rc after $(($(date +%s) - start)) s"
		[ $rc -ne 4 ] || exit 4
		[ $rc -eq 0 ] || no "the guest turned itself off"
		grep -q "^hello from $cpus processors" $dir/console || no "the guest said hello"
		! grep -E 'WARNING:|BUG:|Oops:|Kernel panic' $dir/console || no "the guest's kernel is well"
		is pages $pages $pages
		is splits 0 0
		is word 1 $pages
		words=$value
		if [ "$option" ]; then
			is shootdowns 0 32
			is off $pages $pages
			is direct 0 0
		else
			is off 0 0
			is direct "$words" "$words"
		fi
	done
done
exit $bad
