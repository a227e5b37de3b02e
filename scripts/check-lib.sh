# SPDX-License-Identifier: GPL-2.0-only
# shellcheck shell=sh
# Sourced after lib.sh and series.sh by what make check runs: begin, results, end.

tree=$BUILD/linux
g() { git -C "$tree" "$@"; }

# check_begin PART: $out is PART's folder, and empty
check_begin()
{
	part_=$1 passed_=0 failed_=0
	out=$BUILD/check/$1
	rm -rf "$out"
	mkdir -p "$out"
	# Written by who has applied the series: tree.sh, save.sh
	[ "$(series_sum "$TOP/patches" "$TOP/linux") $(g rev-parse HEAD)" = "$(cat "$tree/.git/series-record")" ] ||
		die "build/linux is not what patches/ and linux/ make: 'make save' or 'make tree' first"
}

# result WHAT REPORT: passed when there is nothing to report
result()
{
	if [ -s "$2" ]; then
		failed_=$((failed_ + 1))
		say "not ok  $1"
		head -n 30 "$2" | sed 's/^/    /'
		[ "$(wc -l <"$2")" -le 30 ] || say "    ... the rest: $2"
	else
		passed_=$((passed_ + 1))
		say "ok      $1"
	fi
}

# reasons FILE: the patterns of a list of exceptions
reasons() { sed -e '/^#/d' -e '/^[[:space:]]*$/d' "$1"; }

check_end()
{
	say "check $part_: $passed_ passed, $failed_ failed"
	[ "$failed_" -eq 0 ]
}
