# SPDX-License-Identifier: GPL-2.0-only
"""Turns the samples of bench/fragmentation into the table (Markdown), judges each
claim, and writes what is plotted, a file a machine."""

import os
from collections import Counter

from counted import Counted, NoFigure, NotJudged
from judge import Judge
from limits import LIMITS, number
from text import plain

PROBES = ("probe_thp", "probe_order4", "probe_order6", "probe_order9")
# What stock and this are asked for, as often
ASKED = ("secret", "anon", "slab", "cache") + PROBES


# What may be below 0. A counter that the kernel does not have is -1.
SIGNED = ("round", "largest", "largest_mapped")


class Sample(Counted):
    """A line of samples.csv: its numbers by name, without counters that the kernel does not have."""

    def hard(self):
        return sum(self[f"fail_{kind}"] for kind in ("secret", "anon", "slab", "cache")) + self["oom_kill"]

    def contiguous(self):
        return sum(self[f"fail_{kind}"] for kind in ("thp",) + PROBES)

    def blocks(self):
        """2 MiB blocks that an ordinary caller can have."""
        return self["mapped_blocks"] + self["whole_unmapped"]

    def background(self):
        """Shootdowns of what was unmapped in the background."""
        return self["own_shootdown"] - self["fault_own"] - self["free_own"]


def read_samples(path, machine):
    """The names of the columns, and the samples."""
    samples, names = [], None
    with open(path, errors="replace") as f:
        for line in f:
            cells = line.rstrip("\n").split(",")
            if not names:
                names = cells
                continue
            if len(cells) != len(names):
                raise NotJudged(f"a torn line in {path}")
            try:
                values = {name: number(cell) for name, cell in zip(names, cells) if name != "actor"}
            except ValueError:
                raise NotJudged(f"a torn line in {path}") from None
            samples.append(Sample(machine, {k: v for k, v in values.items() if k in SIGNED or v >= 0}))
    return names, samples


class Machine:
    def __init__(self, directory, name, alone):
        self.name = name
        self.title = "stock" if name == "stock" else "release" if alone else f"release, {name.replace('-', ' ')}"
        with open(os.path.join(directory, name, "facts")) as f:
            self.facts = Counted(name, {w[0]: w[1] for w in map(str.split, f) if len(w) > 1})
        self.columns, self.samples = read_samples(os.path.join(directory, name, "samples.csv"), name)
        if not self.samples:
            raise NoFigure(name)
        # What is counted, is from the start of the load on
        self.first, self.last = self.samples[0], self.samples[-1]
        self.cpus, self.memory, self.rounds = map(self.number, ("cpus", "memory", "rounds"))
        if self.cpus < 2 or self.memory < 1:
            raise NotJudged(f"no processors or no memory in {directory}/{name}/facts")

    def number(self, key):
        try:
            return number(self.facts[key])
        except ValueError:
            raise NoFigure(self.name, key) from None

    def has(self, column):
        """Whether the kernel has the counter."""
        if column not in self.columns:
            raise NoFigure(self.name, column)
        return column in self.last

    def mib(self, sample, column):
        return f"{sample[column] / 1024:.0f}" if self.has(column) else "-"

    # A flush that all CPUs take part in interrupts all but one. What else was
    # interrupted while secret memory was touched and given back is counted in, such
    # as the flushes of user pages that were moved to make room for it; and what was
    # unmapped in the background, at any time.
    def interrupted(self, s):
        return (s["fault_interrupts"] + s["free_interrupts"]) / (self.cpus - 1)

    def ours(self, s):
        return self.interrupted(s) + max(s.background(), 0)

    # On stock, a page costs a flush of one page, which each CPU counts: and nothing
    # that might be somebody else's.
    def theirs(self, s):
        return min(s["fault_one"] / self.cpus, self.interrupted(s))

    def shootdowns(self, s):
        return self.ours(s) if self.has("flip_unmap") else self.theirs(s)

    def unmapped(self, s):
        """Blocks."""
        return s["unmapped"] / 512 if self.has("flip_unmap") else 0

    def fill(self, s):
        """How much of the unmapped blocks is in use, %."""
        return 100 - 100 * s["free_unmapped"] / s["unmapped"] if self.unmapped(s) else 0

    def load(self, s):
        """What cannot be reclaimed, of all memory, %: secret memory is among the file pages."""
        pages = self.memory / 4
        return 100 * (pages - s["free"] - s["file"] + s["secret"]) / pages


