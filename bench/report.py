#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-only
"""Turns what bench/bench's machines printed into bench.json, results.md and the
data of its plots, and judges what was claimed.

usage: report.py DIRECTORY

DIRECTORY has facts (NAME=VALUE lines) and machines/*/ with machine, results.ktap and
console.log. Exit 0: every claim held. 1: one did not. 2: something is missing."""

import json
import os
import re
import statistics
import sys


def die(text):
    print(f"report: {text}", file=sys.stderr)
    sys.exit(2)


def number(text):
    value = float(text)
    return int(value) if value == int(value) else value


def limits():
    """The limits of the claims, which scripts/demo.awk has from there as well."""
    with open(os.path.join(os.path.dirname(os.path.abspath(__file__)), "limits")) as f:
        return {w[0]: number(w[1]) for w in map(str.split, f) if w and w[0] != "#"}


LIMITS = limits()
P4_MORE, P5_MOST, SAME = LIMITS["P4_MORE"], LIMITS["P5_MOST"], LIMITS["SAME"]


def pairs(words):
    return dict(w.split("=", 1) for w in words)


def middle(values, labels):
    """The median. Of first lives there is one in a machine: what was split, say, stays so."""
    if not values:
        return None
    return values[0] if labels.get("life") == "cold" else statistics.median(values)


class Boot:
    """What one machine printed."""

    def __init__(self, directory):
        with open(os.path.join(directory, "machine")) as f:
            self.facts = pairs(f.read().split())
        self.row, self.kernel = self.facts["row"], self.facts["kernel"]
        self.nr, self.cpus = int(self.facts["nr"]), int(self.facts["smp"])
        self.counts = self.facts["mode"] == "count"
        self.samples = []
        with open(os.path.join(directory, "results.ktap")) as f:
            for line in f:
                words = line.split()
                if words[:1] != ["sample"]:
                    continue
                bar = words.index("|")
                self.samples.append((words[1], pairs(words[2:bar]),
                                     {k: number(v) for k, v in pairs(words[bar + 1:]).items()}))
        with open(os.path.join(directory, "console.log"), errors="replace") as f:
            found = re.search(r"Linux version (\S+) \S+ \((.*?), GNU ld", f.read())
        self.version = f"{found[1]}, {found[2]}" if found else "unknown"

    def find(self, figure, **labels):
        """The samples of a figure that have these labels."""
        return [v for f, l, v in self.samples
                if f == figure and all(l.get(k) == str(x) for k, x in labels.items())]

    def value(self, figure, name="ns", **labels):
        """Median of one number, or None."""
        found = [v[name] for v in self.find(figure, **labels) if name in v]
        return middle(found, labels)

    def cost(self, figure, **labels):
        """Of one operation: instructions of all CPUs, or the time that one waits.

        What else happens in a machine only adds to a count: the least of its rounds
        is the one with the least of that. A time is the median."""
        found = []
        for v in self.find(figure, **labels):
            if not v["ops"]:
                continue
            name = "least" if self.counts and "least" in v else "ns"
            at_once = int(labels.get("cpus", labels.get("threads", 1)))
            found.append(v[name] / v["ops"] * (1 if self.counts else at_once))
        return middle(found, labels)


class Stat:
    """The same of several machines."""

    def __init__(self, values):
        self.values = values
        self.median = statistics.median(values)
        self.low, self.high = min(values), max(values)

    def apart(self):
        return (self.high - self.low) / self.low if self.low else 0.0


class Results:
    def __init__(self, directory):
        self.directory = directory
        with open(os.path.join(directory, "facts")) as f:
            self.facts = pairs(line.rstrip("\n") for line in f if "=" in line)
        machines = os.path.join(directory, "machines")
        self.boots = [Boot(os.path.join(machines, d)) for d in sorted(os.listdir(machines))
                      if os.path.exists(os.path.join(machines, d, "machine"))]
        if not self.boots:
            die(f"no results in {machines}")
        self.claims = []

    def before(self):
        """The run before this one, if it was with the same kernels."""
        directory = self.directory.rstrip("/") + ".before"
        if not os.path.exists(os.path.join(directory, "facts")) or not os.listdir(os.path.join(directory, "machines")):
            return None
        old = Results(directory)
        mine = {k: v for k, v in self.facts.items() if k.startswith("kernel_")}
        return old if any(mine.values()) and all(old.facts.get(k) == v for k, v in mine.items()) else None

    def of(self, row, kernel):
        return sorted((b for b in self.boots if b.row == row and b.kernel == kernel),
                      key=lambda b: b.nr)

    def has(self, row, *kernels):
        return all(self.of(row, k) for k in kernels)

    def stat(self, row, kernel, get):
        """get: a function of a boot. None where nobody has it."""
        values = [v for v in map(get, self.of(row, kernel)) if v is not None]
        return Stat(values) if values else None

    def cost(self, row, kernel, figure, **labels):
        return self.stat(row, kernel, lambda b: b.cost(figure, **labels))

    def sum(self, row, kernel, figure, parts, **labels):
        """Of several parts together."""
        def get(boot):
            each = [boot.cost(figure, part=p, **labels) for p in parts]
            return sum(each) if None not in each else None
        return self.stat(row, kernel, get)

    def count(self, row, kernel, figure, name, **labels):
        s = self.stat(row, kernel, lambda b: b.value(figure, name, **labels))
        return s.median if s else None

    def ratios(self, row, kernel, other, get, get_other=None):
        """Of boots that followed each other: this to that."""
        values = []
        for a, b in zip(self.of(row, kernel), self.of(row, other)):
            x, y = get(a), (get_other or get)(b)
            if x is not None and y:
                values.append(x / y)
        return Stat(values) if values else None

    def claim(self, what, held, text):
        self.claims.append({"claim": what, "held": bool(held), "text": text})


