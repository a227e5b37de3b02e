#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-only
# Make build/linux: a git tree of Linux with the series applied.
set -eu
. "$(dirname "$0")/lib.sh"
. "$TOP/scripts/series.sh"
usage "${1:-}" "usage: tree.sh

Makes build/linux an ordinary git tree: the pristine source as one commit (tag
base), then one commit a patch of patches/series, the files of linux/ entering
with the patch that names them. Edit and commit there, then 'make save'.
Edits and commits that are not saved are never destroyed: it refuses."

need_tool git
source=$BUILD/source
[ -f "$source/linux/Kbuild" ] || die "no source: run 'make source'"
id=$(cat "$source/id")
tree=$BUILD/linux
record=$tree/.git/series-record
g() { git -C "$tree" -c gc.auto=0 "$@"; }

refuse()
{
	die "build/linux has $1; 'make save' keeps them, 'git -C build/linux reset --hard $2' throws them away"
}

make_base()
{
	tmp=$BUILD/linux.new
	rm -rf "$tmp"
	mkdir -p "$tmp"
	base()
	{
		git -C "$tmp" init -q -b main &&
		git -C "$tmp" config gc.auto 0 &&
		git -C "$tmp" config core.autocrlf false &&
		git -C "$tmp" --work-tree="$source/linux" add -A -f . &&
		# Debian's tarball ignores all there is, new files too.
		ignore=$(grep -vxF '/*' "$source/linux/.gitignore" | git -C "$tmp" hash-object -w --stdin) &&
		git -C "$tmp" update-index --cacheinfo "100644,$ignore,.gitignore" &&
		GIT_AUTHOR_NAME=Linux GIT_AUTHOR_EMAIL=linux@localhost GIT_AUTHOR_DATE='1700000000 +0000' \
		GIT_COMMITTER_NAME=Linux GIT_COMMITTER_EMAIL=linux@localhost GIT_COMMITTER_DATE='1700000000 +0000' \
			git -C "$tmp" --work-tree="$source/linux" commit -q --no-gpg-sign -m "$id" &&
		git -C "$tmp" tag base &&
		git -C "$tmp" reset -q --hard
	}
	step "tree: base commit of $id" "$BUILD/tree.log" base ||
		{ tail -n 3 "$BUILD/tree.log" >&2; rm -rf "$tmp"; die "cannot make the base commit"; }
	printf '%s\n' "$id" >"$tmp/.git/source-id"
	rm -rf "$tree"
	mv "$tmp" "$tree"
	printf 'none %s\n' "$(g rev-parse HEAD)" >"$record"
}

sum=$(series_sum "$TOP/patches" "$TOP/linux")
if [ -d "$tree/.git" ]; then
	[ -z "$(g status --porcelain -uno | head -n 1)" ] || refuse "uncommitted edits" HEAD
	# Files that git does not know are somebody's work as well.
	[ -z "$(g ls-files --others --exclude-standard | head -n 1)" ] ||
		die "build/linux has new files that are in no commit (git -C build/linux status)"
	read -r was_sum was_head <"$record" || :
	[ "$(g rev-parse HEAD)" = "$was_head" ] || refuse "commits that are not saved" "$was_head"
	if [ "$(cat "$tree/.git/source-id")" != "$id" ]; then
		need_space "$BUILD" 4000
		make_base
	elif [ "$sum" = "$was_sum" ]; then
		exit 0
	fi
else
	need_space "$BUILD" 4000
	make_base
fi

# Commits first, files last: only files that differ are touched, so only what
# changed is rebuilt.
head=$(series_apply "$tree" base "$TOP/patches" "$TOP/linux") ||
	die "the series does not apply to $id; build/linux is as it was"
g reset -q --hard "$head"
printf '%s %s\n' "$sum" "$head" >"$record"
note "tree: $(g rev-list --count base..HEAD) patches on $id in build/linux"
