#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-only
# The demonstration: stock Linux and this one side by side, each claim checked.
set -eu
. "$(dirname "$0")/lib.sh"
usage "${1:-}" "usage: demo.sh

Boots build/kernel-stock and build/kernel-release, each twice: as it is, and with
one instruction taking one guest nanosecond, and prints what 64 MiB of secret
memory cost. Looks at the machine from outside for what secret memory promises.
Exit 0 only if every claim held. What the machines said is in build/demo/."

need_tool gcc make qemu-system-x86_64
out=$BUILD/demo
mkdir -p "$out"

# boot KERNEL SUFFIX WHAT RUN OPTION...
boot()
{
	k=$1 dir=$out/$1$2 what=$3 run=$4
	shift 4
	mkdir -p "$dir"
	step "$k: $what" "$dir/boot.log" "$TOP/scripts/boot.sh" --run "$run" --out "$dir" "$@" \
		"$BUILD/kernel-$k/arch/x86/boot/bzImage" "$BUILD/kernel-$k/initramfs.cpio.gz" || {
		tail -n 30 "$dir/boot.log" >&2
		die "$k: $what: failed; log: $dir/console.log"
	}
	if grep -q '^not ok' "$dir/results.ktap"; then
		grep -B 3 '^not ok' "$dir/results.ktap" >&2
		die "$k: $what: failed; log: $dir/console.log"
	fi
}

for k in stock release; do
	boot "$k" "" "times and a look from outside" demo_measure,demo_prove --timeout 900 --host monitor
	boot "$k" -icount "counting instructions" demo_measure --icount --timeout 900
done

for k in stock release; do
	sed -n "s/^ *demo /$k normal /p" "$out/$k/results.ktap"
	sed -n "s/^ *demo /$k icount /p" "$out/$k-icount/results.ktap"
	sed -n "s/^proof /$k proof /p" "$out/$k/host.out"
done >"$out/figures"

awk -f "$TOP/scripts/demo.awk" "$out/figures"
