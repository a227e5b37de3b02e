#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-only
# Has the kernel lost memory since it was started? Exit 4: it does not know.
leaks=/sys/kernel/debug/kmemleak
if [ ! -w $leaks ]; then
	echo "skip: no CONFIG_DEBUG_KMEMLEAK"
	exit 4
fi
# What is younger than five seconds may be on its way, and so is what one scan finds
for scan in 1 2 3; do
	sleep 6
	echo scan >$leaks || exit 1
done
cat $leaks
[ -z "$(cat $leaks)" ]
