#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-only
#
# What the first secret memory of a machine makes the kernel allocate for itself: for each
# processor that is online, not for each that there may be one day. Anything before it in the
# machine that has secret memory takes its figures away.
#
# 64 KiB a processor are allowed: an mm, a PGD, three or four pages of tables. And 1 MiB for
# all: what a process has, caches, lists.
kib() { awk '$1 ~ /^(Percpu|PageTables|Slab|KernelStack|VmallocUsed):$/ { s += $2 } END { print s }' /proc/meminfo; }
online=$(nproc) possible=$(awk -F- '{ print $NF + 1 }' /sys/devices/system/cpu/possible)
echo "TAP version 13"
if [ "$(awk '$1 == "no_direct_map_zeroed_pages" { print $2 }' /proc/vmstat)" != 0 ]; then
	echo "1..0 # SKIP there was secret memory before, or this kernel has no unmapped blocks"
	exit 4
fi
# What a process allocates that was never run is not what is asked for
kib >/dev/null
before=$(kib)
mm/memfd_secret >/tmp/first-use 2>&1 || { cat /tmp/first-use; echo "not ok 1 - secret memory is had"; exit 1; }
after=$(kib)
limit=$((64 * online + 1024))
echo "# $online processors online, $possible possible; kernel's own memory: $before KiB before, $after after"
[ $((after - before)) -le $limit ] && ok=ok || ok='not ok'
echo "$ok 1 - the first secret memory takes $((after - before)) KiB (at most $limit)"
echo 1..1
[ "$ok" = ok ]
