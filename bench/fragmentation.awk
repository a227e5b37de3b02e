# SPDX-License-Identifier: GPL-2.0-only
# Turns the samples of bench/fragmentation into the table (Markdown), judges each
# claim, and writes what is plotted, a file a machine.
#
# -v out=DIR -v names="MACHINE..."; DIR/MACHINE/facts has "KEY VALUE..." lines and
# DIR/MACHINE/samples.csv a column of each name in its first line.

function fact(m, key) { return facts[m, key] }
# The last sample's value: what is counted, is from the start of the load on
function last(m, col) { return v[m, rows[m], col] + 0 }
# Whether a column is there: the kernel has the counter
function has(m, col) { return last(m, col) >= 0 }
function at(m, i, col) { return v[m, i, col] + 0 }

# A flush that all CPUs take part in interrupts all but one. What else was
# interrupted while secret memory was touched and given back is counted in, such
# as the flushes of user pages that were moved to make room for it; and what was
# unmapped in the background, at any time.
function interrupted(m, i) { return (at(m, i, "fault_interrupts") + at(m, i, "free_interrupts")) / (fact(m, "cpus") - 1) }
function ours(m, i,    background)
{
	background = at(m, i, "own_shootdown") - at(m, i, "fault_own") - at(m, i, "free_own")
	return interrupted(m, i) + (background > 0 ? background : 0)
}
# On stock, a page costs a flush of one page, which each CPU counts: and nothing
# that might be somebody else's.
function theirs(m, i,    a, b)
{
	a = at(m, i, "fault_one") / fact(m, "cpus")
	b = interrupted(m, i)
	return a < b ? a : b
}
function shootdowns(m, i) { return has(m, "flip_unmap") ? ours(m, i) : theirs(m, i) }

function hard(m, i)
{
	return at(m, i, "fail_secret") + at(m, i, "fail_anon") + at(m, i, "fail_slab") + \
	       at(m, i, "fail_cache") + at(m, i, "oom_kill")
}
function contiguous(m, i)
{
	return at(m, i, "fail_thp") + at(m, i, "fail_probe_thp") + at(m, i, "fail_probe_order4") + \
	       at(m, i, "fail_probe_order6") + at(m, i, "fail_probe_order9")
}
# 2 MiB blocks that an ordinary caller can have
function blocks(m, i) { return at(m, i, "mapped_blocks") + at(m, i, "whole_unmapped") }
function unmapped(m, i) { return has(m, "flip_unmap") ? at(m, i, "unmapped") / 512 : 0 }
function fill(m, i)
{
	return unmapped(m, i) ? 100 - 100 * at(m, i, "free_unmapped") / at(m, i, "unmapped") : 0
}
# What cannot be reclaimed, of all memory: secret memory is among the file pages
function load(m, i,    pages)
{
	pages = fact(m, "memory") / 4
	return 100 * (pages - at(m, i, "free") - at(m, i, "file") + at(m, i, "secret")) / pages
}
function value(m, i, what)
{
	if (what == "blocks") return blocks(m, i)
	if (what == "fill") return fill(m, i)
	if (what == "load") return load(m, i)
	return at(m, i, what)
}
# Over the rounds in which the machine is full
function mean(m, what,    i, n, sum)
{
	for (i = 1; i <= rows[m]; i++)
		if (full(m, i)) {
			sum += value(m, i, what)
			n++
		}
	return n ? sum / n : 0
}
function least(m, what,    i, x, min, n)
{
	for (i = 1; i <= rows[m]; i++)
		if (full(m, i)) {
			x = value(m, i, what)
			if (!n++ || x < min)
				min = x
		}
	return min
}
function full(m, i) { return at(m, i, "round") >= ramp && at(m, i, "round") < fact(m, "rounds") }

