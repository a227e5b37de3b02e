#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-only
#
# KVM's selftests, on a processor that QEMU emulates: AMD's, with nested paging.
#
#   kvm.sh [TEST...]
#
# Loads KVM and runs the tests of these names, each for itself, or all that
# scripts/kvm-selftests.sh packed, none for longer than five minutes. Exit status 0 if all
# passed, 4 if one was skipped and none failed. A kernel that has memory off the direct
# map must have had some of it for guest_memfd_test, which passes without as well.
. /bin/load-kvm.sh
dir=/kselftest/kvm
[ $# -gt 0 ] || dir=/kselftest/kvm-all
cd $dir || exit 1
# shellcheck disable=SC2046
[ $# -gt 0 ] || set -- $(find . -type f | sed 's,^\./,,' | sort)
erased() { awk '$1 == "no_direct_map_zeroed_pages" { print $2 }' /proc/vmstat; }
bad=0 skipped=0
for t in "$@"; do
	before=$(erased) start=$(date +%s)
	for try in 1 2 3; do
		timeout 300 "./$t" </dev/null >/tmp/kvm.out 2>&1
		rc=$?
		cat /tmp/kvm.out
		grep -q '^ *pthread_getaffinity_np failed, rc: 3 ' /tmp/kvm.out || break
		echo "# $t: the thread had ended before it was asked: try $try of 3"
	done
	echo "# $t: exit $rc after $(($(date +%s) - start)) s"
	case $rc in
	0)	if [ "$t" = guest_memfd_test ] && [ "$before" ] && [ "$(erased)" -eq "$before" ]; then
			echo "# $t: no memory was off the direct map"
			bad=1
		fi ;;
	4)	skipped=4 ;;
	*)	bad=1 ;;
	esac
done
[ $bad -eq 0 ] || exit 1
exit $skipped
