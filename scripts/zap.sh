#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-only
# Make build/zap/linux: what guest memory off the direct map is measured beside.
set -eu
. "$(dirname "$0")/lib.sh"
usage "${1:-}" "usage: zap.sh

Makes build/zap/linux the pristine source with bench/zap/zap.patch, which takes guest
memory out of the direct map page by page. Files that the patch does not name are links
to those of build/source/linux: edit none of them there."

need_tool git
source=$BUILD/source
[ -f "$source/linux/Kbuild" ] || die "no source: run 'make source'"
patch=$TOP/bench/zap/zap.patch
dir=$BUILD/zap
sum=$(cat "$source/id" "$patch" | sha256sum)
[ "$sum" != "$(cat "$dir/made" 2>/dev/null || :)" ] || exit 0

make_tree()
{
	rm -rf "$dir/linux.new" "$dir/made"
	mkdir -p "$dir"
	cp -al "$source/linux" "$dir/linux.new" || return 1
	# Each a file of its own; where git sees a repository around them it would pass over them
	(cd "$TOP" && git apply --numstat "$patch") | cut -f 3 >"$dir/files" && [ -s "$dir/files" ] || return 1
	while read -r f; do
		[ ! -f "$dir/linux.new/$f" ] || cp --remove-destination -p "$source/linux/$f" "$dir/linux.new/$f" || return 1
	done <"$dir/files"
	(cd "$dir/linux.new" && GIT_CEILING_DIRECTORIES=$dir git apply --whitespace=error "$patch") || return 1
	while read -r f; do
		! cmp -s "$source/linux/$f" "$dir/linux.new/$f" || { note "$f is as it was"; return 1; }
	done <"$dir/files"
	rm -rf "$dir/linux"
	mv "$dir/linux.new" "$dir/linux"
}
step "zap: tree" "$BUILD/zap.log" make_tree || { tail -n 3 "$BUILD/zap.log" >&2; die "bench/zap/zap.patch does not apply to $(cat "$source/id")"; }
printf '%s\n' "$sum" >"$dir/made"
