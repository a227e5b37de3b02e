#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-only
"""Make a table of what Linux's own tests said on two kernels, and judge it.

usage: selftests.py KNOWN DIR RUNS CONFIG

KNOWN has a line for each test that need not be the same on both, or need not be so each
time: its name with _ for blanks, or NAME:PART for one part of it, and why. DIR and RUNS are what
scripts/selftests.sh left: what could not be built; results of kernels CONFIG-stock and
CONFIG. Exit 1 if something passed on stock and did not with the series, and is not known.
"""
import collections
import json
import os
import re
import sys

sys.dont_write_bytecode = True
from suites import SAID, end, print_table, read_known, read_lines, word  # noqa: E402

PART = re.compile(r"(?:# )?(not ok|ok) \d+ *(?:- )?(.*)$")
# What is another number each time has no part in a name
NUMBERS = re.compile(r"0x[0-9a-f]+|\d+(\.\d+)?")
KERNEL = re.compile(r"# \S.*: the kernel: (?:\[[ .\d]*\] )?(.*)$")


class Test:
    """How a test ended: its exit status, its parts by name, what the kernel said."""
    def __init__(self):
        self.status = None
        self.parts = {}
        self.names = {}
        self.kernel = []

    def add(self, name, said):
        """A part: ok, not ok or skip. A name that comes again is the next of that name."""
        full = " ".join(name.split(" #")[0].split())
        name = NUMBERS.sub("N", full)
        key = name, sum(1 for key in self.parts if key[0] == name)
        self.parts[key], self.names[key] = said, full

    def cell(self):
        """What the table says of it."""
        text = word(self.status)
        if self.parts:
            counts = collections.Counter(self.parts.values())
            text += ": " + ", ".join(f"{counts[k]} {k}" for k in ("ok", "not ok", "skip") if counts[k])
        if self.kernel:
            text += f"; {len(self.kernel)} reports of the kernel"
        return text


def read_tests(path):
    """The tests that ran in a machine, by name. One without an end has no status."""
    tests, running = {}, None
    for line in read_lines(path) if os.path.exists(path) else ():
        if line.endswith(": starts"):
            running = tests.setdefault(line[2:-len(": starts")], Test())
        elif SAID.search(line):
            said = SAID.search(line)
            tests[said[1]].status, running = int(said[2]), None
        elif running and KERNEL.match(line):
            running.kernel.append(KERNEL.match(line)[1])
        elif running and PART.match(line):
            said, name = PART.match(line).groups()
            running.add(name, "skip" if "# SKIP" in line.upper() else said)
    return tests


def read_kunit(path):
    """The suites that ran, by name, as tests with parts."""
    tests = {}

    def walk(group, suite):
        for case in group.get("test_cases", []):
            # What kunit.py puts beside the suites: a suite that is skipped as a whole
            test = tests.setdefault(suite or "kunit/" + case["name"], Test())
            said = {"PASS": "ok", "SKIP": "skip"}.get(case["status"], "not ok")
            test.add(case["name"], said)
        for inner in group.get("sub_groups", []):
            walk(inner, suite or "kunit/" + inner["name"])

    if os.path.exists(path):
        with open(path, encoding="utf-8") as text:
            walk(json.load(text), "")
    for test in tests.values():
        said = set(test.parts.values())
        test.status = 1 if "not ok" in said else 4 if said == {"skip"} else 0
    return tests


def judge(name, stock, series, known):
    """What is worse with the series: [(what, why it is known or None)]"""
    worse = []
    if series.status is None:
        return [(name, "does not end with the series", None)]
    if stock.status in (0, 4) and series.status != stock.status and series.status != 0:
        worse.append((name, f"{word(stock.status)} on stock, {word(series.status)} with the series"))
    for key, said in stock.parts.items():
        other = series.parts.get(key)
        # One that was stopped, or found something out, says no more of the rest: it is
        # worse by its exit status where that is so, or both ended so
        if said == "ok" and other != "ok" and not (other is None and series.status != 0):
            worse.append((f"{name}:{stock.names[key]}", f"ok on stock, {other or 'not there'} with the series"))
    if series.kernel and not stock.kernel:
        worse.append((name, f"the kernel says with the series: {series.kernel[0]}"))
    return [(what, how, known.get(what.replace(" ", "_")) or known.get(name.replace(" ", "_")))
            for what, how in worse]


def total(tests):
    """A line of counts."""
    counts = collections.Counter(
        {0: "pass", 4: "skip"}.get(t.status, "fail") for t in tests.values())
    parts = collections.Counter(p for t in tests.values() for p in t.parts.values())
    return (f"{len(tests)} tests: {counts['pass']} pass, {counts['fail']} fail, {counts['skip']} are skipped; "
            f"in them {parts['ok']} parts ok, {parts['not ok']} not ok, {parts['skip']} skipped")


def main():
    """Print the table; the exit status says whether it is as it should be."""
    if len(sys.argv) != 5:
        sys.exit(__doc__)
    known, (out, runs, config) = read_known(sys.argv[1]), sys.argv[2:]
    stock, series = (read_tests(f"{runs}/{k}/results.ktap") | read_kunit(f"{runs}/kunit-{k}/kunit.json")
                     for k in (config + "-stock", config))
    bad, table = [], {}
    for name in sorted(stock):
        one, other = stock[name], series.get(name, Test())
        notes = []
        for what, how, why in judge(name, one, other, known):
            if not why:
                bad.append(f"{what}: {how}")
            notes.append(f"{what.removeprefix(name + ':')}: {why or how}" if what != name else why or how)
        if not notes and name.replace(" ", "_") in known:
            notes.append(known[name.replace(" ", "_")])
        table.setdefault(name.split("/")[0], []).append(
            (name.split("/", 1)[1], one.cell(), other.cell(), "; ".join(notes)))
    ours = sorted(set(series) - set(stock))
    print("# Linux's own tests\n")
    print("Written by `scripts/selftests.sh --docs`, which says what is run. Stock is Linux without the")
    print(f"series, built with the same configuration (configs/{config}.config); the programs are the same")
    print("ones on both, built from stock's source. They run in emulation.")
    with open(f"{runs}/seconds", encoding="utf-8") as text:
        print(f"None may take longer than {text.read().strip()} seconds.\n")
    print("| kernel | |\n| --- | --- |")
    print(f"| stock | {total({n: t for n, t in stock.items()})} |")
    print(f"| series | {total({n: t for n, t in series.items() if n in stock})} |\n")
    with open(f"{out}/changed", encoding="utf-8") as text:
        changed = text.read().split()
    programs = {name.removeprefix("bash ./").split()[0] for name in stock if not name.startswith("kunit/")}
    print("The series changes the source of "
          + (f"these: {', '.join(changed)}." if changed else f"none of these {len(programs)} programs and scripts.")
          + "\n")
    for suite, rows in table.items():
        print(f"## {suite}\n")
        print(f"Stock: {total({n: t for n, t in stock.items() if n.startswith(suite + '/')})}.\n")
        print_table(("test", "stock", "series", ""), rows)
        print()
    if ours:
        print("Only with the series, not judged here: " + ", ".join(ours) + ".\n")
    with open(f"{out}/not-built", encoding="utf-8") as text:
        missing = text.read().splitlines()
    if missing:
        print("Not built: " + "; ".join(missing) + ".\n")
    print("Left out: `gup_test` in all 240 ways of `run_vmtests.sh -a`; `khugepaged all:file`, which wants")
    print("a file system on a disk. `test_vmalloc.sh` and `test_page_frag.sh` go fewer rounds.")
    end("selftests", stock, bad)


main()
