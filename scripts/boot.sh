#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-only
# Boot a kernel in QEMU, run something in it, say whether all was well.
set -eu
. "$(dirname "$0")/lib.sh"
usage "${1:-}" "usage: boot.sh [option...] BZIMAGE INITRAMFS

  --run LIST      tests to run, names or globs with commas between (vm/programs);
                  without it: a shell on this terminal. sh:COMMAND is a command for
                  the machine's shell; what it prints is printed, and it must exit 0
  --out DIR       where console.log, results.ktap and monitor sockets go
                  (default: build/boot)
  --append TEXT   more kernel parameters
  --cpu MODEL     QEMU's -cpu (default: max)
  --smp N         processors (default: 4)
  --mem SIZE      memory (default: 4G)
  --nodes LIST    NUMA nodes, a word each with commas between: both, or what it has none
                  of, cpuless or memoryless; what there is is divided equally, a
                  processor socket a node. A number N is N times both (default: none)
  --low SIZE      of the memory, that much below 4 GiB
  --machine TEXT  more QEMU arguments
  --disk SIZE     a disk that is swap space, DIR/disk.img: when the machine goes off in
                  hibernation it is started again, and goes on; it has to do so once
  --one-thread    the processors take turns on one thread of the host (not with KVM):
                  for kernels with static keys, see configs/keys.config
  --icount        one instruction is one guest nanosecond, idle processors wait for no
                  clock of the host: with --seed a machine does the same each time,
                  whatever else the host does (one thread)
  --seed N        where the machine's random numbers start
  --host PROGRAM  a program of tools/ that looks at the machine from outside, while
                  its counterpart inside tells it what to look at; what it prints
                  is in DIR/host.out
  --monitor       sockets DIR/hmp.sock and DIR/qmp.sock
  --timeout SEC   the machine must be off by then (default: 900)
  --slow N        the tests' time limits times N
  --short         memory is going to be short: what the kernel says of a request that it
                  failed, or of a task that it killed for one, is no report

Exit 0: the machine powered itself off, ran all that it was asked to run, and
its kernel reported nothing. What the tests said is in DIR/results.ktap."

run='' out=$BUILD/boot append='' cpu=max smp=4 mem=4G nodes='' low='' machine='' disk='' icount='' thread=multi seed='' monitor='' host='' timeout=900 slow=1 short=''
while [ $# -gt 0 ]; do
	case $1 in
	--run)		run=$2; shift ;;
	--out)		out=$2; shift ;;
	--append)	append=$2; shift ;;
	--cpu)		cpu=$2; shift ;;
	--smp)		smp=$2; shift ;;
	--mem)		mem=$2; shift ;;
	--nodes)	nodes=$2; shift ;;
	--low)		low=$2; shift ;;
	--machine)	machine=$2; shift ;;
	--disk)		disk=$2; shift ;;
	--host)		host=$2; shift ;;
	--timeout)	timeout=$2; shift ;;
	--slow)		slow=$2; shift ;;
	--short)	short=1 ;;
	--icount)	icount=1 ;;
	--one-thread)	thread=single ;;
	--seed)		seed=$2; shift ;;
	--monitor)	monitor=1 ;;
	-*)		die "unknown option $1 (--help)" ;;
	*)		break ;;
	esac
	shift
