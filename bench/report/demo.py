# SPDX-License-Identifier: GPL-2.0-only
"""The report of scripts/demo.sh from its figures, and each claim of it judged.

KERNEL normal|countN KIND life N fault|free pages N ns N COUNTER DELTA...
KERNEL normal|countN cpus|warm N
KERNEL normal wrote KIND PAGES...
KERNEL proof WHAT NAME N..."""

import statistics

from counted import Counted, NoFigure, NotJudged
from judge import Judge
from limits import LIMITS, number
from text import row

KERNELS = ("stock", "this")
HALVES = ("fault", "free")


def value(text):
    try:
        return number(text)
    except ValueError:
        return None


def named(words):
    """NAME NUMBER..., in turn."""
    return [(name, x) for name, x in zip(words[::2], map(value, words[1::2])) if x is not None]


class Figures:
    """What the machines printed."""

    def __init__(self, path, runs):
        self.counts = [f"count{i}" for i in range(1, runs + 1)]
        self.modes = ["normal"] + self.counts
        self.v, self.proof, self.cpus, self.has = Counted(), Counted(), Counted("cpus"), set()
        # The life in which the pool was warm, if the machine says so, and the last of secret memory
        self.warm, self.last = {}, Counted("lives")
        with open(path, errors="replace") as f:
            for line in f:
                words = line.split()
                if len(words) > 3:
                    self.take(*words[:3], words[3:])

    def take(self, kernel, mode, what, words):
        if mode == "proof":
            before = ""
            for name, x in named(words):
                # Where else there is what was named before
                self.proof[kernel, what, f"{before}-elsewhere" if name == "elsewhere" else name] = x
                before = name
        elif what == "cpus":
            if value(words[0]):
                self.cpus[kernel] = value(words[0])
        elif what == "wrote":
            # What the monitor is to look at
            self.proof.update(((kernel, what, kind), x) for kind, x in named(words))
        elif what == "warm":
            self.warm[kernel, mode] = value(words[0])
        elif words[0] == "life" and len(words) > 2 and value(words[1]):
            life = value(words[1])
            for name, x in named(words[3:]):
                # What others are held against takes some time
                if x or name != "ns":
                    self.v[kernel, mode, what, life, words[2], name] = x
                self.has.add((kernel, name))
            if what == "secret":
                self.last[kernel, mode] = max(life, self.last.get((kernel, mode), 0))

    def must_have_ended(self):
        """Each machine printed its last figure, which is neither shown nor judged."""
        for kernel in KERNELS:
            for mode in self.modes:
                if (kernel, mode, "memfd", 3, "free", "ns") not in self.v:
                    raise NoFigure(kernel, mode, "memfd", 3, "free", "ns")

    def whole(self, kernel, mode, kind, life, key):
        """Of both halves of a life."""
        return sum(self.v[kernel, mode, kind, life, half, key] for half in HALVES)

    def life(self, kernel, mode, kind, life):
        """The life in a warm pool: the first one, of those after the first, during which no block
        was unmapped. Of an ordinary memfd, and of any memory on stock, that is the second."""
        return life if life != "warm" else 2 if kind == "memfd" else self.last[kernel, mode]

    def counted(self, kernel, mode, kind, life, what):
        """Instructions a page."""
        life = self.life(kernel, mode, kind, life)
        return sum(self.v[kernel, mode, kind, life, half, "ns"] / self.v[kernel, mode, kind, life, half, "pages"]
                   for half in (HALVES if what == "both" else (what,)))

    def each(self, kernel, kind, life, what):
        return [self.counted(kernel, mode, kind, life, what) for mode in self.counts]

    def to_memfd(self, life, what):
        """To an ordinary memfd on the same kernel."""
        return [s / m for s, m in zip(self.each("this", "secret", life, what), self.each("this", "memfd", life, what))]

    def to_least_memfd(self, life, what):
        """Or on stock, whichever is less."""
        return [s / min(here, there) for s, here, there in
                zip(self.each("this", "secret", life, what), *(self.each(k, "memfd", life, what) for k in KERNELS))]

    def pages(self, mode="normal", life=1):
        """Of secret memory that was touched."""
        return self.v["this", mode, "secret", life, "fault", "pages"]

    def mib(self):
        return f"{self.pages() // 256} MiB"

    def flushes(self, kernel, life):
        """A flush of a large range adds one for each CPU to "received", a flush of one page one
        for each CPU to "one". Less than all CPUs is somebody else's."""
        return int((self.whole(kernel, "normal", "secret", life, "received") +
                    self.v[kernel, "normal", "secret", life, "fault", "one"]) / self.cpus[kernel])

    def lives(self, kernel, key, *modes):
        """Of all lives."""
        return sum(self.whole(kernel, mode, "secret", life, key)
                   for mode in modes for life in range(1, self.last[kernel, mode] + 1))

    def times(self, kernel, life, half):
        """Of the machine that takes times: secret memory to an ordinary memfd."""
        memfd, secret = (self.v[kernel, "normal", kind, self.life(kernel, "normal", kind, life), half, "ns"]
                         for kind in ("memfd", "secret"))
        return f"{secret / memfd:.2f}x"

    def found(self, kernel, when):
        return self.proof[kernel, when, "secret"] + self.proof[kernel, when, "secret-elsewhere"]