class Report:
    def __init__(self, directory, names):
        self.directory = directory
        self.machines = [Machine(directory, name, len(names) == 2) for name in names]
        self.stock = self.machines[0]
        # The machine is filled up in the first rounds
        self.ramp = max(int(self.stock.rounds / 5), 4)

    def full(self, m, get):
        """Of the samples in the rounds in which the machine is full."""
        values = [get(s) for s in m.samples if self.ramp <= s["round"] < m.rounds]
        if not values:
            raise NoFigure(m.name, "while the machine is full")
        return values

    def mean(self, m, get):
        values = self.full(m, get)
        return sum(values) / len(values)

    # What stands in a row: of a machine

    def last(self, key):
        return lambda m: f"{m.last[key]:.0f}" if m.has(key) else "-"

    def means(self, get, digits):
        return lambda m: f"{self.mean(m, get):.{digits}f}"

    def of(self, key, digits):
        return self.means(lambda s: s[key], digits)

    def where_unmapped(self, get):
        """Of a machine and a sample, where the kernel can unmap."""
        return lambda m: f"{self.mean(m, lambda s: get(m, s)):.1f}" if m.has("flip_unmap") else "-"

    def fails(self, kind):
        return lambda m: f"{plain(m.last['fail_' + kind])} of {plain(m.last['try_' + kind])}"

    def seconds(self, key):
        return lambda m: f"{m.last[key] / 1000:.1f}"

    def both(self, what):
        return lambda m: plain(m.last[f"fault_{what}"] + m.last[f"free_{what}"])


def sections(r):
    """Headings, and what stands below them."""
    yield "allocations that failed", (
        ("secret memory: regions, SIGBUS or ENOMEM", r.fails("secret")),
        ("    pages of it that were not had", r.last("secret_missing")),
        ("anonymous memory: regions, ENOMEM", r.fails("anon")),
        ("kernel memory: system calls, ENOMEM", r.fails("slab")),
        ("page cache: reads", r.fails("cache")),
        ("tasks killed for want of memory", r.last("oom_kill")),
        ("huge pages of the load: small ones instead", r.fails("thp")),
        ("probe: huge page, movable", r.fails("probe_thp")),
        ("probe: order 4, unmovable", r.fails("probe_order4")),
        ("probe: order 6, unmovable", r.fails("probe_order6")),
        ("probe: order 9, unmovable", r.fails("probe_order9")))
    yield "free memory, while the machine is full", (
        ("memory that cannot be reclaimed, % (mean)", lambda m: f"{r.mean(m, m.load):.1f}"),
        ("largest free order for an ordinary caller (mean)", r.of("largest", 2)),
        ("                                          (least)", lambda m: f"{min(r.full(m, lambda s: s['largest'])):.0f}"),
        ("    of mapped memory alone (mean)", r.of("largest_mapped", 2)),
        ("free 2 MiB blocks for an ordinary caller (mean)", r.means(Sample.blocks, 1)),
        ("    of these unmapped, and had back by a remap", r.of("whole_unmapped", 1)),
        ("when all is given back: huge pages of 1536", lambda m: m.facts["huge"]))
    yield "unmapped blocks, while the machine is full", (
        ("blocks unmapped (mean)", r.where_unmapped(lambda m, s: s["unmapped"] / 512)),
        ("    in use of them, % (mean)", r.where_unmapped(Machine.fill)),
        ("    free in partly used ones, MiB (mean)", r.where_unmapped(lambda m, s: s["partial_unmapped"] / 256)),
        ("blocks unmapped, over the whole run", r.last("flip_unmap")),
        ("blocks remapped", r.last("flip_remap")),
        ("blocks that could not be unmapped", r.last("flip_fail")))
    yield "direct map", (
        ("4 KiB entries at the start, MiB", lambda m: m.mib(m.first, "dm4k")),
        ("              at the end, MiB", lambda m: m.mib(m.last, "dm4k")),
        ("2 MiB entries at the start, MiB", lambda m: m.mib(m.first, "dm2m")),
        ("              at the end, MiB", lambda m: m.mib(m.last, "dm2m")),
        ("1 GiB entries at the start, MiB", lambda m: m.mib(m.first, "dm1g")),
        ("              at the end, MiB", lambda m: m.mib(m.last, "dm1g")),
        ("2 MiB entries split", r.last("split2m")),
        ("1 GiB entries split", r.last("split1g")))
    yield "TLB shootdowns by secret memory", (
        ("pages of secret memory, over the whole run", r.last("secret_pages")),
        ("shootdowns (stock: at least; release: at most)", lambda m: f"{m.shootdowns(m.last):.0f}"),
        ("    CPUs interrupted, for whatever reason", r.both("interrupts")),
        ("    flushes of one page, each CPU for itself", r.last("fault_one")),
        ("    flushes that a CPU was told to do", r.both("received")),
        ("    as the kernel counts them", r.last("own_shootdown")))
    yield "reclaim and compaction", (
        ("allocations that had to reclaim", r.last("allocstall")),
        ("pages scanned by kswapd", r.last("pgscan_kswapd")),
        ("pages scanned by allocations", r.last("pgscan_direct")),
        ("pages reclaimed by kswapd", r.last("pgsteal_kswapd")),
        ("pages reclaimed by allocations", r.last("pgsteal_direct")),
        ("allocations that had to compact", r.last("compact_stall")),
        ("    and got what they wanted", r.last("compact_success")),
        ("kcompactd woken", r.last("compact_wake")),
        ("pages scanned to be moved", r.last("compact_migrate")),
        ("pages scanned to be moved to", r.last("compact_free")),
        ("pages moved", r.last("migrated")),
        ("pages that could not be moved", r.last("migrate_failed")))
    yield "time, seconds", (
        ("the load", r.seconds("ms")),
        ("    anonymous memory", r.seconds("ms_anon")),
        ("    page cache", r.seconds("ms_cache")),
        ("    kernel memory", r.seconds("ms_slab")),
        ("    secret memory, touched", r.seconds("ms_secret_fault")),
        ("    secret memory, given back", r.seconds("ms_secret_free")),
        ("    probes", r.seconds("ms_probe")))


