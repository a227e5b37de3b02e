#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-only
# Runs in the machine of scripts/deb-test.sh, which is a Debian system with the
# packages installed, as the unit packages.service. Prints KTAP on the second
# serial port, as vm/init.c does, and switches the machine off. What the packages
# should be is in /root/expected: release, image, headers, version, dmapstat.
set -eu
LC_ALL=C
export LC_ALL
. /root/expected

fail()	{ printf '%s\n' "$*"; exit 1; }
vmstat() { awk -v k="$1" '$1 == k { print $2; found = 1 } END { exit !found }' /proc/vmstat; }

# --- tests: each in a shell of its own, with set -e ---

test_kernel()
{
	uname -a
	[ "$(uname -r)" = "$release" ] || fail "not the package's kernel, which is $release"
	uname -v | grep -qF "#${version##*-} " || fail "not the package's build, which is $version"
	[ "$(dpkg-query -W -f '${Version}' "$image")" = "$version" ] || fail "$image is not $version"
	dpkg -S "/boot/vmlinuz-$release" | grep -qx "$image: /boot/vmlinuz-$release"
	grep -qx CONFIG_PAGE_ALLOC_UNMAPPED=y "/boot/config-$release"
	zcat /proc/config.gz | cmp - "/boot/config-$release"
}

# The root file system came from modules of the package, by way of its initrd.
test_modules()
{
	awk '$2 == "/" && $1 ~ "^/dev/" { print $1, $3 }' /proc/mounts | tee /run/root
	grep -qx '/dev/vda ext4' /run/root
	for m in ext4 virtio_blk; do
		grep -q "^$m " /proc/modules || fail "$m is not loaded"
		modinfo -F filename "$m" | grep -qx "/lib/modules/$release/kernel/.*\.ko\.xz"
	done
	test -s "/boot/initrd.img-$release"
	modprobe wireguard
	grep -q '^wireguard ' /proc/modules
}

test_systemd()
{
	state=$(systemctl is-system-running --wait) || :
	systemctl --failed --no-legend --plain
	[ "$state" = running ] || fail "systemd says: $state"
}

test_files()
{
	for p in "$image" "$headers" dmapstat; do
		[ "$(dpkg-query -W -f '${db:Status-Abbrev}' "$p")" = 'ii ' ] || fail "$p is not installed"
		bad=$(dpkg --verify "$p")
		[ -z "$bad" ] || fail "$p: $bad"
	done
}

# A module that was built from the headers package alone
test_headers()
{
	test -e "/lib/modules/$release/build/Makefile"
	modinfo -F vermagic /root/atomic_load.ko | grep "^$release "
	insmod /root/atomic_load.ko
	sleep 1
	test -r /sys/kernel/debug/atomic_load/stats
	rmmod atomic_load
}

test_secret()
{
	before=$(vmstat direct_map_flip_unmap) was=$(vmstat no_direct_map_zeroed_pages)
	secret 64 true
	after=$(vmstat direct_map_flip_unmap)
	echo "blocks unmapped: $before, then $after"
	# 64 MiB are 32 blocks
	[ "$after" -ge 32 ] && [ "$after" -gt "$before" ] || fail "no block was unmapped for it"
	zeroed=$(($(vmstat no_direct_map_zeroed_pages) - was))
	[ "$zeroed" -ge 16384 ] || fail "of 16384 pages $zeroed were zeroed when given back"
}

test_dmapstat()
{
	[ "$(dpkg-query -W -f '${Version}' dmapstat)" = "$dmapstat" ] || fail "dmapstat is not $dmapstat"
	[ "$(dmapstat --version)" = "dmapstat ${dmapstat%%-*}" ] || fail "says: $(dmapstat --version)"
	dmapstat
	secret 64 dmapstat --json >/run/json
	# 64 MiB are in use, and each way of counting says so
	jq -c 'del(.blocks, .entries)' /run/json
	jq -e --arg release "$release" '(.kernel | contains($release)) and .missing == [] and
		.unmapped.used_pages >= 16384 and .unmapped.secretmem_kb >= 65536 and
		.direct_map.unmapped_kb == .unmapped.pages * 4 and .since_boot.flip_unmap >= 32 and
		(.blocks.ranges | map(.used_pages // 0) | add) >= 16384' /run/json
	dmapstat -m
	dmapstat --entries --svg /run/svg
	grep -q '</svg>' /run/svg
	# Without privileges there is no map, and it says so by its exit status.
	nobody='setpriv --reuid=nobody --regid=nogroup --clear-groups'
	$nobody dmapstat >/dev/null
	rc=0
	$nobody dmapstat -m >/dev/null || rc=$?
	[ "$rc" -eq 1 ] || fail "exit status of dmapstat -m without privileges: $rc"
}

test_man()
{
	man -w dmapstat
	MANWIDTH=80 man -P cat dmapstat >/run/man
	grep -q '^NAME' /run/man
	grep -qe '--json' /run/man
}

# removed PACKAGE FILE...: it goes, and nothing is left of it or of these
removed()
{
	p=$1
	shift
	dpkg -L "$p" | grep -vx '/\.' >/run/files
	[ "$(wc -l </run/files)" -gt 5 ] || fail "$p has no files"
	for f; do echo "$f"; done >>/run/files
	dpkg -r "$p"
	while read -r f; do
		[ -e "$f" ] || [ -L "$f" ] || continue
		# A directory may be somebody else's as well.
		[ -d "$f" ] && dpkg -S "$f" >/dev/null 2>&1 || echo "$f"
	done </run/files >/run/left
	[ ! -s /run/left ] || fail "left of $p: $(head -n 20 /run/left)"
}
test_remove_dmapstat()	{ removed dmapstat; ! command -v dmapstat; }
test_remove_headers()	{ removed "$headers" "/usr/src/$headers" "/lib/modules/$release/build"; }
test_remove_image()	{ removed "$image" "/boot/"*"$release" "/lib/modules/$release"; }

# --- ---

if [ "${1:-}" = --one ]; then
	"test_$2"
	exit
fi

# The order matters: removal comes last.
tests='kernel modules systemd files headers secret dmapstat man remove_dmapstat remove_headers remove_image'
stty -F /dev/ttyS1 -opost
exec >/dev/ttyS1 2>&1
echo 'KTAP version 1'
# shellcheck disable=SC2086
set -- $tests
echo "1..$#"
nr=0
for t; do
	nr=$((nr + 1))
	echo "vm: test $t" >/dev/kmsg
	echo "# $t: begins"
	rc=0
	sh "$0" --one "$t" >/run/out 2>&1 </dev/null || rc=$?
	sed 's/^/    /' /run/out
	if [ "$rc" -eq 0 ]; then echo "ok $nr $t"; else echo "not ok $nr $t # exit $rc"; fi
done
echo '# vm: end'
systemctl poweroff
