#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-only
#
# What a crash dump has of memory off the direct map.
#
#   crash.sh		in the kernel that crashes: parameter crashkernel=
#   crash.sh dump	in the one after it, which has /proc/vmcore
#
# "crash" leaves patterns in memory of several kinds, and in what is free again; then the
# kernel panics. The same kernel, started in what crashkernel= set aside, reads what is left
# with makedumpfile, and judges it, as TAP. vm/init runs in both, and writes to the same
# file: the first one's test has no result there, and the second one's plan takes the place
# of its plan. A machine that gets no further than the first one has no end. Exit 4: this
# machine cannot.
dir=/tmp/crash
mkdir -p $dir

if [ "${1:-}" != dump ]; then
	[ "$(cat /sys/kernel/kexec_crash_size 2>/dev/null)" -gt 0 ] 2>/dev/null ||
		{ echo "skip: no kexec for a crash, or no crashkernel="; exit 4; }
	(cd / && { printf '%s\n' init etc etc/tests kselftest lib bin
		   printf 'bin/%s\n' busybox sh crash crash.sh
		   find lib/dump; } | cpio -o -H newc) >$dir/initrd 2>$dir/cpio.log ||
		{ cat $dir/cpio.log; exit 1; }
	# One processor: the others have been stopped, and are not to be started
	params=$(tr ' ' '\n' </proc/cmdline |
		grep -vE '^(vm\.run|crashkernel|kunit\.enable|maxcpus)=' | tr '\n' ' ')
	exec crash leave /lib/crash/bzImage $dir/initrd "$params nr_cpus=1 vm.run=crash_dump"
fi

[ -s /proc/vmcore ] || { echo "skip: no kernel crashed before this one"; exit 4; }
nr=0 bad=0
echo "TAP version 13"
# claim TEXT COMMAND...
claim()
{
	what=$1 not=
	shift
	"$@" || { not='not ' bad=1; }
	nr=$((nr + 1))
	echo "${not}ok $nr - $what"
}
finish() { echo "1..$nr"; exit $bad; }
# value NAME FILE: what the line with this name says
value() { awk -v name="$1" '$1 == name { print $2 }' "$2"; }

# Debian's, with its libraries
by=makedumpfile
makedumpfile() { /lib/dump/ld-linux-x86-64.so.2 --library-path /lib/dump /lib/dump/$by "$@"; }
# dump NAME OPTION...: a dump that goes through "crash search", and nowhere else, as there
# is no room for it. What is between its pages is of any length.
dump()
{
	name=$1
	shift
	{
		makedumpfile -F --message-level 30 "$@" /proc/vmcore 2>"$dir/$name.log"
		echo "exit $?" >"$dir/$name.rc"
	} | crash search 1 >"$dir/$name.found"
	sed 's/[^ -~]//g' "$dir/$name.log" >"$dir/log.new"
	mv "$dir/log.new" "$dir/$name.log"
	echo "# $by $*: $(cat "$dir/$name.rc")"
	if ended "$name"; then
		sed -n '/pages *:/s/^ */#   /p' "$dir/$name.log"
	else
		tail -n 8 "$dir/$name.log" | sed 's/^/#   /'
	fi
	tr '\n' ';' <"$dir/$name.found" | sed 's/^/#   found: /'
	echo
}
ended() { [ "$(cat "$dir/$1.rc")" = "exit 0" ]; }
found() { value "$1" "$dir/$2.found"; }

