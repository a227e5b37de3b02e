#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-only
# Draws the direct map before, while and after pictures.mib MiB of memory are secret
# (the kernel's command line has it), for scripts/pictures.sh: each line of a
# picture is printed after its name.
set -eu
mib=$(sed -n 's/.*pictures\.mib=\([0-9]*\).*/\1/p' /proc/cmdline)

# picture NAME TITLE
picture()
{
	dmapstat --entries --title "$2" --svg /tmp/picture.svg
	sed "s/^/svg $1 /" /tmp/picture.svg
}

amount="$mib MiB"
if [ $((mib % 1024)) -eq 0 ]; then amount="$((mib / 1024)) GiB"; fi
kernel='Stock'
if grep -q '^DirectMapUnmapped' /proc/meminfo; then kernel='Patched'; fi

if [ "${1:-}" = during ]; then
	picture during "$kernel, while $amount is secret"
	exit
fi
# Secret memory is locked memory. busybox's sh has this.
# shellcheck disable=SC3045
ulimit -l unlimited
picture before "$kernel, before any memory is secret"
secret "$mib" "$0" during
# The kernel lets go of free unmapped blocks when nobody wants any, and puts the
# direct map together again: wait until nothing has changed for 20 seconds. On a
# kernel that does not, it stays as it is.
state() { grep -E '^(nr_no_direct_map|direct_map_level3_collapses) ' /proc/vmstat; }
start=$(cut -d . -f 1 /proc/uptime) same=0 last=$(state)
while [ "$same" -lt 20 ]; do
	sleep 1
	now=$(state)
	if [ "$now" = "$last" ]; then same=$((same + 1)); else same=0 last=$now; fi
done
picture after "$kernel, $(($(cut -d . -f 1 /proc/uptime) - start)) s after $amount was given back"
