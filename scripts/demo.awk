# SPDX-License-Identifier: GPL-2.0-only
# Turns the figures of scripts/demo.sh into the report, and judges each claim.
#
# KERNEL normal|countN KIND life N fault|free pages N ns N COUNTER DELTA...
# KERNEL normal|countN warm N
# KERNEL proof ...
#
# Variables: runs, the number of count1, count2...; limit_both and limit_fault.

$2 == "proof" {
	for (i = 4; i < NF; i += 2)
		proof[$1, $3, i == 4 || $i != "elsewhere" ? $i : $(i - 2) "-elsewhere"] = $(i + 1)
	next
}
$3 == "cpus" { cpus[$1] = $4; next }
$3 == "warm" { is_warm[$1, $2] = $4; next }
$4 == "life" {
	for (i = 7; i < NF; i += 2) {
		v[$1, $2, $3, $5, $6, $i] = $(i + 1)
		has[$1, $i] = 1
	}
	if ($3 == "secret" && $5 > last[$1, $2])
		last[$1, $2] = $5
}

function get(k, mode, kind, life, what, key) { return v[k, mode, kind, life, what, key] + 0 }
# A life's both halves
function whole(k, mode, kind, life, key)
{
	return get(k, mode, kind, life, "fault", key) + get(k, mode, kind, life, "free", key)
}
# The life in a warm pool: the first one, of those after the first, during which no block
# was unmapped. Of an ordinary memfd, and of any memory on stock, that is the second.
function warm(k, mode, kind) { return kind == "memfd" ? 2 : last[k, mode] }
# Instructions a page; life: 1, or "warm"
function counted(k, run, kind, life, what,    mode)
{
	mode = "count" run
	if (life == "warm")
		life = warm(k, mode, kind)
	return (what == "both" ? whole(k, mode, kind, life, "ns") : get(k, mode, kind, life, what, "ns")) / 16384
}
# To an ordinary memfd on the same kernel
function ratio(run, life, what)
{
	return counted("this", run, "secret", life, what) / counted("this", run, "memfd", life, what)
}
# or on stock, whichever is less
function strict(run, life, what,    here, there)
{
	here = counted("this", run, "memfd", life, what)
	there = counted("stock", run, "memfd", life, what)
	return counted("this", run, "secret", life, what) / (here < there ? here : there)
}
# Sets low, middle and high: of "ratio", of "strict", or of a kernel's instructions
function spread(k, kind, life, what,    i, j, x, list)
{
	for (i = 1; i <= runs; i++) {
		x = k == "ratio" ? ratio(i, life, what) : k == "strict" ? strict(i, life, what) : \
			counted(k, i, kind, life, what)
		for (j = i; j > 1 && list[j - 1] > x; j--)
			list[j] = list[j - 1]
		list[j] = x
	}
	low = list[1]
	high = list[runs]
	middle = runs % 2 ? list[(runs + 1) / 2] : (list[runs / 2] + list[runs / 2 + 1]) / 2
}
function cell(which, k, kind, life, what,    f)
{
	spread(k, kind, life, what)
	f = k == "ratio" ? "%.2fx" : "%.0f"
	return which == "middle" ? sprintf(f, middle) : sprintf(f "-" f, low, high)
}
function counts(text, which, life, what)
{
	printf "  %-22s %12s %12s %12s %12s %12s\n", text, \
	       cell(which, "stock", "memfd", life, what), cell(which, "stock", "secret", life, what), \
	       cell(which, "this", "memfd", life, what), cell(which, "this", "secret", life, what), \
	       cell(which, "ratio", "", life, what)
}
# A flush of a large range adds one for each CPU to "received", a flush of one
# page one for each CPU to "one". Less than all CPUs is somebody else's.
function flushes(k, life)
{
	return int((get(k, "normal", "secret", life, "fault", "received") + \
		    get(k, "normal", "secret", life, "free", "received") + \
		    get(k, "normal", "secret", life, "fault", "one")) / cpus[k])
}
# Of all lives
function lives(k, mode, key,    life, sum)
{
	for (life = 1; life <= last[k, mode]; life++)
		sum += whole(k, mode, "secret", life, key)
	return sum + 0
}
# and of all machines that count
function everywhere(k, key,    i, sum)
{
	sum = lives(k, "normal", key)
	for (i = 1; i <= runs; i++)
		sum += lives(k, "count" i, key)
	return sum
}
function claim(held, text)
{
	printf "  %s  %s\n", held ? "held  " : "FAILED", text
	failed += !held
}
function row(text, a, b) { printf "  %-50s %10s %10s\n", text, a, b }
function n(x) { return sprintf("%.0f", x) }
function times(k, life, what,    t)
{
	t = get(k, "normal", "memfd", life == 1 ? 1 : 2, what, "ns")
	return t ? sprintf("%.2fx", get(k, "normal", "secret", life == 1 ? 1 : warm(k, "normal", "secret"), what, "ns") / t) : "?"
}

