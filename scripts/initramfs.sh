#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-only
# Pack what runs inside the test machine: busybox, vm/init, the test programs.
set -eu
. "$(dirname "$0")/lib.sh"
usage "${1:-}" "usage: initramfs.sh TREE OUTDIR

Builds TREE's test programs, static, against TREE's own headers (OUTDIR is the
kernel's build directory) and packs them with busybox, dmapstat and vm/init into
OUTDIR/initramfs.cpio.gz, with the modules of that kernel, of vm/ and of bench/,
where it can have any. The logs are kselftest.log, bench.log and
dmapstat.log in OUTDIR."
[ $# -eq 2 ] || die "usage: initramfs.sh TREE OUTDIR (--help)"
tree=$(cd "$1" && pwd -P) out=$(cd "$2" && pwd -P)
need_tool make gcc ar cpio gzip busybox bash-static
log=$out/kselftest.log
bin=$out/kselftest
root=$out/initramfs
unset MAKEFLAGS MFLAGS MAKELEVEL 2>/dev/null || :

selftests=$tree/tools/testing/selftests
# Linux's own, then every one of ours that this tree has.
mm="memfd_secret gup_test gup_longterm guard-regions"
# Of KVM's, where the kernel has it: what an emulated processor can do.
kvm=
! grep -q '^CONFIG_KVM=[ym]' "$out/.config" ||
	kvm="guest_memfd_test pre_fault_memory_test steal_time x86/kvm_clock_test $(
		cd "$selftests/kvm" && ls guest_memfd_no*.c 2>/dev/null | sed 's/\.c$//')"
ours=$(cd "$selftests/mm" && ls unmapped*.c 2>/dev/null | sed 's/\.c$//' || :)

build_tests()
{
	mkdir -p "$bin/mm" "$bin/x86" "$bin/kvm/x86"
	make -C "$tree" O="$out" ARCH=x86_64 headers || return 1
	for dir in mm x86; do
		targets=
		case $dir in
		mm)	for t in $mm $ours; do targets="$targets $bin/mm/$t"; done
			# Linux's Makefile does not know what ours include
			find "$bin/mm" -name 'unmapped*' ! -newer "$selftests/mm/unmapped_util.h" -delete ;;
		x86)	targets=$bin/x86/ldt_gdt_64 ;;
		esac
		# The x86 Makefile knows ldt_gdt_64 only where 32-bit programs
		# could be built too; it does not need that itself.
		# shellcheck disable=SC2086
		make -C "$selftests/$dir" OUTPUT="$bin/$dir" ARCH=x86_64 \
			CAN_BUILD_I386=1 CAN_BUILD_X86_64=1 CAN_BUILD_WITH_NOPIE=1 \
			KHDR_INCLUDES="-isystem $out/usr/include" \
			USERLDFLAGS=-static LDFLAGS=-static EXTRA_CFLAGS=-static $targets || return 1
	done
	[ "$kvm" ] || return 0
	targets=
	for t in $kvm; do targets="$targets $bin/kvm/$t"; done
	# Not EXTRA_CFLAGS: an object is linked from others there
	# shellcheck disable=SC2086
	make -C "$selftests/kvm" OUTPUT="$bin/kvm" ARCH=x86_64 \
		KHDR_INCLUDES="-isystem $out/usr/include" USERLDFLAGS=-static $targets || return 1
}
build_tests >"$log" 2>&1 || { first_error "$log"; die "test programs do not build; log: $log"; }

rm -rf "$root"
mkdir -p "$root/bin" "$root/etc" "$root/kselftest/mm" "$root/kselftest/x86" "$root/kselftest/kvm" \
	"$root/proc" "$root/sys" "$root/dev" "$root/tmp" "$root/run" "$root/lib"
gcc -O2 -Wall -Wextra -Werror -static -o "$root/init" "$TOP/vm/init.c" || die "vm/init.c does not build"
cp "$(command -v busybox)" "$root/bin/busybox"
cp "$(command -v bash-static)" "$root/bin/bash"
ln -s busybox "$root/bin/sh"
for t in $mm $ours; do cp "$bin/mm/$t" "$root/kselftest/mm/"; done
cp "$bin/x86/ldt_gdt_64" "$root/kselftest/x86/"
for t in $kvm; do cp "$bin/kvm/$t" "$root/kselftest/kvm/"; done
cp "$selftests/mm/run_vmtests.sh" "$root/kselftest/mm/"
cp "$TOP/vm/programs" "$root/etc/tests"
for t in $ours; do
	# A row of its own in vm/programs wins.
	grep -q "^${t}[[:space:]]" "$TOP/vm/programs" || printf '%s 300 mm/%s\n' "$t" "$t" >>"$root/etc/tests"
