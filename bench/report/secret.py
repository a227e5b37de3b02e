# SPDX-License-Identifier: GPL-2.0-only
"""Secret memory beside an ordinary memfd: tables and P3."""

from limits import LIMITS
from results import Stat
from text import data, n, spread, table, times, titled

KINDS = ("memfd", "locked", "secret")


def flushes(r, row, kernel, life, cpus, had="fault", **labels):
    """Flushes of all CPUs, as they count themselves: the part that has memory, and free."""
    # What munmap() does for user addresses a page at a time is not of interest
    each = [r.count(row, kernel, "secret", name, kind="secret", life=life, part=part, **labels)
            for part, name in ((had, "received"), (had, "one"), ("free", "received"))]
    return None if None in each else int(sum(each) / cpus)


def secret_both(r, row, kernel, kind, life, **labels):
    return r.sum(row, kernel, "secret", ("fault", "free"), kind=kind, life=life, **labels)


def flushes_but_splits(r, row, life, had, **size):
    count = flushes(r, row, "release", life, 4, had, **size)
    split = r.count(row, "release", "secret", "split1g", kind="secret", life=life, part=had, **size)
    return None if None in (count, split) else count - int(split)


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


def judge(r, size):
    """P3, but for time."""
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
        forks = [r.cost("secret", kernel, "secret", kind="secret", life="warm", part="fork", **size) for kernel in ("release", "stock")]
        if None in forks:
            r.claim("P3", False, "fork with secret memory: not measured")
        else:
            at_most(r, "P3_FORK", forks[0].median / forks[1].median, "a fork with secret memory, to stock's")
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


def by_threads(r):
    if not r.has("threads", "stock", "release"):
        return []
    rows, dat = [], []
    for threads in (1, 2, 3, 4):
        cells = [secret_both(r, "threads", k, kind, life, mib=64, threads=threads)
                 for k in ("stock", "release") for kind in ("memfd", "secret") for life in ("cold", "warm")
                 if (kind, life) != ("memfd", "cold")]
        rows.append([str(threads)] + [n(c) for c in cells])
        dat.append([threads] + cells)
    out = ["Threads at once, each with its part of 64 MiB; fault and free, instructions of all CPUs a page:", ""]
    out += table(["threads", "stock: memfd", "secret, first", "secret, second",
                  "this: memfd", "secret, first", "secret, second"], rows)
    data(r, "threads", dat)
    return out


def by_size(r):
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
    if len(rows) < 2:
        return []
    out = ["By size, one thread; fault and free. The first three are instructions a page, then come flushes of all",
           "CPUs, and KiB of the direct map that the first life puts into 4 KiB entries. What a first life of a",
           "few pages pays is the block that is unmapped, and those that the pool is filled with.", ""]
    out += table(["", "memfd", "stock, first", "second", "this, first", "second", "flushes: stock, first",
                  "second", "this, first", "second", "4 KiB: stock", "this"], rows)
    data(r, "sizes", dat)
    return out + ["![](results-secret.svg)", ""]


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
    judge(r, size)
    return out + by_threads(r) + by_size(r)


def secret_time(r):
    rows = []
    for row, mib, threads, text in (("secret-time", 64, 1, "1 thread"), ("secret-time-2", 16, 2, "2 threads at once"),
                                    ("secret-time-2", 16, 4, "4 threads at once")):
        for life, name in (("cold", "first life"), ("warm", "second life")):
            for part in (("fault",), ("free",), ("fault", "free")):
                def get(boot, kind):
                    return boot.sum("secret", part, kind=kind, life=life, mib=mib, threads=threads)
                rows.append([f"{text}, {name}, {part[0] if len(part) == 1 else 'both'}"] +
                            [n(r.stat(row, "stock", lambda b: get(b, "memfd")))] +
                            [spread(r.ratios(row, k, k, lambda b: get(b, "secret"), lambda b: get(b, "memfd")))
                             for k in ("stock", "release")])
    for threads in (2, 4) if r.has("secret-time-2", "release") else ():
        ratio = each_to_memfd(r, "secret-time-2", ("fault",), life="cold", mib=16, threads=threads)
        first = r.ratios("secret-time-2", "release", "release",
                         *(lambda b, kind=kind: b.sum("secret", ("fault",), kind=kind, life="cold", mib=16, threads=threads)
                           for kind in ("secret", "memfd")))
        at_most(r, "P3_AT_ONCE", ratio.median,
                f"first life of its memory, time of a fault, {threads} threads at once on 2 processors, "
                f"median of {len(ratio.values)}",
                f"; each time: {ratio.low:.2f}x to {ratio.high:.2f}x; of the first of each machine, which splits "
                f"the 1 GiB entry: {first.median:.2f}x")
    return titled(["Time of a page (2 processors; 64 MiB for 1 thread, 16 MiB for more), to that of an ordinary memfd in the same",
                   "machine: median of the repeats, least and most. A first life is that of the machine, too: 1 GiB entries are split.", ""],
                  ["", "stock: memfd, ns", "stock: secret", "this: secret"], rows)
