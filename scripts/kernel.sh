#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-only
# Build one test kernel out of a source tree.
set -eu
. "$(dirname "$0")/lib.sh"
usage "${1:-}" "usage: kernel.sh CONFIG TREE OUTDIR [MAKE-TARGET...]

Builds TREE with configs/base.config and CONFIG's fragment into OUTDIR
(stock has release's). deb, the kernel of 'make deb', is x86_64_defconfig and its
fragment. Without a target: bzImage and modules. The log is OUTDIR.log.
JOBS=N sets the number of jobs. PARTIAL=1: the tree is a part of a series, in which
what a symbol needs may come later: it is passed over if it is not as written."
[ $# -ge 3 ] || die "usage: kernel.sh CONFIG TREE OUTDIR (--help)"
config=$1 tree=$2 out=$3
shift 3

defconfig=tinyconfig base=$TOP/configs/base.config
case $config in
stock)	fragment=release ;;
*-stock) fragment=${config%-stock} ;;
deb)	fragment=deb defconfig=x86_64_defconfig base= ;;
*)	fragment=$config ;;
esac
[ -f "$TOP/configs/$fragment.config" ] ||
	die "no such kernel: $config (configs/ has: $(cd "$TOP/configs" && ls ./*.config |
		sed 's,^./,,; s,\.config$,,' | grep -v '^base$' | tr '\n' ' ')stock)"
[ -f "$tree/Kbuild" ] || die "$tree is not a Linux tree"
need_tool make gcc flex bison bc
mkdir -p "$out"
tree=$(cd "$tree" && pwd -P) out=$(cd "$out" && pwd -P)
log=$out.log
# One more than there are processors: each now and then waits for the disk, or for a link
jobs=${JOBS:-$(($(nproc) + 1))}

# Nothing in the image may depend on when, where and by whom it was built:
# then an unchanged file is a cache hit in any tree.
export KBUILD_BUILD_TIMESTAMP="${KBUILD_BUILD_TIMESTAMP:-1970-01-01}" KBUILD_BUILD_USER=unmapped KBUILD_BUILD_HOST=test
export KCONFIG_NOTIMESTAMP=1
unset MAKEFLAGS MFLAGS MAKELEVEL 2>/dev/null || :
cc=gcc
if command -v ccache >/dev/null 2>&1; then
	cc='ccache gcc'
	export CCACHE_DIR="${CCACHE_DIR:-$BUILD/ccache}"
	export CCACHE_NOHASHDIR=1 CCACHE_MAXSIZE="${CCACHE_MAXSIZE:-4G}"
	# Kbuild has the compiler write the list of headers: no run of cpp for it.
	export CCACHE_DEPEND=1 CCACHE_COMPILERCHECK=content CCACHE_BASEDIR="$tree"
fi
# LOCALVERSION: no "+" for a tree with commits of its own.
kmake() { make -C "$tree" O="$out" ARCH=x86_64 CC="$cc" HOSTCC="$cc" LOCALVERSION= "$@"; }

# The fragments in one file. A symbol may come twice: the kernel's own wins.
wanted=$out/.wanted.config
mkdir -p "$out"
# shellcheck disable=SC2086
cat $base "$TOP/configs/$fragment.config" >"$wanted.new"

# olddefconfig only when the fragments or any Kconfig file changed, so that
# an unchanged kernel is a matter of seconds.
stamp=$out/.config.stamp
kconfig_sum()
{
	{ cat "$wanted.new"; cd "$tree" && find . -path ./.git -prune -o -name 'Kconfig*' -type f -print |
		sort | xargs cat; } | sha256sum
}
sum=$(kconfig_sum)
if [ ! -f "$out/.config" ] || [ "$sum" != "$(cat "$stamp" 2>/dev/null)" ]; then
	rm -f "$stamp"
	configure()
	{
		kmake "$defconfig" &&
		"$tree/scripts/kconfig/merge_config.sh" -m -O "$out" "$out/.config" "$wanted.new" &&
		kmake olddefconfig
	}
	configure >"$log" 2>&1 || { first_error "$log"; die "$config: configuration failed; log: $log"; }
	# Every symbol of the fragments must be as written. One that the tree does not
	# know is passed over, but for build/linux: there it is a name that is wrong.
	own=
	[ "$tree" != "$(cd "$BUILD/linux" 2>/dev/null && pwd -P)" ] || own=1
	(cd "$tree" && find . -path ./.git -prune -o -name 'Kconfig*' -type f -print | xargs cat) |
		awk '$1 == "config" || $1 == "menuconfig" { print "CONFIG_" $2 }' | sort -u >"$out/.symbols"
	bad=$(awk -v symbols="$out/.symbols" -v dot="$out/.config" -v own="$own" '
		BEGIN {
			while ((getline s < symbols) > 0) known[s] = 1
			while ((getline l < dot) > 0) {
				if (split(l, a, "=") > 1 && a[1] ~ /^CONFIG_/) set[a[1]] = substr(l, length(a[1]) + 2)
			}
		}
		/^CONFIG_/ { i = index($0, "="); want[substr($0, 1, i - 1)] = substr($0, i + 1) }
		/^# CONFIG_.* is not set/ { want[$2] = "n" }
		END {
			for (s in want) {
				if (!(s in known)) {
					if (own) print s " is in no Kconfig file"
					continue
				}
				is = (s in set) ? set[s] : "n"
				if (is != want[s]) print s " is " is ", not " want[s]
			}
		}' "$wanted.new" | sort)
	if [ -n "$bad" ] && [ -z "${PARTIAL:-}" ]; then
		note "$bad"
		die "$config: the tree's Kconfig did not take the lines above; see $out/.config"
	fi
	mv "$wanted.new" "$wanted"
	printf '%s\n' "$sum" >"$stamp"
else
	rm -f "$wanted.new"
fi

need_space "$out" 1500
[ $# -gt 0 ] || set -- bzImage modules
build() { kmake -j"$jobs" "$@"; }
step "kernel $config: $*" "$log" build "$@" || {
	first_error "$log"
	die "$config: build failed; log: $log"
}
