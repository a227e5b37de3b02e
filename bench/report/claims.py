# SPDX-License-Identifier: GPL-2.0-only
"""Claims about the figures themselves: the feature was on or off, two counts are the same."""

import statistics

from limits import SAME
from results import Stat
from text import n, table


def wrong_zaps(boot):
    """Guest memory that is zapped: flushed for each page that a fault takes, or not at all; and split."""
    bad = []
    for labels, v in ((l, v) for f, l, v in boot.samples if f == "guest" and l["kind"] == "unmapped" and l["part"] == "populate"):
        where = f"{labels['way']}, {labels['life']}"
        flushes = v["interrupts"] / (boot.cpus - 1)
        if boot.kernel == "zap" and labels["way"] != "fallocate" and flushes < 0.9 * v["ops"]:
            bad.append(f"{where}: flushed less than once a page")
        if boot.kernel == "zap-noflush" and flushes > 0.1 * v["ops"]:
            bad.append(f"{where}: flushed")
        # An entry has 512 pages
        if labels["life"] == "cold" and v["split2m"] < 0.9 * v["ops"] / 512:
            bad.append(f"{where}: only {v['split2m']} entries were split")
    return bad


def wrong(boot):
    """What a machine says that it may not, a text each."""
    end = boot.find("end")
    machine = boot.find("machine")
    if not end or not machine:
        return ["did not say what the kernel counted"]
    end, machine = end[0], machine[0]
    clock = boot.find("clock")[0]["ns_per_cycle"]
    bad = []
    if boot.counts and abs(clock - 1) > 0.01:
        bad.append(f"a cycle is {clock} ns, not an instruction")
    if boot.kernel in ("stock", "zap", "zap-noflush") and ("flipped" in end or machine["has_unmapped"]):
        bad.append("a stock kernel has the feature")
    if boot.kernel in ("unused", "release", "used", "kmap") and not machine["has_unmapped"]:
        bad.append("the kernel does not have the feature")
    if boot.kernel == "unused" and (end["flipped"] or end["zeroed"] or end["shootdowns"]):
        bad.append(f"{end['flipped']} blocks were unmapped: it was in use")
    if boot.kernel == "used":
        use = boot.find("use")
        if not use or use[0]["unmapped"] < use[0]["pages"]:
            bad.append("it was not in use")
    if boot.kernel in ("zap", "zap-noflush"):
        bad += wrong_zaps(boot)
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
    return bad


def on(r):
    """Was what was measured really on, or off? Else a table may look too good."""
    for row in sorted({b.row for b in r.boots}):
        for boot in (b for b in r.boots if b.row == row):
            bad = wrong(boot)
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