# As the console was silent, the log has to say what the panic was, and that it was alone
makedumpfile --dump-dmesg /proc/vmcore $dir/log >$dir/dmesg.log 2>&1 || cat $dir/dmesg.log
sed -n '/crash: free/,$p' $dir/log >$dir/end
panicked()
{
	grep -q 'Kernel panic - not syncing: sysrq triggered crash' $dir/end &&
	[ "$(grep -cE 'Kernel panic|Call Trace:' $dir/end)" -eq 2 ] &&
	! grep -E 'WARNING:|BUG:|Oops|Bad page state|INFO: ' $dir/end
}
claim "a panic that was asked for is all that the kernel's log says" panicked
[ $bad -eq 0 ] || sed 's/^/# /' $dir/end
figures=$(sed -n 's/.*crash: free \([0-9]*\) unmapped \(-*[0-9]*\)$/\1 \2/p' $dir/log)
free=${figures% *} unmapped=${figures#* }
claim "the log has how many pages were free" [ "$free" ]
[ "$free" ] || finish
echo "# $free pages were free, $unmapped of them off the direct map"

# All of memory: nothing is erased but what was secret, and is free
crash search 8 </proc/vmcore >$dir/all.found
tr '\n' ';' <$dir/all.found | sed 's/^/# \/proc\/vmcore: /'
echo
claim "all of memory: what the kernel has in a pipe" [ "$(found pipe all)" -eq 1024 ]
claim "all of memory: secrets in use" [ "$(found secret_single all)" -eq 65536 ]
claim "all of memory: secrets in use, in large folios" [ "$(found secret_large all)" -eq 131072 ]
# Or more: where a page was moved, nobody erases what it was moved from
claim "all of memory: a program's memory" [ "$(found anon all)" -ge 131072 ]
claim "all of memory: a program's that was freed" [ "$(found anon_freed all)" -gt 500000 ]
claim "all of memory: no secret that was freed" [ "$(found secret_freed all)" -eq 0 ]

# free_in NAME: about as many pages were left out because they are free as were
free_in()
{
	excluded=$(sed -n 's/^ *Free pages *: *//p' "$dir/$1.log")
	[ "$excluded" ] && [ $((excluded)) -ge $((free - 1024)) ] &&
		[ $((excluded)) -le $((free + 1024)) ]
}
# left_out KIND NAME
left_out() { [ "$(found "$1" "$2")" -eq 0 ]; }
# An old makedumpfile (1.7.2) takes only the first page of a huge page for one of a program;
# with secret memory it is as with any other
as_huge() { left_out secret_large "$1" || ! left_out anon_large "$1"; }

# What is left when pages of zeros, of files and of programs are left out, and free ones
judge()
{
	claim "$2: makedumpfile ended well" ended "$1"
	claim "$2: as many pages are free as there were" free_in "$1"
	# But for one that the format of a dump on a pipe cuts
	claim "$2: what the kernel has in a pipe" [ "$(found pipe "$1")" -ge 1000 ]
	claim "$2: nothing of a program" left_out anon "$1"
	claim "$2: nothing that was freed, but for per-CPU lists" \
		[ "$(found anon_freed "$1")" -lt $(($(found anon_freed all) / 2)) ]
	claim "$2: no secret that was freed" left_out secret_freed "$1"
	claim "$2: no secret in use, in single pages" left_out secret_single "$1"
	claim "$2: nor in large folios, if a program's are left out" as_huge "$1"
}
dump usual -d 31
judge usual "by what pages say of themselves"

# It takes a page for free that says so. One that does not find in vmcoreinfo what such a
# page says goes by the free lists, as many as vmcoreinfo has.
head -c 65536 /proc/vmcore | tr '\000' '\n' | sed -n '/^OSRELEASE=/,/^$/p' >$dir/vmcoreinfo
lists=$(sed -n 's/^LENGTH(free_area.free_list)=//p' $dir/vmcoreinfo)
# Each type that a block can have, and what is off the direct map
types=$(awk '/^Number of blocks type/ { print NF - 4 }' /proc/pagetypeinfo)
claim "vmcoreinfo has as many free lists as /proc/pagetypeinfo: $types" [ "$lists" -eq "$types" ]
by=makedumpfile-lists
dump lists -d 31
judge lists "by the free lists"
if [ "$unmapped" -ge 0 ]; then
	# What is said here goes before what the dump says
	sed -n '/^OSRELEASE=/p; /^PAGESIZE=/p' $dir/vmcoreinfo >$dir/fewer.info
	echo "LENGTH(free_area.free_list)=$((lists - 1))" >>$dir/fewer.info
	dump fewer -i $dir/fewer.info -d 31
	free=$((free - unmapped))
	claim "with a list less: what is off the direct map is not free" free_in fewer
fi
finish
