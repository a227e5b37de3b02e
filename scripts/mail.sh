#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-only
# Write the series as anybody can git am it: whole patches and a cover letter.
set -eu
. "$(dirname "$0")/lib.sh"
. "$TOP/scripts/series.sh"
usage "${1:-}" "usage: mail.sh [--version N] [DIR]

Writes base..HEAD of build/linux to DIR (default: build/mail): a numbered patch a
commit with all that it adds, and a cover letter, which is patches/cover-letter
(its first line is the subject) with shortlog and diffstat. On the pinned source,
'git am --empty=drop DIR/*.patch' gives the tree again; git send-email takes the
same files. --version N says [PATCH vN 01/36]. What an earlier run wrote to DIR is
replaced; a directory with anything else in it is left alone.
TREE=<git tree> mails another tree; BASE=<revision> is its pristine commit."

version='' out=$BUILD/mail
options 'version#' "$@"
shift "$nr_options"
[ $# -le 1 ] || die "one directory, please (--help)"
[ $# -eq 0 ] || out=$1

need_tool git
letter=$TOP/patches/cover-letter
tree=${TREE:-$BUILD/linux}
g() { git -C "$tree" -c core.quotepath=false "$@"; }
base=$(series_base "$tree" "${BASE:-}")
nr=$(g rev-list --count "$base..HEAD")
[ "$nr" -gt 0 ] || die "$tree has no commit after $base"
[ -z "$(g status --porcelain -uno)" ] || note "mail: $tree has uncommitted edits; only commits are mailed"
[ -s "$letter" ] || die "there is no patches/cover-letter"
[ -n "$(sed -n 1p "$letter")" ] && [ -z "$(sed -n 2p "$letter")" ] ||
	die "patches/cover-letter: a line that is the subject, an empty one, then the text"

# .mailed names what a run wrote: that, and nothing else, may go.
record=$out/.mailed
if [ -e "$out" ]; then
	[ -d "$out" ] || die "$out is not a directory"
	foreign=$(find "$out" -mindepth 1 -maxdepth 1 ! -name .mailed | sed 's,.*/,,' | sort |
		if [ -f "$record" ]; then grep -vxF -f "$record"; else cat; fi | head -n 1)
	[ -z "$foreign" ] || die "$out holds $foreign, which this did not write; name an empty directory"
fi
mkdir -p "$out" || die "cannot make $out"

tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT
# A cover letter is from somebody, at some time: as the last patch, so that the
# same series is the same mail everywhere. What the user's configuration could
# add or change is said here.
GIT_COMMITTER_NAME=$(g show -s --format=%an HEAD) GIT_COMMITTER_EMAIL=$(g show -s --format=%ae HEAD)
GIT_COMMITTER_DATE=$(g show -s --format='%ad' --date=raw HEAD)
export GIT_COMMITTER_NAME GIT_COMMITTER_EMAIL GIT_COMMITTER_DATE
g -c format.useAutoBase=false -c format.outputDirectory= -c diff.noprefix=false -c diff.mnemonicPrefix=false \
	format-patch -q -o "$tmp" --numbered --cover-letter --subject-prefix=PATCH ${version:+-v "$version"} \
	--suffix=.patch --no-signoff --no-signature --no-thread --no-attach --no-notes --no-from --no-to --no-cc \
	--no-add-header --no-base --zero-commit --full-index --stat=74 --summary --no-renames --diff-algorithm=histogram \
	-U3 --no-ext-diff --no-textconv --no-color --src-prefix=a/ --dst-prefix=b/ "$base..HEAD" >"$tmp/log" 2>&1 ||
	{ cat "$tmp/log" >&2; die "git format-patch failed"; }
rm -f "$tmp/log"

cover=$(find "$tmp" -name '*-cover-letter.patch')
[ -f "$cover" ] || die "git format-patch wrote no cover letter"
sed '1,2d' "$letter" >"$tmp/body"
id=$(cat "$tree/.git/source-id" 2>/dev/null || :)
SUBJECT=$(sed -n 1p "$letter") SOURCE="Linux $(cat "$TOP/kernel.version")${id:+ ($id)}" \
awk -v body="$tmp/body" '
	/^Subject: / && !subject { subject = sub(/\*\*\* SUBJECT HERE \*\*\*/, ""); print $0 ENVIRON["SUBJECT"]; next }
	/^\*\*\* BLURB HERE \*\*\*$/ {
		while ((getline line < body) > 0) print line
		print ""
		print "Applies to " ENVIRON["SOURCE"] "."
		next
	}
	{ print }' "$cover" >"$tmp/cover"
rm "$tmp/body"
grep -q '\*\*\* .* HERE \*\*\*' "$tmp/cover" && die "git format-patch writes another cover letter than it did"
mv "$tmp/cover" "$cover"

if [ -f "$record" ]; then
	while read -r f; do rm -f "$out/$f"; done <"$record"
fi
(cd "$tmp" && ls) >"$record"
mv "$tmp"/*.patch "$out/"
note "mail: $nr patches and a cover letter in $out"
