#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-only
# stress-ng in the test machine, what it does to memory, with secret memory beside it.
set -eu
. "$(dirname "$0")/lib.sh"
usage "${1:-}" "usage: stress.sh [--seconds N] [KERNEL...]

Packs stress-ng as it is installed here, and boots each KERNEL (default: debug, kasan;
built by 'make machine CONFIG=...') with it. In there vm/stress/stress.sh runs it for N
seconds (1200). A kernel that warns of anything panics.

The last line is 'N passed, N failed, N skipped'. Logs: build/stress/."
seconds=1200
options 'seconds#' "$@"
shift "$nr_options"
case $seconds in 0*) die "--seconds must be 1 at least, without a 0 before it" ;; esac
[ $# -gt 0 ] || set -- debug kasan
for k; do
	[ -f "$BUILD/kernel-$k/initramfs.cpio.gz" ] ||
		die "no kernel $k: run 'make machine CONFIG=$k'"
done
need_tool cpio gzip ldd stress-ng qemu-system-x86_64

out=$BUILD/stress
root=$out/root
rm -rf "$root"
mkdir -p "$root/bin" "$root/etc"
cp "$TOP/vm/stress/stress.sh" "$root/bin/"
pack_with_libraries "$root" "$(command -v stress-ng)"
echo "$seconds" >"$root/etc/stress.seconds"
archive "$root" "$out/packed.cpio.gz"

boot_packed "$out" stress '(held|MISSED|seen): ' --mem 2G --nodes 2 --slow 6 --short \
	--timeout $((seconds + 1800)) -- "$@"
