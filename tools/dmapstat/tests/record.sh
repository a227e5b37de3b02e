#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-only
# Prints a sample of the machine that it runs in, for test.py: what dmapstat reads
# and a few neighbours, a section a file. /proc/kpageflags is runs of pages,
# "FIRST-PFN COUNT FLAGS", those without flags left out. busybox will do.
#
#   record.sh [PID...]		these processes, too, for --holders
set -eu
section() { printf '==> %s <==\n' "${1#/}"; }
# what FILE REGEX: lines of a file; who may not read it has an empty section
what()
{
	section "$1"
	[ ! -r "$1" ] || grep -E "$2" "$1" || :
}

# Flags that are kept: of pages that have no_direct_map (27) also buddy (10) and what
# is beside these two, of others only buddy. More differ from page to page.
mark=0x08000000 unmapped=0x1c000e00 mapped=0x400

what /proc/sys/kernel/osrelease .
what /proc/uptime .
[ ! -e /proc/sys/vm/no_direct_map_pool_blocks ] || what /proc/sys/vm/no_direct_map_pool_blocks .
what /proc/meminfo '^(Mem|Secretmem|Percpu|HugePages_T|DirectMap)'
what /proc/vmstat '^(nr_free_pages|nr_unevictable|.*direct_map|mermap|pgalloc_n|unevictable_pgs_c)'
what /proc/iomem .
if ! grep -q '[1-9].* : System RAM' /proc/iomem; then
	for f in /sys/devices/system/memory/block_size_bytes /sys/devices/system/memory/memory[0-9]*/state; do
		what "$f" .
	done
fi

section /proc/kpageflags
# awk's numbers have 53 bits: the lower half
[ ! -r /proc/kpageflags ] || od -v -An -tx4 -w8 /proc/kpageflags |
	awk -v mark=$((mark)) -v unmapped=$((unmapped)) -v mapped=$((mapped)) '
function hex(s,  i, n) { for (i = 1; i <= length(s); i++) n = n * 16 + index("123456789abcdef", substr(s, i, 1)); return n }
function both(a, b,  bit, n) { for (bit = 1; bit <= a && bit <= b; bit *= 2) if (int(a / bit) % 2 && int(b / bit) % 2) n += bit; return n + 0 }
function end() { if (last) printf "%d %d %x\n", first, count, last }
!($1 in known) { n = hex($1); known[$1] = both(n, both(n, mark) ? unmapped : mapped) }
{ now = known[$1] }
now != last { end(); first = NR - 1; last = now; count = 0 }
{ count++ }
END { end() }'

# The direct map, and a line of each other section
section /sys/kernel/debug/page_tables/kernel
[ ! -r /sys/kernel/debug/page_tables/kernel ] || awk '
/^---\[/ { inside = /Low Kernel Mapping/; n = 0 }
inside || n++ < 2' /sys/kernel/debug/page_tables/kernel

for pid; do
	what "/proc/$pid/comm" .
	what "/proc/$pid/maps" .
	for fd in "/proc/$pid/fd/"*; do
		section "$fd"
		echo "-> $(readlink "$fd")"
		what "/proc/$pid/fdinfo/${fd##*/}" .
	done
	section "/proc/$pid/smaps"
	awk '/^[0-9a-f]+-/ || /^(Size|Rss|Pss):/' "/proc/$pid/smaps"
done
