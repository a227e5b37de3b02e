#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-only
"""Make a table of what KVM's selftests said in three machines, and judge it.

usage: kvm-selftests.py KNOWN STOCK SERIES OFF

KNOWN has a line for each test that cannot pass with its memory off the direct map: its
name, and why. The others are results.ktap of the machines. Exit 1 if a test that passed
on stock did not in another machine and is not known, or is known and passed, or if a
machine did not run what the first one ran.
"""
import sys

sys.dont_write_bytecode = True
from suites import end, print_table, read_known, read_results, word  # noqa: E402


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
    print_table(("test", "stock", "series", "off the direct map", ""), rows)
    print(f"\nSkipped in each of them, mostly for want of a processor: {', '.join(skipped)}.")
    end("kvm-selftests", stock, bad)


main()