function cell(x, decimals) { return sprintf("%." (decimals + 0) "f", x) }
function row(text, kind, key, decimals,    j, m, c, line)
{
	line = sprintf("| %-58s |", text)
	for (j = 1; j <= nr; j++) {
		m = machine[j]
		if (kind == "last")
			c = has(m, key) ? cell(last(m, key), decimals) : "-"
		else if (kind == "mean")
			c = cell(mean(m, key), decimals)
		else if (kind == "least")
			c = cell(least(m, key), decimals)
		else if (kind == "seconds")
			c = cell(last(m, key) / 1000, 1)
		else if (kind == "fails")
			c = last(m, "fail_" key) " of " last(m, "try_" key)
		else if (kind == "start")
			c = cell(at(m, 1, key) / 1024)
		else if (kind == "end")
			c = cell(last(m, key) / 1024)
		else
			c = given[m]
		line = line sprintf(" %16s |", c)
	}
	print line
}
function heading(text,    j)
{
	for (j = 1; j <= nr; j++)
		given[machine[j]] = ""
	row("**" text "**", "given")
}
function claim(held, text)
{
	printf "- %s  %s\n", held ? "held  " : "FAILED", text
	failed += !held
}
function title(m) { return m == "stock" ? "stock" : nr == 2 ? "release" : m == "pool-on" ? "release, pool on" : "release, pool off" }

