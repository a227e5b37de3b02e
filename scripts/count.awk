# SPDX-License-Identifier: GPL-2.0-only
# Count what the tests in a results.ktap said: a line for each test that did
# not pass, then "P F S". A test with results of its own counts by those; one
# without counts once, by how it ended.
function skipped(line) { return line ~ /# *[Ss][Kk][Ii][Pp]/ }
function trim(line) { sub(/^[ #]+/, "", line); return line }
function what(line) { sub(/^ *(not )?ok [0-9]* *(- )?/, "", line); return line }

/^  (not )?ok [0-9]+/ {
	sub_seen++
	if ($0 ~ /^  not ok/) { sub_bad++; fail++; print "  not ok  " test " " what($0) }
	else if (skipped($0)) { skip++; print "  skip    " test " " what($0) }
	else pass++
	next
}
/^# [^ ]+: / { test = $2; sub_seen = sub_bad = 0; last = ""; next }
/^  / { if ($0 ~ /[^ ]/) last = $0; next }
/^(not )?ok / {
	if ($0 ~ /^not ok/) {
		if (!sub_bad) { fail++; print "  not ok  " what($0); if (last != "") print "          last line: " trim(last) }
	} else if (!sub_seen) {
		if (skipped($0)) { skip++; print "  skip    " test " " (last != "" ? trim(last) : "no reason given") }
		else pass++
	}
}
END { print pass + 0, fail + 0, skip + 0 }
