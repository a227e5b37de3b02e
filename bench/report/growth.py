# SPDX-License-Identifier: GPL-2.0-only
"""How the costs of secret memory grow with a machine's memory and processors."""

import os
import statistics

from secret import flushes, secret_both
from text import data, n, table

GIB = {"memory-1": 1, "memory-2": 2, "memory-4": 4, "memory-8": 8, "memory-16": 16}
CPUS = {"cpus-1": 1, "cpus-2": 2, "memory-4": 4, "cpus-8": 8}


def growth(r):
    out = []
    size = dict(mib=64, threads=1)
    for title, points, name in (("memory, GiB", GIB, "memory"), ("processors", CPUS, "cpus")):
        points = {row: x for row, x in points.items() if r.has(row, "stock", "release")}
        if len(points) < 3:
            continue
        if not out:
            out = ["## How it grows", "",
                   "64 MiB by one thread, in machines with more memory (4 processors) or with more processors (4 GiB). Fault",
                   "and free, instructions of all CPUs a page, and flushes of all CPUs in a first life. The last line is the",
                   "slope of the line through them (least squares): what each GiB, or each processor, adds.", ""]
        rows, dat, lines = [], [], []
        for row, x in points.items():
            cpus = CPUS.get(row, 4)
            cells = [secret_both(r, row, k, kind, life, **size)
                     for k in ("stock", "release") for kind, life in (("memfd", "warm"), ("secret", "cold"), ("secret", "warm"))]
            cells += [flushes(r, row, k, "cold", cpus, **size) for k in ("stock", "release")]
            rows.append([str(x)] + [n(c) for c in cells])
            dat.append([x] + cells)
        slopes = []
        for i in range(1, len(dat[0])):
            ys = [getattr(d[i], "median", d[i]) for d in dat]
            fit = statistics.linear_regression([d[0] for d in dat], ys)
            slopes.append(f"{fit.slope:+,.1f}")
            lines.append(fit)
        rows.append(["slope"] + slopes)
        out += table([title, "stock: memfd", "secret, first", "second", "this: memfd", "secret, first", "second",
                      "flushes: stock", "this"], rows)
        data(r, name, dat)
        with open(os.path.join(r.directory, name + ".fit"), "w") as f:
            for fit in lines:
                print(f"{fit.slope:.6g}\t{fit.intercept:.6g}", file=f)
        if name == "cpus":
            stock, this = lines[2], lines[5]
            out += [f"So a shootdown costs {stock.slope:,.0f} instructions on each further processor, for each page of stock's "
                    f"secret memory; here a page of the second life costs {this.slope:,.1f}.", ""]
    if out:
        out += ["![](results-growth.svg)", ""]
    return out