def both(what, get):
    return row(50, 10, what, *map(get, KERNELS))


def instructions(f):
    def line(what, show, life, half):
        cells = [show(f.each(kernel, kind, life, half), "", 0) for kernel in KERNELS for kind in ("memfd", "secret")]
        return row(22, 12, what, *cells, show(f.to_memfd(life, half), "x", 2))

    def middle(values, unit, digits):
        return f"{statistics.median(values):.{digits}f}{unit}"

    def least_to_most(values, unit, digits):
        return f"{min(values):.{digits}f}{unit}-{max(values):.{digits}f}{unit}"

    out = [f"  instructions a page (memfd: ordinary memory, on this kernel), median of {len(f.counts)} machines",
           row(22, 12, "", "stock memfd", "stock", "memfd", "this", "to memfd")]
    for life, text in ((1, "first life, "), ("warm", "warm pool,  ")):
        out += [line(text + "fault", middle, life, "fault"), line("            free", middle, life, "free"),
                line("            both", middle, life, "both"), line("   least to most", least_to_most, life, "both")]
    return out + [""]


def outside(f):
    """What the monitor saw."""
    return ["  seen from outside, by the machine's monitor", both("", str),
            both("secret pages x processors", lambda k: f.proof[k, "pages", "secret"] * f.cpus[k]),
            both("  that the direct map translates", lambda k: f.proof[k, "translations", "secret"]),
            both("ordinary pages x processors", lambda k: f.proof[k, "pages", "control"] * f.cpus[k]),
            both("  that the direct map translates", lambda k: f.proof[k, "translations", "right"]),
            both("secret pages mapped anywhere in the kernel's half", lambda k: f.proof[k, "mapped", "secret"]),
            both("memory searched for the secret, MiB", lambda k: f.proof[k, "live", "dump-mib"]),
            both("  pages that have it while it is in use", lambda k: f.found(k, "live")),
            both("  pages that have it after it was given back", lambda k: f.found(k, "freed")), ""]


def table(f):
    out = ["", f"{f.mib()} of secret memory (memfd_secret), touched page by page and given back, more than once",
           f"{f.cpus['this']} processors; stock is Linux without this work, built with the same configuration", "", both("", str),
           both("TLB flushes on all processors, first life", lambda k: f.flushes(k, 1)),
           both("                              second life", lambda k: f.flushes(k, 2)),
           both("processors interrupted by another one, first life", lambda k: f.whole(k, "normal", "secret", 1, "interrupts")),
           both("                                      second life", lambda k: f.whole(k, "normal", "secret", 2, "interrupts")),
           both("2 MiB entries of the direct map split", lambda k: f.lives(k, "split2m", "normal")),
           both("1 GiB entries split", lambda k: f.lives(k, "split1g", "normal")),
           both("direct map newly in 4 KiB pieces, KiB", lambda k: f.lives(k, "map4k", "normal")), ""]
    out += instructions(f)
    out.append(row(50, 10, "time, to that of an ordinary memfd", *KERNELS))
    for life, text in ((1, "first life"), ("warm", "warm pool")):
        out += [both(f"  {text}, {half}", lambda k: f.times(k, life, half)) for half in HALVES]
    return out + [""] + outside(f)