done
# Programs of the workshop are linked with what they use of vm/lib. One of several files has a
# directory, with a main.c.
compile()
{
	gcc -O2 -Wall -Wextra -static -I "$TOP/vm" -I "$TOP/linux/tools/testing/selftests/mm" \
		-isystem "$out/usr/include" -pthread "$@"
}
lib=$out/kselftest/vm
rm -rf "$lib"
mkdir "$lib"
for c in "$TOP"/vm/lib/*.c; do
	compile -D_GNU_SOURCE -c -o "$lib/$(basename "$c" .c).o" "$c" || die "$c does not build"
done
ar rcs "$lib/lib.a" "$lib"/*.o || die "vm/lib does not build"
# Programs of this repository for the machine: every other vm/*.c.
for c in "$TOP"/vm/*.c; do
	b=$(basename "$c" .c)
	[ "$b" = init ] && continue
	compile -o "$root/bin/$b" "$c" "$lib/lib.a" -ljansson || die "vm/$b.c does not build"
done
for c in "$TOP"/vm/*/main.c; do
	dir=$(dirname "$c")
	b=$(basename "$dir")
	compile -D_GNU_SOURCE -o "$root/bin/$b" "$dir"/*.c "$lib/lib.a" || die "vm/$b does not build"
done
cp "$TOP/vm/pictures.sh" "$TOP/vm/leaks.sh" "$TOP/vm/oops.sh" "$TOP/vm/first-use.sh" "$TOP/vm/hmm.sh" "$TOP/vm/kvm.sh" "$TOP/vm/guest.sh" "$TOP/vm/guest-boot.sh" \
	"$TOP/vm/load-kvm.sh" "$TOP/vm/crash.sh" "$root/bin/"
# What vm/guest runs: the same kernel.
if [ "$kvm" ] && [ -s "$out/arch/x86/boot/bzImage" ]; then
	mkdir "$root/lib/guest"
	cp "$out/arch/x86/boot/bzImage" "$root/lib/guest/"
fi
# What vm/crash.sh reads a dump with, where the kernel leaves one: the same kernel, and
# Debian's makedumpfile with its libraries. And one that looks in vmcoreinfo for another name
# than that of what free pages say of themselves: it has to go by the free lists.
if grep -qx CONFIG_PROC_VMCORE=y "$out/.config" && [ -s "$out/arch/x86/boot/bzImage" ]; then
	need_tool makedumpfile ldd
	mkdir "$root/lib/crash" "$root/lib/dump"
	cp "$out/arch/x86/boot/bzImage" "$root/lib/crash/"
	dump=$(command -v makedumpfile)
	# shellcheck disable=SC2046
	cp -L "$dump" $(ldd "$dump" | grep -o '/[^ ]*') "$root/lib/dump/" || die "makedumpfile cannot be packed"
	sed 's/PAGE_BUDDY_MAPCOUNT_VALUE/PAGE_BUDDY_MAPCOUNT_OTHER/g' "$dump" >"$root/lib/dump/makedumpfile-lists"
	chmod +x "$root/lib/dump/makedumpfile-lists"
	! cmp -s "$dump" "$root/lib/dump/makedumpfile-lists" || die "this makedumpfile is not known"
fi
make -s -C "$TOP/tools/dmapstat" O="$out/dmapstat" LDFLAGS=-static >"$out/dmapstat.log" 2>&1 ||
	{ first_error "$out/dmapstat.log"; die "dmapstat does not build; log: $out/dmapstat.log"; }
cp "$out/dmapstat/dmapstat" "$root/bin/"
# Modules of vm/ and bench/, for a kernel that was built far enough to link them.
if grep -qx CONFIG_MODULES=y "$out/.config" && [ -s "$out/Module.symvers" ]; then
	for dir in "$TOP"/vm/*/Kbuild "$TOP"/bench/*/Kbuild; do
		dir=${dir%/Kbuild}
		b=$(basename "$dir")
		make -C "$tree" O="$out" ARCH=x86_64 LOCALVERSION= M="$dir" MO="$out/bench/$b" modules \
			>"$out/bench.log" 2>&1 ||
			{ first_error "$out/bench.log"; die "bench/$b does not build; log: $out/bench.log"; }
		mkdir -p "$root/lib/modules"
		cp "$out/bench/$b/"*.ko "$root/lib/modules/" || die "bench/$b built no module"
	done
fi
# Test modules, where the kernel has some.
if [ -s "$out/modules.order" ]; then
	mkdir -p "$root/lib/modules"
	while read -r m; do
		m=${m%.o}
		cp "$out/${m%.ko}.ko" "$root/lib/modules/" 2>/dev/null || :
	done <"$out/modules.order"
fi
# The same bytes each time: a machine that counts does the same then.
image=$out/initramfs.cpio.gz
(cd "$root" && find . -exec touch -h -d @0 {} + &&
 find . | sort | cpio -o -H newc -R 0:0 --reproducible --quiet | gzip -n -1 >"$image.new") &&
	mv "$image.new" "$image" || die "cannot pack $image"
