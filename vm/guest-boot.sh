#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-only
# guest-boot.sh CPUS MIB [OPTION...]: the kernel of this machine as a guest, to its shell,
# which says hello and turns the guest off, or runs what $GUEST_RUNS has. OPTIONs are those
# of "guest".
dir=/tmp/guest
if [ ! -s $dir/initrd ]; then
	mkdir -p $dir/root/bin $dir/root/dev $dir/root/proc
	cp /bin/busybox /bin/guest_proof $dir/root/bin/
	cat >$dir/root/init <<'EOF'
#!/bin/busybox sh
/bin/busybox --install -s /bin
mount -t devtmpfs dev /dev
mount -t proc proc /proc
exec sh </dev/ttyS0 >/dev/ttyS0 2>&1
EOF
	chmod +x $dir/root/init
	(cd $dir/root && find . | cpio -o -H newc) >$dir/initrd 2>/dev/null || exit 1
fi
cpus=$1 mib=$2
shift 2
slow=$(sed -n 's/.*vm\.slow=\([0-9]*\).*/\1/p' /proc/cmdline)
# The emulated processor does not tell KVM that a guest sets up XSAVE
echo "${GUEST_RUNS:-echo hello from \$(nproc) processors; poweroff -f}" |
	guest --kernel /lib/guest/bzImage --initrd $dir/initrd --mem "$mib" --cpus "$cpus" \
	--append 'console=ttyS0 no_timer_check panic=-1 noxsave quiet' --timeout $((150 * ${slow:-1})) "$@"