END {
	for (i = 0; i <= runs; i++)
		for (j = 1; j <= 2; j++) {
			k = j == 1 ? "stock" : "this"
			mode = i ? "count" i : "normal"
			if (((k, mode, "secret", 2, "free", "ns") in v) && ((k, mode, "memfd", 3, "free", "ns") in v))
				continue
			printf "demo: %s, %s: figures are missing\n", k, mode
			exit 1
		}
	print ""
	print "64 MiB of secret memory (memfd_secret), touched page by page and given back, more than once"
	printf "%d processors; stock is Linux without this work, built with the same configuration\n\n", cpus["this"]
	row("", "stock", "this")
	row("TLB flushes on all processors, first life", n(flushes("stock", 1)), n(flushes("this", 1)))
	row("                              second life", n(flushes("stock", 2)), n(flushes("this", 2)))
	row("processors interrupted by another one, first life", whole("stock", "normal", "secret", 1, "interrupts"), \
	    whole("this", "normal", "secret", 1, "interrupts"))
	row("                                      second life", whole("stock", "normal", "secret", 2, "interrupts"), \
	    whole("this", "normal", "secret", 2, "interrupts"))
	row("2 MiB entries of the direct map split", lives("stock", "normal", "split2m"), lives("this", "normal", "split2m"))
	row("1 GiB entries split", lives("stock", "normal", "split1g"), lives("this", "normal", "split1g"))
	row("direct map newly in 4 KiB pieces, KiB", lives("stock", "normal", "map4k"), lives("this", "normal", "map4k"))
	print ""
	printf "  instructions a page (memfd: ordinary memory, on this kernel), median of %d machines\n", runs
	printf "  %-22s %12s %12s %12s %12s %12s\n", "", "stock memfd", "stock", "memfd", "this", "to memfd"
	for (i = 1; i <= 2; i++) {
		life = i == 1 ? 1 : "warm"
		counts((i == 1 ? "first life, " : "warm pool,  ") "fault", "middle", life, "fault")
		counts("            free", "middle", life, "free")
		counts("            both", "middle", life, "both")
		counts("   least to most", "range", life, "both")
	}
	print ""
	row("time, to that of an ordinary memfd", "stock", "this")
	for (life = 1; life <= 2; life++)
		for (i = 1; i <= 2; i++) {
			w = i == 1 ? "fault" : "free"
			row("  " (life == 1 ? "first life, " : "warm pool, ") w,
			    times("stock", life, w), times("this", life, w))
		}
	print ""
	print "  seen from outside, by the machine's monitor"
	row("", "stock", "this")
	row("secret pages x processors", proof["stock", "pages", "secret"] * cpus["stock"], proof["this", "pages", "secret"] * cpus["this"])
	row("  that the direct map translates", proof["stock", "translations", "secret"], proof["this", "translations", "secret"])
	row("ordinary pages x processors", proof["stock", "pages", "control"] * cpus["stock"], proof["this", "pages", "control"] * cpus["this"])
	row("  that the direct map translates", proof["stock", "translations", "right"], proof["this", "translations", "right"])
	row("secret pages mapped anywhere in the kernel's half", proof["stock", "mapped", "secret"], proof["this", "mapped", "secret"])
	row("memory searched for the secret, MiB", proof["stock", "live", "dump-mib"], proof["this", "live", "dump-mib"])
	row("  pages that have it while it is in use", proof["stock", "live", "secret"] + proof["stock", "live", "secret-elsewhere"], \
	    proof["this", "live", "secret"] + proof["this", "live", "secret-elsewhere"])
	row("  pages that have it after it was given back", proof["stock", "freed", "secret"] + proof["stock", "freed", "secret-elsewhere"], \
	    proof["this", "freed", "secret"] + proof["this", "freed", "secret-elsewhere"])
	print ""

	k = "this"
	print "What was claimed"
	on = has[k, "flipped"]
	blocks = least = ""
	for (i = 0; i <= runs; i++) {
		mode = i ? "count" i : "normal"
		flipped = get(k, mode, "secret", 1, "fault", "flipped")
		zeroed = whole(k, mode, "secret", warm(k, mode, "secret"), "zeroed")
		if (!flipped || zeroed < 16384)
			on = 0
		blocks = blocks (i ? ", " : "") flipped
		if (least == "" || zeroed < least)
			least = zeroed
	}
	claim(on, sprintf("the feature was on: %s blocks unmapped, %d pages and more zeroed when given back", blocks, least))
	idle = 1
	which = ""
	for (i = 1; i <= runs; i++) {
		mode = "count" i
		life = warm(k, mode, "secret")
		if (is_warm[k, mode] != life)
			idle = 0
		which = which (i > 1 ? ", " : "") life
	}
	claim(idle, sprintf("the pool was warm where that is said: no block was unmapped in life %s", which))
	claim(!(("stock", "flipped") in has), "and stock does not have it")
	limit = 32 + whole(k, "normal", "secret", 1, "split1g")
	claim(flushes(k, 1) <= limit,
	      sprintf("64 MiB cost %s flushes on all processors (at most %d)", n(flushes(k, 1)), limit))
	claim(everywhere(k, "split2m") == 0, "no 2 MiB entry of the direct map was split")
	claim(everywhere(k, "map4k") == 0, "0 KiB of the direct map went to 4 KiB pieces")
	spread("strict", "", "warm", "both")
	claim(high <= limit_both, sprintf("warm pool, fault and free: %.3fx to %.3fx an ordinary memfd's instructions, here or on stock (at most %.2fx)", low, high, limit_both))
	spread("strict", "", "warm", "fault")
	claim(high <= limit_fault, sprintf("warm pool, the fault alone: %.3fx to %.3fx (at most %.2fx)", low, high, limit_fault))
	for (i = 1; i <= 2; i++) {
		k = i == 1 ? "stock" : "this"
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