def table(r):
    def line(text, cell):
        return f"| {text:<58} |" + "".join(f" {cell(m):>16} |" for m in r.machines)

    out = [line("", lambda m: m.title), "| --- |" + " ---: |" * len(r.machines)]
    for heading, rows in sections(r):
        out.append(line(f"**{heading}**", lambda m: ""))
        out += [line(text, cell) for text, cell in rows]
    return out


def plots(r):
    for m in r.machines:
        part = Counter()
        with open(os.path.join(r.directory, m.name + ".dat"), "w") as f:
            print("# round largest blocks unmapped fill dm4k shootdowns hard contiguous load secret", file=f)
            for s in m.samples:
                if 0 <= s["round"] < r.stock.rounds:
                    part[s["round"]] += 1
                    print(*map(plain, (s["round"] + part[s["round"]] / 5, s["largest"], s.blocks(), m.unmapped(s), m.fill(s),
                                       s["dm4k"] / 1024, m.shootdowns(s), s.hard(), s.contiguous(), m.load(s),
                                       s["secret"] / 256)), file=f)


def judge_stock(j, s):
    more = s.last["dm4k"] - s.first["dm4k"]
    j.claim(not s.has("flip_unmap") and s.last["split2m"] > 0 and more > 0,
            f"stock: {s.last['split2m']} entries of 2 MiB of its direct map were split, {int(more / 1024)} MiB newly in 4 KiB pieces")


def judge_pool(j, m):
    pool, blocks, all_, background = m.number("pool"), m.last["flip_unmap"], m.last["own_shootdown"], m.last.background()
    if m.name == "pool-on":
        j.claim(pool > 0 and (background > 0 or blocks > all_),
                f"{m.title}: it was on: {blocks} blocks unmapped by {all_} shootdowns, {background} of these in the background")
    else:
        j.claim(pool == 0, f"{m.title}: it was off: {pool} blocks")


def judge(j, r, m):
    s, blocks, erased = r.stock, m.last["flip_unmap"], m.last["zeroed"]
    j.claim(blocks > 0 and erased >= m.last["secret_pages"],
            f"{m.title}: the feature was on: {blocks} blocks unmapped, {erased} pages erased when given back")
    if len(r.machines) > 2:
        judge_pool(j, m)
    j.claim(all(m.facts[key] == s.facts[key] for key in ("rounds", "seed")) and len(m.samples) == len(s.samples) and
            all(m.last[f"try_{kind}"] == s.last[f"try_{kind}"] for kind in ASKED),
            f"{m.title}: it was asked for the same as stock, to the end")
    for what, mine, others in (("allocations", m.last.hard(), s.last.hard()),
                               ("contiguous allocations", m.last.contiguous(), s.last.contiguous())):
        j.claim(mine <= others, f"{m.title}: {mine} {what} failed (stock: {others})")
    mine, others = (r.mean(x, lambda sample: sample["largest"]) for x in (m, s))
    j.claim(mine >= others, f"{m.title}: largest free order {mine:.2f} in the mean (stock: {others:.2f})")
    mine, others = m.ours(m.last), s.theirs(s.last)
    least = LIMITS["FRAGMENTATION_FEWER"]
    j.claim(mine > 0 and others >= least * mine,
            f"{m.title}: {others / mine if mine else 0:.0f} times fewer shootdowns (at least {least}): {mine:.0f} for {others:.0f}")


def head(r):
    s, pools = r.stock, [m.facts["pool"] for m in r.machines[1:]]
    out = ["# Fragmentation under a mixed load", "",
           f"Seed {s.facts['seed']}, {s.facts['rounds']} rounds, {s.facts['cpus']} processors, {int(s.memory / 1024)} MiB; "
           "stock is Linux without this work, built with the same configuration.", ""]
    if len(pools) == 1:
        return out + ["This kernel has no /proc/sys/vm/no_direct_map_pool_blocks: **there is no column for the pool.**", ""]
    return out + [f"vm.no_direct_map_pool_blocks: {pools[0]} with the pool off, {pools[1]} with it on.", ""]


def fragmentation(directory, *names):
    """Whether every claim held."""
    r = Report(directory, names)
    plots(r)
    j = Judge("- ")
    judge_stock(j, r.stock)
    for m in r.machines[1:]:
        judge(j, r, m)
    print("\n".join(head(r) + table(r) + ["", "What was claimed:", ""] + j.lines + ["", j.verdict()]))
    return not j.missed
