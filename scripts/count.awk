# SPDX-License-Identifier: GPL-2.0-only
# Count what the tests in a results.ktap said: a line for each test that did
# not pass, with what it said last, then "P F S". A test with results of its own counts by those; one
# without counts once, by how it ended. Where there are not as many results as the
# plan says, in the whole or in a test that says it is well, that is a failure too.
function skipped(line) { return line ~ /# *[Ss][Kk][Ii][Pp]/ }
function trim(line) { sub(/^[ #]+/, "", line); return line }
function what(line) { sub(/^ *(not )?ok [0-9]* *(- )?/, "", line); return line }
function planned(line) { sub(/^ *1\.\./, "", line); return line + 0 }
function begin(name) { test = name; sub_seen = sub_bad = sub_plan = sub_cut = said = 0; last = "" }
function bad(line) { fail++; print "  not ok  " line }
# The last lines before a result, where a harness says what it expected
function tell(  i) {
	for (i = said > 8 ? said - 8 : 0; i < said; i++)
		print "          " trim(recent[i])
}

/^  (not )?ok [0-9]+/ {
	sub_seen++
	# ksft_exit_skip() after some results: the rest is not to be waited for.
	if ($0 ~ /^  ok [0-9]+ # SKIP/) sub_cut = 1
	if ($0 ~ /^  not ok/) { sub_bad++; bad(test " " what($0)); tell() }
	else if (skipped($0)) { skip++; print "  skip    " test " " what($0) }
	else pass++
	said = 0
	next
}
/^  1\.\.[0-9]+/ { sub_plan += planned($0); last = $0; next }
/^1\.\.[0-9]+/ { plan = planned($0); has_plan = 1; next }
/^# [^ ]+: / { begin($2); next }
/^  / { if ($0 ~ /[^ ]/) { last = $0; recent[said++] = $0 } next }
/^(not )?ok / {
	seen++
	if ($0 ~ /^not ok/) {
		if (!sub_bad) { bad(what($0)); tell() }
	} else if (sub_plan && !sub_cut && sub_plan != sub_seen && !skipped($0)) {
		bad(test " planned " sub_plan " results and has " sub_seen + 0)
	} else if (!sub_seen) {
		if (skipped($0)) { skip++; print "  skip    " test " " (last != "" ? trim(last) : "no reason given") }
		else pass++
	}
	begin("")
}
END {
	if (!has_plan) bad("the machine did not say what it was going to run")
	else if (!plan) bad("the machine had nothing to run")
	else if (plan != seen) bad("the machine planned " plan " tests, and " seen + 0 " of them ended")
	print pass + 0, fail + 0, skip + 0
}