def n(x, digits=0):
    """A number for people; what is not there is a dash."""
    if x is None:
        return "-"
    x = getattr(x, "median", x)
    if digits == 0 and abs(x) < 100 and x != int(x):
        digits = 1
    return f"{x:,.{digits}f}"


def percent(new, old):
    if new is None or old is None or not old.median:
        return "-"
    return f"{100 * (new.median / old.median - 1):+.1f} %"


def times(new, old):
    if new is None or old is None or not old.median:
        return "-"
    return f"{new.median / old.median:.2f}x"


def spread(s):
    if s is None:
        return "-"
    return f"{s.median:.2f}x ({s.low:.2f}-{s.high:.2f})"


def table(head, rows):
    """The first column is text, the others are numbers. What is all dashes is left out."""
    rows = [r for r in rows if any(c != "-" for c in r[1:])]
    if not rows:
        return []
    keep = [i for i in range(len(head)) if not i or any(r[i] != "-" for r in rows)]
    head, rows = [head[i] for i in keep], [[r[i] for i in keep] for r in rows]
    out = ["| " + " | ".join(head) + " |", "| --- |" + " ---: |" * (len(head) - 1)]
    out += ["| " + " | ".join(r) + " |" for r in rows]
    return out + [""]


def data(results, name, rows):
    """For gnuplot; what is not there is NaN."""
    with open(os.path.join(results.directory, name + ".dat"), "w") as f:
        for row in rows:
            print("\t".join(f'"{c}"' if isinstance(c, str) else
                            "NaN" if c is None else f"{getattr(c, 'median', c):.6g}" for c in row), file=f)


ORDERS = ("0", "3", "9")
PAGES = {"0": "4 KiB", "3": "32 KiB", "9": "2 MiB"}


def alloc_sum(results, row, kernel, what, **labels):
    return results.sum(row, kernel, "pagealloc", ("pair",) if what == "hot" else ("alloc", "free"),
                       what=what, **labels)


def pagealloc(r):
    if not r.has("alloc", "stock", "unused"):
        return []
    out = ["## Ordinary pages", "",
           "An allocation and its free in the kernel. Hot: the same page again and again, which comes from the",
           "list of its CPU. Cold: more at a time than these lists hold. *Unused*: this kernel, no secret memory;",
           "*used*: 64 MiB are secret meanwhile; *unmapped*: the same with `__GFP_UNMAPPED`, warm: such a page is",
           "erased when it is freed. Instructions, of all CPUs together, for one page of that size.", ""]
    rows, dat = [], []
    for gfp, orders in (("kernel", ORDERS), ("user", ("0",))):
        for order in orders:
            for cpus in sorted({s[1]["cpus"] for b in r.boots if b.row == "alloc"
                                for s in b.samples if s[0] == "pagealloc"}):
                for what, part in (("hot", "pair"), ("cold", "alloc"), ("cold", "free")):
                    labels = dict(what=what, order=order, cpus=cpus, part=part)
                    stock = r.cost("alloc", "stock", "pagealloc", gfp=gfp, **labels)
                    unused = r.cost("alloc", "unused", "pagealloc", gfp=gfp, **labels)
                    used = r.cost("alloc-used", "used", "pagealloc", gfp=gfp, **labels)
                    unmapped = None
                    if gfp == "kernel":
                        unmapped = r.cost("alloc-used", "used", "pagealloc", gfp="unmapped", **labels)
                    name = part if what == "cold" else "both"
                    rows.append([f"{PAGES[order]}, {gfp}, {what}, {name}, {cpus} CPU{'s' * (cpus != '1')}",
                                 n(stock), n(unused), percent(unused, stock), n(used),
                                 percent(used, stock), n(unmapped)])
    out += table(["", "stock", "unused", "", "used", "", "unmapped"], rows)

    out += ["What was tried, and what each step saved: `docs/decisions.md`, \"What ordinary pages pay\".", ""]

    for order in ORDERS:
        for what in ("hot", "cold"):
            worst, where = None, ""
            for gfp in ("kernel", "user"):
                for cpus in ("1", "4"):
                    labels = dict(order=order, cpus=cpus, gfp=gfp)
                    stock = alloc_sum(r, "alloc", "stock", what, **labels)
                    unused = alloc_sum(r, "alloc", "unused", what, **labels)
                    used = alloc_sum(r, "alloc-used", "used", what, **labels)
                    if not stock or not unused:
                        continue
                    for state, cost in ("unused", unused), ("in use", used):
                        if cost is None:
                            continue
                        more = cost.median / stock.median - 1
                        if worst is None or more > worst:
                            worst, where = more, (stock, cost, gfp, cpus, state)
                    if gfp == "kernel":
                        dat.append([f"{PAGES[order]} {what} {cpus}", 100 * (unused.median / stock.median - 1),
                                    100 * (used.median / stock.median - 1) if used else None])
            if worst is None:
                r.claim("P4", False, f"{PAGES[order]} {what}: not measured")
                continue
            stock, cost, gfp, cpus, state = where
            r.claim("P4", worst <= P4_MORE,
                    f"ordinary pages of {PAGES[order]}, {what}: {100 * worst:+.2f} % instructions "
                    f"(at most {100 * P4_MORE:+.1f} %): {n(cost)} to {n(stock)}, the feature {state}, GFP of {gfp} memory, "
                    f"{cpus} at once; the worst of all")
    data(r, "alloc", dat)

    rows = []
    for order in ORDERS:
        for what in ("hot", "cold"):
            for cpus in ("1", "2"):
                def get(boot, gfp="kernel"):
                    parts = ("pair",) if what == "hot" else ("alloc", "free")
                    each = [boot.cost("pagealloc", what=what, order=order, cpus=cpus, gfp=gfp, part=p)
                            for p in parts]
                    return sum(each) if None not in each else None
                rows.append([f"{PAGES[order]}, {what}, {cpus} CPU{'s' * (cpus != '1')}",
                             n(r.stat("alloc-time", "stock", get)),
                             spread(r.ratios("alloc-time", "unused", "stock", get)),
                             spread(r.ratios("alloc-time", "used", "stock", get)),
                             spread(r.ratios("alloc-time", "used", "stock",
                                             lambda b: get(b, "unmapped"), get))])
    timed = table(["", "stock, ns", "unused to stock", "used to stock", "unmapped to stock"], rows)
    if timed:
        out += ["Time of an allocation and its free, to that on stock: the median of the repeats, and the least and",
                "the most.", ""] + timed
    out += ["![](results-alloc.svg)", ""]
    return out


