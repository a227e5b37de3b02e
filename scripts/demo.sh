#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-only
# The demonstration: stock Linux and this one side by side, each claim checked.
set -eu
. "$(dirname "$0")/lib.sh"
usage "${1:-}" "usage: demo.sh [option...]

Boots stock Linux and this one, with static keys as distributions build them, and
prints what 64 MiB of secret memory cost: once as fast as the host can, where it also
looks at the machine from outside for what secret memory promises, and some times
with one instruction taking one guest nanosecond. Those counts are the same whatever
else the host does; each has other random numbers, and each is judged.

  --runs N      how often to count (default: 3)
  --stock DIR   kernel build directory of stock (default: build/kernel-keys-stock)
  --this DIR    that of the kernel with this work (default: build/kernel-keys)
  --docs        if every claim held, put the report into README.md

Exit 0 only if every claim held. What the machines said is in build/demo/."

runs=3 stock=$BUILD/kernel-keys-stock this=$BUILD/kernel-keys docs=''
options 'runs# stock= this= docs' "$@"
[ "$nr_options" -eq $# ] || die "it takes options only (--help)"
[ "$runs" -ge 1 ] || die "--runs must be 1 at least"

need_tool gcc make python3 qemu-system-x86_64
out=$BUILD/demo
rm -rf "$out"
mkdir -p "$out"

# boot KERNEL DIRECTORY SUFFIX WHAT RUN OPTION...
boot()
{
	k=$1 kdir=$2 dir=$out/$1$3 what=$4 run=$5
	shift 5
	mkdir -p "$dir"
	step "$k: $what" "$dir/boot.log" "$TOP/scripts/boot.sh" --run "$run" --out "$dir" "$@" \
		"$kdir/arch/x86/boot/bzImage" "$kdir/initramfs.cpio.gz" || {
		tail -n 30 "$dir/boot.log" >&2
		die "$k: $what: failed; log: $dir/console.log"
	}
	if grep -q '^not ok' "$dir/results.ktap"; then
		grep -B 3 '^not ok' "$dir/results.ktap" >&2
		die "$k: $what: failed; log: $dir/console.log"
	fi
}

for k in stock this; do
	case $k in stock) kdir=$stock ;; *) kdir=$this ;; esac
	boot "$k" "$kdir" "" "times and a look from outside" demo_measure,demo_prove --one-thread \
		--timeout 1800 --slow 2 --host monitor
	for i in $(seq "$runs"); do
		boot "$k" "$kdir" "-$i" "counting instructions, $i of $runs" demo_measure --icount --seed "$i" --timeout 1800
	done
done

for k in stock this; do
	sed -n "s/^ *demo /$k normal /p" "$out/$k/results.ktap"
	for i in $(seq "$runs"); do
		sed -n "s/^ *demo /$k count$i /p" "$out/$k-$i/results.ktap"
	done
	sed -n "s/^proof /$k proof /p" "$out/$k/host.out"
done >"$out/figures"

python3 "$TOP/bench/report" demo "$out/figures" "$runs" ${docs:+"$TOP/README.md"}
