# SPDX-License-Identifier: GPL-2.0-only
"""Guest memory off the direct map beside such in it, and beside such that is taken out page
by page: tables, and claims of the first."""

from limits import LIMITS
from text import n, table, times, titled

WAYS = (("fault", "touched by the monitor"), ("fallocate", "the same after `fallocate()`"),
        ("prefault", "`KVM_PRE_FAULT_MEMORY`"))
RESTORE = (("write", "restored: copied, or `pwrite()`"),)
LIVES = (("cold", "first"), ("warm", "second"))
# With flushes, and without
ZAPS = ("zap", "zap-noflush")


def both(r, kernel, *parts, **labels):
    """What parts of it take together, in the direct map and off it."""
    return [r.sum("guest", kernel, "guest", parts, kind=kind, **labels) for kind in ("mapped", "unmapped")]


def judge(r, name, life, what, mib):
    """The worst of all ways to populate."""
    worst, where = None, ""
    for way, text in WAYS:
        mapped, unmapped = both(r, "release", "populate", way=way, life=life, mib=mib)
        if mapped and unmapped and (worst is None or unmapped.median / mapped.median > worst):
            worst, where = unmapped.median / mapped.median, text
    if worst is None:
        r.claim("guest", False, f"{what}: not measured")
    else:
        r.claim("guest", worst <= LIMITS[name],
                f"{what}, the worst of {len(WAYS)} ways ({where}): {worst:.3f}x (at most {LIMITS[name]:.2f}x)")


def boot(r, kernel, kind, life, *parts, mib):
    """The least: an emulated guest that waits for a timer, or for another processor, takes longer."""
    took = r.sum("guest-boot", kernel, "guest", parts, way="boot", kind=kind, life=life, mib=mib)
    return took.low if took else None


def to_boot(r, kernel, life, *parts, mib):
    """Off the direct map, to in it on the same kernel."""
    off, mapped = boot(r, kernel, "unmapped", life, *parts, mib=mib), boot(r, kernel, "mapped", "warm", *parts, mib=mib)
    return off / mapped if off and mapped else None


def boots(r, mib):
    if not r.has("guest-boot", "release"):
        return []
    rows = []
    for cpus in (1, 4):
        ratios = {life: to_boot(r, "release", life, cpus, mib=mib) for life, _ in LIVES}
        if None in ratios.values():
            r.claim("guest", False, f"a guest with {cpus} processors boots: not measured")
            continue
        for life, name in LIVES:
            r.claim("guest", ratios[life] <= LIMITS["GUEST_BOOT"],
                    f"a guest with {cpus} processors boots, {name} life of its memory: {ratios[life]:.3f}x "
                    f"(at most {LIMITS['GUEST_BOOT']:.2f}x)")
        count = r.count("guest-boot", "release", "guest", "shootdowns", kind="unmapped", way="boot", life="cold",
                        part=cpus, mib=mib)
        took = [boot(r, "release", kind, life, cpus, mib=mib) for kind, life in
                (("mapped", "warm"), ("unmapped", "cold"), ("unmapped", "warm"))]
        rows.append([str(cpus)] + [n(t / 1e6) for t in took] + [f"{x:.3f}x" for x in ratios.values()] +
                    [f"{to_boot(r, 'release', life, cpus, f'free{cpus}', mib=mib):.3f}x" for life, _ in LIVES] + [n(count)])
    return table(["processors", "mapped, millions", "off, first life", "second", "to mapped: first", "second",
                  "and free: first", "second", "shootdowns"], rows)


def interrupted(r, kernel, **labels):
    """How often each of the other processors was: zapping is not counted by the kernel."""
    count = r.count("guest", kernel, "guest", "interrupts", kind="unmapped", **labels)
    return None if count is None else round(count / (r.of("guest", kernel)[0].cpus - 1))


def to_mapped(r, kernel, *parts, **labels):
    """What parts take off the direct map, together, to what they take in it on the same kernel."""
    mapped, unmapped = both(r, kernel, *parts, **labels)
    return f"{unmapped.median / mapped.median:.2f}x" if mapped and unmapped else "-"