KINDS = ("memfd", "locked", "secret")


def flushes(r, row, kernel, life, cpus, had="fault", **labels):
    """Flushes of all CPUs, as they count themselves: the part that has memory, and free."""
    total = 0
    for part in (had, "free"):
        received = r.count(row, kernel, "secret", "received", kind="secret", life=life, part=part, **labels)
        if received is None:
            return None
        total += received
        # What munmap() does for user addresses a page at a time is not of interest
        if part == had:
            total += r.count(row, kernel, "secret", "one", kind="secret", life=life, part=part, **labels)
    return int(total / cpus)


def secret_both(r, row, kernel, kind, life, **labels):
    return r.sum(row, kernel, "secret", ("fault", "free"), kind=kind, life=life, **labels)


def flushes_but_splits(r, row, life, had, **size):
    count = flushes(r, row, "release", life, 4, had, **size)
    if count is None:
        return None
    return count - int(r.count(row, "release", "secret", "split1g", kind="secret", life=life, part=had, **size))


def each_to_memfd(r, row, parts, **labels):
    """Each time secret memory was had, what parts took together, to a memfd's."""
    def took(boot, kind):
        each = [boot.find("secret", kind=kind, part=p, **labels) for p in parts]
        return [sum(v["ns"] for v in values) for values in zip(*each)]

    return Stat([s / m for b in r.of(row, "release") for s, m in zip(took(b, "secret"), took(b, "memfd"))])


def at_most(r, name, value, what, more="", unit="x"):
    """A claim that has its limit's name."""
    limit = LIMITS[name]
    if value is None:
        r.claim("P3", False, f"{what}: not measured")
    elif unit:
        r.claim("P3", value <= limit, f"{what}: {value:.3f}{unit} (at most {limit:.2f}{unit}){more}")
    else:
        r.claim("P3", value <= limit, f"{what}: {n(value)} (at most {limit}){more}")


