#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-only
# Build and boot every commit of the series.
set -eu
. "$(dirname "$0")/lib.sh"
usage "${1:-}" "usage: bisect.sh [--all | --record]

Builds configs/bisect.config at each commit of build/linux, oldest first, fails on
a compiler warning that the pristine source does not give, builds the test programs
where the commit touches them, and boots it. It takes an hour or two: trees that
passed are remembered, here (build/bisect/passed) and in the repository
(patches/bisected), by their contents and the configuration, and not built again. The
tree built is a work tree of its own, build/bisect/linux.

  --all		build every commit, whatever has passed before
  --record	build nothing: write patches/bisected, the commits of the series as
		it is now that have passed"

tree=$BUILD/linux
dir=$BUILD/bisect
work=$dir/linux
kdir=$dir/kernel
record=$TOP/patches/bisected
mkdir -p "$dir"
touch "$dir/passed"
seen=$dir/passed recorded=$record
case ${1:-} in
''|--record) ;;
--all)	seen=$dir/passed.now recorded=/dev/null
	: >"$seen" ;;
*)	die "unknown option $1 (--help)" ;;
esac
g() { git -C "$tree" "$@"; }
g worktree prune
[ -d "$work" ] || [ "${1:-}" = --record ] || step "bisect: work tree" "$dir/worktree.log" git -C "$tree" worktree add -q --detach "$work" base

warnings() { grep -E 'warning:' "$1" | sed -E 's/:[0-9]+(:[0-9]+)?:/:/' | sort -u || :; }
try()
{
	git -C "$work" checkout -q --detach "$1" || return 1
	# The whole series has to take the configuration as it is written
	partial=1
	[ "$1" != "$(g rev-parse HEAD)" ] || partial=
	PARTIAL=$partial "$TOP/scripts/kernel.sh" bisect "$work" "$kdir" bzImage
}
config=$(cat "$TOP/configs/base.config" "$TOP/configs/bisect.config" | sha256sum | cut -c 1-16)
# key COMMIT: what was built, whatever its message says
key() { printf '%s %s\n' "$(g rev-parse "$1^{tree}")" "$config"; }
passed() { cat "$seen" "$recorded" 2>/dev/null | cut -d ' ' -f 1,2 | grep -qxF "$1"; }

if [ "${1:-}" = --record ]; then
	{
		printf '%s\n' '# SPDX-License-Identifier: GPL-2.0-only' '# What scripts/bisect.sh built and booted: tree, configuration, and what it says' \
			'# there. Written by bisect.sh --record.'
		for c in $(g rev-parse base) $(g rev-list --reverse base..HEAD); do
			k=$(key "$c")
			! passed "$k" || printf '%s %s\n' "$k" "$(g show -s --format=%s "$c")"
		done
	} >"$record.new"
	mv "$record.new" "$record"
	say "bisect: $(grep -vc '^#' "$record") of $(($(g rev-list --count base..HEAD) + 1)) commits have passed: patches/bisected"
	exit 0
fi

n=0
total=$(g rev-list --count base..HEAD)
# The pristine source goes first, to know its warnings.
for c in $(g rev-parse base) $(g rev-list --reverse base..HEAD); do
	subject=$(g show -s --format=%s "$c" | cut -c 1-60)
	k=$(key "$c")
	if ! passed "$k"; then
		try "$c" || die "$n/$total $subject: does not build"
		# Only what this commit rebuilds can warn, and that is what it changes.
		warnings "$kdir.log" >"$dir/warnings"
		if [ "$n" -eq 0 ]; then
			cp "$dir/warnings" "$dir/base-warnings"
		else
			touch "$dir/base-warnings"
			new=$(comm -23 "$dir/warnings" "$dir/base-warnings")
			[ -z "$new" ] || die "$n/$total $subject: warns: $(printf '%s\n' "$new" | head -n 3)"
		fi
		if [ ! -f "$kdir/initramfs.cpio.gz" ] ||
		   ! git -C "$work" diff --quiet HEAD~1 -- include/uapi tools; then
			"$TOP/scripts/initramfs.sh" "$work" "$kdir"
		fi
		step "bisect: boot" "$dir/boot.log" "$TOP/scripts/boot.sh" --run boot --timeout 300 --out "$dir/boot" \
			"$kdir/arch/x86/boot/bzImage" "$kdir/initramfs.cpio.gz" ||
			{ cat "$dir/boot.log" >&2; die "$n/$total $subject: does not boot"; }
		echo "$k" >>"$seen"
	fi
	say "ok $n/$total $subject"
	n=$((n + 1))
done
