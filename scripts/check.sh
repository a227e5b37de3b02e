#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-only
# Check the series, and the code that it makes.
set -eu
. "$(dirname "$0")/lib.sh"
usage "${1:-}" "usage: check.sh [OPTION of check-code.sh]

Runs check-series.sh and check-code.sh side by side, as each keeps one processor busy
for half of its time. Their --help says what they look at."

# What one says is kept until the other has ended
mkdir -p "$BUILD/check"
"$TOP/scripts/check-code.sh" "$@" >"$BUILD/check/code.txt" &
code=$!
trap 'kill $code 2>/dev/null; exit 130' INT TERM HUP
rc=0
"$TOP/scripts/check-series.sh" || rc=1
wait "$code" || rc=1
trap - INT TERM HUP
cat "$BUILD/check/code.txt"
exit "$rc"