done
[ $# -eq 2 ] || die "usage: boot.sh [option...] BZIMAGE INITRAMFS (--help)"
image=$1 initrd=$2
need_tool qemu-system-x86_64
[ -f "$image" ] || die "no kernel at $image"
[ -f "$initrd" ] || die "no initramfs at $initrd"
mkdir -p "$out"
out=$(cd "$out" && pwd -P)
console=$out/console.log results=$out/results.ktap pidfile=$out/qemu.pid

# A machine that an interrupted run left behind here.
if [ -f "$pidfile" ]; then
	old=$(cat "$pidfile")
	if tr '\0' ' ' <"/proc/$old/cmdline" 2>/dev/null | grep -qF "qemu-system-x86_64" &&
	   tr '\0' ' ' <"/proc/$old/cmdline" | grep -qF "$pidfile"; then
		kill "$old" 2>/dev/null || :
	fi
	rm -f "$pidfile"
fi
rm -f "$console" "$results" "$out/hmp.sock" "$out/qmp.sock"

# A word of the kernel's command line cannot be a command: it comes with the initramfs.
command=
case $run in
sh:*)
	need_tool cpio gzip
	command=${run#sh:}
	rm -rf "$out/command"
	mkdir -p "$out/command/etc"
	printf '%s\n' "$command" >"$out/command/etc/command"
	archive "$out/command" "$out/command.cpio.gz"
	cat "$initrd" "$out/command.cpio.gz" >"$out/command/initramfs"
	initrd=$out/command/initramfs run=command ;;
esac

# A /dev/kvm alone proves nothing: it may belong to a hypervisor that cannot
# run this kernel. The processor has to say that it can.
if [ -n "$icount" ]; then
	accel='-accel tcg,thread=single -icount shift=0,sleep=off -rtc base=2000-01-01,clock=vm'
elif grep -qwE 'vmx|svm' /proc/cpuinfo && [ -w /dev/kvm ]; then
	accel='-accel kvm'
else
	accel="-accel tcg,thread=$thread"
fi

# The emulation's time stamp counter is the host's: how fast is it?
tsc_khz()
{
	bin=$(tool tsckhz) && "$bin"
}

# The nodes that have processors, and those that have memory
with_cpus='' with_memory=''
if [ -n "$nodes" ]; then
	case $nodes in
	*[!0-9]*) nodes=$(printf '%s' "$nodes" | tr ',' ' ') ;;
	*)	nodes=$(for _ in $(seq "$nodes"); do printf 'both '; done) ;;
	esac
	words() { for w_ in $nodes; do [ "$w_" = "$1" ] || printf '%s\n' "$w_"; done | wc -l; }
	with_cpus=$(words cpuless) with_memory=$(words memoryless)
fi

# On a busy host the emulated timers are late, and a kernel that measures one
# clock with another may wait for ever while it starts: so tell it.
params="console=ttyS0 earlyprintk=serial,ttyS0,115200 panic=-1 no_timer_check tsc=reliable lpj=40000000"
# Where tests have more time, a task that is ready to run may have to wait for longer, too.
[ "$slow" -eq 1 ] || params="$params rcupdate.rcu_cpu_stall_timeout=$((21 * slow < 300 ? 21 * slow : 300))"
case $accel in
*multi|*single)	khz=$(tsc_khz) && params="$params tsc_early_khz=$khz" ;;
esac
set -- -nodefaults -no-user-config -display none -no-reboot \
	-machine "q35${low:+,max-ram-below-4g=$low}" -cpu "$cpu" -smp "$smp${with_cpus:+,sockets=$with_cpus}" \
	-m "$mem" -pidfile "$pidfile" \
	-kernel "$image" -initrd "$initrd"
[ -z "$seed" ] || set -- "$@" -seed "$seed"
if [ -n "$nodes" ]; then
	case $mem in
	*G)	mib=$((${mem%G} * 1024)) ;;
	*)	mib=${mem%M} ;;
	esac
	node=0 cpu_node=0
	for what in $nodes; do
		numa="node,nodeid=$node"
		if [ "$what" != memoryless ]; then
			set -- "$@" -object "memory-backend-ram,id=m$node,size=$((mib / with_memory))M"
			numa=$numa,memdev=m$node
		fi
		if [ "$what" != cpuless ]; then
			numa=$numa,cpus=$((cpu_node * smp / with_cpus))-$(((cpu_node + 1) * smp / with_cpus - 1))
			cpu_node=$((cpu_node + 1))
		fi
		set -- "$@" -numa "$numa"
		node=$((node + 1))
	done
fi
if [ -n "$disk" ]; then
	PATH=$PATH:/usr/sbin:/sbin
	need_tool mkswap
	image_file=$out/disk.img
	rm -f "$image_file"
	truncate -s "$disk" "$image_file"
	mkswap "$image_file" >"$out/mkswap.log" 2>&1 || { cat "$out/mkswap.log" >&2; die "mkswap failed"; }
	set -- "$@" -drive "file=$image_file,format=raw,if=none,id=disk,cache=unsafe" -device virtio-blk-pci,drive=disk
	params="$params resume=/dev/vda"
fi
# What the kernel writes into the header of its swap space
hibernated() { [ -n "$disk" ] && [ "$(dd if="$image_file" bs=1 skip=4086 count=9 2>/dev/null)" = S1SUSPEND ]; }
[ -z "$monitor" ] ||
	set -- "$@" -chardev "socket,id=hmp,path=$out/hmp.sock,server=on,wait=off" -mon chardev=hmp,mode=readline \
		-qmp "unix:$out/qmp.sock,server=on,wait=off"

