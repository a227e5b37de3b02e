#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-only
#
# stress-ng with what it has for memory, that scripts/stress.sh packed: anonymous and shared
# memory, files, forks, NUMA policies, and memory that goes offline. Any of them may be short
# of memory, and be killed; none may find wrong contents. Its secretmem maps much and touches
# little: vm/secret.c holds secret memory beside it, some for long and some for moments.
set -u
seconds=$(cat /etc/stress.seconds) || exit 1
failed=0

# shellcheck disable=SC3045 # busybox's has it
ulimit -l unlimited
claim()
{
	if [ "$1" -eq 0 ]; then echo "held: $2"; else echo "MISSED: $2"; failed=1; fi
}
zeroed()
{
	sed -n 's/^no_direct_map_zeroed_pages //p' /proc/vmstat
}
before=$(zeroed)
mkdir -p /tmp/stress
while [ ! -e /tmp/stress/end ]; do
	secret 16 sleep 0.2 2>>/tmp/stress/churn
done &
churn=$!
secret 64 stress-ng --temp-path /tmp/stress --timeout "${seconds}s" --metrics-brief \
	--secretmem 2 --vm 2 --vm-bytes 256M --vm-keep --memfd 1 --memfd-bytes 64M \
	--mmap 1 --mmap-bytes 64M --numa 1 --memhotplug 1 --shm 1 --shm-bytes 8M --fork 1 \
	--mremap 1 --verify >/tmp/stress/out 2>&1
rc=$?
touch /tmp/stress/end
wait $churn
sed -n 's/^stress-ng: //p' /tmp/stress/out | tail -n 60
# 2: one of them failed, with a line that says of what; for want of memory it may.
# 3: one of them did not have what it needs, and said so.
wrong=$(grep 'fail:' /tmp/stress/out | grep -vc 'errno=12 ')
[ $rc -eq 0 ] || [ $rc -eq 3 ] || { [ $rc -eq 2 ] && grep -q 'fail:' /tmp/stress/out; }
claim $? "stress-ng ends well, and secret memory has what was written: $rc"
sort /tmp/stress/churn | uniq -c
[ "$wrong" -eq 0 ]
claim $? "nobody found wrong contents, or failed but for want of memory: $wrong"
if [ "$before" ]; then
	now=$(zeroed)
	echo "seen: $((now - before)) pages of secret memory erased"
	[ $((now - before)) -gt 1000 ]
	claim $? "there was secret memory off the direct map"
fi
[ "$(sed -n 's/^Secretmem: *\([0-9]*\) kB/\1/p' /proc/meminfo)" -eq 0 ]
claim $? "none is left"
exit $failed
