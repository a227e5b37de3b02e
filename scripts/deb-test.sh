#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-only
# Install the packages of build/deb in a Debian system and boot what they installed.
set -eu
. "$(dirname "$0")/lib.sh"
usage "${1:-}" "usage: deb-test.sh [--suite NAME]

Makes a Debian system (--suite, default: trixie) out of the mirror that this
machine's apt uses, installs the packages of build/deb in it with apt, and boots
the kernel and the initrd that are in its /boot then, with its file system as a
virtio disk. In there vm/packages.sh looks at the kernel, its modules, secret
memory and dmapstat, and removes the packages again. A module is built from the
headers package and loaded there, too. The last line is 'N passed, N failed,
N skipped'. Everything is in build/deb/test-SUITE; the disk is made anew only if the
packages or the tests changed (or are a week old: rm -r build/deb/test-SUITE)."

suite=trixie
options suite= "$@"
[ "$nr_options" -eq $# ] || die "it takes options only (--help)"
need_tool mmdebstrap fakeroot mke2fs dpkg-deb gcc make qemu-system-x86_64
debs=$BUILD/deb out=$BUILD/deb/test-$suite

# package NAME: the one file of that name in build/deb
package()
{
	found=$(find "$debs" -maxdepth 1 -name "$1_*.deb" 2>/dev/null || :)
	[ -f "$found" ] || die "not one package $1 in $debs: run 'make deb'"
	say "$found"
}
image_deb=$(package 'linux-image-*') headers_deb=$(package 'linux-headers-*') dmapstat_deb=$(package dmapstat)
field() { dpkg-deb -f "$1" "$2"; }
image=$(field "$image_deb" Package)
release=${image#linux-image-}

disk()
{
	rm -rf "$out"
	mkdir -p "$out/in"

	gcc -O2 -Wall -Wextra -static -o "$out/in/secret" "$TOP/vm/secret.c" || die "vm/secret.c does not build"
	cp "$TOP/vm/packages.sh" "$image_deb" "$headers_deb" "$dmapstat_deb" "$out/in"
	cat >"$out/in/expected" <<-EOF
		release=$release
		image=$image
		headers=$(field "$headers_deb" Package)
		version=$(field "$image_deb" Version)
		dmapstat=$(field "$dmapstat_deb" Version)
	EOF
	cat >"$out/in/packages.service" <<-EOF
		[Unit]
		Description=Test of the installed packages
		After=getty.target

		[Service]
		Type=exec
		ExecStart=/bin/sh /root/packages.sh

		[Install]
		WantedBy=multi-user.target
	EOF

	# What somebody with the headers package can do, and nothing but it
	headers=$out/headers
	dpkg-deb -x "$headers_deb" "$headers"
	module()
	{
		unset MAKEFLAGS MFLAGS MAKELEVEL 2>/dev/null || :
		make -C "$headers/usr/src/linux-headers-$release" M="$TOP/bench/atomic" MO="$out/module" modules
	}
	step "a module from the headers package" "$out/module.log" module ||
		{ first_error "$out/module.log"; die "no module; log: $out/module.log"; }
	cp "$out/module/atomic_load.ko" "$out/in"

	apt-config dump | grep -iE '^Acquire::https?::Proxy ' >"$out/proxy" || :
	debian()
	{
		mmdebstrap --variant=minbase \
			--include=systemd-sysv,udev,kmod,initramfs-tools,zstd,e2fsprogs,man-db,jq \
			--aptopt="$out/proxy" \
			--customize-hook="sync-in $out/in /root" \
			--customize-hook='chroot "$1" sh -c "apt-get install -y /root/*.deb && rm /root/*.deb"' \
			--customize-hook='chroot "$1" install /root/secret /usr/local/bin/secret' \
			--customize-hook='chroot "$1" install -m 644 /root/packages.service /etc/systemd/system' \
			--customize-hook='chroot "$1" systemctl enable packages.service' \
			--customize-hook='echo packages >"$1/etc/hostname"' \
			"$suite" "$out/root.tar" "$(debian_mirror)"
	}
	step "Debian $suite with the packages" "$out/debian.log" debian ||
		{ grep -E '^E: ' "$out/debian.log" | head -n 3 >&2; die "no system; log: $out/debian.log"; }

	# Under fakeroot files keep their owners, and nobody need be root.
	filesystem()
	{
		mkdir "$out/root" &&
		fakeroot sh -euc 'tar -xf "$1/root.tar" -C "$1/root"
			mke2fs -q -t ext4 -L packages -d "$1/root" "$1/disk.img.new" 2G' sh "$out" &&
		cp "$out/root/boot/vmlinuz-$release" "$out/root/boot/initrd.img-$release" "$out"
	}
	step "its file system" "$out/filesystem.log" filesystem ||
		{ tail -n 3 "$out/filesystem.log" >&2; die "no file system; log: $out/filesystem.log"; }
	rm -rf "$out/root" "$out/root.tar" "$headers" "$out/module"
	mv "$out/disk.img.new" "$out/disk.img"
}

sum=$(cat "$image_deb" "$headers_deb" "$dmapstat_deb" "$TOP/vm/packages.sh" "$TOP/vm/secret.c" \
	"$TOP/bench/atomic/"* "$TOP/scripts/deb-test.sh" | sha256sum)
if [ "$sum" = "$(cat "$out/sum" 2>/dev/null)" ] && [ -n "$(find "$out/disk.img" -mtime -7 2>/dev/null)" ]; then
	note "Debian $suite with the packages: the disk is as it was, nothing in it changed"
else
	need_space "$debs" 5000
	disk
	printf '%s\n' "$sum" >"$out/sum"
fi

# The disk stays as it is: what the machine writes goes to a file without a name.
rc=0
TMPDIR=$out step "boot of the installed kernel $release" "$out/boot.log" "$TOP/scripts/boot.sh" \
	--out "$out" --run packages --smp 2 --mem 2G --timeout 900 --append 'root=/dev/vda rw' \
	--machine "-drive file=$out/disk.img,format=raw,if=virtio,snapshot=on" \
	"$out/vmlinuz-$release" "$out/initrd.img-$release" || rc=$?
touch "$out/results.ktap"
cat "$out/results.ktap"
awk -f "$TOP/scripts/count.awk" "$out/results.ktap" >"$out/counts"
read -r p f s <<EOF
$(tail -n 1 "$out/counts")
EOF
# What the kernel itself reported is a failure of its own.
[ "$rc" -eq 0 ] || { f=$((f + 1)); cat "$out/boot.log"; }
sed '$d' "$out/counts"
say "$p passed, $f failed, $s skipped"
[ "$f" -eq 0 ] || die "failed; logs: $out"
