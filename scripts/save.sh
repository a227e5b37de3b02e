#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-only
# Write the commits of a Linux tree back to patches/ and linux/.
set -eu
. "$(dirname "$0")/lib.sh"
. "$TOP/scripts/series.sh"
usage "${1:-}" "usage: save.sh

Writes base..HEAD of the tree back: files that Linux does not have go whole to
linux/, changes to Linux's own files become patches/NNNN-subject.patch, and
patches/series says which file enters with which patch. Nothing is written
unless the saved series gives the very same tree again.
TREE=<git tree> saves another tree than build/linux; BASE=<revision> is its
pristine commit (default: tag base, then base-<version>)."

need_tool git rsync
version=$(cat "$TOP/kernel.version")
own=$BUILD/linux
tree=${TREE:-$own}
git -C "$tree" rev-parse --git-dir >/dev/null 2>&1 || die "$tree is not a git tree"
g() { git -C "$tree" -c core.quotepath=false "$@"; }
base=${BASE:-}
for b in base "base-$version"; do
	[ -z "$base" ] && g rev-parse -q --verify "$b^{commit}" >/dev/null && base=$b
done
[ -n "$base" ] || die "$tree has no tag base or base-$version; say BASE=<revision>"
g merge-base --is-ancestor "$base" HEAD || die "HEAD of $tree is not a descendant of $base"
[ -z "$(g rev-list --merges "$base..HEAD")" ] || die "$base..HEAD has merges; a series is a line of commits"
[ -z "$(g status --porcelain -uno)" ] || note "save: $tree has uncommitted edits; only commits are saved"

tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT
mkdir -p "$tmp/patches" "$tmp/linux"

# Ours whole: what the last commit has and Linux has not.
g diff --no-renames --diff-filter=A --name-only "$base" HEAD >"$tmp/ours"
exclude=
while read -r f; do
	exclude="$exclude :(exclude,literal)$f"
	mkdir -p "$tmp/linux/$(dirname "$f")"
	g show "HEAD:$f" >"$tmp/linux/$f"
	[ "$(g ls-tree HEAD -- "$f" | cut -c 1-6)" != 100755 ] || chmod +x "$tmp/linux/$f"
done <"$tmp/ours"

echo '# SPDX-License-Identifier: GPL-2.0-only' >"$tmp/patches/series"
echo '# A patch a line, then the files of linux/ which enter with it.' >>"$tmp/patches/series"
: >"$tmp/entered"
n=0
for c in $(g rev-list --reverse "$base..HEAD"); do
	n=$((n + 1))
	name=$(printf '%04d-%s.patch' "$n" "$(g show -s --format=%f "$c" | cut -c 1-52 | sed 's/[-.]*$//')")
	# No object names: a patch changes only when what it says changes.
	{
		echo 'From 0000000000000000000000000000000000000000 Mon Sep 17 00:00:00 2001'
		g show -s --encoding=UTF-8 --format=email "$c" | sed 1d
		echo '---'
		# shellcheck disable=SC2086
		g diff-tree -p --stat=74 --no-commit-id --no-renames --diff-algorithm=histogram -U3 \
			--no-ext-diff --no-textconv --src-prefix=a/ --dst-prefix=b/ "$c" -- . $exclude |
			sed '/^index [0-9a-f]*\.\.[0-9a-f]*/d'
	} >"$tmp/patches/$name"
	line=$name
	for f in $(g diff-tree -r --no-commit-id --no-renames --name-only "$c"); do
		grep -qxF "$f" "$tmp/ours" || continue
		if grep -qxF "$f" "$tmp/entered"; then
			note "save: $f enters in its final form; commit $n ($(g show -s --format=%s "$c")) changes it later"
			continue
		fi
		echo "$f" >>"$tmp/entered"
		line="$line $f"
	done
	echo "$line" >>"$tmp/patches/series"
done

head=$(series_apply "$tree" "$base" "$tmp/patches" "$tmp/linux") || die "the saved series does not apply; nothing was written"
[ "$(g rev-parse "$head^{tree}")" = "$(g rev-parse 'HEAD^{tree}')" ] || {
	g diff --stat "$head" HEAD | tail -n 5 >&2
	die "the saved series does not give the same tree; nothing was written"
}

mkdir -p "$TOP/patches" "$TOP/linux"
rsync -rlpc --delete --exclude=.gitkeep "$tmp/patches/" "$TOP/patches/"
rsync -rlpc --delete --exclude=.gitkeep "$tmp/linux/" "$TOP/linux/"
if [ "$(cd "$tree" && pwd -P)" = "$(cd "$own" 2>/dev/null && pwd -P)" ]; then
	printf '%s %s\n' "$(series_sum "$TOP/patches" "$TOP/linux")" "$(g rev-parse HEAD)" >"$own/.git/series-record"
fi
note "save: $n patches, $(wc -l <"$tmp/ours") files of ours"
