# SPDX-License-Identifier: GPL-2.0-only
# bench/atomic-load: what the two machines printed, side by side, judged.

FNR == 1 { m = ++machines }

# NAME=NUMBER of this line; what is not there is no number
function value(name,    i)
{
	for (i = 1; i <= NF; i++)
		if (index($i, name "=") == 1)
			return substr($i, length(name) + 2) + 0
	missing[m] = missing[m] " " name
	return 0
}

$1 == "before" {
	flips0[m] = value("flips")
	kib4k0[m] = value("direct_map_4k")
	begun[m]++
}
$1 == "round" && $3 == "secret" {
	r = $2
	rounds[m]++
	wanted[m, r] = value("wanted")
	had[m, r] = value("had")
	memory[m] = value("memory")
	fill_s[m, r] = value("seconds")
}
$1 == "round" && $3 == "hold" {
	churned[m, r] = value("churned")
	least[m, r] = value("least_free")
	queued[m, r] = value("queued")
	hold_s[m, r] = value("seconds")
}
$1 == "round" && $3 == "state" {
	unmapped[m, r] = value("unmapped")
	kib4k[m, r] = value("direct_map_4k")
}
$1 == "round" && $3 ~ /^attempts=/ { made[m, r] = value("attempts") }
$1 == "fill" || $1 == "hold" || $1 == "free" {
	o = value("order")
	part_f[m, $1] += value("failures")
}
$1 == "total" {
	o = value("order")
	a[m, o] = value("attempts")
	f[m, o] = value("failures")
	all_a[m] += a[m, o]
	all_f[m] += f[m, o]
	orders[m]++
}
$1 == "after" {
	flips[m] = value("flips") - flips0[m]
	killed[m] = value("killed")
	ended[m]++
}

function row(what, x, y) { printf "  %-46s %14s %14s\n", what, x, y }

function claim(ok, what)
{
	printf "  %-7s %s\n", ok ? "held" : "MISSED", what
	if (!ok)
		bad = 1
}

END {
	for (m = 1; m <= 2; m++)
		if (machines != 2 || !begun[m] || !ended[m] || orders[m] != 4 || !rounds[m] || missing[m] != "") {
			print "atomic-load: results are not complete:" missing[m]
			exit 1
		}
	printf "GFP_ATOMIC pages beside secret memory, %d MiB of memory, 4 processors\n\n", memory[1] / 256
	row("", "stock", "this")
	for (o = 0; o < 4; o++) {
		row("order " o ", attempts", a[1, o], a[2, o])
		row("         failures", f[1, o], f[2, o])
	}
	row("all, attempts", all_a[1], all_a[2])
	row("     failures", all_f[1], all_f[2])
	row("     while memory becomes secret", part_f[1, "fill"], part_f[2, "fill"])
	row("     while it is", part_f[1, "hold"], part_f[2, "hold"])
	row("     while it is given back", part_f[1, "free"], part_f[2, "free"])
	for (r = 1; r <= rounds[1] || r <= rounds[2]; r++) {
		print ""
		row("round " r ", attempts while memory is secret", made[1, r], made[2, r])
		row("  secret pages", had[1, r], had[2, r])
		row("  of all memory", sprintf("%.1f %%", 100 * had[1, r] / memory[1]),
		    sprintf("%.1f %%", 100 * had[2, r] / memory[2]))
		row("  taken in, s", fill_s[1, r], fill_s[2, r])
		row("  kept for, s", hold_s[1, r], hold_s[2, r])
		row("  ordinary pages taken beside it", churned[1, r], churned[2, r])
		row("  least that was free, MiB", int(least[1, r] / 1024), int(least[2, r] / 1024))
		row("  pages in the queues at the end", queued[1, r], queued[2, r])
		row("  pages in unmapped blocks", unmapped[1, r] < 0 ? "-" : unmapped[1, r], unmapped[2, r])
		row("  direct map newly in 4 KiB pieces, KiB", kib4k[1, r] - kib4k0[1], kib4k[2, r] - kib4k0[2])
	}

	print "\nWhat was claimed"
	claim(rounds[1] == rounds[2], "as many rounds on both")
	for (r = 1; r <= rounds[1]; r++) {
		claim(had[1, r] > 0 && had[1, r] >= wanted[1, r] - 16 && had[2, r] >= wanted[2, r] - 16,
		      "round " r ": both had the secret memory that was asked for")
		claim(kib4k[1, r] - kib4k0[1] >= had[1, r] * 4 * 0.9,
		      "round " r ": stock took it out of the direct map page by page")
		claim(unmapped[2, r] >= had[2, r],
		      "round " r ": this had it in unmapped blocks")
		claim(churned[1, r] > 0 && churned[2, r] > 0, "round " r ": ordinary memory came and went beside it")
		claim(made[1, r] > 0 && made[2, r] >= made[1, r], "round " r ": at least as many attempts while memory was secret as on stock")
	}
	claim(unmapped[1, 1] < 0, "stock has no unmapped blocks")
	claim(flips[2] * 512 >= had[2, 1], "blocks were unmapped for it: " flips[2])
	claim(!killed[1] && !killed[2], "nobody was killed")
	for (o = 0; o < 4; o++)
		claim(a[1, o] > 0 && a[2, o] > 0 && f[2, o] <= f[1, o] &&
		      f[2, o] * a[1, o] <= f[1, o] * a[2, o],
		      "order " o ": " f[2, o] " failures, on stock " f[1, o])
	if (bad)
		exit 1
	print "\nevery claim held"
}
