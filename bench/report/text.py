# SPDX-License-Identifier: GPL-2.0-only
"""Numbers and tables for people, and the data of the plots."""

import os


def n(x, digits=0):
    """A number for people; what is not there is a dash."""
    if x is None:
        return "-"
    x = getattr(x, "median", x)
    if digits == 0 and abs(x) < 100 and x != int(x):
        digits = 1
    return f"{x:,.{digits}f}"


def percent(new, old):
    if new is None or old is None or not old.median:
        return "-"
    return f"{100 * (new.median / old.median - 1):+.1f} %"


def times(new, old):
    if new is None or old is None or not old.median:
        return "-"
    return f"{new.median / old.median:.2f}x"


def spread(s):
    if s is None:
        return "-"
    return f"{s.median:.2f}x ({s.low:.2f}-{s.high:.2f})"


def plain(x):
    """A number as it was counted; what is not there is empty."""
    if x is None or isinstance(x, str):
        return x or ""
    return str(int(x)) if x == int(x) else f"{x:.6g}"


def row(wide, each, what, *cells):
    """A line of a table without rules: the first column is text, the others are numbers."""
    return f"  {what:<{wide}}" + "".join(f" {plain(c):>{each}}" for c in cells)


def said(held, text):
    return f"{'held' if held else 'MISSED':<6}  {text}"


def table(head, rows):
    """The first column is text, the others are numbers. What is all dashes is left out."""
    rows = [r for r in rows if any(c != "-" for c in r[1:])]
    if not rows:
        return []
    keep = [i for i in range(len(head)) if not i or any(r[i] != "-" for r in rows)]
    head, rows = [head[i] for i in keep], [[r[i] for i in keep] for r in rows]
    out = ["| " + " | ".join(head) + " |", "| --- |" + " ---: |" * (len(head) - 1)]
    out += ["| " + " | ".join(r) + " |" for r in rows]
    return out + [""]


def titled(title, head, rows):
    """A table below what says what it is; neither, where there is nothing in it."""
    made = table(head, rows)
    return title + made if made else []


def data(results, name, rows):
    """For gnuplot; what is not there is NaN."""
    with open(os.path.join(results.directory, name + ".dat"), "w") as f:
        for row in rows:
            print("\t".join(f'"{c}"' if isinstance(c, str) else
                            "NaN" if c is None else f"{getattr(c, 'median', c):.6g}" for c in row), file=f)
