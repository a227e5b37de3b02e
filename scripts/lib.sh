# SPDX-License-Identifier: GPL-2.0-only
# shellcheck shell=sh
# Sourced by the other scripts: places, messages, progress, the first error.

TOP=$(cd "$(dirname "$0")/.." && pwd)
BUILD=${BUILD:-$TOP/build}
export BUILD
LC_ALL=C
export LC_ALL

say()	{ printf '%s\n' "$*"; }
note()	{ printf '%s\n' "$*" >&2; }
die()	{ printf '%s: %s\n' "$(basename "$0" .sh)" "$*" >&2; exit 1; }

# usage FIRST-ARG TEXT: --help is the same everywhere
usage()
{
	case ${1:-} in
	-h|--help) printf '%s\n' "$2"; exit 0 ;;
	esac
}

# options NAMES ARGUMENT...: those that come first and begin with --. Of NAMES, one with = takes
# a word, one with # a number; what was said is in variables of these names, 1 for one without.
# The caller drops them: shift "$nr_options".
options()
{
	names_=$1 nr_options=0
	shift
	while [ $# -gt 0 ]; do
		case $1 in -*) ;; *) return 0 ;; esac
		name_=${1#--} value_=1 words_=1
		case $name_ in *[!a-z]*) die "unknown option $1 (--help)" ;; esac
		case " $names_ " in
		*" $name_ "*) ;;
		*" $name_= "*)
			[ $# -ge 2 ] || die "$1 needs an argument (--help)"
			value_=$2 words_=2 ;;
		*" $name_# "*)
			case ${2:-} in ''|*[!0-9]*) die "$1 needs a number, not '${2:-}' (--help)" ;; esac
			value_=$2 words_=2 ;;
		*) die "unknown option $1 (--help)" ;;
		esac
		eval "$name_=\$value_"
		shift "$words_"
		nr_options=$((nr_options + words_))
	done
}

# wanted NAME [NAME-OR-GLOB...]: is it one of these? Everything is where none is given.
wanted()
{
	[ $# -gt 1 ] || return 0
	wanted_=$1
	shift
	for glob_; do
		# shellcheck disable=SC2254
		case $wanted_ in $glob_) return 0 ;; esac
	done
	return 1
}

need_tool()
{
	for t_; do
		command -v "$t_" >/dev/null 2>&1 ||
			die "$t_ is not installed: run 'make deps' (as root, or with sudo)"
	done
}

# tool NAME: the path of a program of tools/, which is built if need be
tool()
{
	(unset MAKEFLAGS MFLAGS MAKELEVEL 2>/dev/null || :
	 make -s -C "$TOP/tools" O="$BUILD/tools" "$BUILD/tools/$1") >&2 || return 1
	say "$BUILD/tools/$1"
}

# need_space DIR MIB
need_space()
{
	have_=$(df -Pk "$1" | awk 'NR == 2 { print int($4 / 1024) }')
	[ "$have_" -ge "$2" ] ||
		die "not enough disk: $2 MiB needed under $1, $have_ MiB free"
}

# The mirror of the machine's own apt, in whatever format its sources are.
debian_mirror()
{
	mirror_=$(apt-get indextargets --format '$(REPO_URI)' 'Created-By: Packages' 2>/dev/null |
		sed 's,/$,,' | grep '/debian$' | sort -u | head -n 1 || :)
	say "${mirror_:-http://deb.debian.org/debian}"
}

hms()	{ printf '%d:%02d' $(($1 / 60)) $(($1 % 60)); }

# watch_log LOG: one short sign of how far a command is, from its log
watch_log()
{
	tail -n 1 "$1" 2>/dev/null | tr -d '\r\033' | cut -c 1-50
}

# step WHAT LOG COMMAND...: run a long command with its output in LOG. On a
# terminal the line lives: what, how far, elapsed. In a log: one line when it
# is done. The exit status is the command's.
step()
{
	what_=$1 log_=$2
	shift 2
	mkdir -p "$(dirname "$log_")"
	start_=$(date +%s)
	"$@" >"$log_" 2>&1 &
	pid_=$!
	# An interrupted step takes its command along.
	trap 'kill $pid_ 2>/dev/null; wait $pid_ 2>/dev/null; exit 130' INT TERM HUP
	if [ -t 2 ]; then
		while kill -0 "$pid_" 2>/dev/null; do
			printf '\r\033[K%s  %s  %s' "$what_" \
				"$(hms $(($(date +%s) - start_)))" \
				"$(watch_log "$log_")" >&2
			sleep 1
		done
		printf '\r\033[K' >&2
	fi
	rc_=0
	wait "$pid_" || rc_=$?
	trap - INT TERM HUP
	if [ "$rc_" -eq 0 ]; then
		note "$what_: done in $(hms $(($(date +%s) - start_)))"
	else
		note "$what_: FAILED after $(hms $(($(date +%s) - start_)))"
	fi
	return "$rc_"
}

