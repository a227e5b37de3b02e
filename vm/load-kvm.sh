# SPDX-License-Identifier: GPL-2.0-only
# shellcheck shell=sh
# Sourced by those who need KVM: load it where it is a module, exit 4 without it.
for m in irqbypass kvm kvm-amd; do
	[ ! -e "/lib/modules/$m.ko" ] || [ -d "/sys/module/$(echo "$m" | tr - _)" ] ||
		insmod "/lib/modules/$m.ko" || exit 1
done
[ -c /dev/kvm ] || { echo "# no /dev/kvm: the kernel has no KVM, or the processor no SVM"; exit 4; }
