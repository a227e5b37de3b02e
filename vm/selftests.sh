#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-only
#
# Linux's own tests, those that scripts/selftests.sh packed: /kselftest/suites/list has a
# line for each, its time limit in seconds, its suite and its command.
#
# A test with a warning of the kernel is no less of one that passed: what the kernel said
# is printed, and compared with what it says without the series. Exit status 0 always, as
# not even stock passes all of them.
dir=/kselftest/suites
# What modprobe, modinfo and sudo are to tests
modules=/lib/modules/$(uname -r)
mkdir -p "$modules" /sbin /etc /mnt
ln -s /lib/modules/*.ko "$modules/"
depmod
ln -s /bin/modprobe /sbin/modprobe
printf 'root:x:0:0::/:/bin/sh\nnobody:x:65534:65534::/:/bin/sh\n' >/etc/passwd
printf 'root:x:0:\nnogroup:x:65534:\n' >/etc/group
# shellcheck disable=SC2016
printf '#!/bin/sh\nuser=$2; shift 2\nexec su -s /bin/sh "$user" -c "$*"\n' >/bin/sudo
chmod +x /bin/sudo

# A test that the kernel trips over must not end all of them
echo 0 >/proc/sys/kernel/panic_on_oops

trouble='WARNING:|BUG:|Oops|Bad page state|INFO: (task .* blocked|rcu.*stall)|DEADLOCK'
dmesg -c >/dev/null
while read -r limit suite command <&3; do
	name=$suite/$(echo "$command" | sed 's,^\(bash \)*\./,,')
	cd "$dir/$suite" || exit 1
	echo "vm: $name" >/dev/kmsg
	echo "# $name: starts"
	start=$(date +%s)
	# A session of its own: what a test leaves behind must not run into the next one
	setsid timeout -s KILL "$limit" sh -c "exec $command" </dev/null 2>&1 3>&- &
	pid=$!
	wait $pid
	rc=$?
	kill -9 -$pid 2>/dev/null
	took=$(($(date +%s) - start))
	[ $rc -ne 137 ] || [ $took -lt "$limit" ] || rc=124
	dmesg -c >/tmp/dmesg
	# test_vmalloc.sh leaves it to its reader to look
	case $name in
	*vmalloc*)
		grep 'test_vmalloc\|vmalloc.*Summary\|passed:' /tmp/dmesg
		! grep -q 'failed: *[1-9]' /tmp/dmesg || rc=1 ;;
	esac
	grep -E "$trouble" /tmp/dmesg | sed "s,^,# $name: the kernel: ,"
	# Each is to find as many pages as the one before
	echo 0 >/proc/sys/vm/nr_hugepages
	echo "# $name: exit $rc after $took s"
done 3<$dir/list
exit 0
