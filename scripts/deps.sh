#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-only
# Install the Debian packages that the doors need.
set -eu
. "$(dirname "$0")/lib.sh"
usage "${1:-}" "usage: deps.sh [deb | cross | programs | selftests]

Installs what is missing of the Debian packages that the build, the test
machine and the checks need, with apt-get (as root or through sudo); with deb,
cross, programs or selftests, of those too that only 'make deb' and 'make deb-test',
'make cross', 'make secret-programs' and 'make soak', or 'make selftests' need."

# build; tests' headers; test machine; series and checks; report
packages="gcc make flex bison bc libelf-dev libssl-dev xz-utils gzip cpio rsync kmod perl python3 ccache
	libc6-dev libcap-dev libjansson-dev linux-libc-dev uuid-dev
	qemu-system-x86 busybox-static bash-static makedumpfile
	git sparse coccinelle shellcheck python3-sphinx python3-yaml debian-archive-keyring
	gnuplot-nox pahole"

case ${1:-} in
'') ;;
# dpkg-buildpackage and what the packages' rules call; the machine they are installed in
deb)	packages="$packages dpkg-dev debhelper fakeroot libdw-dev lintian mmdebstrap uidmap e2fsprogs" ;;
# compilers for what is not booted
cross)	packages="$packages clang-19 lld-19 llvm-19 gcc-aarch64-linux-gnu gcc-riscv64-linux-gnu" ;;
# what runs in the test machine with its memory secret
programs) packages="$packages sqlite3 openssl xz-utils python3 stress-ng" ;;
# what some of Linux's tests are linked with; 32-bit ones, without gcc-multilib, which
# cannot be beside the compilers of cross
selftests) packages="$packages libnuma-dev liburing-dev libc6-dev-i386 lib32gcc-$(gcc -dumpversion)-dev" ;;
*)	die "no such set of packages: $1 (--help)" ;;
esac

command -v dpkg-query >/dev/null 2>&1 || die "this is not a Debian machine; it needs: $packages"
missing=
for p in $packages; do
	case $(dpkg-query -W -f '${Status}' "$p" 2>/dev/null) in
	*' installed') ;;
	*)	missing="$missing $p" ;;
	esac
done
[ -n "$missing" ] || exit 0

sudo=
if [ "$(id -u)" -ne 0 ]; then
	command -v sudo >/dev/null 2>&1 || die "not root and no sudo; install:$missing"
	sudo=sudo
fi
note "deps: installing$missing"
mkdir -p "$BUILD"
# A new machine has no package lists.
install()
{
	export DEBIAN_FRONTEND=noninteractive
	# shellcheck disable=SC2086
	$sudo apt-get -q install -y --no-install-recommends $missing ||
		{ $sudo apt-get -q update && $sudo apt-get -q install -y --no-install-recommends $missing; }
}
step "deps: apt-get install" "$BUILD/deps.log" install || {
	grep -m 3 -E '^E:' "$BUILD/deps.log" >&2 || :
	die "apt-get could not install them (no network?); log: $BUILD/deps.log"
}
