# SPDX-License-Identifier: GPL-2.0-only
# shellcheck shell=sh
# Sourced after lib.sh: turn patches/ and linux/ into commits, without a work tree.

# What says who and when is taken from the patch, so that the same series is
# the same commits everywhere.
series_lines()	{ grep -v -e '^#' -e '^[[:space:]]*$' "$1/series" 2>/dev/null || :; }

# series_sum PATCHES OVERLAY: one word for all that make tree uses
series_sum()
{
	{
		cat "$1/series" "$1"/*.patch 2>/dev/null || :
		(cd "$2" && find . -type f ! -name .gitkeep | sort | xargs -r sha256sum)
	} | sha256sum | cut -d ' ' -f 1
}

# series_base GIT-TREE [REVISION]: prints the pristine commit that HEAD grows from
series_base()
{
	git -C "$1" rev-parse --git-dir >/dev/null 2>&1 || die "$1 is not a git tree"
	base_=${2:-} version_=$(cat "$TOP/kernel.version")
	for b_ in base "base-$version_"; do
		[ -z "$base_" ] && git -C "$1" rev-parse -q --verify "$b_^{commit}" >/dev/null && base_=$b_
	done
	[ -n "$base_" ] || die "$1 has no tag base or base-$version_; say BASE=<revision>"
	git -C "$1" merge-base --is-ancestor "$base_" HEAD || die "HEAD of $1 is not a descendant of $base_"
	[ -z "$(git -C "$1" rev-list --merges "$base_..HEAD")" ] || die "$base_..HEAD has merges; a series is a line of commits"
	printf '%s\n' "$base_"
}

# A file of the overlay is there in its final form. It enters in the form in which
# later patches of the series, which have hunks for it, find it: these are
# undone, from the last to the first.
series_entries()
{
	cp -a "$overlay_" "$tmp_/overlay"
	sed 's/ .*//; 1!G; h; $!d' "$tmp_/series" | while read -r p_; do
		[ -f "$patches_/$p_" ] || continue
		set --
		sed -n 's,^+++ b/,,p' "$patches_/$p_" >"$tmp_/touched"
		while read -r f_; do
			[ ! -f "$overlay_/$f_" ] || set -- "$@" "--include=$f_"
		done <"$tmp_/touched"
		[ $# -gt 0 ] || continue
		(cd "$tmp_/overlay" && GIT_CEILING_DIRECTORIES=$tmp_ git apply -R --whitespace=nowarn "$@" "$patches_/$p_") ||
			{ note "patches/$p_ has not made linux/ what it is"; return 1; }
	done
}

# series_apply GIT-TREE BASE PATCHES OVERLAY: prints the last commit
series_apply()
{
	git_=$1 base_=$2 patches_=$3 overlay_=$4
	GIT_INDEX_FILE=$(mktemp -u "${TMPDIR:-/tmp}/unmapped-index.XXXXXX")
	export GIT_INDEX_FILE
	tmp_=$(mktemp -d)
	git -C "$git_" read-tree "$base_"
	parent_=$(git -C "$git_" rev-parse "$base_^{commit}")
	series_lines "$patches_" >"$tmp_/series"
	rc_=0
	series_entries || rc_=1
	[ "$rc_" -ne 0 ] || while read -r patch_ files_; do
		series_one || { rc_=1; break; }
	done <"$tmp_/series"
	rm -rf "$tmp_" "$GIT_INDEX_FILE"
	unset GIT_INDEX_FILE
	[ "$rc_" -eq 0 ] || return 1
	printf '%s\n' "$parent_"
}

series_one()
{
	[ -f "$patches_/$patch_" ] || { note "patches/series names $patch_, which is not there"; return 1; }
	git mailinfo -b --no-scissors --encoding=UTF-8 "$tmp_/body" "$tmp_/diff" \
		<"$patches_/$patch_" >"$tmp_/info"
	if grep -q '^diff --git' "$tmp_/diff" &&
	   ! git -C "$git_" apply --cached --whitespace=nowarn "$patches_/$patch_" 2>"$tmp_/err"; then
		note "patches/$patch_ does not apply:" \
			"$(sed -n 's/^error: patch failed: //p; t; s/^error: //p' "$tmp_/err" | head -n 1)"
		return 1
	fi
	for f_ in $files_; do
		[ -f "$overlay_/$f_" ] || { note "patches/series names linux/$f_, which is not there"; return 1; }
		mode_=100644
		[ ! -x "$overlay_/$f_" ] || mode_=100755
		blob_=$(git -C "$git_" hash-object -w --no-filters "$tmp_/overlay/$f_")
		git -C "$git_" update-index --add --cacheinfo "$mode_,$blob_,$f_"
	done
	{
		sed -n 's/^Subject: //p' "$tmp_/info"
		[ ! -s "$tmp_/body" ] || { echo; cat "$tmp_/body"; }
	} >"$tmp_/message"
	GIT_AUTHOR_NAME=$(sed -n 's/^Author: //p' "$tmp_/info")
	GIT_AUTHOR_EMAIL=$(sed -n 's/^Email: //p' "$tmp_/info")
	GIT_AUTHOR_DATE=$(sed -n 's/^Date: //p' "$tmp_/info")
	tree_=$(git -C "$git_" write-tree)
	parent_=$(
		export GIT_AUTHOR_NAME GIT_AUTHOR_EMAIL GIT_AUTHOR_DATE
		export GIT_COMMITTER_NAME="$GIT_AUTHOR_NAME" GIT_COMMITTER_EMAIL="$GIT_AUTHOR_EMAIL"
		export GIT_COMMITTER_DATE="$GIT_AUTHOR_DATE"
		git -C "$git_" commit-tree --no-gpg-sign "$tree_" -p "$parent_" -F "$tmp_/message"
	)
}
