# SPDX-License-Identifier: GPL-2.0-only
"""What kvm-selftests.py and selftests.py have in common: results that vm/kvm.sh and
vm/selftests.sh printed, files of tests that are known to differ, tables."""
import re
import sys

SAID = re.compile(r"# (\S.*): exit (\d+) after (\d+) s$")
WORDS = {0: "pass", 4: "skip", 124: "no end in time"}


def read_lines(path):
    """The lines of a results.ktap, as the tests printed them."""
    with open(path, encoding="utf-8", errors="replace") as lines:
        for line in lines:
            yield line.strip()


def read_results(path):
    """How each test ended, by its name."""
    said = (SAID.search(line) for line in read_lines(path))
    return {s[1]: int(s[2]) for s in said if s}


def read_known(path):
    """The reason of each test that is known to differ, by its name."""
    known = {}
    with open(path, encoding="utf-8") as lines:
        for line in lines:
            if line.strip() and not line.startswith("#"):
                name, reason = line.split(None, 1)
                known[name] = reason.strip()
    return known


def word(status):
    """What a reader of the table sees for an exit status, None without one."""
    return "not run" if status is None else WORDS.get(status, f"fail ({status})")


def print_table(columns, rows):
    """A table of markdown."""
    print("| " + " | ".join(columns) + " |\n|" + " --- |" * len(columns))
    for row in rows:
        print("| " + " | ".join(row) + " |")


def end(program, stock, bad):
    """Says what is bad, and exits with 1 if anything is, or if stock ran nothing."""
    for line in bad + ([] if stock else ["stock ran nothing"]):
        print(f"{program}: {line}", file=sys.stderr)
    sys.exit(1 if bad or not stock else 0)
