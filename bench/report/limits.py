# SPDX-License-Identifier: GPL-2.0-only
"""The limits of the claims, which are in bench/limits."""

import os


def number(text):
    value = float(text)
    return int(value) if value == int(value) else value


BENCH = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))


def limits():
    with open(os.path.join(BENCH, "limits")) as f:
        return {w[0]: number(w[1]) for w in map(str.split, f) if w and w[0] != "#"}


LIMITS = limits()
P4_MORE, P5_MOST, P5_PAIR, SAME = (LIMITS[name] for name in ("P4_MORE", "P5_MOST", "P5_PAIR", "SAME"))
