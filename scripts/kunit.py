#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-only
"""usage: kunit.py KERNEL-DIR TREE KUNIT.JSON

Says which KUnit suites were asked for and did not run, a line each. Asked for
are the CONFIG_*_KUNIT_TEST=y of the fragments that KERNEL-DIR was configured
with (.wanted.config, scripts/kernel.sh writes it); what ran is in KUNIT.JSON, by
'kunit.py parse'. Which suites a symbol has is read from TREE: the sources that
its line in a Makefile names, or else those that mention it. A symbol that TREE
does not have is passed over: whether it has to be there, kernel.sh says."""
import json
import os
import re
import subprocess
import sys


def read(path):
    with open(path, encoding='utf-8', errors='replace') as f:
        return f.read()


def symbols(path):
    """{symbol: value} of a configuration; the last line of a symbol wins"""
    found = {}
    for line in read(path).splitlines():
        m = re.match(r'(CONFIG_\w+)=(.*)$', line) or re.match(r'# (CONFIG_\w+) is not (set)$', line)
        if m:
            found[m[1]] = m[2]
    return found


def grep(tree, pattern, *include):
    """files of the tree that have a line like this"""
    out = subprocess.run(['grep', '-rlE', '--exclude-dir=.git', *('--include=' + i for i in include),
                          '-e', pattern, tree],
                         stdout=subprocess.PIPE, check=False, text=True)
    return out.stdout.splitlines()


def sources(makefile, objects):
    """the C files that objects of a Makefile are made of"""
    text = read(makefile).replace('\\\n', ' ')
    for o in objects:
        stem = o.removesuffix('.o')
        path = os.path.join(os.path.dirname(makefile), stem + '.c')
        if os.path.exists(path):
            yield path
        for m in re.finditer(r'^%s-(?:y|objs)\s*[:+]?=(.*)$' % re.escape(os.path.basename(stem)), text, re.M):
            yield from sources(makefile, m[1].split())


def suites(tree, makefiles, symbol):
    """names of the suites that are built in with a symbol"""
    files = []
    for makefile in makefiles:
        for m in re.finditer(r'\(%s\)\s*[:+]?=(.*)$' % symbol, read(makefile).replace('\\\n', ' '), re.M):
            files += sources(makefile, m[1].split())
    files = files or grep(tree, r'\b%s\b' % symbol, '*.c', '*.h')
    names = []
    for f in files:
        names += re.findall(r'\bstruct kunit_suite \w+\s*=\s*\{[^}]*?\.name\s*=\s*"([^"]*)"', read(f))
    return names


def ran(group):
    """names of groups that have results"""
    names = set()
    for g in group.get('sub_groups', []):
        inner = ran(g)
        if inner or g.get('test_cases'):
            names |= {g['name']} | inner
    return names


def main():
    if len(sys.argv) != 4:
        sys.exit(__doc__)
    kernel, tree, results = sys.argv[1:]
    asked, built = symbols(kernel + '/.wanted.config'), symbols(kernel + '/.config')
    done = ran(json.loads(read(results))) if os.path.exists(results) else set()
    makefiles = grep(tree, r'_KUNIT_TEST\)', 'Makefile', 'Kbuild')
    for symbol, value in asked.items():
        if not symbol.endswith('_KUNIT_TEST') or value != 'y' or built.get(symbol) != 'y':
            continue
        names = suites(tree, makefiles, symbol)
        if not names:
            print(f'no suite in the tree is built with {symbol}')
        for name in names:
            if name not in done:
                print(f'suite {name} did not run ({symbol})')


main()
