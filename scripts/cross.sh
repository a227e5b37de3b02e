#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-only
# Compile what the series touches for machines that are not booted.
set -eu
. "$(dirname "$0")/lib.sh"
usage "${1:-}" "usage: cross.sh [TARGET...]

Compiles the parts of build/linux that the series is about (mm/, fs/proc/, kernel/power/,
x86's mm/, KVM, what is called elsewhere), and fails on an error, on a warning, or where a
symbol is not as it was asked for:

  clang		x86-64, with clang, with the feature
  i386		32-bit x86 with PAE and high memory: without the feature
  arm64		without the feature, which only x86-64 has
  riscv64	the same
  allnoconfig	x86-64 with nothing that can be left out, and the feature: no KVM

All of them unless said. 'make cross' installs the compilers. Logs:
build/cross/TARGET.log. JOBS=N sets the number of jobs."

tree=$BUILD/linux
dir=$BUILD/cross
jobs=${JOBS:-$(nproc)}
mkdir -p "$dir"
[ $# -gt 0 ] || set -- clang i386 arm64 riscv64 allnoconfig
feature='CONFIG_KUNIT=y CONFIG_SECRETMEM=y CONFIG_PAGE_ALLOC_UNMAPPED=y CONFIG_MERMAP=y'

# prepare TARGET: variables for make, the configuration to begin with, what to set, what to compile
prepare()
{
	arch='' defconfig=defconfig
	# Folders whole, as their Makefiles know what a configuration has of them
	parts='mm/ fs/proc/ kernel/power/ kernel/fork.o lib/buildid.o'
	x86='arch/x86/mm/ arch/x86/kernel/smpboot.o'
	# virt/kvm/ is compiled from an architecture's folder; CONFIG_PROC_KCORE wants vmcore_info.c
	set='CONFIG_VIRTUALIZATION=y CONFIG_KVM=y CONFIG_PROC_KCORE=y CONFIG_VMCORE_INFO=y'
	more='kernel/vmcore_info.o arch'
	case $1 in
	clang)	arch='ARCH=x86_64 LLVM=-19'
		need_tool clang-19 ld.lld-19
		set="$set $feature CONFIG_SMP=y CONFIG_MEMORY_HOTPLUG=y CONFIG_MEMORY_HOTREMOVE=y CONFIG_MEMORY_FAILURE=y CONFIG_HIBERNATION=y
			CONFIG_FREETYPE_KUNIT_TEST=y CONFIG_UNMAPPED_KUNIT_TEST=y CONFIG_MERMAP_KUNIT_TEST=y
			CONFIG_DIRECT_MAP_KUNIT_TEST=y CONFIG_UNMAPPED_ZERO_KUNIT_TEST=y CONFIG_FREETYPE_TEST_PROPERTY=y
			CONFIG_KVM_INTEL=y CONFIG_KVM_AMD=y CONFIG_KVM_GUEST_MEMFD=y CONFIG_KVM_AMD_SEV=y
			CONFIG_CRYPTO_DEV_CCP=y CONFIG_CRYPTO_DEV_CCP_DD=y CONFIG_CRYPTO_DEV_SP_PSP=y"
		parts="$parts $x86 $more/x86/kvm/" ;;
	i386)	arch='ARCH=i386' defconfig=i386_defconfig
		set="$set CONFIG_X86_PAE=y CONFIG_HIGHMEM4G=y CONFIG_HIGHMEM=y CONFIG_KVM_AMD=y"
		parts="$parts $x86 $more/x86/kvm/" ;;
	arm64)	arch='ARCH=arm64 CROSS_COMPILE=aarch64-linux-gnu-'
		need_tool aarch64-linux-gnu-gcc
		set="$set CONFIG_SECRETMEM=y CONFIG_HIBERNATION=y CONFIG_KVM_GUEST_MEMFD=y"
		parts="$parts $more/arm64/kvm/" ;;
	riscv64) arch='ARCH=riscv CROSS_COMPILE=riscv64-linux-gnu-'
		need_tool riscv64-linux-gnu-gcc
		set="$set CONFIG_SECRETMEM=y CONFIG_HIBERNATION=y"
		parts="$parts $more/riscv/kvm/" ;;
	allnoconfig)
		arch='ARCH=x86_64' defconfig=allnoconfig
		set="CONFIG_64BIT=y CONFIG_SMP=y CONFIG_SPARSEMEM_VMEMMAP=y CONFIG_MMU=y $feature"
		parts="$parts $x86" ;;
	*)	die "no such target: $1 (--help)" ;;
	esac
}

# shellcheck disable=SC2317 # step calls it
one()
{
	out=$dir/$1
	mkdir -p "$out"
	# shellcheck disable=SC2086
	make -s -C "$tree" O="$out" $arch "$defconfig"
	# shellcheck disable=SC2086
	printf '%s\n' $set >"$out/fragment"
	# shellcheck disable=SC2086
	(cd "$tree" && env $arch ./scripts/kconfig/merge_config.sh -m -O "$out" "$out/.config" "$out/fragment") >"$out/merge.log"
	# shellcheck disable=SC2086
	make -s -C "$tree" O="$out" $arch olddefconfig
	if grep -vxF -f "$out/.config" "$out/fragment" >"$out/missing"; then
		sed 's/.*/error: & did not take/' "$out/missing"
		return 1
	fi
	# shellcheck disable=SC2086
	make -C "$tree" O="$out" $arch -k -j"$jobs" prepare
	# shellcheck disable=SC2086
	make -C "$tree" O="$out" $arch -k -j"$jobs" $parts
}

rc=0
for target; do
	prepare "$target"
	if step "cross: $target" "$dir/$target.log" one "$target" &&
	   ! grep -E '(warning|error):' "$dir/$target.log" >&2; then
		say "ok      $target"
	else
		first_error "$dir/$target.log"
		say "not ok  $target: $dir/$target.log"
		rc=1
	fi
done
exit "$rc"