BEGIN {
	nr = split(names, machine, " ")
	for (j = 1; j <= nr; j++) {
		m = machine[j]
		file = out "/" m "/facts"
		while ((getline line < file) > 0) {
			split(line, f, " ")
			facts[m, f[1]] = f[2]
		}
		close(file)
		file = out "/" m "/samples.csv"
		columns = 0
		while ((getline line < file) > 0) {
			n = split(line, f, ",")
			if (!columns) {
				columns = n
				for (i = 1; i <= n; i++)
					name[i] = f[i]
				continue
			}
			if (n != columns) {
				print "fragmentation: a torn line in " file >"/dev/stderr"
				exit failed = 1
			}
			rows[m]++
			for (i = 1; i <= n; i++)
				v[m, rows[m], name[i]] = f[i]
		}
		close(file)
	}
	rounds = fact("stock", "rounds")
	ramp = int(rounds / 5) < 4 ? 4 : int(rounds / 5)

	for (j = 1; j <= nr; j++) {
		m = machine[j]
		file = out "/" m ".dat"
		print "# round largest blocks unmapped fill dm4k shootdowns hard contiguous load secret" >file
		for (i = 1; i <= rows[m]; i++)
			if (at(m, i, "round") >= 0 && at(m, i, "round") < rounds)
				print at(m, i, "round") + (part[m, at(m, i, "round")]++ + 1) / 5, at(m, i, "largest"), blocks(m, i), \
				      unmapped(m, i), fill(m, i), at(m, i, "dm4k") / 1024, shootdowns(m, i), hard(m, i), \
				      contiguous(m, i), load(m, i), at(m, i, "secret") / 256 >file
		close(file)
	}

	print "# Fragmentation under a mixed load"
	print ""
	printf "Seed %s, %s rounds, %s processors, %d MiB; stock is Linux without this work, built with the same configuration.\n", \
	       fact("stock", "seed"), rounds, fact("stock", "cpus"), fact("stock", "memory") / 1024
	if (nr == 2)
		print "\nThis kernel has no /proc/sys/vm/no_direct_map_pool_blocks: **there is no column for the pool.**"
	else
		printf "\nvm.no_direct_map_pool_blocks: %s with the pool off, %s with it on.\n", fact("pool-off", "pool"), fact("pool-on", "pool")
	print ""
	line = sprintf("| %-58s |", "")
	rule = "| --- |"
	for (j = 1; j <= nr; j++) {
		line = line sprintf(" %16s |", title(machine[j]))
		rule = rule " ---: |"
	}
	print line
	print rule

	heading("allocations that failed")
	row("secret memory: regions, SIGBUS or ENOMEM", "fails", "secret")
	row("    pages of it that were not had", "last", "secret_missing")
	row("anonymous memory: regions, ENOMEM", "fails", "anon")
	row("kernel memory: system calls, ENOMEM", "fails", "slab")
	row("page cache: reads", "fails", "cache")
	row("tasks killed for want of memory", "last", "oom_kill")
	row("huge pages of the load: small ones instead", "fails", "thp")
	row("probe: huge page, movable", "fails", "probe_thp")
	row("probe: order 4, unmovable", "fails", "probe_order4")
	row("probe: order 6, unmovable", "fails", "probe_order6")
	row("probe: order 9, unmovable", "fails", "probe_order9")

	heading("free memory, while the machine is full")
	row("memory that cannot be reclaimed, % (mean)", "mean", "load", 1)
	row("largest free order for an ordinary caller (mean)", "mean", "largest", 2)
	row("                                          (least)", "least", "largest")
	row("    of mapped memory alone (mean)", "mean", "largest_mapped", 2)
	row("free 2 MiB blocks for an ordinary caller (mean)", "mean", "blocks", 1)
	row("    of these unmapped, and had back by a remap", "mean", "whole_unmapped", 1)
	for (j = 1; j <= nr; j++)
		given[machine[j]] = fact(machine[j], "huge")
	row("when all is given back: huge pages of 1536", "given")

	heading("unmapped blocks, while the machine is full")
	for (j = 1; j <= nr; j++)
		given[machine[j]] = has(machine[j], "flip_unmap") ? cell(mean(machine[j], "unmapped") / 512, 1) : "-"
	row("blocks unmapped (mean)", "given")
	for (j = 1; j <= nr; j++)
		given[machine[j]] = has(machine[j], "flip_unmap") ? cell(mean(machine[j], "fill"), 1) : "-"
	row("    in use of them, % (mean)", "given")
	for (j = 1; j <= nr; j++)
		given[machine[j]] = has(machine[j], "flip_unmap") ? cell(mean(machine[j], "partial_unmapped") / 256, 1) : "-"
	row("    free in partly used ones, MiB (mean)", "given")
	row("blocks unmapped, over the whole run", "last", "flip_unmap")
	row("blocks remapped", "last", "flip_remap")
	row("blocks that could not be unmapped", "last", "flip_fail")

	heading("direct map")
	row("4 KiB entries at the start, MiB", "start", "dm4k")
	row("              at the end, MiB", "end", "dm4k")
	row("2 MiB entries at the start, MiB", "start", "dm2m")
	row("              at the end, MiB", "end", "dm2m")
	row("1 GiB entries at the start, MiB", "start", "dm1g")
	row("              at the end, MiB", "end", "dm1g")
	row("2 MiB entries split", "last", "split2m")
	row("1 GiB entries split", "last", "split1g")

	heading("TLB shootdowns by secret memory")
	row("pages of secret memory, over the whole run", "last", "secret_pages")
	for (j = 1; j <= nr; j++)
		given[machine[j]] = cell(shootdowns(machine[j], rows[machine[j]]))
	row("shootdowns (stock: at least; release: at most)", "given")
	for (j = 1; j <= nr; j++)
		given[machine[j]] = last(machine[j], "fault_interrupts") + last(machine[j], "free_interrupts")
	row("    CPUs interrupted, for whatever reason", "given")
	row("    flushes of one page, each CPU for itself", "last", "fault_one")
	for (j = 1; j <= nr; j++)
		given[machine[j]] = last(machine[j], "fault_received") + last(machine[j], "free_received")
	row("    flushes that a CPU was told to do", "given")
	row("    as the kernel counts them", "last", "own_shootdown")

	heading("reclaim and compaction")
	row("allocations that had to reclaim", "last", "allocstall")
	row("pages scanned by kswapd", "last", "pgscan_kswapd")
	row("pages scanned by allocations", "last", "pgscan_direct")
	row("pages reclaimed by kswapd", "last", "pgsteal_kswapd")
	row("pages reclaimed by allocations", "last", "pgsteal_direct")
	row("allocations that had to compact", "last", "compact_stall")
	row("    and got what they wanted", "last", "compact_success")
	row("kcompactd woken", "last", "compact_wake")
	row("pages scanned to be moved", "last", "compact_migrate")
	row("pages scanned to be moved to", "last", "compact_free")
	row("pages moved", "last", "migrated")
	row("pages that could not be moved", "last", "migrate_failed")

	heading("time, seconds")
	row("the load", "seconds", "ms")
	row("    anonymous memory", "seconds", "ms_anon")
	row("    page cache", "seconds", "ms_cache")
	row("    kernel memory", "seconds", "ms_slab")
	row("    secret memory, touched", "seconds", "ms_secret_fault")
	row("    secret memory, given back", "seconds", "ms_secret_free")
	row("    probes", "seconds", "ms_probe")

	print ""
	print "What was claimed:"
	print ""
	s = "stock"
	claim(!has(s, "flip_unmap") && last(s, "split2m") > 0 && last(s, "dm4k") > at(s, 1, "dm4k"),
	      sprintf("stock: %d entries of 2 MiB of its direct map were split, %d MiB newly in 4 KiB pieces", last(s, "split2m"), \
		      (last(s, "dm4k") - at(s, 1, "dm4k")) / 1024))
	for (j = 2; j <= nr; j++) {
		m = machine[j]
		t = title(m)
		claim(has(m, "flip_unmap") && last(m, "flip_unmap") > 0 && last(m, "zeroed") >= last(m, "secret_pages"),
		      sprintf("%s: the feature was on: %d blocks unmapped, %d pages erased when given back", t, \
			      last(m, "flip_unmap"), last(m, "zeroed")))
		if (nr > 2) {
			background = last(m, "own_shootdown") - last(m, "fault_own") - last(m, "free_own")
			if (m == "pool-on")
				claim(fact(m, "pool") > 0 && (background > 0 || last(m, "flip_unmap") > last(m, "own_shootdown")),
				      sprintf("%s: it was on: %d blocks unmapped by %d shootdowns, %d of these in the background", t, \
					      last(m, "flip_unmap"), last(m, "own_shootdown"), background))
			else
				claim(fact(m, "pool") == 0, sprintf("%s: it was off: %d blocks", t, fact(m, "pool")))
		}
		same = fact(m, "rounds") == rounds && fact(m, "seed") == fact(s, "seed") && rows[m] == rows[s]
		k = split("secret anon slab cache probe_thp probe_order4 probe_order6 probe_order9", kind, " ")
		for (i = 1; i <= k; i++)
			same = same && last(m, "try_" kind[i]) == last(s, "try_" kind[i])
		claim(same, t ": it was asked for the same as stock, to the end")
		claim(hard(m, rows[m]) <= hard(s, rows[s]),
		      sprintf("%s: %d allocations failed (stock: %d)", t, hard(m, rows[m]), hard(s, rows[s])))
		claim(contiguous(m, rows[m]) <= contiguous(s, rows[s]),
		      sprintf("%s: %d contiguous allocations failed (stock: %d)", t, contiguous(m, rows[m]), contiguous(s, rows[s])))
		claim(mean(m, "largest") >= mean(s, "largest"),
		      sprintf("%s: largest free order %.2f in the mean (stock: %.2f)", t, mean(m, "largest"), mean(s, "largest")))
		a = theirs(s, rows[s])
		b = ours(m, rows[m])
		claim(b > 0 && a >= 50 * b, sprintf("%s: %.0f times fewer shootdowns (at least 50): %.0f for %.0f", t, b ? a / b : 0, b, a))
	}
	print ""
	if (failed)
		printf "%d claims FAILED\n", failed
	else
		print "every claim held"
	exit failed != 0
}
