#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-only
# Get the pinned Linux source: build/source/linux, pristine.
set -eu
. "$(dirname "$0")/lib.sh"
usage "${1:-}" "usage: source.sh

Makes build/source/linux a pristine tree of the Linux that kernel.version pins,
from Debian's package linux-source on the mirror that this machine's apt uses.
apt's state is kept under build/apt; nothing of the machine's own is changed.
LINUX_SRC=<directory or tarball> is used instead where it is set."

version=$(cat "$TOP/kernel.version")
series=${version%.*}
dir=$BUILD/source
mkdir -p "$dir"

# take ID COMMAND...: fill a temporary directory with a tree, then rename: a
# half-unpacked tree is never in place.
take()
{
	id=$1
	shift
	tmp=$dir/unpacking
	rm -rf "$tmp"
	mkdir -p "$tmp"
	step "source: unpack $id" "$dir/unpack.log" "$@" "$tmp" || {
		rm -rf "$tmp"
		tail -n 3 "$dir/unpack.log" >&2
		die "cannot unpack $id"
	}
	# A tarball has one directory in it.
	top=$tmp
	[ -f "$tmp/Kbuild" ] || top=$(find "$tmp" -maxdepth 2 -name Kbuild -printf '%h\n' | head -n 1)
	[ -n "$top" ] && [ -f "$top/Kbuild" ] || { rm -rf "$tmp"; die "$id holds no Linux tree"; }
	rm -rf "$dir/linux"
	mv "$top" "$dir/linux"
	rm -rf "$tmp"
	printf '%s\n' "$id" >"$dir/id"
}
untar()	{ tar -xf "$1" -C "$2"; }
copy()	{ tar -C "$1" --exclude=.git -cf - . | tar -xf - -C "$2"; }

have=$(cat "$dir/id" 2>/dev/null || :)
[ -f "$dir/linux/Kbuild" ] || have=

if [ -n "${LINUX_SRC:-}" ]; then
	[ -e "$LINUX_SRC" ] || die "LINUX_SRC: there is no $LINUX_SRC"
	src=$(cd "$(dirname "$LINUX_SRC")" && pwd -P)/$(basename "$LINUX_SRC")
	# Another source, or the same one changed, is a new tree.
	if [ -d "$src" ]; then
		[ -f "$src/Kbuild" ] || die "LINUX_SRC: $src is not a Linux tree"
		id="$src $(git -C "$src" rev-parse HEAD 2>/dev/null || stat -c %Y "$src/Makefile")"
	else
		id="$src $(stat -c '%s %Y' "$src")"
	fi
	[ "$have" != "$id" ] || exit 0
	need_space "$dir" 4000
	if [ -d "$src" ]; then take "$id" copy "$src"; else take "$id" untar "$src"; fi
	exit 0
fi

case $have in
"linux-source-$series $version-"*) exit 0 ;;
esac

need_tool apt-get dpkg-deb xz
need_space "$dir" 4000
apt=$BUILD/apt
mkdir -p "$apt/state/lists/partial" "$apt/cache/archives/partial" "$apt/download"
[ -f "$apt/status" ] || : >"$apt/status"

mirror=$(debian_mirror)
keyring=/usr/share/keyrings/debian-archive-keyring.gpg
[ -f "$keyring" ] || die "no $keyring: install debian-archive-keyring"
{
	echo "deb [signed-by=$keyring] $mirror trixie-backports main"
	echo "deb [signed-by=$keyring] $mirror sid main"
} >"$apt/sources.list"

# apt.conf of the machine (proxies) still holds; only places are ours. The mirror may
# be a snapshot, or behind: what is wanted is a version that is pinned, and signed.
private()
{
	"$@" -o Dir::State="$apt/state" -o Dir::State::status="$apt/status" \
		-o Dir::State::lists="$apt/state/lists" -o Dir::Cache="$apt/cache" \
		-o Dir::Etc::sourcelist="$apt/sources.list" -o Dir::Etc::sourceparts=/dev/null \
		-o Dir::Etc::preferences=/dev/null -o Dir::Etc::preferencesparts=/dev/null \
		-o APT::Sandbox::User=root -o APT::Get::List-Cleanup=1 -o APT::Architecture=amd64 \
		-o APT::Architectures::=amd64 -o Acquire::Retries=3 \
		-o Acquire::Check-Valid-Until=false
}
update() { private apt-get -q -o APT::Update::Error-Mode=any update; }
step "source: package lists of $mirror" "$apt/update.log" update || {
	grep -m 2 -E '^(E|W|Err)' "$apt/update.log" >&2 || :
	die "cannot read the package lists of $mirror: is there a network? (or set LINUX_SRC)"
}

# The pinned point release, from backports before sid; else the newest there is.
madison()
{
	private apt-cache madison "linux-source-$series" | tr -d ' ' | awk -F'|' '{ print $2, $3 }'
}
pick=$(madison | awk -v v="$version-" 'index($1, v) == 1 { print; exit }')
if [ -z "$pick" ]; then
	pick=$(madison | grep "^$series\." | sort -V | tail -n 1)
	[ -n "$pick" ] || die "$mirror has no linux-source-$series any more; set LINUX_SRC"
	note "source: Debian no longer has Linux $version; taking ${pick%% *}"
fi
deb_version=${pick%% *}
id="linux-source-$series $deb_version"
[ "$have" != "$id" ] || exit 0

# apt checks what it downloads against the signed lists; what was cut off is
# thrown away and fetched again.
rm -f "$apt/download/"*
download() { cd "$apt/download" && private apt-get -q download "linux-source-$series=$deb_version"; }
step "source: download $id" "$apt/download.log" download || {
	grep -m 2 -E '^(E|W|Err)' "$apt/download.log" >&2 || :
	die "cannot download $id from $mirror"
}
deb=$(find "$apt/download" -name "linux-source-$series*.deb" | head -n 1)
[ -n "$deb" ] || die "apt-get left no package in $apt/download"
undeb()
{
	dpkg-deb --fsys-tarfile "$1" | tar -xOf - "./usr/src/linux-source-$series.tar.xz" | tar -xJf - -C "$2"
}
take "$id" undeb "$deb"
rm -f "$deb"