# A socket's name has 107 bytes at most, so that a long path to build/ needs a
# short one.
if [ -n "$host" ]; then
	host_bin=$(tool "$host") || die "tools/$host does not build"
	sockets=$(mktemp -d /tmp/boot.XXXXXX)
	trap 'rm -rf "$sockets"' EXIT
	trap 'exit 130' INT TERM HUP
	set -- "$@" -qmp "unix:$sockets/qmp,server=on,wait=off" \
		-chardev "socket,id=host,path=$sockets/serial,server=on,wait=off" -device pci-serial,chardev=host
fi

if [ -z "$run" ]; then
	[ -z "$host" ] || die "--host needs --run"
	# shellcheck disable=SC2086
	exec qemu-system-x86_64 $accel "$@" $machine -serial mon:stdio \
		-append "$params quiet vm.run=shell $append"
fi

qemu()
{
	# shellcheck disable=SC2086
	exec qemu-system-x86_64 $accel "$@" $machine \
		-chardev "file,id=console,path=$console,append=on" -serial chardev:console \
		-chardev "file,id=results,path=$results,append=on" -serial chardev:results \
		-append "$params vm.run=$run vm.results=ttyS1 vm.slow=$slow $append" \
		</dev/null >"$out/qemu.log" 2>&1
}
qemu "$@" &
pid=$! host_pid='' starts=1
trap 'kill $pid $host_pid 2>/dev/null || :; rm -f "$pidfile"; rm -rf "${sockets:-}"' EXIT
trap 'exit 130' INT TERM HUP
if [ -n "$host" ]; then
	"$host_bin" "$sockets/qmp" "$sockets/serial" "$sockets" >"$out/host.out" 2>"$out/host.log" &
	host_pid=$!
fi

# What fails a run, whatever its tests say.
trouble='WARNING:|BUG:|Oops|Kernel panic|Bad page state|possible (circular|recursive|irq lock|deadlock)|inconsistent lock state|INFO: (task .* blocked|rcu.*stall|trying to register)|suspicious RCU usage|Call Trace:'

start=$(date +%s)
late=
begin=$((300 * slow))
[ "$begin" -lt "$timeout" ] || begin=$timeout
while :; do
	if ! kill -0 "$pid" 2>/dev/null; then
		if [ "$starts" -ge 10 ] || ! hibernated; then break; fi
		starts=$((starts + 1))
		qemu "$@" &
		pid=$!
	fi
	elapsed=$(($(date +%s) - start))
	# A machine that hangs while it starts need not be waited for so long.
	if [ "$elapsed" -ge "$begin" ] && ! grep -q 'Run /init' "$console"; then timeout=$begin; fi
	if [ "$elapsed" -ge "$timeout" ]; then
		late=1
		kill "$pid" 2>/dev/null || :
		break
	fi
	sleep 0.3
done
rc=0
wait "$pid" || rc=$?
host_rc=0
[ -z "$host_pid" ] || wait "$host_pid" || host_rc=$?
rm -f "$pidfile"
rm -rf "${sockets:-}"
trap - EXIT
touch "$console" "$results"
# Serial consoles end lines with CR LF.
sed -i 's/\r//g' "$console"

# What the kernel said. Where memory is to be short, a request that failed, or that had a task
# killed, is left out with its trace: the first lines tell whose it was, the trace where.
said()
{
	if [ -z "$short" ]; then cat "$console"; return; fi
	awk '/page allocation (failure|stall)| invoked oom-killer: / { n = NR } !(/Call Trace:/ && n && NR - n < 12)' "$console"
}

report()
{
	note "$1"
	shift
	"$@" | sed 's/^/    /' >&2
	note "    log: $console"
	exit 1
}
said >"$out/said"
if grep -qE "$trouble" "$out/said"; then
	report "the kernel reported:" awk -v re="$trouble" '$0 ~ re && !n { n = NR } n && NR < n + 25' "$out/said"
fi
rm "$out/said"
[ -z "$command" ] || sed -n '/^# command: /,/^\(not \)\{0,1\}ok /s/^  //p' "$results"
[ -z "$disk" ] || [ "$starts" -gt 1 ] || report "the machine did not hibernate; the last lines:" tail -n 12 "$console"
[ -z "$late" ] || report "no end within $timeout s; the last lines:" tail -n 12 "$console"
[ "$rc" -eq 0 ] || report "QEMU failed ($rc):" tail -n 5 "$out/qemu.log"
[ "$host_rc" -eq 0 ] || report "the look from outside failed:" tail -n 5 "$out/host.log"
grep -q '^# vm: end' "$results" || report "the machine stopped in the middle; the last lines:" tail -n 12 "$console"
[ -z "$command" ] || grep -q '^ok ' "$results" || { note "boot.sh: $(sed -n 's/^not ok 1 //p' "$results")"; exit 1; }