# first_error LOG: the first error of a build log, with context
first_error()
{
	awk '/(error:|Error [0-9]|undefined reference|\*\*\*|No space left)/ && !hit { hit = NR }
	     { line[NR] = $0 }
	     END {
		if (!hit) { hit = NR > 3 ? NR - 3 : 1 }
		for (i = hit - 2; i <= hit + 6; i++)
			if (i in line) print "    " line[i]
	     }' "$1" >&2
}

# pack ROOT FILE...: to where they are here, or where their names are links to
pack()
{
	root_=$1
	shift
	for f_; do
		mkdir -p "$root_${f_%/*}"
		[ -e "$root_$f_" ] || cp -L "$f_" "$root_$f_"
	done
}

# pack_with_libraries ROOT PROGRAM...
pack_with_libraries()
{
	to_=$1
	shift
	for b_; do
		pack "$to_" "$b_"
		# shellcheck disable=SC2046
		pack "$to_" $(ldd "$b_" | sed -n -E 's,^.*(=>|^)[[:space:]]+(/[^ ]+) \(0x.*$,\2,p')
	done
}

# chosen NAME: is it one of the names and globs in $tests, or are these none?
chosen()
{
	[ "$tests" ] || return 0
	for glob in $tests; do
		# shellcheck disable=SC2254
		case $1 in $glob) return 0 ;; esac
	done
	return 1
}

# archive ROOT FILE: all that is under ROOT, to be put behind an initramfs
archive() { (cd "$1" && find . | sort | cpio -o -H newc -R 0:0 --quiet | gzip -n -1) >"$2"; }

# boot_behind WHAT OUT KERNEL-DIR ARCHIVE BOOT-OPTION...: boots that kernel with its initramfs
# and the archive behind it
boot_behind()
{
	what__=$1 dir__=$2 kernel__=$3 archive__=$4
	shift 4
	mkdir -p "$dir__"
	cat "$kernel__/initramfs.cpio.gz" "$archive__" >"$dir__/initramfs"
	rc__=0
	step "$what__" "$dir__/boot.log" "$TOP/scripts/boot.sh" --out "$dir__" "$@" \
		"$kernel__/arch/x86/boot/bzImage" "$dir__/initramfs" || rc__=$?
	rm -f "$dir__/initramfs"
	return "$rc__"
}

# boot_packed OUT TEST LINES BOOT-OPTION... -- KERNEL...: boots each kernel with its initramfs
# and OUT/packed.cpio.gz on top, and runs TEST; one that warns of anything panics. Of what
# TEST says the lines that begin with LINES, a regular expression, are printed, and what failed. The last line is "N passed, N failed, N skipped".
boot_packed()
{
	out_=$1 test_=$2 lines_=$3 options_=
	shift 3
	# None of them has a blank in it
	while [ "$1" != -- ]; do options_="$options_ $1"; shift; done
	shift
	passed_=0 failed_=0 skipped_=0
	for k_; do
		dir_=$out_/$k_ rc_=0
		# shellcheck disable=SC2086
		boot_behind "$k_" "$dir_" "$BUILD/kernel-$k_" "$out_/packed.cpio.gz" --run "$test_" $options_ \
			--append "no5lvl panic_on_warn=1" || rc_=$?
		touch "$dir_/results.ktap"
		sed -n -E "s/^ *(# )?($lines_.*)/$k_: \2/p" "$dir_/results.ktap"
		awk -f "$TOP/scripts/count.awk" "$dir_/results.ktap" >"$dir_/counts"
		sed '$d' "$dir_/counts"
		read -r p_ f_ s_ <<EOF
$(tail -n 1 "$dir_/counts")
EOF
		# What the kernel itself reported is a failure of its own.
		[ "$rc_" -eq 0 ] || { f_=$((f_ + 1)); cat "$dir_/boot.log"; }
		[ "$f_" -eq 0 ] || say "$k_: logs: $dir_"
		passed_=$((passed_ + p_)) failed_=$((failed_ + f_)) skipped_=$((skipped_ + s_))
	done
	say "$passed_ passed, $failed_ failed, $skipped_ skipped"
	[ "$failed_" -eq 0 ]
}
