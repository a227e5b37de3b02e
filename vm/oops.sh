#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-only
# A module reads an unmapped page by its address in the direct map: does the oops
# say what is wrong? Last in its machine, whose kernel is tainted then.
module=/lib/modules/unmapped_oops.ko
grep -q '^nr_no_direct_map ' /proc/vmstat || {
	echo "skip: this kernel has no unmapped memory"
	exit 4
}
[ -f $module ] || {
	echo "skip: no modules"
	exit 4
}
echo 0 >/proc/sys/kernel/panic_on_oops
# The console is watched for oopses; at level 0, not even they get there
echo 0 >/proc/sys/kernel/printk
insmod $module
echo 7 >/proc/sys/kernel/printk
dmesg | sed -n '/unmapped_oops: reads/,/Oops/p' | cut -c 1-100
pfn=$(dmesg | sed -n 's/.*unmapped_oops: reads pfn //p')
dmesg | grep -q 'BUG: unable to handle page fault' || {
	echo "MISSED: an unmapped page is read and nobody minds"
	exit 1
}
if [ "$pfn" ] && dmesg | grep -q "#PF: pfn $pfn is unmapped memory"; then
	echo "held: the oops says that $pfn is unmapped memory"
else
	echo "MISSED: the oops does not say that $pfn is unmapped memory"
	exit 1
fi
