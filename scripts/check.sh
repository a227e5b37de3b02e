#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-only
# Check the series: applies, can be mailed, checkpatch, size of patches, sparse,
# coccicheck, overlay, docs, unit tests, scripts.
set -eu
. "$(dirname "$0")/lib.sh"
. "$TOP/scripts/series.sh"
usage "${1:-}" "usage: check.sh

Every patch applies to the pristine source; what make mail writes gives the same
tree by git am, passes checkpatch --strict, and no patch adds more lines than can be
reviewed in one sitting; new and changed C is clean under sparse and under
coccicheck's free, locks and null groups; kernel-doc and the documents are rendered
without a warning; linux/ holds nothing that make tree does not use; our own scripts
are sound.
Needs 'make tree'. What each tool said is in build/check/."

tree=$BUILD/linux
out=$BUILD/check
rm -rf "$out"
mkdir -p "$out"
need_tool git perl python3 sparse spatch shellcheck sphinx-build
g() { git -C "$tree" "$@"; }
[ "$(g rev-parse HEAD)" = "$(cut -d ' ' -f 2 "$tree/.git/series-record")" ] ||
	die "build/linux is not what patches/ and linux/ make: 'make save' or 'make tree' first"

passed=0 failed=0
# result WHAT REPORT: passed when there is nothing to report
result()
{
	if [ -s "$2" ]; then
		failed=$((failed + 1))
		say "not ok  $1"
		head -n 30 "$2" | sed 's/^/    /'
		[ "$(wc -l <"$2")" -le 30 ] || say "    ... the rest: $2"
	else
		passed=$((passed + 1))
		say "ok      $1"
	fi
}

# reasons FILE: the patterns of a list of exceptions
reasons() { sed -e '/^#/d' -e '/^[[:space:]]*$/d' "$1"; }

# 1. The series gives this tree, from nothing but the pristine source.
report=$out/apply
: >"$report"
head=$(series_apply "$tree" base "$TOP/patches" "$TOP/linux" 2>"$report") || :
[ "${head:-none}" = none ] || [ "$(g rev-parse "$head^{tree}")" = "$(g rev-parse 'HEAD^{tree}')" ] ||
	echo "the series gives another tree than build/linux" >>"$report"
result "$(g rev-list --count base..HEAD) patches apply to $(cat "$tree/.git/source-id")" "$report"

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

# The C files that the series has a hand in.
g diff --no-renames --diff-filter=AM --name-only base HEAD -- '*.c' ':!tools' ':!Documentation' ':!samples' >"$out/changed.all"
g diff --no-renames --diff-filter=A --name-only base HEAD -- '*.c' >"$out/new"

# 6. sparse: nothing in our files, nothing in Linux's that was not there. Only
# what release builds can be looked at.
report=$out/sparse.new
: >"$report"
g diff --no-renames --diff-filter=AM --name-only base HEAD >"$out/touched"
sparse()
{
	# sparse CONFIG TREE FILE-LIST LOG. Kbuild refuses a sparse that does not
	# know __typeof_unqual__ (Debian 12's), though gcc 12 makes no use of it.
	# shellcheck disable=SC2046
	"$TOP/scripts/kernel.sh" "$1" "$2" "$BUILD/kernel-$1" \
		C=2 CF='-D__CHECK_ENDIAN__ -D__typeof_unqual__=__typeof__' $(sed 's/c$/o/' "$3") >&2 || return 1
	cp "$BUILD/kernel-$1.log" "$4.log"
	# A sparse that was refused, or that crashed, has found nothing.
	! grep -qE 'not available or not up to date|Segmentation fault|dumped core' "$4.log" || return 1
	[ "$(grep -c '^ *CHECK  ' "$4.log")" -ge "$(wc -l <"$3")" ] || return 1
	sed -n -E "s|^$2/||; s|^\./||; /^[^ ]+\.[ch]:[0-9]+:[0-9]+: (warning|error):/p" "$4.log" |
		grep -F -f "$out/touched" | known "$2" | nolines >"$4" || :
}
# Debian 12's sparse calls what these macros make of a file "bad constant
# expression", in every file that uses them.
known()
{
	while IFS=: read -r file line rest; do
		case $rest in
		*'bad constant expression')
			! sed -n "${line}p" "$1/$file" | grep -qE '^(MODULE_|module_param|kunit_test_suite)' || continue ;;
		esac
		printf '%s:%s:%s\n' "$file" "$line" "$rest"
	done
}
nolines() { sed -E 's/:[0-9]+(:[0-9]+)?(-[0-9]+)?:/:/; s/ on line [0-9]+//g' | sort; }
: >"$out/built"
if [ -s "$out/changed.all" ]; then
	"$TOP/scripts/kernel.sh" release "$tree" "$BUILD/kernel-release" >&2
	"$TOP/scripts/kernel.sh" stock "$BUILD/source/linux" "$BUILD/kernel-stock" >&2
	while read -r f; do
		if [ -f "$BUILD/kernel-release/${f%.c}.o" ]; then echo "$f" >>"$out/built"
		else say "note    release does not build it, so not under sparse: $f"; fi
	done <"$out/changed.all"
	grep -vxF -f "$out/new" "$out/built" >"$out/built.theirs" || :
	if sparse release "$(cd "$tree" && pwd -P)" "$out/built" "$out/sparse.a"; then
		: >"$out/sparse.b"
		[ ! -s "$out/built.theirs" ] ||
			sparse stock "$(cd "$BUILD/source/linux" && pwd -P)" "$out/built.theirs" "$out/sparse.b" ||
			echo "sparse did not run on the pristine source; see $out/sparse.b.log" >>"$report"
		comm -23 "$out/sparse.a" "$out/sparse.b" >>"$report"
	else
		echo "sparse did not run; see $BUILD/kernel-release.log" >>"$report"
	fi
