#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-only
# A device that shares page tables with a task: what it gets of secret memory. Where
# devices have memory, there are pages beyond the end of ours: last in its machine.
module=/lib/modules/test_hmm.ko
[ -f $module ] || {
	echo "skip: no CONFIG_TEST_HMM"
	exit 4
}
insmod $module || exit 1
exec mm/unmapped_access -t hmm
