# SPDX-License-Identifier: GPL-2.0-only
"""Guest memory off the direct map beside such in it: tables and claims."""

from limits import LIMITS
from text import n, table, times

WAYS = (("fault", "touched by the monitor"), ("fallocate", "the same after `fallocate()`"),
        ("prefault", "`KVM_PRE_FAULT_MEMORY`"))
RESTORE = (("write", "restored: copied, or `pwrite()`"),)


def cost(r, kind, way, life, part, mib):
    return r.cost("guest", "release", "guest", kind=kind, way=way, life=life, part=part, mib=mib)


def judge(r, name, life, what, mib):
    """The worst of all ways to populate."""
    worst, where = None, ""
    for way, text in WAYS:
        mapped, unmapped = (cost(r, kind, way, life, "populate", mib) for kind in ("mapped", "unmapped"))
        if mapped and unmapped and (worst is None or unmapped.median / mapped.median > worst):
            worst, where = unmapped.median / mapped.median, text
    if worst is None:
        r.claim("guest", False, f"{what}: not measured")
    else:
        r.claim("guest", worst <= LIMITS[name],
                f"{what}, the worst of {len(WAYS)} ways ({where}): {worst:.3f}x (at most {LIMITS[name]:.2f}x)")


def boots(r, mib):
    rows = []
    for cpus in (1, 4):
        mapped, unmapped = (r.cost("guest", "release", "guest", kind=kind, way="boot", life="warm", part=cpus, mib=mib)
                            for kind in ("mapped", "unmapped"))
        if not mapped or not unmapped:
            r.claim("guest", False, f"a guest with {cpus} processors boots: not measured")
            continue
        ratio = unmapped.median / mapped.median
        r.claim("guest", ratio <= LIMITS["GUEST_BOOT"],
                f"a guest with {cpus} processors boots: {ratio:.3f}x (at most {LIMITS['GUEST_BOOT']:.2f}x)")
        rows.append([str(cpus), n(mapped.median / 1e6), n(unmapped.median / 1e6), f"{ratio:.3f}x",
                     n(r.count("guest", "release", "guest", "shootdowns", kind="unmapped", way="boot", life="warm",
                               part=cpus, mib=mib))])
    return table(["processors", "mapped, millions", "off the direct map", "", "shootdowns"], rows)


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
        for life, name in (("cold", "first"), ("warm", "second")):
            cells = []
            for part in ("populate", "free"):
                mapped, unmapped = (cost(r, kind, way, life, part, mib) for kind in ("mapped", "unmapped"))
                cells += [n(mapped), n(unmapped), times(unmapped, mapped)]
            rows.append([f"{text}, {name} life"] + cells +
                        [n(r.count("guest", "release", "guest", what, kind="unmapped", way=way, life=life,
                                   part="populate", mib=mib)) for what in ("shootdowns", "split2m")])
    out += table(["", "populate: mapped", "off", "", "free: mapped", "off", " ", "shootdowns", "splits"], rows)
    judge(r, "GUEST_FIRST", "cold", "guest memory, populated in a first life", mib)
    judge(r, "GUEST_SECOND", "warm", "guest memory, populated in a second life", mib)
    boot = boots(r, mib)
    if boot:
        out += ["The project's own kernel as a guest, from its start to when it has turned itself off:", ""] + boot
    return out
