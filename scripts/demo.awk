# SPDX-License-Identifier: GPL-2.0-only
# Turns the figures of scripts/demo.sh into the report, and judges each claim.
#
# KERNEL normal|icount KIND life N fault|free pages N ns N COUNTER DELTA...
# KERNEL proof ...

$2 == "proof" {
	for (i = 4; i < NF; i += 2)
		proof[$1, $3, i == 4 || $i != "elsewhere" ? $i : $(i - 2) "-elsewhere"] = $(i + 1)
	next
}
$3 == "cpus" { cpus[$1] = $4; next }
$4 == "life" {
	for (i = 7; i < NF; i += 2) {
		v[$1, $2, $3, $5, $6, $i] = $(i + 1)
		has[$1, $i] = 1
	}
	seen++
}

function get(k, mode, kind, life, what, key) { return v[k, mode, kind, life, what, key] + 0 }
# A life's both halves
function whole(k, mode, kind, life, key)
{
	return get(k, mode, kind, life, "fault", key) + get(k, mode, kind, life, "free", key)
}
function instructions(k, kind, life, what)
{
	if (what == "both")
		return whole(k, "icount", kind, life, "ns") / 16384
	return get(k, "icount", kind, life, what, "ns") / 16384
}
# A flush of a large range adds one for each CPU to "received", a flush of one
# page one for each CPU to "one". Less than all CPUs is somebody else's.
function flushes(k, life)
{
	return int((get(k, "normal", "secret", life, "fault", "received") + \
		    get(k, "normal", "secret", life, "free", "received") + \
		    get(k, "normal", "secret", life, "fault", "one")) / cpus[k])
}
function lives(k, mode, key) { return whole(k, mode, "secret", 1, key) + whole(k, mode, "secret", 2, key) }
function claim(held, text)
{
	printf "  %s  %s\n", held ? "held  " : "FAILED", text
	failed += !held
}
function row(text, a, b) { printf "  %-50s %10s %10s\n", text, a, b }
function n(x) { return sprintf("%.0f", x) }
function times(k, kind, life, what,    t)
{
	t = get(k, "normal", "memfd", life, what, "ns")
	return t ? sprintf("%.2fx", get(k, "normal", kind, life, what, "ns") / t) : "?"
}

