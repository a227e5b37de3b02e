# SPDX-License-Identifier: GPL-2.0-only
"""Samples of /proc and /sys: as files for dmapstat, and what they say

A sample is sections, a file each, "==> proc/meminfo <=="; lines before the first one
are comments. An empty section is a file that may not be read, one that begins with
"-> " is a symbolic link, and /proc/kpageflags is lines "FIRST-PFN COUNT HEX-FLAGS".
record.sh prints samples."""
import functools
import json
import os
import re
import struct
import subprocess
import tempfile
import unittest

HERE = os.path.dirname(os.path.abspath(__file__))
PAGE = 4096
NOBODY = 65534


def read(path):
    with open(os.path.join(HERE, path), encoding='utf-8') as f:
        return f.read()


def sections(name):
    """{file: text} of a sample"""
    parts = re.split(r'(?m)^==> (\S+) <==\n', read('samples/' + name))
    return dict(zip(parts[1::2], parts[2::2]))


def runs(text):
    return [(int(first), int(count), int(flags, 16)) for first, count, flags in map(str.split, text.splitlines())]


class Root:
    """A directory with a sample's files in it, for --root; whoever made tempfile.tempdir removes it"""
    program = None

    def __init__(self, files):
        self.dir = tempfile.mkdtemp()
        os.chmod(self.dir, 0o755)
        # Root reads everything: what may not be read has to be asked for by somebody else
        self.as_nobody = '' in files.values() and os.geteuid() == 0
        for name, text in files.items():
            path = os.path.join(self.dir, name)
            os.makedirs(os.path.dirname(path), exist_ok=True)
            if isinstance(text, str) and text.startswith('-> '):
                os.symlink(text[3:].rstrip('\n'), path)
                continue
            with open(path, 'wb') as f:
                if name == 'proc/kpageflags' and isinstance(text, str):
                    for first, count, flags in runs(text):
                        f.seek(first * 8)
                        f.write(struct.pack('=Q', flags) * count)
                else:
                    f.write(text if isinstance(text, bytes) else text.encode())
            os.chmod(path, 0o644 if text else 0)

    def start(self, args, env=None, **how):
        if self.as_nobody:
            how.update(user=NOBODY, group=NOBODY, extra_groups=[])
        # What it has in memory when it ends is not lost
        env = {'LC_ALL': 'C', 'PATH': '/usr/bin:/bin', 'ASAN_OPTIONS': 'detect_leaks=0', **(env or {})}
        try:
            return subprocess.Popen([Root.program, '--root', self.dir, *args], env=env, cwd='/',
                                    **{'stdout': subprocess.PIPE, 'stderr': subprocess.PIPE, **how})
        except OSError as e:
            if not self.as_nobody:
                raise
            raise unittest.SkipTest(f'needs another user: {e}') from e

    def run(self, *args, env=None, **how):
        """(exit status, standard output, standard error)"""
        with self.start(args, env, **how) as p:
            out, err = p.communicate()
        out, err = ((t or b'').decode().replace(self.dir, 'ROOT') for t in (out, err))
        return p.returncode, out, err

    def json(self, *args):
        return json.loads(self.run('--json', *args)[1])


@functools.cache
def root_of(name):
    return Root(sections(name))


class Truth:
    """What a sample says of memory, read once more, page by page"""
    def __init__(self, files):
        self.ram = [(int(a, 16), int(b, 16) + 1) for a, b in
                    re.findall(r'(?m)^ *(\w+)-(\w+) : System RAM', files['proc/iomem']) if int(b, 16)]
        if not self.ram:
            size = int(files['sys/devices/system/memory/block_size_bytes'], 16)
            self.ram = [(int(nr) * size, (int(nr) + 1) * size) for nr in
                        re.findall(r'memory/memory(\d+)/state', '\n'.join(files))]
        self.ram = [(-(-start // PAGE), end // PAGE) for start, end in self.ram]
        self.pages = -(-max(end for _, end in self.ram) // 512) * 512
        self.is_ram = self.paint((start, end, 1) for start, end in self.ram)
        self.flags = runs(files.get('proc/kpageflags', ''))
        no_map = self.paint((f, f + n, flags >> 27 & 1) for f, n, flags in self.flags)
        free = self.paint((f, f + n, flags >> 10 & 1) for f, n, flags in self.flags)
        self.free = {nr: sum(free[nr:nr + 512]) for nr in range(0, self.pages, 512)
                     if no_map[nr] and all(self.is_ram[nr:nr + 512])}
        table = files.get('sys/kernel/debug/page_tables/kernel', '').partition('Low Kernel Mapping ]---\n')[2]
        lines = [line.split() for line in table.partition('---[')[0].splitlines()]
        edges = [[int(a, 16) for a in line[0].split('-')] for line in lines]
        self.levels = self.paint(piece for edge, line in zip(edges, lines)
                                 for piece in self.pieces(*((a - edges[0][0]) // PAGE for a in edge), line))

    def pieces(self, start, end, line):
        """What is absent is so where memory is; p: with a page table"""
        if {'RW', 'ro'} & set(line):
            return [(start, end, ord({'pte': '4', 'pmd': '2', 'pud': '1'}[line[-1]]))]
        return [(max(start, a), min(end, b), ord('p' if line[-1] == 'pte' else 'n'))
                for a, b in self.ram if a < end and b > start]

    def paint(self, ranges):
        """A byte a page"""
        canvas = bytearray(self.pages)
        for start, end, value in ranges:
            start, end = min(start, self.pages), min(end, self.pages)
            canvas[start:end] = bytes([value]) * (end - start)
        return canvas

    def state(self, nr, entries):
        """of the block that begins with this page"""
        if nr in self.free:
            return {0: 'used', 512: 'free'}.get(self.free[nr], 'part')
        levels = set(self.levels[nr:nr + 512].decode())
        if not entries:
            return 'mapped'
        absent = levels & {'n', 'p'}
        if levels & {'4', 'p'}:
            return 'pieces' if absent else 'mapped-4k'
        return 'absent' if absent else 'mapped-2m' if '2' in levels else 'mapped-1g'


@functools.cache
def truth_of(name):
    return Truth(sections(name))
