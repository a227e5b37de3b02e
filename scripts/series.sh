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
	while read -r patch_ files_; do
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
		blob_=$(git -C "$git_" hash-object -w --no-filters "$overlay_/$f_")
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