def zapped_ways(r, mib):
    rows = []
    for way, text in WAYS + RESTORE:
        for life, name in LIVES:
            labels = dict(way=way, life=life, mib=mib)
            rows.append([f"{text}, {name} life"] + [n(c) for c in both(r, "zap", "populate", **labels)] +
                        [to_mapped(r, k, "populate", **labels) for k in ZAPS + ("release",)] +
                        [to_mapped(r, k, "populate", "free", **labels) for k in ZAPS + ("release",)] +
                        [n(interrupted(r, k, part="populate", **labels)) for k in ZAPS] +
                        [n(r.count("guest", "zap", "guest", "split2m", kind="unmapped", part="populate", **labels))])
    return table(["", "populate: mapped", "zapped", "", "not flushed", "this work", "and free: zapped", "not flushed",
                  "this work", "shootdowns", "not flushed", "splits"], rows)


def zapped_boots(r, mib):
    rows = []
    for cpus in (1, 4):
        for parts, text in (((cpus,), ""), ((cpus, f"free{cpus}"), ", and its memory is free")):
            ratios = [to_boot(r, kernel, life, *parts, mib=mib) for kernel in ("zap", "release") for life, _ in LIVES]
            rows.append([f"{cpus}{text}"] + [f"{x:.3f}x" if x else "-" for x in ratios])
    return titled(["The project's own kernel as a guest, to one in the direct map:", ""],
                  ["processors", "zapped, first life", "second", "this work, first life", "second"], rows)


def zapped(r, mib):
    """Beside what can be had without this work. Nothing of it is judged."""
    if not r.has("guest", "zap"):
        return []
    left = {k: r.count("guest", k, "end", "map4k") for k in ("zap", "release")}
    out = ["Beside what can be had without this work, the same flag on stock with bench/zap/zap.patch. *Zapped*: a page is",
           "erased and taken out of the direct map when it is allocated, with a flush of all TLBs for each that a fault takes,",
           "one for up to 31 that `fallocate()` takes. *Not flushed*: with none, and so in reach of who has it in a TLB. What is",
           "an *x* is to memory in the direct map of the same kernel. Zapped memory is not erased when it is freed, but left as",
           "it is to who has it next. A shootdown is one where each other processor was interrupted. As entries stay split, each",
           "way to populate has a machine of its own.", ""]
    out += zapped_ways(r, mib)
    if None not in left.values():
        out += [f"In the end, with that memory freed, {n(left['zap'] / 1024)} MiB of such a machine's direct map are in pieces of 4 KiB,",
                f"with this work {n(left['release'] / 1024)} MiB.", ""]
    return out + zapped_boots(r, mib)


def stopped(r):
    """Machines with guests that stopped on their way, all kernels together."""
    boots = [b for b in r.boots if b.row == "guest-boot"]
    again = sum(int(b.facts["tries"]) - 1 for b in boots)
    return [f"Of {len(boots) + again} machines {again} had a guest that stopped on its way, as some do where processors are emulated; "
            "they were started again.", ""] if again else []


def guest(r, mib=512):
    if not r.has("guest", "release"):
        return []
    out = ["## Guest memory", "",
           f"{mib} MiB of guest_memfd, in the direct map and off it: what it takes to populate them and to free them, in",
           "instructions of all CPUs a page, in a first life and in a second one; shootdowns of the direct map, and entries",
           "of 2 MiB that were split. What is off the direct map is erased when it is freed, other memory when it is touched.",
           "*Restored*, as from a snapshot: memory in the direct map cannot be written by `pwrite()`, and is copied through the",
           "monitor's mapping, some hundred instructions a page; `pwrite()` copies by `rep movsb`, which is counted as 4096. What",
           "it wrote is erased by a worker later, which is not in what it takes to free it.", ""]
    rows = []
    for way, text in WAYS + RESTORE:
        for life, name in LIVES:
            cells = []
            for part in ("populate", "free"):
                mapped, unmapped = both(r, "release", part, way=way, life=life, mib=mib)
                cells += [n(mapped), n(unmapped), times(unmapped, mapped)]
            rows.append([f"{text}, {name} life"] + cells +
                        [n(r.count("guest", "release", "guest", what, kind="unmapped", way=way, life=life,
                                   part="populate", mib=mib)) for what in ("shootdowns", "split2m")])
    out += table(["", "populate: mapped", "off", "", "free: mapped", "off", " ", "shootdowns", "splits"], rows)
    judge(r, "GUEST_FIRST", "cold", "guest memory, populated in a first life", mib)
    judge(r, "GUEST_SECOND", "warm", "guest memory, populated in a second life", mib)
    boot = boots(r, mib)
    if boot:
        out += ["The project's own kernel as a guest, from its start to when it has turned itself off, the least of the repeats:", ""] + boot
    return out + zapped(r, mib) + stopped(r)
