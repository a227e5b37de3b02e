# SPDX-License-Identifier: GPL-2.0-only
"""What others feel of secret memory: a computation beside it, an ordinary day."""

from text import data, n, percent, spread, table, titled

DAY = (("pipes", "pipes"), ("exec", "fork and exec"), ("compile", "compiler"))


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


def day(r):
    if not r.has("day", "stock", "unused"):
        return []
    out = ["## An ordinary day", "",
           "Processes that talk through pipes (16 senders, 16 receivers), that fork and exec, and three C files compiled",
           "with `cc1 -O1`. *Used*: 64 MiB are secret, and 16 MiB more come and go 25 times a second. Instructions of",
           "these processes on one processor, in thousands; page faults.", ""]
    rows, dat = [], []
    for part, text in DAY:
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
    for part, text in DAY:
        def get(boot):
            return boot.value("day", part=part)
        stock = r.stat("day-time", "stock", get)
        rows.append([text, n(stock.median / 1e6, 1) if stock else "-",
                     spread(r.ratios("day-time", "unused", "stock", get)),
                     spread(r.ratios("day-time", "used", "stock", get))])
    return out + titled(["Time on two processors, to that on stock (*used* shares them with who takes the secret memory):", ""],
                        ["", "stock, ms", "unused to stock", "used to stock"], rows)
