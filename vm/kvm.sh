#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-only
#
# KVM's selftests, on a processor that QEMU emulates: AMD's, with nested paging.
#
#   kvm.sh TEST...
#
# Loads KVM and runs the tests of these names, each for itself. Exit status 0 if all
# passed, 4 if they were skipped.
for m in irqbypass kvm kvm-amd; do
	[ ! -e "/lib/modules/$m.ko" ] || [ -d "/sys/module/$(echo "$m" | tr - _)" ] ||
		insmod "/lib/modules/$m.ko" || exit 1
done
[ -c /dev/kvm ] || { echo "# no /dev/kvm: the kernel has no KVM, or the processor no SVM"; exit 4; }
bad=0
for t in "$@"; do
	"/kselftest/kvm/$t"
	rc=$?
	echo "# $t: exit $rc"
	[ $rc -eq 0 ] || [ $rc -eq 4 ] || bad=1
done
exit $bad
