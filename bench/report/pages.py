# SPDX-License-Identifier: GPL-2.0-only
"""Ordinary pages beside stock, and windows to one page: tables, P4 and P5."""

import statistics

from limits import P4_MORE, P5_MOST, P5_PAIR, SAME
from text import data, n, percent, spread, table, titled

ORDERS = ("0", "3", "9")
PAGES = {"0": "4 KiB", "3": "32 KiB", "9": "2 MiB"}
PARTS = {"hot": ("pair",), "cold": ("alloc", "free")}


def alloc_sum(results, row, kernel, what, **labels):
    return results.sum(row, kernel, "pagealloc", PARTS[what], what=what, **labels)


def alloc_judge(r):
    """P4: of each size, the worst there is."""
    dat = []
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


def alloc_time(r):
    rows = []
    for order in ORDERS:
        for what in ("hot", "cold"):
            for cpus in ("1", "2"):
                def get(boot, gfp="kernel"):
                    return boot.sum("pagealloc", PARTS[what], what=what, order=order, cpus=cpus, gfp=gfp)
                rows.append([f"{PAGES[order]}, {what}, {cpus} CPU{'s' * (cpus != '1')}",
                             n(r.stat("alloc-time", "stock", get)),
                             spread(r.ratios("alloc-time", "unused", "stock", get)),
                             spread(r.ratios("alloc-time", "used", "stock", get)),
                             spread(r.ratios("alloc-time", "used", "stock",
                                             lambda b: get(b, "unmapped"), get))])
    return titled(["Time of an allocation and its free, to that on stock: the median of the repeats, and the least and",
                   "the most.", ""],
                  ["", "stock, ns", "unused to stock", "used to stock", "unmapped to stock"], rows)


def pagealloc(r):
    if not r.has("alloc", "stock", "unused"):
        return []
    out = ["## Ordinary pages", "",
           "An allocation and its free in the kernel. Hot: the same page again and again, which comes from the",
           "list of its CPU. Cold: more at a time than these lists hold. *Unused*: this kernel, no secret memory;",
           "*used*: 64 MiB are secret meanwhile; *unmapped*: the same with `__GFP_UNMAPPED`, warm: such a page is",
           "erased when it is freed. Instructions, of all CPUs together, for one page of that size.", ""]
    rows = []
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
    alloc_judge(r)
    return out + alloc_time(r) + ["![](results-alloc.svg)", ""]


WAYS = (("mermap", "mermap_get() and mermap_put()"), ("vmap", "vmap() and vunmap()"),
        ("vm_map_ram", "vm_map_ram() and vm_unmap_ram()"),
        ("kmap_local", "kmap_local_page() and kunmap_local(), always mapped"))


def pairs_of(boot):
    return sum(v["ops"] * v["rounds"] for v in boot.find("window", part="pair"))


def window_judge(r):
    """P5, but for the halves alone."""
    one = r.cost("window", "used", "window", what="mermap", cpus="1", part="pair")
    four = r.cost("window", "used", "window", what="mermap", cpus="4", part="pair")
    if one and four:
        r.claim("P5", max(one.median, four.median) <= P5_PAIR,
                f"a window opened and closed again is {n(max(one.median, four.median))} instructions (at most {P5_PAIR})")
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
    window_judge(r)
    return out
