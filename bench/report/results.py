# SPDX-License-Identifier: GPL-2.0-only
"""What bench/bench's machines printed."""

import os
import re
import statistics

from counted import Counted, NotJudged
from limits import number


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
                values = {k: number(v) for k, v in pairs(words[bar + 1:]).items()}
                whose = f"{self.row}, {self.kernel}, {self.nr}: {' '.join(words[1:bar])}:"
                self.samples.append((words[1], pairs(words[2:bar]), Counted(whose, values)))
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

    def sum(self, figure, parts, **labels):
        """Of several parts together, or None."""
        each = [self.cost(figure, part=p, **labels) for p in parts]
        return sum(each) if None not in each else None


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
        self.boots = [Boot(d) for d in self.machines(directory)]
        if not self.boots:
            raise NotJudged(f"no results in {directory}/machines")
        self.claims = []

    @staticmethod
    def machines(directory):
        """Those that came to their end."""
        machines = os.path.join(directory, "machines")
        each = [os.path.join(machines, d) for d in sorted(os.listdir(machines))]
        return [d for d in each if os.path.exists(os.path.join(d, "machine"))]

    def before(self):
        """The run before this one, if it was with the same kernels."""
        directory = self.directory.rstrip("/") + ".before"
        if not os.path.exists(os.path.join(directory, "facts")) or not self.machines(directory):
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
        return self.stat(row, kernel, lambda b: b.sum(figure, parts, **labels))

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
