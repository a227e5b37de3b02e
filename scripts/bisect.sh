#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-only
# Build and boot every commit of the series.
set -eu
. "$(dirname "$0")/lib.sh"
usage "${1:-}" "usage: bisect.sh

Builds configs/bisect.config at each commit of build/linux, oldest first, fails on
a compiler warning that the pristine source does not give, builds the test programs
where the commit touches them, and boots it. Commits that passed are remembered
(build/bisect/passed). The tree built is a work tree of its own, build/bisect/linux."

tree=$BUILD/linux
dir=$BUILD/bisect
work=$dir/linux
kdir=$dir/kernel
mkdir -p "$dir"
touch "$dir/passed"
g() { git -C "$tree" "$@"; }
g worktree prune
[ -d "$work" ] || step "bisect: work tree" "$dir/worktree.log" git -C "$tree" worktree add -q --detach "$work" base

warnings() { grep -E 'warning:' "$1" | sed -E 's/:[0-9]+(:[0-9]+)?:/:/' | sort -u || :; }
try()
{
	git -C "$work" checkout -q --detach "$1" || return 1
	"$TOP/scripts/kernel.sh" bisect "$work" "$kdir" bzImage
}
n=0
total=$(g rev-list --count base..HEAD)
# The pristine source goes first, to know its warnings.
for c in $(g rev-parse base) $(g rev-list --reverse base..HEAD); do
	subject=$(g show -s --format=%s "$c" | cut -c 1-60)
	t=$(g rev-parse "$c^{tree}")
	key="$t $(cat "$TOP/configs/base.config" "$TOP/configs/bisect.config" | sha256sum | cut -c 1-16)"
	if ! grep -qxF "$key" "$dir/passed"; then
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
		echo "$key" >>"$dir/passed"
	fi
	say "ok $n/$total $subject"
	n=$((n + 1))
done