def secret(r):
    if not r.has("secret", "stock", "release"):
        return []
    size = dict(mib=64, threads=1)
    out = ["## Secret memory", "",
           "64 MiB touched page by page by one thread, on a machine with 4 processors, and given back: of an ordinary",
           "`memfd`, of anonymous memory that is locked (`mlock2`), and of `memfd_secret`. First life: no block is",
           "unmapped yet; second life: the pool is warm. *In one go*: nobody looks at counters between fault and free,",
           "in which time the pool would be filled. Each kind comes five times, in turn: what it costs depends on what",
           "others have left on the per-CPU lists, and medians are shown, but for first lives, of which there is one.",
           "`populate` is `mmap()` with `MAP_POPULATE` or `MAP_LOCKED`, in a second life; `fork` is a child that ends at once, with the",
           "memory mapped. Instructions a page (a child).", ""]
    rows = []
    for text, life, part in (("first life, fault", "cold", "fault"), ("first life, free", "cold", "free"),
                             ("first life, both", "cold", None), ("second life, fault", "warm", "fault"),
                             ("second life, free", "warm", "free"), ("second life, both", "warm", None),
                             ("another one, in one go", "whole", "both"), ("populate", "populate", "populate"),
                             ("second life, at random, fault", "random", "fault"),
                             ("first life, by `fallocate()`", "ahead", "fallocate"), ("fork", "warm", "fork")):
        cells = {}
        for kernel in ("stock", "release"):
            for kind in KINDS:
                if part:
                    cells[kernel, kind] = r.cost("secret", kernel, "secret", kind=kind, life=life, part=part, **size)
                else:
                    cells[kernel, kind] = secret_both(r, "secret", kernel, kind, life, **size)
        rows.append([text] + [n(cells["stock", k]) for k in KINDS] + [n(cells["release", k]) for k in KINDS] +
                    [times(cells["release", "secret"], cells["release", "memfd"]),
                     times(cells["release", "secret"], cells["stock", "secret"])])
    out += table(["", "stock: memfd", "locked", "secret", "this: memfd", "locked", "secret",
                  "secret to memfd", "to stock's"], rows)
    if r.count("secret", "stock", "secret", "ops", kind="secret", life="populate", part="populate", **size) == 0:
        out += ["Stock's secret memory cannot be populated: `MAP_POPULATE` leaves it as it is.", ""]

    rows = []
    for life, text in (("cold", "first life"), ("warm", "second life")):
        rows.append([f"flushes of all CPUs, {text}",
                     n(flushes(r, "secret", "stock", life, 4, **size)),
                     n(flushes(r, "secret", "release", life, 4, **size))])
    for name, text in (("interrupts", "CPUs interrupted by another one"), ("split2m", "2 MiB entries of the direct map split"),
                       ("split1g", "1 GiB entries split"), ("map4k", "direct map newly in 4 KiB pieces, KiB"),
                       ("flipped", "blocks unmapped"), ("shootdowns", "shootdowns for that"),
                       ("returned", "blocks mapped again")):
        rows.append([text + ", first life, fault"] +
                    [n(r.count("secret", k, "secret", name, kind="secret", life="cold", part="fault", **size))
                     for k in ("stock", "release")])
    out += table(["", "stock", "this"], rows)

    # P3
    memfd = r.cost("secret", "release", "secret", kind="memfd", life="whole", part="both", **size)
    both = r.cost("secret", "release", "secret", kind="secret", life="whole", part="both", **size)
    halves = secret_both(r, "secret", "release", "secret", "warm", **size)
    memfd_halves = secret_both(r, "secret", "release", "memfd", "warm", **size)
    memfd_fault = r.cost("secret", "release", "secret", kind="memfd", life="warm", part="fault", **size)
    fault = r.cost("secret", "release", "secret", kind="secret", life="warm", part="fault", **size)
    stock_fault = r.cost("secret", "stock", "secret", kind="memfd", life="warm", part="fault", **size)
    if None in (memfd, both, memfd_fault, fault, halves, memfd_halves):
        r.claim("P3", False, "secret memory: not measured")
    else:
        # The worse of two ways to measure it, with and without a look in between, beside
        # the cheaper of two memfds: where memory is secret, it finds less on per-CPU lists
        other = [secret_both(r, "secret", "stock", "memfd", "warm", **size),
                 r.cost("secret", "stock", "secret", kind="memfd", life="whole", part="both", **size)]
        worse = max(both.median / min(m.median for m in (memfd, other[1]) if m),
                    halves.median / min(m.median for m in (memfd_halves, other[0]) if m))
        each = each_to_memfd(r, "secret", ("both",), life="whole", **size)
        at_most(r, "P3_BOTH", worse, "second life, fault and free, beside an ordinary memfd here or on stock",
                f"; each time to the one here: {each.low:.3f}x to {each.high:.3f}x")
        alone = fault.median / min(m.median for m in (memfd_fault, stock_fault) if m)
        at_most(r, "P3_FAULT", alone, "second life, the fault alone")
        first, memfd_first = (secret_both(r, "secret", "release", kind, "cold", **size) for kind in ("secret", "memfd"))
        at_most(r, "P3_FIRST", first.median / memfd_first.median, "first life, fault and free")
        for name, parts, text in (("P3_PAGE_BOTH", ("fault", "free"), "fault and free"),
                                  ("P3_PAGE_FAULT", ("fault",), "the fault alone")):
            each = each_to_memfd(r, "secret", parts, life="random", **size)
            at_most(r, name, each.high, f"at random, {text}, the most of {len(each.values)}",
                    f"; the least: {each.low:.3f}x")
    for name, row, mib, life, had, text in (("P3_FLUSHES", "secret", 64, "cold", "fault", "64 MiB by faults"),
                                            ("P3_FLUSHES_AHEAD", "secret", 64, "ahead", "fallocate", "64 MiB by fallocate()"),
                                            ("P3_FLUSHES_2G", "sizes-large", 2048, "cold", "fault", "2 GiB by faults")):
        if not r.has(row, "release"):
            continue
        count = flushes_but_splits(r, row, life, had, mib=mib, threads=1)
        at_most(r, name, count, f"flushes of all CPUs in the first life, but for one a 1 GiB entry that is split, {text}", unit="")

    rows, dat = [], []
    for threads in (1, 2, 3, 4):
        cells = [secret_both(r, "threads", k, kind, life, mib=64, threads=threads)
                 for k in ("stock", "release") for kind in ("memfd", "secret") for life in ("cold", "warm")
                 if (kind, life) != ("memfd", "cold")]
        rows.append([str(threads)] + [n(c) for c in cells])
        dat.append([threads] + cells)
    if r.has("threads", "stock", "release"):
        out += ["Threads at once, each with its part of 64 MiB; fault and free, instructions of all CPUs a page:", ""]
        out += table(["threads", "stock: memfd", "secret, first", "secret, second",
                      "this: memfd", "secret, first", "secret, second"], rows)
        data(r, "threads", dat)

    rows, dat = [], []
    for mib in (1, 4, 16, 64, 256, 2048):
        row = "sizes-large" if mib > 256 else "sizes"
        if not r.has(row, "stock", "release"):
            continue
        labels = dict(mib=mib, threads=1)
        memfd = secret_both(r, row, "release", "memfd", "warm", **labels)
        cells = [secret_both(r, row, k, "secret", life, **labels)
                 for k in ("stock", "release") for life in ("cold", "warm")]
        flushed = [flushes(r, row, k, life, 4, **labels)
                   for k in ("stock", "release") for life in ("cold", "warm")]
        entries = [r.count(row, k, "secret", "map4k", kind="secret", life="cold", part="fault", **labels)
                   for k in ("stock", "release")]
        rows.append([f"{mib} MiB", n(memfd)] + [n(c) for c in cells + flushed + entries])
        dat.append([mib, memfd] + cells + flushed)
    if len(rows) > 1:
        out += ["By size, one thread; fault and free. The first three are instructions a page, then come flushes of all",
                "CPUs, and KiB of the direct map that the first life puts into 4 KiB entries. What a first life of a",
                "few pages pays is the block that is unmapped, and those that the pool is filled with.", ""]
        out += table(["", "memfd", "stock, first", "second", "this, first", "second", "flushes: stock, first",
                      "second", "this, first", "second", "4 KiB: stock", "this"], rows)
        data(r, "sizes", dat)
        out += ["![](results-secret.svg)", ""]
    return out


