#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-only
# Break the kernel on purpose, once for each file of vm/mutants, and see a test fail.
set -eu
. "$(dirname "$0")/lib.sh"
usage "${1:-}" "usage: mutants.sh [--check] [NAME-OR-GLOB...]

Builds the series once, and then with each of vm/mutants/NAME.diff, or those named, which
say what to run, the test that has to fail (or never comes, as the kernel dies), and the
kernel (release unless said). The same test has to pass on that kernel as it is. The last
line is 'N seen, N missed'. Logs: build/mutants/NAME/.

  --check	only see that each applies to the series, and names a test that there is"
options "check" "$@"
shift "$nr_options"

dir=$TOP/vm/mutants
out=$BUILD/mutants
tree=$out/linux
seen=0 missed=0

# header FIELD FILE
header() { sed -n "/^diff\|^---/q; s/^$1: //p" "$2"; }

config_of() { config_=$(header Kernel "$1"); say "${config_:-release}"; }

check()
{
	bad=0
	for f in "$dir"/*.diff; do
		git -C "$BUILD/linux" apply --check "$f" 2>/dev/null ||
			{ note "$(basename "$f") does not apply"; bad=1; }
		test=$(header Fails "$f") run=$(header Run "$f")
		case $run in
		kunit)	pattern="KUNIT_CASE[A-Z_]*(${test#*.})" ;;
		*)	pattern="^TEST_F[A-Z_]*(${test%.*}, ${test#*.}" ;;
		esac
		grep -rq "$pattern" "$BUILD/linux/mm" "$BUILD/linux/tools/testing/selftests/mm" ||
			{ note "$(basename "$f"): there is no test $test"; bad=1; }
	done
	return "$bad"
}

# build CONFIG LOG
build() { "$TOP/scripts/kernel.sh" "$1" "$tree" "$out/kernel-$1" >"$2" 2>&1; }

# boot CONFIG RUN OUT: what the tests said is in OUT/lines, with the suite of KUnit's
boot()
{
	kdir=$out/kernel-$1 slow=1
	[ "$1" = release ] || slow=4
	shift
	append=no5lvl run=$1 mem=1G
	# One of the suites needs entries of 1 GiB
	if [ "$run" = kunit ]; then run=boot append="no5lvl kunit.enable=1" mem=4G; fi
	mkdir -p "$2"
	# Only the tests count: what is broken may well be reported by the kernel, too
	"$TOP/scripts/boot.sh" --run "$run" --out "$2" --append "$append" --mem "$mem" --slow "$slow" --timeout $((600 * slow)) \
		"$kdir/arch/x86/boot/bzImage" "$kdir/initramfs.cpio.gz" >"$2/boot.log" 2>&1 || :
	touch "$2/results.ktap" "$2/console.log"
	awk '{ sub(/\r$/, ""); sub(/^\[ *[0-9.]+\] */, "") }
	     /# Subtest: /	{ suite = $NF }
	     match($0, /(not )?ok [0-9]+ /) {
		word = substr($0, RSTART, 3) == "not" ? "fails" : "passes"
		name = substr($0, RSTART + RLENGTH)
		if (name ~ /# SKIP/) word = "skips"
		sub(/ .*/, "", name)
		print word, name
		print word, suite "." name
	     }' "$2/console.log" "$2/results.ktap" | sort -u >"$2/lines"
}

if [ -n "${check:-}" ]; then check; exit; fi
need_tool qemu-system-x86_64 git awk
[ -d "$BUILD/linux/.git" ] || die "there is no tree: run 'make tree'"
mkdir -p "$out"
git -C "$BUILD/linux" worktree prune
[ -e "$tree/.git" ] || git -C "$BUILD/linux" worktree add -q --detach "$tree" main
git -C "$tree" checkout -q -f --detach main

rm -rf "$out"/whole-*
for f in "$dir"/*.diff; do
	name=$(basename "$f" .diff)
	wanted "$name" "$@" || continue
	run=$(header Run "$f") config=$(config_of "$f")
	whole=$out/whole-$config-$run
	[ ! -d "$whole" ] || continue
	mkdir -p "$whole"
	"$TOP/scripts/kernel.sh" "$config" "$tree" "$out/kernel-$config"
	"$TOP/scripts/initramfs.sh" "$tree" "$out/kernel-$config"
	boot "$config" "$run" "$whole"
done
for f in "$dir"/*.diff; do
	name=$(basename "$f" .diff)
	wanted "$name" "$@" || continue
	run=$(header Run "$f") test=$(header Fails "$f") config=$(config_of "$f") why=
	whole=$out/whole-$config-$run
	rm -rf "${out:?}/$name"
	mkdir -p "$out/$name"
	if ! grep -qxF "passes $test" "$whole/lines"; then
		why="does not pass on the kernel as it is"
	elif ! git -C "$tree" apply "$f"; then
		why="the mutant does not apply"
	elif ! build "$config" "$out/$name/build.log"; then
		why="the mutant does not build"
	else
		boot "$config" "$run" "$out/$name"
		if grep -qxF "fails $test" "$out/$name/lines"; then
			how=fails
		elif ! grep -qF " $test" "$out/$name/lines" &&
		     grep -q 'Kernel panic - not syncing' "$out/$name/console.log"; then
			# Not every kernel lives until a test can say so
			how="is not reached, the kernel dies"
		else
			why="does not fail"
		fi
	fi
	git -C "$tree" checkout -q -f --detach main
	if [ -z "$why" ]; then
		seen=$((seen + 1))
		say "seen    $name: $test $how"
	else
		missed=$((missed + 1))
		say "MISSED  $name: $test $why; logs: $out/$name"
	fi
done
say "$seen seen, $missed missed"
[ "$missed" -eq 0 ]
