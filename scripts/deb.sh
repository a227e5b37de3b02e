#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-only
# Debian packages of the kernel and of dmapstat.
set -eu
. "$(dirname "$0")/lib.sh"
usage "${1:-}" "usage: deb.sh [TREE]

Makes Debian packages in build/deb: linux-image and linux-headers of the commit
that TREE (default: build/linux) has checked out, with configs/deb.config, by the
kernel's own bindeb-pkg; and dmapstat, by dpkg-buildpackage. Then lists them. The
kernel's are made anew only if the files of that commit, the fragment, the compiler or
this way of building changed, dmapstat's only if tools/dmapstat did; rm -r build/deb
makes all.

The version of the kernel's packages is Linux's, the date and time when they
were made, so that apt takes a later one for an upgrade, and the commit.
DEBFULLNAME and DEBEMAIL name the maintainer, JOBS=N sets the number of jobs."
[ $# -le 1 ] || die "usage: deb.sh [TREE] (--help)"
tree=${1:-$BUILD/linux}
need_tool git dpkg-buildpackage dh fakeroot lintian make gcc xz
commit=$(git -C "$tree" rev-parse -q --verify 'HEAD^{commit}' 2>/dev/null) && [ -f "$tree/Kbuild" ] ||
	die "$tree is not a git tree of Linux: run 'make tree'"

out=$BUILD/deb
mkdir -p "$out"
# Placeholders: whoever uploads a package is its maintainer, and says so.
export DEBFULLNAME="${DEBFULLNAME:-Direct map maintainers}" DEBEMAIL="${DEBEMAIL:-unmapped@localhost}"

# made SUM NAME...: the packages are there and are of this sum
made()
{
	sum_=$1
	shift
	[ "$sum_" = "$(cat "$out/$1.sum" 2>/dev/null)" ] || return 1
	for name_; do
		[ -n "$(find "$out" -maxdepth 1 -name "${name_}[-_]*.deb")" ] || return 1
	done
}

# The commit's files in a directory of their own, as the build takes long and TREE
# is being worked on. Only files that differ are touched, and nothing of TREE is.
checkout()
{
	git_dir=$(git -C "$tree" rev-parse --absolute-git-dir)
	[ -f "$out/linux/Kbuild" ] || rm -rf "$out/linux" "$out/linux.index"
	mkdir -p "$out/linux"
	GIT_INDEX_FILE=$out/linux.index git --git-dir="$git_dir" --work-tree="$out/linux" \
		read-tree -u --reset "$commit"
}

sum=$({
	git -C "$tree" rev-parse "$commit^{tree}"
	gcc --version
	echo "$DEBFULLNAME $DEBEMAIL"
	cat "$TOP/configs/deb.config" "$TOP/scripts/kernel.sh" "$TOP/scripts/deb.sh"
} | sha256sum)
[ -z "$(GIT_OPTIONAL_LOCKS=0 git -C "$tree" status --porcelain | head -n 1)" ] ||
	note "deb: $tree has edits that are in no commit: they are in no package either"
if made "$sum" linux-image linux-headers; then
	note "deb: the kernel's packages are as they were: nothing that they are made of changed"
else
	need_space "$out" 6000
	step "deb: files of $(git -C "$tree" rev-parse --short "$commit")" "$out/linux.log" checkout ||
		{ tail -n 3 "$out/linux.log" >&2; die "cannot check out $commit; log: $out/linux.log"; }
	rm -f "$out"/linux-*
	KDEB_PKGVERSION=$(make -s -C "$out/linux" kernelversion)-$(date -u +%Y%m%d.%H%M)
	KDEB_PKGVERSION=$KDEB_PKGVERSION+g$(git -C "$tree" rev-parse --short "$commit")
	KBUILD_BUILD_TIMESTAMP=$(date -u +%F)
	export KDEB_PKGVERSION KBUILD_BUILD_TIMESTAMP
	# unstable: they are of no release of Debian's.
	export KDEB_SOURCENAME=linux-unmapped KDEB_CHANGELOG_DIST=unstable
	# bindeb-pkg leaves its packages beside the directory that it builds in.
	work=$out/work
	rm -f "$work"/*.deb "$work"/linux-unmapped_*
	"$TOP/scripts/kernel.sh" deb "$out/linux" "$work/kernel" bindeb-pkg
	# linux-libc-dev stays there: it would replace Debian's own, and programs
	# need nothing of it.
	mv "$work"/linux-image-*.deb "$work"/linux-headers-*.deb "$out"
	printf '%s\n' "$sum" >"$out/linux-image.sum"
fi

src=$TOP/tools/dmapstat
# What git ignores or somebody built there is not part of the package.
files() { git -C "$src" ls-files -co --exclude-standard . | sort; }
sum=$(cd "$src" && { files | xargs sha256sum; cat "$TOP/scripts/deb.sh"; } | sha256sum)
if made "$sum" dmapstat; then
	note "deb: dmapstat's package is as it was: its source did not change"
else
	work=$out/dmapstat
	rm -rf "$work" "$out"/dmapstat_* "$out/dmapstat.sum"
	mkdir -p "$work/dmapstat"
	files | tar -C "$src" -cf - -T - | tar -xf - -C "$work/dmapstat"
	package()
	{
		cd "$work/dmapstat"
		unset MAKEFLAGS MFLAGS MAKELEVEL 2>/dev/null || :
		DEB_BUILD_OPTIONS=noautodbgsym dpkg-buildpackage -b -us -uc
	}
	step "dmapstat: dpkg-buildpackage" "$out/dmapstat.log" package ||
		{ first_error "$out/dmapstat.log"; die "dmapstat: no package; log: $out/dmapstat.log"; }
	# A placeholder's address has no host: that one is for whoever uploads it.
	lint()
	{
		lintian --allow-root --fail-on error --suppress-tags bogus-mail-host,bogus-mail-host-in-debian-changelog \
			"$work"/dmapstat_*.changes
	}
	step "dmapstat: lintian" "$out/dmapstat.lintian" lint ||
		{ cat "$out/dmapstat.lintian" >&2; die "dmapstat: lintian found errors"; }
	mv "$work"/*.deb "$out"
	rm -rf "$work"
	printf '%s\n' "$sum" >"$out/dmapstat.sum"
fi

(cd "$out" && du -h --apparent-size ./*.deb | sed "s,\./,$out/,")
