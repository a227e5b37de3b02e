#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-only
# Linux's own tests of memory, of x86 and of its libraries, beside the stock kernel.
set -eu
. "$(dirname "$0")/lib.sh"
usage "${1:-}" "usage: selftests.sh [option...] [TEST...]

Boots two kernels, stock (build/kernel-suites-stock) and series (build/kernel-suites),
one after the other, and runs on both

  mm, x86, memory-hotplug   these directories of Linux's tools/testing/selftests, built
              once, static, from the source without the series: what mm/run_vmtests.sh
              runs, with its arguments, and every program that it does not name
  kunit       all suites of mm/ and lib/, and what else comes with CONFIG_KUNIT_ALL_TESTS,
              but for cases that are marked slow

Prints what each said in both. With names, or globs (mm/cow, with _ for a blank), or kunit:
only these. Logs: build/selftests/. Exit 0 only if nothing that passes on stock,
whole tests and their parts, fails with the series, unless docs/selftests.known says why.

  --docs           write the table to docs/selftests.md as well
  --table          boot nothing: the table of what the last run left
  --kernel CONFIG  not suites: another pair, CONFIG-stock and CONFIG
  --on KERNEL      only one of the two
  --seconds N      time limit of a test (300)"
docs='' table='' kernel=suites on='' seconds=300
options 'docs table kernel= on= seconds#' "$@"
shift "$nr_options"
[ -z "$docs" ] || [ $# -eq 0 ] || die "--docs needs all tests"
need_tool make gcc cpio gzip qemu-system-x86_64 python3
out=$BUILD/selftests
source=$BUILD/source/linux/tools/testing/selftests
bin=$out/bin
stock=$BUILD/kernel-$kernel-stock
kernels=${on:-$kernel-stock $kernel}
for k in $kernels; do
	[ "$table" ] || [ -f "$BUILD/kernel-$k/initramfs.cpio.gz" ] ||
		die "no kernel $k: run 'make machine CONFIG=$k'"
done
# What some tests say does not replace what all have said
runs=$out/$kernel
[ $# -eq 0 ] || runs=$out/$kernel-some
mkdir -p "$bin/mm" "$bin/x86"
unset MAKEFLAGS MFLAGS MAKELEVEL 2>/dev/null || :

tests=$*
# Both Makefiles ask a compiler what it can do, with headers of the system. What cannot be
# built is found out here.
m32=0
echo 'int main(void) { return 0; }' >"$out/m32.c"
! gcc -m32 -static -o "$out/m32" "$out/m32.c" 2>/dev/null || m32=1
uring=
! echo '#include <liburing.h>' | gcc -E - >/dev/null 2>&1 || uring=1

suite()
{
	dir=$1
	shift
	make -C "$source/$dir" OUTPUT="$bin/$dir" ARCH=x86_64 CAN_BUILD_I386="$m32" CAN_BUILD_X86_64=1 \
		CAN_BUILD_WITH_NOPIE=1 KHDR_INCLUDES="-isystem $stock/usr/include" \
		USERLDFLAGS=-static LDFLAGS=-static ${uring:+IOURING_EXTRA_LIBS=-luring} \
		EXTRA_CFLAGS="-static${uring:+ -DLOCAL_CONFIG_HAVE_LIBURING=1}" "$@"
}

# programs SUITE: what its Makefile would build, were everything installed
programs()
{
	case $1 in
	mm)  names='$(notdir $(TEST_GEN_FILES)) $(VMTARGETS:%=%_32)' ;;
	x86) names='$(TARGETS_C_32BIT_ALL:%=%_32) $(TARGETS_C_64BIT_ALL:%=%_64) $(TARGETS_C_32BIT_NEEDED:%=%_64)' ;;
	esac
	suite "$1" -s --eval="programs:; @echo $names" programs | tr ' ' '\n' | sed '/^$/d' | sort -u
}

build()
{
	make -C "$BUILD/source/linux" O="$stock" ARCH=x86_64 headers || return 1
	for dir in mm x86; do
		suite "$dir" -k -j "${JOBS:-$(nproc)}" all || :
	done
	: >"$out/not-built"
	for dir in mm x86; do
		for p in $(programs "$dir"); do
			[ ! -x "$bin/$dir/$p" ] || continue
			case $m32$p in
			0*_32)	why="a 32-bit C library to link with" ;;
			*)	why=$(suite "$dir" "$bin/$dir/$p" 2>&1 |
					sed -n -E 's/^.*(fatal error: |cannot find )([^: ]*).*$/\2/p' | head -n 1) ;;
			esac
			echo "$dir/$p needs ${why:-what $out/build.log says}" >>"$out/not-built"
		done
	done
}