def secret_time(r):
    out = []
    rows = []
    for row, mib, threads, text in (("secret-time", 64, 1, "1 thread"), ("secret-time-2", 16, 2, "2 threads at once"),
                                    ("secret-time-2", 16, 4, "4 threads at once")):
        for life, name in (("cold", "first life"), ("warm", "second life")):
            for part in (("fault",), ("free",), ("fault", "free")):
                def get(boot, kind):
                    each = [boot.cost("secret", kind=kind, life=life, part=p, mib=mib, threads=threads) for p in part]
                    return sum(each) if None not in each else None
                rows.append([f"{text}, {name}, {part[0] if len(part) == 1 else 'both'}"] +
                            [n(r.stat(row, "stock", lambda b: get(b, "memfd")))] +
                            [spread(r.ratios(row, k, k, lambda b: get(b, "secret"), lambda b: get(b, "memfd")))
                             for k in ("stock", "release")])
    for threads in (2, 4) if r.has("secret-time-2", "release") else ():
        ratio = each_to_memfd(r, "secret-time-2", ("fault",), life="cold", mib=16, threads=threads)
        at_most(r, "P3_AT_ONCE", ratio.median, f"first life, time of a fault, {threads} threads at once on 2 processors",
                f"; each time: {ratio.low:.2f}x to {ratio.high:.2f}x")
    timed = table(["", "stock: memfd, ns", "stock: secret", "this: secret"], rows)
    if timed:
        out += ["Time of a page (2 processors; 64 MiB for 1 thread, 16 MiB for more), to that of an ordinary memfd in the same",
                "machine: median of the repeats, least and most.", ""] + timed
    return out


WAYS = (("mermap", "mermap_get() and mermap_put()"), ("vmap", "vmap() and vunmap()"),
        ("vm_map_ram", "vm_map_ram() and vm_unmap_ram()"),
        ("kmap_local", "kmap_local_page() and kunmap_local(), always mapped"))


def pairs_of(boot):
    return sum(v["ops"] * v["rounds"] for v in boot.find("window", part="pair"))


def window(r):
    if not r.has("window", "used"):
        return []
    out = ["## Windows to one page", "",
           "The kernel maps one page and takes the mapping down again; the page is not touched. `kmap_local_page()` is that",
           "of a kernel with `CONFIG_DEBUG_KMAP_LOCAL_FORCE_MAP`: else it gives an address of the direct map, which an",
           "unmapped page does not have. Instructions of all CPUs for both, and flushes of all CPUs in a thousand.", ""]
    rows = []
    for what, text in WAYS:
        for row, kernel in (("window", "stock"), ("window", "used"), ("window-kmap", "kmap")):
            if (kernel == "kmap") != (what == "kmap_local"):
                continue
            cells = [r.cost(row, kernel, "window", what=what, cpus=c, part="pair") for c in ("1", "4")]
            flushed = []
            for cpus in ("1", "4"):
                sample = [b.find("window", what=what, cpus=cpus, part="pair") for b in r.of(row, kernel)]
                sample = [s[0] for s in sample if s]
                flushed.append(statistics.median((s["received"] + s["one"]) / 4 / (s["ops"] * s["rounds"]) * 1000
                                                 for s in sample) if sample else None)
            name = {"stock": "stock", "used": "this", "kmap": "this, forced"}[kernel]
            rows.append([f"{text}, {name}"] + [n(c) for c in cells] + [n(f, 2) for f in flushed])
    out += table(["", "1 CPU", "4 CPUs", "flushes, 1 CPU", "4 CPUs"], rows)
    get = r.cost("window", "used", "window", what="mermap_halves", part="get")
    put = r.cost("window", "used", "window", what="mermap_halves", part="put")
    if get is None or put is None:
        r.claim("P5", False, "mermap: not measured")
    else:
        out += [f"`mermap_get()` alone {n(get)}, `mermap_put()` alone {n(put)} (8 windows at a time).", ""]
        r.claim("P5", get.median <= P5_MOST and put.median <= P5_MOST,
                f"mermap_get() {n(get)} and mermap_put() {n(put)} instructions (at most {P5_MOST} each)")
    one = r.cost("window", "used", "window", what="mermap", cpus="1", part="pair")
    four = r.cost("window", "used", "window", what="mermap", cpus="4", part="pair")
    if one and four:
        r.claim("P5", abs(four.median / one.median - 1) <= SAME,
                f"as many on 4 CPUs at once as on 1: nobody waits for a lock ({n(four)}, {n(one)})")
    samples = [v for b in r.of("window", "used") for v in b.find("window", what="mermap", part="pair")]
    pairs_ = sum(v["ops"] * v["rounds"] for v in samples)
    flushed = sum(v["received"] + v["one"] for v in samples)
    windows = sum(v["windows"] for v in samples)
    # Something else in the machine may flush now and then, for itself
    r.claim("P5", samples and flushed <= pairs_ / 1000 and windows <= len(samples),
            f"no shootdown: CPUs flushed {n(flushed)} times for anything while {n(pairs_)} windows opened and closed")
    for boot in r.of("stores", "used"):
        for v in boot.find("stores"):
            r.claim("P5", v["stores"] > pairs_of(boot) and not v["lost"] and not v["shared"] and v["processors"] == boot.cpus,
                    f"no shared cache line: {n(v['stores'])} stores of mermap_get() and mermap_put() on {v['processors']} "
                    f"processors went to {v['lines']} lines, {v['shared']} of them written by more than one")
    for boot in r.of("stores-control", "used"):
        for v in boot.find("stores"):
            r.claim("on", v["shared"] > 0 and v["processors"] == boot.cpus,
                    f"and lines are seen to be shared where they are: {v['shared']} of {v['lines']} of alloc_vmap_area()")
    return out