def judge_on(j, f):
    """Was it on, and was the pool warm?"""
    flipped = [f.v["this", mode, "secret", 1, "fault", "flipped"] for mode in f.modes]
    zeroed = [f.whole("this", mode, "secret", f.last["this", mode], "zeroed") for mode in f.modes]
    j.claim(all(flipped) and all(z >= f.pages(mode, f.last["this", mode]) for z, mode in zip(zeroed, f.modes)),
            f"the feature was on: {', '.join(map(str, flipped))} blocks unmapped, {min(zeroed)} pages and more zeroed when given back")
    lives = [f.last["this", mode] for mode in f.counts]
    j.claim(all(f.warm.get(("this", mode)) == life for mode, life in zip(f.counts, lives)),
            f"the pool was warm where that is said: no block was unmapped in life {', '.join(map(str, lives))}")
    j.claim(("stock", "flipped") not in f.has, "and stock does not have it")


def judge_cost(j, f):
    most = LIMITS["DEMO_FLUSHES"] + f.whole("this", "normal", "secret", 1, "split1g")
    flushes = f.flushes("this", 1)
    j.claim(flushes <= most, f"{f.mib()} cost {flushes} flushes on all processors (at most {most})")
    j.claim(not f.lives("this", "split2m", *f.modes), "no 2 MiB entry of the direct map was split")
    j.claim(not f.lives("this", "map4k", *f.modes), "0 KiB of the direct map went to 4 KiB pieces")
    for what, text, than, name in (("both", "fault and free", " an ordinary memfd's instructions, here or on stock", "P3_BOTH"),
                                   ("fault", "the fault alone", "", "P3_FAULT")):
        ratios = f.to_least_memfd("warm", what)
        j.claim(max(ratios) <= LIMITS[name],
                f"warm pool, {text}: {min(ratios):.3f}x to {max(ratios):.3f}x{than} (at most {LIMITS[name]:.2f}x)")


def judge_outside(j, f, kernel, name):
    def seen(what, *names):
        return [f.proof[kernel, what, n] for n in names]

    pages, control, cpus = seen("pages", "secret", "control", "cpus")
    wrote = seen("wrote", "secret", "control")
    secret, right = seen("translations", "secret", "right")
    j.claim([pages, control] == wrote and min(wrote) > 0 and cpus == f.cpus[kernel] and not secret and right == control * cpus,
            name + "no processor translates the direct-map address of a secret page, each that of an ordinary one")
    tables, secret, ordinary = seen("mapped", "tables", "secret", "control")
    j.claim(tables > 0 and not secret and ordinary == control, name + "nor does any other kernel address lead to one")
    secret, elsewhere, ordinary, searched = seen("live", "secret", "secret-elsewhere", "control", "dump-mib")
    j.claim(secret == pages and not elsewhere and ordinary == control and searched >= LIMITS["DEMO_SEARCHED"],
            name + "what was written is in the secret pages and nowhere else")
    ordinary, searched = seen("freed", "control", "dump-mib")
    j.claim(searched >= LIMITS["DEMO_SEARCHED"] and ordinary == control and not f.found(kernel, "freed"),
            name + "after it was given back, it is nowhere in the machine's memory")


def put_into(path, report):
    """Instead of the report that is in a file of text, indented by four blanks."""
    with open(path) as f:
        lines = f.read().split("\n")
    head = next((n for n, line in enumerate(lines) if line == "    " + report[0]), None)
    if head is None:
        raise SystemExit(f"demo: no report in {path}")
    end = next(n for n in range(head, len(lines) + 1) if n == len(lines) or lines[n] and not lines[n].startswith("    "))
    while not lines[end - 1]:
        end -= 1
    lines[head:end] = [line and "    " + line for line in report]
    with open(path, "w") as f:
        f.write("\n".join(lines))


def demo(path, runs, docs=None):
    """Whether every claim held. DOCS gets the report if so."""
    if not runs.isdecimal() or not int(runs):
        raise NotJudged(f"RUNS is how many runs there were, from 1 on: not '{runs}'")
    f = Figures(path, int(runs))
    f.must_have_ended()
    j = Judge("  ")
    judge_on(j, f)
    judge_cost(j, f)
    judge_outside(j, f, "stock", "stock: ")
    judge_outside(j, f, "this", "this:  ")
    report = table(f) + ["What was claimed"] + j.lines + ["", j.verdict()]
    print("\n".join(report))
    if docs and not j.missed:
        put_into(docs, report[1:])
    return not j.missed
