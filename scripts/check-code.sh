#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-only
# Check the code that the series makes.
set -eu
. "$(dirname "$0")/lib.sh"
. "$TOP/scripts/series.sh"
. "$TOP/scripts/check-lib.sh"
usage "${1:-}" "usage: check-code.sh [--all]

New and changed C is clean under sparse and under coccicheck's free, locks and null
groups; kernel-doc and the documents are rendered without a warning; the tests in user
space pass; what calls the feature compiles without it.

  --all   coccicheck not only of files that are ours whole, but of those of Linux that
          the series changes, too: minutes more
Needs 'make tree'. What each tool said is in build/check/code/."
case ${1:-} in
''|--all) all=${1:-} ;;
*)	die "unknown option $1 (--help)" ;;
esac
check_begin code
need_tool git python3 sparse spatch sphinx-build

# The C files that the series has a hand in.
g diff --no-renames --diff-filter=AM --name-only base HEAD -- '*.c' ':!tools' ':!Documentation' ':!samples' >"$out/changed.all"
g diff --no-renames --diff-filter=A --name-only base HEAD -- '*.c' >"$out/new"

# 1. sparse: nothing in our files, nothing in Linux's that was not there. Only
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

# 2. coccicheck: the same, found or not found in the pristine file.
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
if [ "$all" ]; then cp "$out/changed.all" "$out/scanned"
else grep -xF -f "$out/new" "$out/changed.all" >"$out/scanned" || :; fi
if [ -s "$out/scanned" ]; then
	grep -vxF -f "$out/new" "$out/scanned" >"$out/theirs" || :
	scan()
	{
		for s in "$tree"/scripts/coccinelle/free/*.cocci "$tree"/scripts/coccinelle/locks/*.cocci \
			 "$tree"/scripts/coccinelle/null/*.cocci; do
			echo "${s##*/}"
			grep -q '^virtual report' "$s" || grep -q 'virtual.*report' "$s" || continue
			cocci "$tree" "$s" "$out/scanned" >"$out/cocci.a"
			: >"$out/cocci.b"
			if [ -s "$out/cocci.a" ] && [ -s "$out/theirs" ]; then
				cocci "$BUILD/source/linux" "$s" "$out/theirs" >"$out/cocci.b"
			fi
			comm -23 "$out/cocci.a" "$out/cocci.b" >>"$report"
		done
	}
	step "coccicheck: $(wc -l <"$out/scanned") files" "$out/cocci.log" scan || echo "coccicheck did not end" >>"$report"
fi
result "coccicheck: free, locks, null" "$report"

# 3. Documents: what the kernel's own make htmldocs and kernel-doc say of files
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

# 4. What is compiled in user space says that it is well, and so does dmapstat on samples.
report=$out/unit
unit()
{
	unit_rc=0
	make -C "$tree/tools/testing/unmapped" OUTPUT="$out/unit.d" run || unit_rc=1
	make -s -C "$TOP/tools/dmapstat" O="$out/unit.d/dmapstat" check || unit_rc=1
	return "$unit_rc"
}
if step "unit" "$out/unit.log" unit; then
	: >"$report"
else
	grep -E '^ *not ok|^ *# .*:[0-9]+: |ERROR: |runtime error|error:|\*\*\*' "$out/unit.log" |
		grep -v ': warning at ' >"$report" || :
	echo "tests in user space failed; see $out/unit.log" >>"$report"
fi
result "unit: $(grep -c '^    ok' "$out/unit.log" || :) tests in user space" "$report"

# 5. Without the feature what calls it compiles, too.
report=$out/without
: >"$report"
"$TOP/scripts/kernel.sh" off "$tree" "$BUILD/kernel-off" mm/ arch/x86/mm/ fs/proc/ >&2 ||
	echo "see $BUILD/kernel-off.log" >"$report"
grep -E '(warning|error): ' "$BUILD/kernel-off.log" >>"$report" || :
result "without the feature: mm/, arch/x86/mm/, fs/proc/ compile" "$report"

check_end