def bystander(r):
    if not r.has("bystander", "stock", "release"):
        return []
    out = ["## What others feel of it", "",
           "A computation on one of two processors, while the other one faults and frees 64 MiB again and again, a",
           "little more than a second. Its time, to that beside nothing in the same machine; how often it was",
           "interrupted by the other processor, for a thousand pages that were faulted.", ""]
    rows = []
    for kernel, name in (("stock", "stock"), ("release", "this")):
        for beside in ("nothing", "memfd", "secret"):
            slower = r.ratios("bystander", kernel, kernel, lambda b: b.value("bystander", beside=beside),
                              lambda b: b.value("bystander", beside="nothing"))
            block = r.ratios("bystander", kernel, kernel, lambda b: b.value("bystander", "block", beside=beside),
                             lambda b: b.value("bystander", "block", beside="nothing"))
            hits = r.count("bystander", kernel, "bystander", "interrupted", beside=beside)
            faulted = r.count("bystander", kernel, "bystander", "pages", beside=beside)
            rows.append([f"{name}, beside {beside}", spread(slower), spread(block), n(hits),
                         n(faulted), n(1000 * hits / faulted if faulted else None, 1)])
    out += table(["", "time", "a hundredth of a second of it, median", "interrupts", "pages faulted", "for 1000 pages"], rows)
    return out


GIB = {"memory-1": 1, "memory-2": 2, "memory-4": 4, "memory-8": 8, "memory-16": 16}
CPUS = {"cpus-1": 1, "cpus-2": 2, "memory-4": 4, "cpus-8": 8}


def growth(r):
    out = []
    size = dict(mib=64, threads=1)
    for title, points, name in (("memory, GiB", GIB, "memory"), ("processors", CPUS, "cpus")):
        points = {row: x for row, x in points.items() if r.has(row, "stock", "release")}
        if len(points) < 3:
            continue
        if not out:
            out = ["## How it grows", "",
                   "64 MiB by one thread, in machines with more memory (4 processors) or with more processors (4 GiB). Fault",
                   "and free, instructions of all CPUs a page, and flushes of all CPUs in a first life. The last line is the",
                   "slope of the line through them (least squares): what each GiB, or each processor, adds.", ""]
        rows, dat, lines = [], [], []
        for row, x in points.items():
            cpus = CPUS.get(row, 4)
            cells = [secret_both(r, row, k, kind, life, **size)
                     for k in ("stock", "release") for kind, life in (("memfd", "warm"), ("secret", "cold"), ("secret", "warm"))]
            cells += [flushes(r, row, k, "cold", cpus, **size) for k in ("stock", "release")]
            rows.append([str(x)] + [n(c) for c in cells])
            dat.append([x] + cells)
        slopes = []
        for i in range(1, len(dat[0])):
            ys = [getattr(d[i], "median", d[i]) for d in dat]
            fit = statistics.linear_regression([d[0] for d in dat], ys)
            slopes.append(f"{fit.slope:+,.1f}")
            lines.append(fit)
        rows.append(["slope"] + slopes)
        out += table([title, "stock: memfd", "secret, first", "second", "this: memfd", "secret, first", "second",
                      "flushes: stock", "this"], rows)
        data(r, name, dat)
        with open(os.path.join(r.directory, name + ".fit"), "w") as f:
            for fit in lines:
                print(f"{fit.slope:.6g}\t{fit.intercept:.6g}", file=f)
        if name == "cpus":
            stock, this = lines[2], lines[5]
            out += [f"So a shootdown costs {stock.slope:,.0f} instructions on each further processor, for each page of stock's "
                    f"secret memory; here a page of the second life costs {this.slope:,.1f}.", ""]
    if out:
        out += ["![](results-growth.svg)", ""]
    return out


