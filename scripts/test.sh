#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-only
# Boot every machine of vm/tests.list, run its tests, count.
set -eu
. "$(dirname "$0")/lib.sh"
usage "${1:-}" "usage: test.sh [--all] [--kernels] [NAME-OR-GLOB...]

Runs the rows of vm/tests.list, or those named of it and of vm/tests-all.list, on the
kernels that 'make kernel' built. The last line is 'N passed, N failed, N skipped'.
Logs: build/test/NAME/.

  --all		the rows of vm/tests-all.list, too
  --kernels	only print which kernels the rows need"
all='' only_kernels=''
while [ $# -gt 0 ]; do
	case $1 in
	--all)		all=1 ;;
	--kernels)	only_kernels=1 ;;
	-*)		die "unknown option $1 (--help)" ;;
	*)		break ;;
	esac
	shift
done
[ -n "$only_kernels" ] || need_tool qemu-system-x86_64 awk python3

passed=0 failed=0 skipped=0
out=$BUILD/test
mkdir -p "$out"
rows=$out/rows
list() { sed -e '/^#/d' -e '/^[[:space:]]*$/d' -e 's/[[:space:]]*|[[:space:]]*/|/g' "$TOP/vm/$1"; }
{ list tests.list; list tests-all.list; } >"$out/rows-all"
# Those that are named can be of either list
if [ $# -eq 0 ] && [ -z "$all" ]; then list tests.list >"$rows"; else cp "$out/rows-all" "$rows"; fi

# kunit DIR TREE KERNEL-DIR: the kernel's own parser judges the suites' output, and
# a suite that was asked for and says nothing is a failure
kunit()
{
	kunit_dir=$1 kunit_tree=$2 kunit_kernel=$3
	python3 "$2/tools/testing/kunit/kunit.py" parse --json="$1/kunit.json" "$1/console.log" \
		>"$1/kunit.log" 2>&1 || :
	sum=$(sed -n 's/^.*Testing complete\. Ran [0-9]* tests: *//p' "$1/kunit.log" |
		sed 's/\x1b\[[0-9;]*m//g' | tail -n 1)
	[ -n "$sum" ] || { say "  not ok  kunit: no results; see $1/kunit.log"; set -- 0 1 0; }
	if [ -n "$sum" ]; then
		num() { printf '%s\n' "$sum" | tr ',' '\n' | awk -F: -v k="$1" '$1 ~ k { n += $2 } END { print n + 0 }'; }
		sed 's/\x1b\[[0-9;]*m//g' "$1/kunit.log" | grep -E '\[(FAILED|CRASHED|SKIPPED|ERROR)\]|ERROR' |
			sed 's/^\[[0-9:]*\]/  kunit  /' || :
		set -- "$(num passed)" "$(($(num failed) + $(num crashed) + $(num errors)))" "$(num skipped)"
	fi
	kp=$1 kf=$2 ks=$3
	"$TOP/scripts/kunit.py" "$kunit_kernel" "$kunit_tree" "$kunit_dir/kunit.json" >"$kunit_dir/kunit.missing" 2>&1 ||
		echo "scripts/kunit.py failed" >>"$kunit_dir/kunit.missing"
	sed 's/^/  not ok  kunit: /' "$kunit_dir/kunit.missing"
	kf=$((kf + $(wc -l <"$kunit_dir/kunit.missing")))
}

# row NAME KERNEL OPTIONS PARAMS TESTS: boot it, count, say what is worth saying
row()
{
	name=$1 kernel=$2 options=$3 params=$4 tests=$5
	dir=$out/$name
	kdir=$BUILD/kernel-$kernel
	tree=$BUILD/linux
	[ "$kernel" != stock ] || tree=$BUILD/source/linux
	image=$kdir/arch/x86/boot/bzImage

	with_kunit=
	run=
	for t in $(printf '%s' "$tests" | tr ',' ' ' | sed 's/\*/@/g'); do
		t=$(printf '%s' "$t" | sed 's/@/*/g')
		if [ "$t" = kunit ]; then with_kunit=1; else run="$run${run:+,}$t"; fi
	done
	[ -z "$with_kunit" ] || params="$params kunit.enable=1"

	rc=0
	# shellcheck disable=SC2086
	step "$name" "$dir/boot.log" "$TOP/scripts/boot.sh" --out "$dir" --run "${run:-boot}" \
		$options --append "$params" "$image" "$kdir/initramfs.cpio.gz" || rc=$?
	touch "$dir/results.ktap"
	awk -f "$TOP/scripts/count.awk" "$dir/results.ktap" >"$dir/counts"
	read -r p f s <<EOF
$(tail -n 1 "$dir/counts")
EOF
	if [ -n "$with_kunit" ]; then
		kunit "$dir" "$tree" "$kdir" >"$dir/kunit.lines"
		p=$((p + kp)) f=$((f + kf)) s=$((s + ks))
	fi
	# What the kernel itself reported is a failure of its own.
	[ "$rc" -eq 0 ] || f=$((f + 1))
	{
		say "$name: $p passed, $f failed, $s skipped"
		[ ! -f "$dir/kunit.lines" ] || cat "$dir/kunit.lines"
		sed '$d' "$dir/counts"
		[ "$rc" -eq 0 ] || sed 's/^/  /' "$dir/boot.log"
		[ "$f" -eq 0 ] || say "  logs: $dir"
	} >"$dir/report"
	cat "$dir/report"
	say "$p $f $s" >"$dir/sum"
}

# Rows that nobody has begun yet, one after the other. A machine keeps less than
# two processors busy most of the time, so two of these run side by side.
rows_one_by_one()
{
	while IFS='|' read -r name kernel options params tests <&3; do
		mkdir "$out/$name/begun" 2>/dev/null || continue
		row "$name" "$kernel" "$options" "$params" "$tests"
	done 3<"$todo"
}

n=0
if [ -n "$only_kernels" ]; then
	while IFS='|' read -r name kernel rest <&3; do
		! wanted "$name" "$@" || say "$kernel"
	done 3<"$rows" | awk '!seen[$0]++'
	exit 0
fi
todo=$out/todo
: >"$todo"
while IFS='|' read -r name kernel rest <&3; do
	wanted "$name" "$@" || continue
	n=$((n + 1))
	rm -rf "${out:?}/$name"
	mkdir -p "$out/$name"
	say "$name|$kernel|$rest" >>"$todo"
	[ -f "$BUILD/kernel-$kernel/arch/x86/boot/bzImage" ] ||
		die "no kernel $kernel: run 'make kernel CONFIG=$kernel'"
done 3<"$rows"
workers=$(nproc)
[ "$workers" -lt 2 ] || workers=2
pids=
for _ in $(seq "$workers"); do
	rows_one_by_one &
	pids="$pids $!"
done
# shellcheck disable=SC2064,SC2086
trap "kill $pids 2>/dev/null; wait; exit 130" INT TERM HUP
# shellcheck disable=SC2086
wait $pids || :
trap - INT TERM HUP
while IFS='|' read -r name rest <&3; do
	# A row that did not come to its end is a failure.
	p=0 f=1 s=0
	[ ! -f "$out/$name/sum" ] || read -r p f s <"$out/$name/sum"
	passed=$((passed + p)) failed=$((failed + f)) skipped=$((skipped + s))
done 3<"$todo"
[ "$n" -gt 0 ] || die "there is no such row in vm/tests.list, nor in vm/tests-all.list"
left=$(cut -d '|' -f 1 "$out/rows-all" | while read -r name; do
	grep -q "^$name|" "$todo" || printf '%s ' "$name"
done)
[ -z "$left" ] || [ $# -gt 0 ] || say "left out: $left(make test-all)"
say "$passed passed, $failed failed, $skipped skipped"
[ "$failed" -eq 0 ]
