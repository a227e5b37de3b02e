#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-only
"""Make a table of what KVM's selftests said in three machines, and judge it.

usage: kvm-selftests.py KNOWN STOCK SERIES OFF

KNOWN has a line for each test that cannot pass with its memory off the direct map: its
name, and why. The others are results.ktap of the machines. Exit 1 if a test that passed
on stock did not in another machine and is not known, or is known and passed, or if a
machine did not run what the first one ran.
"""
import re
import sys

SAID = re.compile(r"# (\S+): exit (\d+) after (\d+) s$")
WORDS = {0: "pass", 4: "skip", 124: "no end in 300 s"}


def read_results(path):
    """How each test ended, by its name."""
    results = {}
    with open(path, encoding="utf-8", errors="replace") as lines:
        for line in lines:
            said = SAID.search(line.strip())
            if said:
                results[said[1]] = int(said[2])
    return results


def read_known(path):
    """The reason of each test that cannot pass, by its name."""
    known = {}
    with open(path, encoding="utf-8") as lines:
        for line in lines:
            if line.strip() and not line.startswith("#"):
                name, reason = line.split(None, 1)
                known[name] = reason.strip()
    return known


def judge(name, stock, series, off, known):
    """What is wrong with these three results, or an empty string."""
    if None in (series, off):
        return "did not run everywhere"
    if stock == 0 and series != 0:
        return "fails with the series"
    if stock == 0 and off != 0 and name not in known:
        return "fails off the direct map"
    if off == 0 and name in known:
        return "is known to fail, and passes"
    return ""


def word(status):
    """What a reader of the table sees for an exit status, None without one."""
    return "not run" if status is None else WORDS.get(status, f"fail ({status})")


def main():
    """Print the table; the exit status says whether it is as it should be."""
    if len(sys.argv) != 5:
        sys.exit(__doc__)
    known = read_known(sys.argv[1])
    stock, series, off = (read_results(path) for path in sys.argv[2:])
    rows, bad, skipped = [], [], []
    for name in sorted(stock):
        results = stock[name], series.get(name), off.get(name)
        wrong = judge(name, *results, known)
        if wrong:
            bad.append(f"{name}: {wrong}")
        if results == (4, 4, 4):
            skipped.append(name)
        else:
            rows.append((name, *map(word, results), wrong or known.get(name, "")))
    print("# Linux's KVM selftests\n")
    print("Written by `scripts/kvm-selftests.sh --docs`, which says what the columns are. The")
    print("processor is an emulated one with AMD's SVM and nested paging.\n")
    passes = [sum(r.get(name) == 0 for name in stock) for r in (stock, series, off)]
    print(f"Of {len(stock)} tests {passes[0]} pass on stock, {passes[1]} with the series, and "
          f"{passes[2]} with all\nmemory of their guests off the direct map.\n")
    print("| test | stock | series | off the direct map | |\n| --- | --- | --- | --- | --- |")
    for row in rows:
        print("| " + " | ".join(row) + " |")
    print(f"\nSkipped in each of them, mostly for want of a processor: {', '.join(skipped)}.")
    for line in bad:
        print(f"kvm-selftests: {line}", file=sys.stderr)
    if not stock:
        print("kvm-selftests: stock ran nothing", file=sys.stderr)
    sys.exit(1 if bad or not stock else 0)


main()