def day(r):
    if not r.has("day", "stock", "unused"):
        return []
    out = ["## An ordinary day", "",
           "Processes that talk through pipes (16 senders, 16 receivers), that fork and exec, and three C files compiled",
           "with `cc1 -O1`. *Used*: 64 MiB are secret, and 16 MiB more come and go 25 times a second. Instructions of",
           "these processes on one processor, in thousands; page faults.", ""]
    rows, dat = [], []
    for part, text in (("pipes", "pipes"), ("exec", "fork and exec"), ("compile", "compiler")):
        cost = {k: r.stat("day", k, lambda b: b.value("day", "cpu", part=part)) for k in ("stock", "unused", "used")}
        if None in (cost["stock"], cost["unused"]):
            continue
        rows.append([text, n(cost["stock"].median / 1000), n(cost["unused"].median / 1000),
                     percent(cost["unused"], cost["stock"]),
                     n(cost["used"].median / 1000) if cost["used"] else "-",
                     percent(cost["used"], cost["stock"]), n(r.count("day", "stock", "day", "faults", part=part))])
        dat.append([text] + [100 * (cost[k].median / cost["stock"].median - 1) if cost[k] else None
                             for k in ("unused", "used")])
    out += table(["", "stock", "unused", "", "used", "", "page faults"], rows)
    data(r, "day", dat)
    rows = []
    for part, text in (("pipes", "pipes"), ("exec", "fork and exec"), ("compile", "compiler")):
        def get(boot):
            return boot.value("day", part=part)
        stock = r.stat("day-time", "stock", get)
        rows.append([text, n(stock.median / 1e6, 1) if stock else "-",
                     spread(r.ratios("day-time", "unused", "stock", get)),
                     spread(r.ratios("day-time", "used", "stock", get))])
    timed = table(["", "stock, ms", "unused to stock", "used to stock"], rows)
    if timed:
        out += ["Time on two processors, to that on stock (*used* shares them with who takes the secret memory):", ""] + timed
    return out


def on(r):
    """Was what was measured really on, or off? Else a table may look too good."""
    for row in sorted({b.row for b in r.boots}):
        for boot in (b for b in r.boots if b.row == row):
            end = boot.find("end")
            machine = boot.find("machine")
            if not end or not machine:
                r.claim("on", False, f"{row}, {boot.kernel}, {boot.nr}: did not say what the kernel counted")
                continue
            end, machine = end[0], machine[0]
            clock = boot.find("clock")[0]["ns_per_cycle"]
            bad = []
            if boot.counts and abs(clock - 1) > 0.01:
                bad.append(f"a cycle is {clock} ns, not an instruction")
            if boot.kernel == "stock" and ("flipped" in end or machine["has_unmapped"]):
                bad.append("a stock kernel has the feature")
            if boot.kernel in ("unused", "release", "used", "kmap") and not machine["has_unmapped"]:
                bad.append("the kernel does not have the feature")
            if boot.kernel == "unused" and (end["flipped"] or end["zeroed"] or end["shootdowns"]):
                bad.append(f"{end['flipped']} blocks were unmapped: it was in use")
            if boot.kernel == "used":
                use = boot.find("use")
                if not use or use[0]["unmapped"] < use[0]["pages"]:
                    bad.append("it was not in use")
            for kind, life, part, mib, threads, v in (
                    (l["kind"], l["life"], l["part"], int(l["mib"]), int(l["threads"]), v)
                    for f, l, v in boot.samples if f == "secret" and l["kind"] == "secret"):
                where = f"{mib} MiB, {threads} threads, {life}"
                pages = mib * 256 // threads * threads
                if part == "fault" and v["ops"] != pages:
                    bad.append(f"{where}: {v['ops']} pages are there, not {pages}")
                if boot.kernel == "stock" and part == "fault" and boot.cpus > 1 and \
                   (v["one"] + v["received"]) / boot.cpus < 0.9 * pages:
                    bad.append(f"{where}: flushed less than once a page")
                if boot.kernel == "release" and part == "fault" and life == "cold" and v["flipped"] < mib / 2:
                    bad.append(f"{where}: only {v['flipped']} blocks were unmapped")
                if boot.kernel == "release" and part == "free" and v["ops"] and v["zeroed"] < pages:
                    bad.append(f"{where}: only {v['zeroed']} pages were erased")
            if bad:
                r.claim("on", False, f"{row}, {boot.kernel}, {boot.nr}: " + "; ".join(bad))
    if all(c["held"] for c in r.claims if c["claim"] == "on"):
        boots = {k: [b for b in r.boots if b.kernel == k] for k in ("stock", "unused", "used", "release")}
        flipped = sum(b.find("end")[0]["flipped"] for k in ("used", "release") for b in boots[k])
        zeroed = sum(b.find("end")[0]["zeroed"] for k in ("used", "release") for b in boots[k])
        r.claim("on", True,
                f"the feature was on where it is used ({n(flipped)} blocks unmapped, {n(zeroed)} pages erased), off where it "
                f"is not ({len(boots['unused'])} machines, 0 blocks), and not in stock ({len(boots['stock'])} machines)")


def counts(boot):
    """What a machine counted: instructions of an operation, by figure and labels."""
    seen = {}
    for figure, labels, values in boot.samples:
        if values.get("ops") and labels.get("life") != "before":
            name = "cpu" if figure == "day" else "least" if "least" in values else "ns"
            seen.setdefault((figure, tuple(labels.items())), []).append(values[name] / values["ops"])
    return {key: statistics.median(v) for key, v in seen.items()}


def apart_of(row, kernel, each):
    """Of the counts of some machines: how far apart those of the same thing are."""
    for key in each[0]:
        values = [c[key] for c in each if key in c]
        if len(values) > 1:
            figure, labels = key
            yield (Stat(values).apart(), row, kernel, " ".join([figure] + [f"{k}={v}" for k, v in labels]))