# What is run, a line a test: suite, command
list()
{
	for p in $(programs x86); do
		[ ! -x "$bin/x86/$p" ] || echo "x86 ./$p"
	done
	# With its arguments; what takes memory out of use last, as it stays so. Not here: a
	# matrix of 240 runs of gup_test (its option -a), and a file system on a disk.
	sed -n -E 's/^[[:space:]]*CATEGORY=[^ ]* run_test //p' "$source/mm/run_vmtests.sh" | sed -E '
		/\\$|all:file/d
		s/[$][{]uffd_stress_bin[}]/.\/uffd-stress/
		s/ [$][{]SPLIT_HUGE_PAGE_TEST_XFS_PATH[}]//
		s/[[:space:]]+$//
		# Ten million rounds and more: hours in emulation. The scripts take other numbers.
		s/(test_vmalloc.sh) smoke/\1 test_loop_count=100 test_repeat_count=1 nr_pcpu_objects=1000/
		s/(test_page_frag.sh) smoke/\1 test_push_cpu=1 test_pop_cpu=2 nr_test=100000/
		s/(test_page_frag.sh) nonaligned/\1 test_push_cpu=1 test_pop_cpu=2 nr_test=100000 test_alloc_len=75/
		s/(test_page_frag.sh) aligned/\1 test_push_cpu=1 test_pop_cpu=2 nr_test=100000 test_alloc_len=75 test_align=1/
		s/^/mm /' >"$out/vmtests"
	named() { grep -qwF -- "$1" "$out/vmtests" "$source"/mm/test_hmm.sh; }
	# Of these the scripts know more than their names: write_to_hugetlbfs is a tool of theirs
	for p in $(programs mm); do
		case $p in write_to_hugetlbfs|va_high_addr_switch) continue ;; esac
		! named "$p" || continue
		[ ! -x "$bin/mm/$p" ] || echo "mm ./$p"
	done >>"$out/vmtests"
	grep -vE 'hwpoison|soft-offline|memory-failure' "$out/vmtests"
	echo "memory-hotplug ./mem-on-off-test.sh"
	grep -E 'hwpoison|soft-offline|memory-failure' "$out/vmtests"
}

# can_run COMMAND: was what it calls built?
can_run()
{
	for w in $2; do
		case $w in
		./*.sh)	return 0 ;;
		./*)	[ -x "$bin/$1/${w#./}" ]; return ;;
		esac
	done
}

# root KERNEL TREE: what is put behind that kernel's initramfs
root()
{
	root=$out/root to=$out/root/kselftest/suites kdir=$BUILD/kernel-$1
	rm -rf "$root"
	mkdir -p "$root/bin" "$root/lib/modules" "$to/mm/page_frag" "$to/x86" "$to/memory-hotplug"
	cp "$TOP/vm/selftests.sh" "$root/bin/"
	cp "$source"/mm/*.sh "$to/mm/"
	cp "$source"/memory-hotplug/*.sh "$to/memory-hotplug/"
	for dir in mm x86; do
		for p in $(programs "$dir"); do
			[ ! -x "$bin/$dir/$p" ] || strip -o "$to/$dir/$p" "$bin/$dir/$p"
		done
	done
	# A module of the tests has the layout of its kernel's structures in it
	make -C "$2" O="$kdir" ARCH=x86_64 LOCALVERSION= M="$source/mm/page_frag" MO="$out/page_frag-$1" modules &&
		cp "$out/page_frag-$1/page_frag_test.ko" "$to/mm/page_frag/" || return 1
	list | while read -r suite command; do
		can_run "$suite" "$command" || continue
		name=$suite/$(echo "$command" | sed -E 's,^(bash )?\./,,; s/ +/_/g')
		! chosen "$name" || echo "$seconds $suite $command"
	done >"$to/list"
	archive "$root" "$out/$1.cpio.gz"
}

run_all()
{
	step "Linux's selftests" "$out/build.log" build || die "cannot build them; log: $out/build.log"
	mkdir -p "$runs"
	echo "$seconds" >"$runs/seconds"
	for k in $kernels; do
		rm -rf "${runs:?}/$k" "${runs:?}/kunit-$k"
		case $k in *-stock) tree=$BUILD/source/linux ;; *) tree=$BUILD/linux ;; esac
		step "packed for $k" "$out/root.log" root "$k" "$tree" || die "cannot pack them; log: $out/root.log"
		[ -s "$out/root/kselftest/suites/list" ] || continue
		# Two nodes are what some tests want, migration and ksm_tests. No SMAP, as QEMU's
		# emulation of a far return reads the user's stack as if the kernel did: two of
		# x86's tests would make it oops.
		boot_behind "$k" "$runs/$k" "$BUILD/kernel-$k" "$out/$k.cpio.gz" --cpu max,smap=off \
			--mem 3G --nodes 2 --timeout 14400 --run selftests --append no5lvl || :
	done
	for k in $kernels; do
		chosen kunit || break
		# Those that are marked slow are: time's goes through 160 000 years day by day. The
		# filter module!=NAME makes Linux 7.3 oops where a suite is in no module.
		boot_behind "$k, kunit" "$runs/kunit-$k" "$BUILD/kernel-$k" /dev/null --mem 3G --slow 10 \
			--timeout 3600 --run boot --append "no5lvl kunit.enable=1 kunit.filter=speed>slow" || :
		# KFENCE's and others' warn on purpose
		grep -q 'reboot: Power down' "$runs/kunit-$k/console.log" || died="$died $k"
		python3 "$BUILD/linux/tools/testing/kunit/kunit.py" parse --json="$runs/kunit-$k/kunit.json" \
			"$runs/kunit-$k/console.log" >"$runs/kunit-$k/kunit.log" 2>&1 || :
	done
}
died=
[ "$table" ] || run_all

# The same programs run on both; this is what the series changes of the source of them
git -C "$BUILD/linux" diff --no-renames --diff-filter=M --name-only base HEAD -- \
	tools/testing/selftests/mm/'*.[chS]' tools/testing/selftests/x86 tools/testing/selftests/memory-hotplug \
	tools/testing/selftests/'*.h' >"$out/changed"
"$TOP/scripts/selftests.py" "$TOP/docs/selftests.known" "$out" "$runs" "$kernel" >"$runs/table.md" && rc=0 || rc=$?
cat "$runs/table.md"
[ -z "$died" ] || die "KUnit's suites did not come to their end on:$died; logs: $runs/kunit-*/console.log"
[ -z "$docs" ] || cp "$runs/table.md" "$TOP/docs/selftests.md"
exit "$rc"
