#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-only
# Check the series: applies, checkpatch, sparse, coccicheck, overlay, scripts.
set -eu
. "$(dirname "$0")/lib.sh"
. "$TOP/scripts/series.sh"
usage "${1:-}" "usage: check.sh

Every patch applies to the pristine source and passes checkpatch --strict; new
and changed C is clean under sparse and under coccicheck's free, locks and null
groups; linux/ holds nothing that make tree does not use; scripts/ are sound.
Needs 'make tree'. What each tool said is in build/check/."

tree=$BUILD/linux
out=$BUILD/check
rm -rf "$out"
mkdir -p "$out"
need_tool git perl python3 sparse spatch shellcheck
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

# 3. checkpatch on the commits, so that both hunks and whole files are seen.
# Sign-offs are added by whoever sends the series; MAINTAINERS as well. What
# else is meant to be as it is stands in checkpatch.ok, with the reason.
report=$out/checkpatch
: >"$report"
sed -e '/^#/d' -e '/^[[:space:]]*$/d' "$TOP/scripts/checkpatch.ok" >"$out/checkpatch.ok"
for c in $(g rev-list --reverse base..HEAD); do
	(cd "$tree" && git format-patch -1 --stdout "$c" |
		perl scripts/checkpatch.pl --strict --no-signoff --no-summary --terse --showfile --show-types \
			--ignore FILE_PATH_CHANGES,COMMIT_LOG_USE_LINK - 2>>"$out/checkpatch.err" || :) |
		grep -vE -f "$out/checkpatch.ok" |
		sed "s|^|$(g show -s --format=%f "$c" | cut -c 1-24): |" >>"$report" || :
done
result "checkpatch --strict" "$report"

# The C files that the series has a hand in.
g diff --no-renames --diff-filter=AM --name-only base HEAD -- '*.c' ':!tools' ':!Documentation' ':!samples' >"$out/changed.all"
g diff --no-renames --diff-filter=A --name-only base HEAD -- '*.c' >"$out/new"

# 4. sparse: nothing in our files, nothing new in Linux's. Only what some test
# kernel builds can be looked at.
report=$out/sparse.new
: >"$report"
warnings()	{ grep -E '^[^ ]+\.[ch]:[0-9]+:[0-9]+: (warning|error):' "$1" | sed "s|^$2/||; s|^\./||"; }
nolines()	{ sed -E 's/:[0-9]+:[0-9]+:/:/' | sort; }
sparse_one()
{
	# sparse_one TREE OBJDIR OBJECT LOG: compile one object with the checker on
	rm -f "$2/$3"
	make -C "$1" O="$2" ARCH=x86_64 CC='ccache gcc' HOSTCC='ccache gcc' LOCALVERSION= C=2 CF='-D__CHECK_ENDIAN__' "$3" >"$4" 2>&1
}
export CCACHE_DIR="${CCACHE_DIR:-$BUILD/ccache}" CCACHE_NOHASHDIR=1
export KBUILD_BUILD_TIMESTAMP='1970-01-01' KBUILD_BUILD_USER=unmapped KBUILD_BUILD_HOST=test
unset MAKEFLAGS MFLAGS MAKELEVEL 2>/dev/null || :
checked=0
if [ -s "$out/changed.all" ]; then
	"$TOP/scripts/kernel.sh" release "$tree" "$BUILD/kernel-release" >&2
	"$TOP/scripts/kernel.sh" stock "$BUILD/source/linux" "$BUILD/kernel-stock" >&2
	while read -r f <&3; do
		o=${f%.c}.o
		[ -f "$BUILD/kernel-release/$o" ] || { echo "$f" >>"$out/not-built"; continue; }
		checked=$((checked + 1))
		log=$out/sparse.$(echo "$o" | tr / _)
		sparse_one "$tree" "$BUILD/kernel-release" "$o" "$log.ours" ||
			{ echo "$f does not build with sparse; see $log.ours" >>"$report"; continue; }
		warnings "$log.ours" "$tree" | nolines >"$log.a" || :
		: >"$log.b"
		if ! grep -qxF "$f" "$out/new" && [ -s "$log.a" ]; then
			sparse_one "$BUILD/source/linux" "$BUILD/kernel-stock" "$o" "$log.stock" || :
			warnings "$log.stock" "$BUILD/source/linux" | nolines >"$log.b" || :
		fi
		comm -23 "$log.a" "$log.b" >>"$report"
	done 3<"$out/changed.all"
fi
[ ! -f "$out/not-built" ] || sed 's/^/note    release does not build, so not under sparse: /' "$out/not-built"
result "sparse on $checked changed or new C files" "$report"

# 5. coccicheck: the same, found or not found in the pristine file.
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

# 6. Our own scripts and the fragments.
report=$out/scripts
: >"$report"
for s in "$TOP"/scripts/*.sh "$TOP"/vm/*.sh "$TOP/.ci/run"; do
	[ -f "$s" ] || continue
	sh -n "$s" 2>>"$report" || :
	# SC1091, SC2154: lib.sh is sourced by its place. SC2086, SC2034: lists are
	# meant to be split; variables of a sourced file look unused.
	shellcheck -s sh -e SC1091,SC2154,SC2034,SC2086,SC2015,SC2012,SC2016,SC2020,SC2038,SC2317 -f gcc "$s" >>"$report" 2>&1 || :
done
result "scripts: sh -n, shellcheck" "$report"
: >"$out/spdx"
git -C "$TOP" ls-files -- '*.c' '*.h' '*.sh' '*.awk' '*.config' Makefile vm linux | while read -r f; do
	[ ! -f "$TOP/$f" ] || [ ! -s "$TOP/$f" ] || head -n 3 "$TOP/$f" | grep -q 'SPDX-License-Identifier:' || echo "$f has no SPDX line"
done >"$out/spdx"
result "every file says its licence" "$out/spdx"

say "check: $passed passed, $failed failed"
[ "$failed" -eq 0 ]
