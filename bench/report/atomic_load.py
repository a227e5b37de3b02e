# SPDX-License-Identifier: GPL-2.0-only
"""bench/atomic-load: what the two machines printed, side by side, judged."""

from counted import Counted, NoFigure
from judge import Judge
from limits import LIMITS, number
from text import row

ORDERS = (0, 1, 2, 3)
ROUND = {"secret": ("wanted", "had", "memory", "seconds"), "hold": ("churned", "least_free", "queued", "seconds"),
         "state": ("unmapped", "direct_map_4k")}


class Machine:
    """What one machine printed."""

    def __init__(self, name, path):
        self.name = name
        self.begun = self.ended = False
        self.nr, self.rounds, self.memory = "", 0, 0
        self.direct_map_4k, self.flips, self.killed = 0, 0, 0
        # By order; failures by when they were and round, too
        self.attempts, self.failures = Counted(f"{name} attempts"), Counted(f"{name} failures")
        # By number and name
        self.round = Counted(f"{name} round")
        with open(path, errors="replace") as f:
            for line in f:
                words = line.split()
                if words:
                    self.take(words)

    def values(self, words, *names):
        """NAME=NUMBER of a line."""
        found = []
        for name in names:
            text = next((w[len(name) + 1:] for w in words if w.startswith(name + "=")), "")
            try:
                found.append(number(text))
            except ValueError:
                raise NoFigure(self.name, name, "in:", *words) from None
        return found

    def take(self, words):
        what = words[0]
        if what == "before":
            self.flips, self.direct_map_4k = self.values(words, "flips", "direct_map_4k")
            self.begun = True
        elif what == "round" and len(words) > 2:
            self.take_round(words, words[2])
        elif what in ("fill", "hold", "free"):
            order, failures = self.values(words, "order", "failures")
            self.failures[what, self.nr, order] = failures
        elif what == "total":
            order, attempts, failures = self.values(words, "order", "attempts", "failures")
            self.attempts[order], self.failures[order] = attempts, failures
        elif what == "after":
            flips, self.killed = self.values(words, "flips", "killed")
            self.flips = flips - self.flips
            self.ended = True

    def take_round(self, words, part):
        if part == "secret":
            self.nr = words[1]
            self.rounds += 1
        names = ("attempts",) if part.startswith("attempts=") else ROUND.get(part, ())
        for name, value in zip(names, self.values(words, *names)):
            self.round[self.nr, f"{part} {name}" if name == "seconds" else name] = value
            if name == "memory":
                self.memory = value

    def complete(self):
        return self.begun and self.ended and set(self.attempts) == set(ORDERS) and self.rounds and self.memory

    def failed(self, when):
        """In all rounds, of all orders."""
        return sum(self.failures[when, str(nr), order] for nr in range(1, self.rounds + 1) for order in ORDERS)

    def pieces(self, nr):
        """The direct map newly in 4 KiB pieces, KiB."""
        return self.round[nr, "direct_map_4k"] - self.direct_map_4k


def table(machines):
    def both(what, get):
        return row(46, 14, what, *map(get, machines))

    out = [f"GFP_ATOMIC pages beside secret memory, {int(machines[0].memory / 256)} MiB of memory, 4 processors", "",
           row(46, 14, "", "stock", "this")]
    for order in ORDERS:
        out += [both(f"order {order}, attempts", lambda m: m.attempts[order]),
                both("         failures", lambda m: m.failures[order])]
    out += [both("all, attempts", lambda m: sum(m.attempts.values())),
            both("     failures", lambda m: sum(m.failures[order] for order in ORDERS)),
            both("     while memory becomes secret", lambda m: m.failed("fill")),
            both("     while it is", lambda m: m.failed("hold")),
            both("     while it is given back", lambda m: m.failed("free"))]
    for nr in map(str, range(1, min(m.rounds for m in machines) + 1)):
        out += ["", both(f"round {nr}, attempts while memory is secret", lambda m: m.round[nr, "attempts"]),
                both("  secret pages", lambda m: m.round[nr, "had"]),
                both("  of all memory", lambda m: f"{100 * m.round[nr, 'had'] / m.memory:.1f} %"),
                both("  taken in, s", lambda m: m.round[nr, "secret seconds"]),
                both("  kept for, s", lambda m: m.round[nr, "hold seconds"]),
                both("  ordinary pages taken beside it", lambda m: m.round[nr, "churned"]),
                both("  least that was free, MiB", lambda m: int(m.round[nr, "least_free"] / 1024)),
                both("  pages in the queues at the end", lambda m: m.round[nr, "queued"]),
                both("  pages in unmapped blocks",
                     lambda m: "-" if m.round[nr, "unmapped"] < 0 else m.round[nr, "unmapped"]),
                both("  direct map newly in 4 KiB pieces, KiB", lambda m: m.pieces(nr))]
    return out


def judge(stock, this):
    j = Judge("  ")
    j.claim(stock.rounds == this.rounds, "as many rounds on both")
    for nr in map(str, range(1, min(stock.rounds, this.rounds) + 1)):
        had, made, churned = ([m.round[nr, name] for m in (stock, this)] for name in ("had", "attempts", "churned"))
        j.claim(had[0] > 0 and all(m.round[nr, "had"] >= m.round[nr, "wanted"] - LIMITS["ATOMIC_MISSING"] for m in (stock, this)),
                f"round {nr}: both had the secret memory that was asked for")
        j.claim(stock.pieces(nr) >= had[0] * 4 * LIMITS["ATOMIC_STOCK_4K"],
                f"round {nr}: stock took it out of the direct map page by page")
        j.claim(this.round[nr, "unmapped"] >= had[1], f"round {nr}: this had it in unmapped blocks")
        j.claim(min(churned) > 0, f"round {nr}: ordinary memory came and went beside it")
        j.claim(made[1] >= made[0] > 0, f"round {nr}: at least as many attempts while memory was secret as on stock")
    j.claim(stock.round["1", "unmapped"] < 0, "stock has no unmapped blocks")
    j.claim(this.flips * 512 >= this.round["1", "had"], f"blocks were unmapped for it: {this.flips}")
    j.claim(not stock.killed and not this.killed, "nobody was killed")
    for order in ORDERS:
        theirs, ours = stock.failures[order], this.failures[order]
        tried, retried = stock.attempts[order], this.attempts[order]
        j.claim(tried > 0 and retried > 0 and ours <= theirs and ours * tried <= theirs * retried,
                f"order {order}: {ours} failures, on stock {theirs}")
    return j


def atomic_load(*files):
    """Whether every claim held."""
    machines = [Machine(*m) for m in zip(("stock", "this"), files)]
    for m in machines:
        if not m.complete():
            raise NoFigure("all that", m.name, "was to do")
    j = judge(*machines)
    print("\n".join(table(machines) + ["", "What was claimed"] + j.lines + ["", j.verdict()]))
    return not j.missed
