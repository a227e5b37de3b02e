# SPDX-License-Identifier: GPL-2.0-only
"""Turns what machines printed into a report, and judges what was claimed.

usage: report bench DIRECTORY
       report demo FIGURES RUNS [FILE]
       report fragmentation DIRECTORY MACHINE...
       report atomic-load STOCK THIS
       report off DIRECTORY

bench: DIRECTORY has facts (NAME=VALUE lines) and machines/*/ with machine, results.ktap
and console.log. demo: FIGURES are those of scripts/demo.sh; the report that is in FILE is
replaced if every claim held. fragmentation: DIRECTORY/MACHINE/ has facts (KEY VALUE lines)
and samples.csv; stock is the first MACHINE. atomic-load: two results.ktap. off: DIRECTORY
has changed (the C files), stock/ and this/, with their objects. The limits are in
bench/limits.

Exit 0: every claim held. 1: one did not. 2: nothing is judged, as there are no figures or
one is missing: none counts as 0."""

import sys

# No bytecode beside the modules: they are in the repository
sys.dont_write_bytecode = True

from atomic_load import atomic_load
from bench import bench
from counted import NotJudged
from demo import demo
from fragmentation import fragmentation
from off import off

# What is judged, by whom, from how many arguments: at least, at most
JUDGES = {"bench": (bench, 1, 1), "demo": (demo, 2, 3),
          "fragmentation": (fragmentation, 3, 4), "atomic-load": (atomic_load, 2, 2), "off": (off, 1, 1)}


def main():
    if len(sys.argv) == 2 and sys.argv[1] in ("-h", "--help"):
        print(__doc__)
        sys.exit(0)
    judge, least, most = JUDGES.get(sys.argv[1] if len(sys.argv) > 1 else "", (None, 0, 0))
    if judge is None or not least <= len(sys.argv) - 2 <= most:
        print(__doc__, file=sys.stderr)
        sys.exit(2)
    try:
        sys.exit(0 if judge(*sys.argv[2:]) else 1)
    except NotJudged as e:
        print(f"{sys.argv[1]}: {e}", file=sys.stderr)
        sys.exit(2)
    except (FileNotFoundError, NotADirectoryError) as e:
        print(f"{sys.argv[1]}: {e.filename}: {e.strerror}", file=sys.stderr)
        sys.exit(2)


main()