END {
	if (seen != 40) {
		printf "demo: %d figures where 40 should be\n", seen
		exit 1
	}
	print ""
	print "64 MiB of secret memory (memfd_secret), touched page by page and given back, twice"
	printf "%d processors; stock is Linux without this work, built with the same configuration\n\n", cpus["release"]
	row("", "stock", "this")
	row("TLB flushes on all processors, first life", n(flushes("stock", 1)), n(flushes("release", 1)))
	row("                              second life", n(flushes("stock", 2)), n(flushes("release", 2)))
	row("processors interrupted by another one, first life", whole("stock", "normal", "secret", 1, "interrupts"), \
	    whole("release", "normal", "secret", 1, "interrupts"))
	row("                                      second life", whole("stock", "normal", "secret", 2, "interrupts"), \
	    whole("release", "normal", "secret", 2, "interrupts"))
	row("2 MiB entries of the direct map split", lives("stock", "normal", "split2m"), lives("release", "normal", "split2m"))
	row("1 GiB entries split", lives("stock", "normal", "split1g"), lives("release", "normal", "split1g"))
	row("direct map newly in 4 KiB pieces, KiB", lives("stock", "normal", "map4k"), lives("release", "normal", "map4k"))
	print ""
	print "  instructions a page (memfd: ordinary memory, on this kernel)"
	printf "  %-24s %11s %11s %11s %11s %8s\n", "", "stock memfd", "stock", "memfd", "this", "to memfd"
	for (life = 1; life <= 2; life++)
		for (i = 1; i <= 3; i++) {
			w = i == 1 ? "fault" : i == 2 ? "free" : "both"
			printf "  %-24s %11.0f %11.0f %11.0f %11.0f %7.2fx\n",
			       (i > 1 ? "             " : life == 1 ? "first life,  " : "second life, ") w,
			       instructions("stock", "memfd", life, w), instructions("stock", "secret", life, w),
			       instructions("release", "memfd", life, w), instructions("release", "secret", life, w),
			       instructions("release", "secret", life, w) / instructions("release", "memfd", life, w)
		}
	print ""
	row("time, to that of an ordinary memfd", "stock", "this")
	for (life = 1; life <= 2; life++)
		for (i = 1; i <= 2; i++) {
			w = i == 1 ? "fault" : "free"
			row("  " (life == 1 ? "first life, " : "second life, ") w,
			    times("stock", "secret", life, w), times("release", "secret", life, w))
		}
	print ""
	print "  seen from outside, by the machine's monitor"
	row("", "stock", "this")
	row("secret pages x processors", proof["stock", "pages", "secret"] * cpus["stock"], proof["release", "pages", "secret"] * cpus["release"])
	row("  that the direct map translates", proof["stock", "translations", "secret"], proof["release", "translations", "secret"])
	row("ordinary pages x processors", proof["stock", "pages", "control"] * cpus["stock"], proof["release", "pages", "control"] * cpus["release"])
	row("  that the direct map translates", proof["stock", "translations", "right"], proof["release", "translations", "right"])
	row("secret pages mapped anywhere in the kernel's half", proof["stock", "mapped", "secret"], proof["release", "mapped", "secret"])
	row("memory searched for the secret, MiB", proof["stock", "live", "dump-mib"], proof["release", "live", "dump-mib"])
	row("  pages that have it while it is in use", proof["stock", "live", "secret"] + proof["stock", "live", "secret-elsewhere"], \
	    proof["release", "live", "secret"] + proof["release", "live", "secret-elsewhere"])
	row("  pages that have it after it was given back", proof["stock", "freed", "secret"] + proof["stock", "freed", "secret-elsewhere"], \
	    proof["release", "freed", "secret"] + proof["release", "freed", "secret-elsewhere"])
	print ""

	k = "release"
	print "What was claimed"
	for (i = 1; i <= 2; i++) {
		mode = i == 1 ? "normal" : "icount"
		claim(has[k, "flipped"] && get(k, mode, "secret", 1, "fault", "flipped") > 0 && \
		      whole(k, mode, "secret", 2, "zeroed") >= 16384,
		      sprintf("the feature was on (%s boot): %d blocks unmapped, %d pages zeroed when given back",
			      mode, get(k, mode, "secret", 1, "fault", "flipped"), whole(k, mode, "secret", 2, "zeroed")))
	}
	claim(!(("stock", "flipped") in has), "and stock does not have it")
	limit = 32 + whole(k, "normal", "secret", 1, "split1g")
	claim(flushes(k, 1) <= limit,
	      sprintf("64 MiB cost %s flushes on all processors (at most %d)", n(flushes(k, 1)), limit))
	claim(lives(k, "normal", "split2m") + lives(k, "icount", "split2m") == 0, "no 2 MiB entry of the direct map was split")
	claim(lives(k, "normal", "map4k") == 0 && lives(k, "icount", "map4k") == 0, "0 KiB of the direct map went to 4 KiB pieces")
	both = instructions(k, "secret", 2, "both") / instructions(k, "memfd", 2, "both")
	fault = instructions(k, "secret", 2, "fault") / instructions(k, "memfd", 2, "fault")
	claim(both <= 1.00, sprintf("second life, fault and free: %.2fx an ordinary memfd's instructions (at most 1.00x)", both))
	claim(fault <= 0.60, sprintf("second life, the fault alone: %.2fx (at most 0.60x)", fault))
	for (i = 1; i <= 2; i++) {
		k = i == 1 ? "stock" : "release"
		name = i == 1 ? "stock: " : "this:  "
		p = proof[k, "pages", "secret"]
		c = proof[k, "pages", "control"]
		claim(p == 16384 && proof[k, "pages", "cpus"] == cpus[k] && proof[k, "translations", "secret"] == 0 && \
		      c > 0 && proof[k, "translations", "right"] == c * cpus[k],
		      name "no processor translates the direct-map address of a secret page, each that of an ordinary one")
		claim(proof[k, "mapped", "tables"] > 0 && proof[k, "mapped", "secret"] == 0 && proof[k, "mapped", "control"] == c,
		      name "nor does any other kernel address lead to one")
		claim(proof[k, "live", "secret"] == p && proof[k, "live", "secret-elsewhere"] == 0 && \
		      proof[k, "live", "control"] == c && proof[k, "live", "dump-mib"] >= 4000,
		      name "what was written is in the secret pages and nowhere else")
		claim(proof[k, "freed", "dump-mib"] >= 4000 && proof[k, "freed", "control"] == c && \
		      proof[k, "freed", "secret"] + proof[k, "freed", "secret-elsewhere"] == 0,
		      name "after it was given back, it is nowhere in the machine's memory")
	}
	print ""
	if (failed)
		printf "%d claims FAILED\n", failed
	else
		print "every claim held"
	exit failed != 0
}