fi
result "sparse on $(wc -l <"$out/built") changed or new C files" "$report"

# 7. coccicheck: the same, found or not found in the pristine file.
report=$out/cocci.new
: >"$report"
cocci()
{
	# cocci TREE SCRIPT FILE-LIST: what one script says, without line numbers
	opt=$(sed -n 's/^.*Options://p' "$2" | head -n 1)
	# shellcheck disable=SC2046,SC2086
	(cd "$1" && spatch -D report --very-quiet --cocci-file "$2" $opt --timeout 120 \
		--jobs "$(nproc)" $(cat "$3") 2>/dev/null) | grep -E '^[^ ]+:[0-9]+' | nolines || :
}
if [ -s "$out/changed.all" ]; then
	grep -vxF -f "$out/new" "$out/changed.all" >"$out/theirs" || :
	scan()
	{
		for s in "$tree"/scripts/coccinelle/free/*.cocci "$tree"/scripts/coccinelle/locks/*.cocci \
			 "$tree"/scripts/coccinelle/null/*.cocci; do
			echo "${s##*/}"
			grep -q '^virtual report' "$s" || grep -q 'virtual.*report' "$s" || continue
			cocci "$tree" "$s" "$out/changed.all" >"$out/cocci.a"
			: >"$out/cocci.b"
			if [ -s "$out/cocci.a" ] && [ -s "$out/theirs" ]; then
				cocci "$BUILD/source/linux" "$s" "$out/theirs" >"$out/cocci.b"
			fi
			comm -23 "$out/cocci.a" "$out/cocci.b" >>"$report"
		done
	}
	step "coccicheck: $(wc -l <"$out/changed.all") files" "$out/cocci.log" scan || echo "coccicheck did not end" >>"$report"
fi
result "coccicheck: free, locks, null" "$report"

# 8. Documents: what the kernel's own make htmldocs and kernel-doc say of files
# that the series adds. Where python3 is not Debian's, it does not find Debian's
# Sphinx.
report=$out/docs
python=python3
[ ! -x /usr/bin/python3 ] || python=/usr/bin/python3
html()
{
	PYTHONDONTWRITEBYTECODE=1 make -C "$tree" O="$BUILD/htmldocs" PYTHON3="$python" \
		SPHINXDIRS='mm admin-guide/mm' htmldocs
}
unset MAKEFLAGS MFLAGS MAKELEVEL 2>/dev/null || :
# Sphinx warns only of what it reads anew.
rm -rf "$BUILD/htmldocs"
if step "htmldocs" "$out/htmldocs.log" html; then
	g diff --no-renames --diff-filter=A --name-only base HEAD -- 'Documentation/*.rst' | while read -r f; do
		html=${f#Documentation/}
		[ -s "$BUILD/htmldocs/Documentation/output/${html%.rst}.html" ] || echo "$f was not rendered"
	done
	# Linux's own indexes point outside of what is rendered here.
	g diff --no-renames --diff-filter=A --name-only base HEAD >"$out/added"
	grep -E 'WARNING|ERROR' "$out/htmldocs.log" | grep -F -f "$out/added" || :
else
	echo "htmldocs failed; see $out/htmldocs.log"
fi >"$report"
g diff --no-renames --diff-filter=A --name-only base HEAD -- '*.c' '*.h' ':!tools' ':!*/tests/*' | while read -r f; do
	(cd "$tree" && PYTHONDONTWRITEBYTECODE=1 "$python" tools/docs/kernel-doc -none -Wall "$f" 2>&1) |
		grep -E '[Ww]arning|[Ee]rror' || :
done >>"$report"
result "documents: htmldocs, kernel-doc" "$report"

# 9. What is compiled in user space says that it is well.
report=$out/unit
unit() { make -C "$tree/tools/testing/unmapped" OUTPUT="$out/unit.d" run; }
if step "unit" "$out/unit.log" unit; then
	: >"$report"
else
	grep -E '^ *not ok|^ *# .*:[0-9]+: |ERROR: |runtime error|error:|\*\*\*' "$out/unit.log" |
		grep -v ': warning at ' >"$report" || :
	echo "tools/testing/unmapped failed; see $out/unit.log" >>"$report"
fi
result "unit: $(grep -c '^    ok' "$out/unit.log" || :) tests in user space" "$report"

# 10. Our own scripts, wherever they are; what git has not been told of yet, too.
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
	esac
done <"$out/ours"
result "$(wc -l <"$out/ours.sh") scripts: sh -n, shellcheck; $(wc -l <"$out/ours.py") in python: py_compile" "$report"
ours '*.c' '*.h' '*.sh' '*.py' '*.awk' '*.gnuplot' '*.config' '*.ok' '*Makefile' '*Kbuild' scripts vm bench tools .ci linux ':!*/debian/*' >"$out/licensed"
while read -r f; do
	[ ! -s "$TOP/$f" ] || head -n 3 "$TOP/$f" | grep -q 'SPDX-License-Identifier:' || echo "$f has no SPDX line"
done <"$out/licensed" >"$out/spdx"
result "every file says its licence" "$out/spdx"

say "check: $passed passed, $failed failed"
[ "$failed" -eq 0 ]
