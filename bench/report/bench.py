# SPDX-License-Identifier: GPL-2.0-only
"""Turns what bench/bench's machines printed into bench.json, results.md and the
data of its plots, and judges what was claimed."""

import json
import os
import statistics
import sys

from claims import on, same
from growth import growth
from guest import guest
from judge import verdict
from others import bystander, day
from pages import pagealloc, window
from results import Results
from secret import secret, secret_time
from text import said


def write_json(r):
    figures = {}
    for b in r.boots:
        for figure, labels, values in b.samples:
            key = (b.row, b.kernel, b.facts["mode"], figure, tuple(labels.items()))
            for name, value in values.items():
                figures.setdefault(key, {}).setdefault(name, []).append(value)
    with open(os.path.join(r.directory, "bench.json"), "w") as f:
        json.dump({
            "facts": r.facts,
            "machines": [dict(b.facts, version=b.version) for b in r.boots],
            "figures": [{
                "row": row, "kernel": kernel, "mode": mode, "figure": figure, "labels": dict(labels),
                "values": {name: {"median": statistics.median(v), "min": min(v), "max": max(v), "samples": v}
                           for name, v in values.items()},
            } for (row, kernel, mode, figure, labels), values in figures.items()],
            "claims": r.claims,
        }, f, indent=1)
        f.write("\n")


def head(r):
    """What was measured, where and how."""
    facts = r.facts
    versions = {k: next((b.version for b in r.boots if b.kernel == k), None) for k in ("stock", "release", "unused", "used")}
    version = versions["stock"] or versions["release"] or versions["unused"] or versions["used"]
    again = "make bench" if facts["set"] == "full" else "make bench-quick"
    return ["# Results", "",
            f"Written by `{again}`, {facts['date']}; nothing of it by hand. Stock is Linux {version} without this work, with",
            f"the same configuration. The host: {facts['host']}, {facts['host_processors']} processors,",
            f"{int(facts['host_memory_mib']) // 1024} GiB; {facts['qemu']}. Kernels: "
            + ", ".join(f"{k[7:]} {v}" for k, v in facts.items() if k.startswith("kernel_")) +
            f"; repository {facts['repository']}.", "",
            "What decides is *instructions*, counted by machines in which one instruction takes one nanosecond and whose",
            "processors take turns on one thread: they are the same on any host. They are no times: a cache miss costs",
            "nothing there, and a repeated string instruction is counted once for each repetition, so that clearing a",
            "page with `rep stosb` is 4096 of them. Times are of an emulator, on a host that may do other things; read",
            "them as ratios, and with their spread.", ""]


def judged(r, missed):
    out = ["## What was claimed", "", "```"]
    for c in sorted(r.claims, key=lambda c: ("P3", "guest", "P4", "P5", "on", "same").index(c["claim"])):
        out.append(said(c["held"], f"{c['claim']:<5} {c['text']}"))
    out.append("")
    return out + [verdict(missed, len(r.claims)), "```", ""]


def bench(directory):
    """Whether every claim held."""
    r = Results(directory)
    sections = []
    for section in (secret, secret_time, guest, pagealloc, window, bystander, growth, day, same):
        sections += section(r)
    on(r)

    missed = sum(not c["held"] for c in r.claims)
    text = "\n".join(head(r) + judged(r, missed) + sections).rstrip("\n") + "\n"
    with open(os.path.join(r.directory, "results.md"), "w") as f:
        f.write(text)
    write_json(r)
    sys.stdout.write(text)
    return not missed
