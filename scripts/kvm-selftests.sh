#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-only
# Linux's KVM selftests, beside the stock kernel and with all memory off the direct map.
set -eu
. "$(dirname "$0")/lib.sh"
usage "${1:-}" "usage: kvm-selftests.sh [--docs] [TEST...]

Boots, on a processor that QEMU emulates (AMD's, nested paging), three machines:

  stock       build/kernel-kvm-stock, and its tree's selftests
  series      build/kernel-kvm, with the same programs
  off         build/kernel-kvm, its tree's selftests, with KVM_NO_DIRECT_MAP=1:
              what was anonymous memory of a guest is off the direct map

and prints what each test said in each of them. With names (x86/state_test, or globs):
only these. Logs: build/kvm-selftests/. Exit 0 only if no test that passes on stock
fails on series, and none fails on off that docs/kvm-selftests.known does not explain.

  --docs      write the table to docs/kvm-selftests.md as well"
docs=
options docs "$@"
shift "$nr_options"
[ -z "$docs" ] || [ $# -eq 0 ] || die "--docs needs all tests"
need_tool make gcc cpio gzip qemu-system-x86_64 python3
out=$BUILD/kvm-selftests
mkdir -p "$out"
unset MAKEFLAGS MFLAGS MAKELEVEL 2>/dev/null || :

tests=$*
# build NAME TREE KERNEL-DIR: the programs of that tree, static, as an archive that is
# put behind the kernel's initramfs
build()
{
	bin=$out/$1-bin root=$out/$1-root
	mkdir -p "$bin"
	for d in $(cd "$2/tools/testing/selftests/kvm" && find . -type d); do mkdir -p "$bin/$d"; done
	{ make -C "$2" O="$3" ARCH=x86_64 headers &&
	  make -k -j "${JOBS:-$(nproc)}" -C "$2/tools/testing/selftests/kvm" OUTPUT="$bin" ARCH=x86_64 \
		KHDR_INCLUDES="-isystem $3/usr/include" USERLDFLAGS=-static all; } >"$out/$1-build.log" 2>&1 ||
		die "not all selftests build; log: $out/$1-build.log"
	rm -rf "$root"
	mkdir -p "$root"
	(cd "$bin" && find . -type f -perm -u+x ! -name '*.o' ! -name '*.so' -printf '%P\n') | while read -r t; do
		chosen "$t" || continue
		mkdir -p "$root/kselftest/kvm-all/$(dirname "$t")"
		strip -o "$root/kselftest/kvm-all/$t" "$bin/$t"
	done
	archive "$root" "$out/$1.cpio.gz"
}

step "selftests of stock" "$out/stock-build.log" build stock "$BUILD/source/linux" "$BUILD/kernel-kvm-stock"
step "selftests of the series" "$out/off-build.log" build off "$BUILD/linux" "$BUILD/kernel-kvm"

# boot NAME KERNEL PROGRAMS PARAMS
boot()
{
	boot_behind "$1" "$out/$1" "$BUILD/kernel-$2" "$out/$3.cpio.gz" --mem 3G --smp 4 --timeout 14400 \
		--run selftests_kvm --append "no5lvl $4" || say "$1: see $out/$1/boot.log"
}
boot stock kvm-stock stock '' &
boot series kvm stock ''
wait
boot off kvm off KVM_NO_DIRECT_MAP=1

"$TOP/scripts/kvm-selftests.py" "$TOP/docs/kvm-selftests.known" "$out/stock/results.ktap" \
	"$out/series/results.ktap" "$out/off/results.ktap" >"$out/table.md" && rc=0 || rc=$?
cat "$out/table.md"
[ -z "$docs" ] || cp "$out/table.md" "$TOP/docs/kvm-selftests.md"
exit "$rc"
