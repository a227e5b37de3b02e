#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-only
# Write the commits of a Linux tree back to patches/ and linux/.
set -eu
. "$(dirname "$0")/lib.sh"
. "$TOP/scripts/series.sh"
usage "${1:-}" "usage: save.sh

Writes base..HEAD of the tree back: files that Linux does not have go to linux/,
in their final form; all other changes become patches/NNNN-subject.patch, and
patches/series says which file of linux/ enters with which patch. Nothing is written
unless the saved series gives the very same tree again. patches/cover-letter, which is
written by hand, and patches/bisected, by bisect.sh, stay.
TREE=<git tree> saves another tree than build/linux; BASE=<revision> is its
pristine commit (default: tag base, then base-<version>)."

need_tool git rsync
own=$BUILD/linux
tree=${TREE:-$own}
g() { git -C "$tree" -c core.quotepath=false "$@"; }
base=$(series_base "$tree" "${BASE:-}")
[ -z "$(g status --porcelain -uno)" ] || note "save: $tree has uncommitted edits; only commits are saved"

tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT
mkdir -p "$tmp/patches" "$tmp/linux"

# Ours whole: what the last commit has and Linux has not.
g diff --no-renames --diff-filter=A --name-only "$base" HEAD >"$tmp/ours"
while read -r f; do
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
	# A file of ours is not in the patch that it enters with, but in those that
	# change it later.
	line=$name exclude=
	for f in $(g diff-tree -r --no-commit-id --no-renames --name-only "$c"); do
		grep -qxF "$f" "$tmp/ours" || continue
		! grep -qxF "$f" "$tmp/entered" || continue
		echo "$f" >>"$tmp/entered"
		line="$line $f"
		exclude="$exclude :(exclude,literal)$f"
	done
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
	echo "$line" >>"$tmp/patches/series"
done

head=$(series_apply "$tree" "$base" "$tmp/patches" "$tmp/linux") || die "the saved series does not apply; nothing was written"
[ "$(g rev-parse "$head^{tree}")" = "$(g rev-parse 'HEAD^{tree}')" ] || {
	g diff --stat "$head" HEAD | tail -n 5 >&2
	die "the saved series does not give the same tree; nothing was written"
}

mkdir -p "$TOP/patches" "$TOP/linux"
rsync -rlpc --delete --exclude=.gitkeep --exclude=/cover-letter --exclude=/bisected "$tmp/patches/" "$TOP/patches/"
rsync -rlpc --delete --exclude=.gitkeep "$tmp/linux/" "$TOP/linux/"
if [ "$(cd "$tree" && pwd -P)" = "$(cd "$own" 2>/dev/null && pwd -P)" ]; then
	printf '%s %s\n' "$(series_sum "$TOP/patches" "$TOP/linux")" "$(g rev-parse HEAD)" >"$own/.git/series-record"
fi
note "save: $n patches, $(wc -l <"$tmp/ours") files of ours"
