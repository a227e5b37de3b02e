#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-only
# Check what is sent: the patches, and what our own files are.
set -eu
. "$(dirname "$0")/lib.sh"
. "$TOP/scripts/series.sh"
. "$TOP/scripts/check-lib.sh"
usage "${1:-}" "usage: check-series.sh

The series applies, as make tree did it; what make mail writes gives the same
tree by git am, passes checkpatch --strict, and no patch adds more lines than can be
reviewed in one sitting; linux/ holds nothing that make tree does not use; our own
scripts are sound.
Needs 'make tree'. What each tool said is in build/check/series/."
check_begin series
need_tool git mawk perl python3 shellcheck

# 1. The series gives this tree, from nothing but the pristine source: make tree has
# just applied it, or check_begin would have ended here.
: >"$out/apply"
result "$(g rev-list --count base..HEAD) patches apply to $(cat "$tree/.git/source-id")" "$out/apply"

# 2. Nothing lies about that nobody uses.
report=$out/overlay
series_lines "$TOP/patches" | tr -s ' \t' '\n' | grep -v '\.patch$' | sort >"$out/named" || :
(cd "$TOP/linux" && find . -type f ! -name .gitkeep | sed 's,^\./,,' | sort) >"$out/there"
{
	uniq -d "$out/named" | sed 's,^,patches/series names twice: linux/,'
	comm -13 "$out/named" "$out/there" | sed 's,^,make tree does not use linux/,'
	(cd "$TOP/patches" && ls ./*.patch 2>/dev/null | sed 's,^\./,,') | while read -r p; do
		series_lines "$TOP/patches" | cut -d ' ' -f 1 | grep -qxF "$p" || echo "make tree does not use patches/$p"
	done
} >"$report"
result "the overlay holds nothing that make tree does not use" "$report"

# 3. What is mailed, taken by git am on the pristine source, is this tree. Only
# the files that the mails name are checked out.
report=$out/mail.new
mail=$out/mail
am=$out/am
mailed()
{
	"$TOP/scripts/mail.sh" "$mail" &&
	git clone -q --shared --no-checkout "$tree" "$am" &&
	sed -n -E 's,^(\+\+\+ b|--- a)/,/,p' "$mail"/*.patch | sort -u |
		git -C "$am" sparse-checkout set --no-cone --stdin &&
	git -C "$am" checkout -q --detach "$(g rev-parse base)" &&
	git -C "$am" -c user.name=check -c user.email=check@localhost -c gc.auto=0 \
		am -q --empty=drop --no-gpg-sign "$mail"/*.patch
}
if mailed >"$out/mail.log" 2>&1; then
	[ "$(git -C "$am" rev-parse 'HEAD^{tree}')" = "$(g rev-parse 'HEAD^{tree}')" ] ||
		echo "git am of the mails gives another tree than build/linux"
	[ "$(git -C "$am" rev-list --count "$(g rev-parse base)..HEAD")" -eq "$(g rev-list --count base..HEAD)" ] ||
		echo "git am of the mails gives another number of commits than build/linux has"
	(cd "$mail" && ls) | grep '\.patch$' | sed 1d >"$out/mails"
	rm -rf "$am"
else
	: >"$out/mails"
	echo "what is mailed cannot be taken by git am:"
	tail -n 5 "$out/mail.log"
fi >"$report"
result "git am of $(wc -l <"$out/mails") mails and their cover letter gives the same tree" "$report"

# 4. checkpatch on the mails, where both hunks and whole files are seen.
# Sign-offs are added by whoever sends the series; MAINTAINERS as well. What
# else is meant to be as it is stands in checkpatch.ok, with the reason.
report=$out/checkpatch
reasons "$TOP/scripts/checkpatch.ok" >"$out/checkpatch.ok"
mkdir "$out/checkpatch.d"
checkpatch='
	perl scripts/checkpatch.pl --strict --no-signoff --no-summary --terse --showfile --show-types \
		--ignore FILE_PATH_CHANGES,COMMIT_LOG_USE_LINK "$1/$3" >"$2/$3.out" 2>"$2/$3.err" ||
		[ $? -eq 1 ]'
(cd "$tree" && xargs -r -P "$(nproc)" -n 1 sh -c "$checkpatch" checkpatch "$mail" "$out/checkpatch.d") <"$out/mails" ||
	echo "checkpatch did not run; see $out/checkpatch.d" >"$report"
while read -r m; do
	grep -vE -f "$out/checkpatch.ok" "$out/checkpatch.d/$m.out" | sed "s|^|$(printf '%.24s' "$m"): |" || :
done <"$out/mails" >>"$report"
[ -s "$out/mails" ] || echo "nothing was mailed" >>"$report"
result "checkpatch --strict" "$report"

# 5. A patch is for one sitting. Files that are ours whole, tests and documents
# count too; patchsize.ok says which are meant to be larger, and why.
report=$out/patchsize
most=450
reasons "$TOP/scripts/patchsize.ok" >"$out/patchsize.ok"
while read -r m; do
	printf '%s: adds %s lines\n' "$(sed -n 's/^Subject: \[PATCH[^]]*\] //p; T; n; s/^ / /p; q' "$mail/$m" | tr -d '\n')" \
		"$(git apply --numstat "$mail/$m" | awk '{ n += $1 } END { print n + 0 }')"
done <"$out/mails" >"$out/sizes"
awk -v most="$most" '$(NF - 1) > most' "$out/sizes" >"$out/large"
{
	grep -vE -f "$out/patchsize.ok" "$out/large" || :
	while read -r ok; do
		grep -qE -e "$ok" "$out/large" || echo "scripts/patchsize.ok: no patch over $most lines is named by: $ok"
	done <"$out/patchsize.ok"
} >"$report"
result "no patch adds more than $most lines" "$report"

# 6. What breaks the kernel on purpose is still about this one.
report=$out/mutants
"$TOP/scripts/mutants.sh" --check >"$report" 2>&1 || :
result "$(find "$TOP/vm/mutants" -name '*.diff' | wc -l) mutants apply, and name tests that there are" "$report"

# 7. Our own scripts, wherever they are; what git has not been told of yet, too.
report=$out/scripts
: >"$report"
ours() { git -C "$TOP" ls-files -co --exclude-standard -- "$@" | sort -u | while read -r f; do [ ! -f "$TOP/$f" ] || say "$f"; done; }
ours . ':!linux' ':!patches' ':!docs' >"$out/ours"
while read -r f; do
	case $f:$(head -n 1 "$TOP/$f" | tr -d '\0') in
	*.sh:*|*:'#!/bin/sh'*)
		echo "$f" >>"$out/ours.sh"
		sh -n "$TOP/$f" 2>>"$report" || :
		# SC1091, SC2154: lib.sh is sourced by its place. SC2086, SC2034: lists are
		# meant to be split; variables of a sourced file look unused.
		shellcheck -s sh -e SC1091,SC2154,SC2034,SC2086,SC2015,SC2012,SC2016,SC2020,SC2038,SC2317 -f gcc "$TOP/$f" >>"$report" 2>&1 || : ;;
	*.py:*|*:'#!'*python3*)
		echo "$f" >>"$out/ours.py"
		PYTHONPYCACHEPREFIX=$out/pycache python3 -W error -m py_compile "$TOP/$f" >>"$report" 2>&1 || : ;;
	*.awk:*|*:'#!'*awk*)
		echo "$f" >>"$out/ours.awk"
		# Any awk will do for them; what one does not understand is an error, input or none.
		for awk in mawk gawk; do
			! command -v "$awk" >/dev/null 2>&1 || "$awk" -f "$TOP/$f" </dev/null 2>&1 >/dev/null || :
		done | sed "s|^|$f: |" >>"$report" ;;
	esac
done <"$out/ours"
result "$(wc -l <"$out/ours.sh") scripts: sh -n, shellcheck; $(wc -l <"$out/ours.py") in python: py_compile; $(wc -l <"$out/ours.awk") in awk" "$report"
ours '*.c' '*.h' '*.sh' '*.py' '*.awk' '*.gnuplot' '*.config' '*.ok' '*Makefile' '*Kbuild' scripts vm bench tools .ci linux ':!*/debian/*' >"$out/licensed"
while read -r f; do
	[ ! -s "$TOP/$f" ] || head -n 3 "$TOP/$f" | grep -q 'SPDX-License-Identifier:' || echo "$f has no SPDX line"
done <"$out/licensed" >"$out/spdx"
result "every file says its licence" "$out/spdx"

check_end
