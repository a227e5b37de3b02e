#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-only
# Pictures of the direct map: before, while and after memory is secret.
set -eu
. "$(dirname "$0")/lib.sh"
usage "${1:-}" "usage: pictures.sh [MIB]

Boots build/kernel-release and build/kernel-stock with 4 GiB of memory, makes MIB
MiB (default: 1024) of it secret, and has dmapstat draw the direct map. Writes
docs/dmap-before.svg, dmap-during.svg and dmap-after.svg, and dmap-stock-*.svg
for the stock kernel. What the machines said is in build/pictures/."
mib=${1:-1024}
case $mib in
''|*[!0-9]*) die "how many MiB? Not '$mib' (--help)" ;;
esac
[ "$mib" -ge 1 ] && [ "$mib" -le 3072 ] || die "1 to 3072 MiB, not $mib: the machine has 4 GiB"
need_tool qemu-system-x86_64 python3

for k in release stock; do
	dir=$BUILD/pictures/$k
	image=$BUILD/kernel-$k/arch/x86/boot/bzImage
	[ -f "$image" ] || die "no kernel $k: run 'make pictures'"
	rm -rf "$dir"
	mkdir -p "$dir"
	step "pictures: $k, $mib MiB" "$dir/boot.log" "$TOP/scripts/boot.sh" --run pictures --out "$dir" \
		--mem 4G --append "pictures.mib=$mib" "$image" "$BUILD/kernel-$k/initramfs.cpio.gz" || {
		cat "$dir/boot.log" >&2
		die "$k: failed; log: $dir/console.log"
	}
	grep -q '^ok 1 pictures' "$dir/results.ktap" || {
		grep -v '^  svg' "$dir/results.ktap" >&2
		die "$k: failed; log: $dir/results.ktap"
	}
	for when in before during after; do
		sed -n "s/^  svg $when //p" "$dir/results.ktap" >"$dir/$when.svg"
		python3 -c 'import sys, xml.dom.minidom as x; x.parse(sys.argv[1])' "$dir/$when.svg" 2>"$dir/xml.log" ||
			die "$dir/$when.svg is no XML: $(tail -n 1 "$dir/xml.log")"
	done
done
# All of them, or none
for when in before during after; do
	cp "$BUILD/pictures/release/$when.svg" "$TOP/docs/dmap-$when.svg"
	cp "$BUILD/pictures/stock/$when.svg" "$TOP/docs/dmap-stock-$when.svg"
done
say "docs: dmap-before.svg dmap-during.svg dmap-after.svg dmap-stock-before.svg dmap-stock-during.svg dmap-stock-after.svg"