def apart_text(apart, what):
    apart.sort(reverse=True)
    far = [a for a in apart if a[0] > SAME]
    return [f"{len(apart)} counts were {what}. Half of them are at most {100 * apart[len(apart) // 2][0]:.3f} %"
            f" apart, nine in ten {100 * apart[len(apart) // 10][0]:.3f} %, the worst {100 * apart[0][0]:.2f} %."
            f" More than {100 * SAME:.0f} %: {len(far)}.", ""] + table(
                ["", "apart"], [[f"{row}, {kernel}: {what}", f"{100 * d:.2f} %"] for d, row, kernel, what in far[:12]])


def same(r):
    """How far apart two counts of the same are."""
    out, apart = [], []
    for row, kernel in sorted({(b.row, b.kernel) for b in r.boots if b.counts}):
        each = [counts(b) for b in r.of(row, kernel)]
        if len(each) > 1:
            apart += apart_of(row, kernel, each)
    if apart:
        out += ["## Other seeds", "", "What is random in the kernel is drawn from a seed, for each machine of a row from another.", ""]
        out += apart_text(apart, "taken with more than one")

    old = r.before()
    if not old:
        return out
    apart = []
    for boot in r.boots:
        for was in old.of(boot.row, boot.kernel):
            if boot.counts and was.nr == boot.nr:
                apart += apart_of(boot.row, boot.kernel, [counts(boot), counts(was)])
    if not apart:
        return out
    out += ["## The same again", "", f"Held against the run of {old.facts['date']}, machine by machine.", ""]
    out += apart_text(apart, "taken in both runs")
    # What decides
    for row, wanted in (("alloc", lambda what: True),
                        ("secret", lambda what: "kind=secret life=warm" in what and "part=f" in what and "fork" not in what),
                        ("window", lambda what: "what=mermap" in what)):
        worst = [d for d, of, _, what in apart if of == row and wanted(what)]
        if worst:
            r.claim("same", max(worst) <= SAME,
                    f"{row}: counts that decide are {100 * max(worst):.3f} % from those of the run before at most (at most {100 * SAME:.0f} %)")
    return out


def write_json(r):
    figures = {}
    for b in r.boots:
        for figure, labels, values in b.samples:
            key = (b.row, b.kernel, b.facts["mode"], figure, tuple(labels.items()))
            for name, value in values.items():
                figures.setdefault(key, {}).setdefault(name, []).append(value)
    with open(os.path.join(r.directory, "bench.json"), "w") as f:
        json.dump({
            "facts": r.facts,
            "machines": [dict(b.facts, version=b.version) for b in r.boots],
            "figures": [{
                "row": row, "kernel": kernel, "mode": mode, "figure": figure, "labels": dict(labels),
                "values": {name: {"median": statistics.median(v), "min": min(v), "max": max(v), "samples": v}
                           for name, v in values.items()},
            } for (row, kernel, mode, figure, labels), values in figures.items()],
            "claims": r.claims,
        }, f, indent=1)
        f.write("\n")


def main():
    if len(sys.argv) != 2 or sys.argv[1] in ("-h", "--help"):
        print(__doc__, file=sys.stderr)
        sys.exit(0 if sys.argv[1:] in (["-h"], ["--help"]) else 2)
    r = Results(sys.argv[1])
    sections = []
    for section in (secret, secret_time, pagealloc, window, bystander, growth, day, same):
        sections += section(r)
    on(r)

    facts = r.facts
    versions = {k: next((b.version for b in r.boots if b.kernel == k), None) for k in ("stock", "release", "unused", "used")}
    version = versions["stock"] or versions["release"] or versions["unused"] or versions["used"]
    again = "make bench" if facts["set"] == "full" else "make bench-quick"
    head = ["# Results", "",
            f"Written by `{again}`, {facts['date']}; nothing of it by hand. Stock is Linux {version} without this work, with",
            f"the same configuration. The host: {facts['host']}, {facts['host_processors']} processors,",
            f"{int(facts['host_memory_mib']) // 1024} GiB; {facts['qemu']}. Kernels: "
            + ", ".join(f"{k[7:]} {v}" for k, v in facts.items() if k.startswith("kernel_")) +
            f"; repository {facts['repository']}.", "",
            "What decides is *instructions*, counted by machines in which one instruction takes one nanosecond and whose",
            "processors take turns on one thread: they are the same on any host. They are no times: a cache miss costs",
            "nothing there, and a repeated string instruction is counted once for each repetition, so that clearing a",
            "page with `rep stosb` is 4096 of them. Times are of an emulator, on a host that may do other things; read",
            "them as ratios, and with their spread.", ""]
    verdict = ["## What was claimed", "", "```"]
    for c in sorted(r.claims, key=lambda c: ("P3", "P4", "P5", "on", "same").index(c["claim"])):
        verdict.append(f"{'held  ' if c['held'] else 'MISSED'}  {c['claim']:<5} {c['text']}")
    missed = sum(not c["held"] for c in r.claims)
    verdict.append("")
    verdict.append("every claim held" if not missed else f"{missed} of {len(r.claims)} claims missed")
    verdict += ["```", ""]
    text = "\n".join(head + verdict + sections).rstrip("\n") + "\n"
    with open(os.path.join(r.directory, "results.md"), "w") as f:
        f.write(text)
    write_json(r)
    sys.stdout.write(text)
    sys.exit(1 if missed else 0)


main()
