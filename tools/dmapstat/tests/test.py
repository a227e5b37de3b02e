#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-only
"""usage: test.py [--update] DMAPSTAT [WORD...]

Gives DMAPSTAT what samples/NAME has of /proc and /sys (sample.py says how), runs what
expected/NAME says after "$ ", and compares what is printed with what is there: standard
output, standard error after "! ", the exit status if it is not 0. JSON is compared field
by field. Then what needs more than that. Prints KTAP; with WORDs only tests that have
one of them in their name. Needs no privileges, and no kernel of any kind.

  --update   write what is printed to expected/, to be looked at with git diff"""
import difflib
import fcntl
import json
import os
import pty
import re
import shlex
import shutil
import struct
import sys
import tempfile
import termios
import unittest
import xml.etree.ElementTree as ET

sys.dont_write_bytecode = True
from ktap import Ktap
from sample import HERE, PAGE, Root, read, root_of, runs, sections, truth_of

TABLES = 'sys/kernel/debug/page_tables/kernel'
# What --json calls the kernel's counters, once more
COUNTERS = {
    'direct_map': {'entries_4k_kb': 'DirectMap4k', 'entries_2m_kb': 'DirectMap2M', 'entries_1g_kb': 'DirectMap1G',
                   'unmapped_kb': 'DirectMapUnmapped',
                   'splits_2m': 'direct_map_level2_splits', 'splits_1g': 'direct_map_level3_splits',
                   'collapses_2m': 'direct_map_level2_collapses', 'collapses_1g': 'direct_map_level3_collapses'},
    'unmapped': {'pages': 'nr_no_direct_map', 'free_pages': 'nr_free_no_direct_map', 'secretmem_kb': 'Secretmem',
                 'free_whole_pages': 'nr_free_no_direct_map_whole', 'dirty_pages': 'nr_no_direct_map_dirty'},
    'since_boot': {'flip_unmap': 'direct_map_flip_unmap', 'flip_remap': 'direct_map_flip_remap',
                   'flip_fail': 'direct_map_flip_fail', 'shootdown': 'direct_map_shootdown',
                   'zeroed_pages': 'no_direct_map_zeroed_pages', 'mermap_flush': 'mermap_flush'},
}


def is_json(command):
    return {'-j', '--json'} & set(command.split())


def run_line(root, command):
    """A line of expected/ as if a shell ran it, and what it prints as it is written there"""
    words = shlex.split(command)
    at = words.index('dmapstat')
    status, out, err = root.run(*words[at + 1:], env=dict(w.split('=', 1) for w in words[:at]))
    if is_json(command):
        out = re.sub(r'"time": "\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ"', '"time": "TIME"', out)
    return out + ''.join(f'! {line}\n' for line in err.splitlines()) + (f'exit {status}\n' if status else '')


def commands(name):
    """The commands of expected/NAME, and what each prints"""
    parts = re.split(r'(?m)^\$ (.*)\n', read('expected/' + name))
    return parts[0], [(c, re.sub(r'\n\n$', '\n', t)) for c, t in zip(parts[1::2], parts[2::2])]


def update():
    for name in sorted(os.listdir(HERE + '/expected')):
        head, wanted = commands(name)
        text = head + '\n'.join(f'$ {c}\n{run_line(root_of(name), c)}' for c, _ in wanted)
        with open(f'{HERE}/expected/{name}', 'w', encoding='utf-8') as f:
            f.write(text)


def fields(value, path=''):
    """{path: value} of all that is in JSON"""
    if isinstance(value, (dict, list)) and value:
        items = value.items() if isinstance(value, dict) else enumerate(value)
        return {p: v for key, inner in items for p, v in fields(inner, f'{path}.{key}').items()}
    return {path: value}


def split_json(text):
    """The fields of what is printed, and what comes after it"""
    value, end = json.JSONDecoder().raw_decode(text)
    return fields(value), text[end:]


class Expected(unittest.TestCase):
    """One line of expected/NAME"""
    def __init__(self, sample, command, text):
        super().__init__('compare')
        self.sample, self.command, self.text = sample, command, text

    def id(self):
        return f'expected: {self.sample}: {self.command}'

    def compare(self):
        found, wanted = run_line(root_of(self.sample), self.command), self.text
        if is_json(self.command):
            (found_json, found), (wanted_json, wanted) = map(split_json, (found, wanted))
            differ = [f'{p[1:]}: {found_json.get(p, "-")}, expected {wanted_json.get(p, "-")}'
                      for p in {**wanted_json, **found_json} if found_json.get(p, '-') != wanted_json.get(p, '-')]
            self.assertFalse(differ, '\n'.join(differ))
        if found != wanted:
            self.fail('\n'.join(difflib.unified_diff(wanted.splitlines(), found.splitlines(),
                                                     'expected', 'found', lineterm='')))


class Recorded(unittest.TestCase):
    """Is it true? Without a look at expected/."""
    def __init__(self, method, sample):
        super().__init__(method)
        self.sample, self.files = sample, sections(sample)
        self.root, self.truth = root_of(sample), truth_of(sample)

    def id(self):
        return f'{super().id()}: {self.sample}'

    def test_counters(self):
        files, found = self.files, self.root.json()
        counts = dict(re.findall(r'(?m)^(\w+)[: ]+(\d+)(?: kB)?$', files['proc/meminfo'] + files['proc/vmstat']))
        for group, names in COUNTERS.items():
            for name, counter in names.items():
                self.assertEqual(str(found[group][name]), counts.get(counter, 'None'), name)
        self.assertEqual(found['memory']['bytes'], sum(self.truth.is_ram) * PAGE)
        self.assertEqual(found['uptime'], float(files['proc/uptime'].split()[0]))

    def test_blocks(self):
        truth = self.truth
        for entries in ([], ['-e']):
            found = self.root.json(*entries)['blocks']
            if not self.files['proc/kpageflags'] or 'DirectMapUnmapped' not in self.files['proc/meminfo']:
                self.assertIsNone(found)
                continue
            seen = last = 0
            for r in found['ranges']:
                blocks = range(r['start'] // PAGE, r['end'] // PAGE, 512)
                self.assertGreaterEqual(r['start'], last)
                self.assertEqual({truth.state(nr, entries) for nr in blocks}, {r['state']}, r)
                self.assertEqual(sum(truth.is_ram[blocks[0]:blocks[-1] + 512]), r['pages'], r)
                if r['state'] in ('free', 'part', 'used'):
                    free = sum(truth.free[nr] for nr in blocks)
                    self.assertEqual((r['free_pages'], r['used_pages']), (free, r['pages'] - free), r)
                seen, last = seen + r['pages'], r['end']
            self.assertEqual(seen, sum(truth.is_ram))

    def test_entries(self):
        truth, found = self.truth, self.root.json('-e')['entries']
        if not any(truth.levels):
            self.assertIsNone(found)
            return
        painted = truth.paint((r['start'] // PAGE, r['end'] // PAGE, ord(r['entry'][0])) for r in found['ranges'])
        wanted = truth.levels.replace(b'p', b'n')
        self.assertTrue(painted == wanted, found['ranges'])
        self.assertEqual([found[what + '_kb'] for what in ('none', '4k', '2m', '1g')],
                         [wanted.count(what) * 4 for what in b'n421'])

    def test_svg(self):
        """As many cells as blocks, each once, in the colour of its state"""
        if not self.files['proc/kpageflags']:
            self.assertEqual(self.root.run('-e', '--svg', '-')[:2], (1, ''))
            return
        truth = self.truth
        blocks = [truth.state(nr, True) for nr in range(0, truth.pages, 512) if any(truth.is_ram[nr:nr + 512])]
        status, out, _ = self.root.run('-e', '--title', 'a < b & "c"\x01', '--svg', '-')
        svg = ET.fromstring(out)
        cells, legend = {}, []
        for e, after in zip(svg, svg[1:]):
            what = e.get('class')
            if not e.tag.endswith('}rect') or what == 'paper':
                continue
            if after.get('class') == 'small':
                legend.append(what)
                continue
            for x in range(int(e.get('x')), int(e.get('x')) + int(e.get('width')), 10):
                self.assertNotIn((int(e.get('y')), x), cells)
                cells[int(e.get('y')), x] = what
        self.assertEqual((status, [cells[at] for at in sorted(cells)]), (0, blocks))
        self.assertEqual(sorted(legend), sorted(set(blocks)))
        title = ''.join(svg.itertext())
        self.assertIn('a < b & "c" : ', title)
        self.assertIn('Linux ' + self.files['proc/sys/kernel/osrelease'].strip() + ';', title)


class Modes(unittest.TestCase):
    def root(self, sample='secret', changes=None):
        """A sample with other files: {name: text, or a function of it, or None for no such file}"""
        if not changes:
            return root_of(sample)
        files = sections(sample)
        for name, change in changes.items():
            text = change(files[name]) if callable(change) else change
            files.pop(name, None)
            if text is not None:
                files[name] = text
        return Root(files)

    def test_usage(self):
        root = self.root()
        for wrong in ('--nonsense', 'nonsense', '-x', '-m -j', '-w', '-w 0', '-w 1s', '-w nan', '-w 1 -1', '-w 1 0',
                      '-w 1 2 3', '-m 1', '-m --color=red', '--color=never', '-w 1 -e', '--title x', '-H -m',
                      '-H -e', '--svg', '--root'):
            with self.subTest(wrong):
                status, out, err = root.run(*wrong.split())
                self.assertEqual((status, out), (2, ''))
                self.assertTrue(err)

    def test_help(self):
        status, out, err = self.root().run('--help')
        self.assertEqual((status, err), (0, ''))
        man = read('../dmapstat.8').replace('\\-', '-')
        for short, name in re.findall(r'(?:-(\w), )?--(\w+)', out.replace('--help)', '')):
            self.assertIn(f'Fl {short} , Fl -{name}' if short else f'Fl -{name}', man)

    def test_version(self):
        root = self.root()
        version = re.search(r'(?m)^VERSION := (.*)$', read('../Makefile'))[1]
        self.assertEqual(root.run('--version'), (0, f'dmapstat {version}\n', ''))
        self.assertEqual(root.json()['dmapstat'], version)
        self.assertRegex(read('../debian/changelog'), rf'^dmapstat \({re.escape(version)}[-)]')

    def test_output_fails(self):
        root = self.root()
        for args in ([], ['-j'], ['-m'], ['-s', '-'], ['-w', '1', '1'], ['-H']):
            with self.subTest(args), open('/dev/full', 'wb') as full:
                status, _, err = root.run(*args, stdout=full)
                self.assertEqual((status, err), (1, 'dmapstat: standard output: No space left on device\n'))
        for file, why in (('/dev/full', 'No space left on device'), ('/nowhere/x.svg', 'No such file or directory')):
            self.assertEqual(root.run('-s', file), (1, '', f'dmapstat: {file}: {why}\n'))

    def test_svg_file(self):
        """64 GiB: larger cells, and where no memory is"""
        root = self.root('nodes')
        self.assertEqual(root.run('-s', root.dir + '/x.svg'), (0, '', ''))
        with open(root.dir + '/x.svg', encoding='utf-8') as f:
            out = f.read()
        self.assertEqual(out, root.run('-s', '-')[1])
        ET.fromstring(out)
        self.assertIn('>2 MiB of 64.0 GiB off', out)
        self.assertEqual(out.count('>no memory<'), 1)
        self.assertEqual(out.count('<rect class="mixed"'), 2)

    def test_needed_files(self):
        for name in ('proc/meminfo', 'proc/vmstat'):
            for args in ([], ['-m'], ['-j'], ['-w', '1', '1'], ['-H']):
                self.assertEqual(self.root(changes={name: None}).run(*args),
                                 (1, '', f'dmapstat: ROOT/{name}: No such file or directory\n'))

    def test_other_files(self):
        """What is not there is unknown, and all else is shown"""
        root = self.root(changes={'proc/uptime': None, 'proc/sys/kernel/osrelease': None,
                                  'proc/sys/vm/no_direct_map_pool_blocks': None, 'proc/iomem': None})
        found, whole = root.json('-e'), self.root().json('-e')
        self.assertEqual((found['uptime'], found['kernel'], found['unmapped']['pool_blocks']), (0, 'unknown', None))
        self.assertEqual(found['memory'], {'bytes': None, 'source': None})
        self.assertEqual([m['why'].partition(' says ')[0] for m in found['missing']],
                         ['neither /proc/iomem nor /sys/devices/system/memory'] * 2)
        self.assertEqual(found['direct_map'], whole['direct_map'])
        self.assertEqual((root.run('-m')[:2], root.run()[0]), ((1, ''), 0))
        for name, config in (('proc/kpageflags', 'CONFIG_PROC_PAGE_MONITOR'), (TABLES, 'CONFIG_PTDUMP_DEBUGFS')):
            status, out, err = self.root(changes={name: None}).run('-je')
            self.assertEqual(status, 3)
            self.assertRegex(err, f': /{name}: No such file or directory; it needs .*{config}')
            self.assertIn(config, json.loads(out)['missing'][0]['why'])

    def test_cut_off(self):
        """Files that end in the middle: no more than they say, and nothing of what was read before"""
        flags = b''.join(struct.pack('=Q', f) * n for first, n, f in runs(sections('secret')['proc/kpageflags'])
                         if first == 12288)
        for pages, size, found in ((512, 0, 512), (512, 5, 512), (1024, 0, 1024), (513, 0, None), (1023, 7, None)):
            root = self.root(changes={'proc/kpageflags': bytes(12288 * 8) + flags[:pages * 8 + size]})
            blocks = root.json()['blocks']
            self.assertEqual(found, blocks and sum(r.get('free_pages', 0) for r in blocks['ranges']))
            status, out, err = root.run('-m', '-e')
            self.assertEqual((status, 'all free' in out, 'kpageflags: cut off' in err),
                             (0, True, False) if found else (3, False, True))
        root = self.root(changes={'proc/iomem': '00000000-07ffffff : System RAM\n08000000-0fffffff'})
        self.assertEqual(root.json()['memory']['bytes'], 128 << 20)
        root = self.root(changes={'proc/meminfo': lambda t: t[:t.index('Unmapped:') + 4]})
        self.assertIsNone(root.json()['direct_map']['unmapped_kb'])
        found = self.root(changes={'proc/vmstat': '\n'}).json()
        self.assertEqual(set(found['since_boot'].values()), {None})
        self.assertIsNone(found['unmapped']['used_pages'])
        self.assertEqual(found['unmapped']['secretmem_kb'], 9216)

    def test_nonsense(self):
        junk = '\0\377 %s: -\n::\n: : 5\n' + 'x' * 5000 + ' 7\n\n99999999999999999999999\n'
        whole = self.root().json('-e')
        for name in ('proc/meminfo', 'proc/vmstat', 'proc/iomem', TABLES):
            found = self.root(changes={name: lambda t: junk + t + junk}).json('-e')  # pylint: disable=W0640
            self.assertEqual({**found, 'time': 0}, {**whole, 'time': 0}, name)
            status, out, _ = self.root(changes={name: junk}).run('-j', '-e')
            self.assertIn(status, (0, 3))
            json.loads(out)
        root = self.root(changes={n: junk for n in ('proc/uptime', 'proc/sys/vm/no_direct_map_pool_blocks')})
        self.assertEqual(root.json()['uptime'], 0)
        self.assertIsNone(root.json()['unmapped']['pool_blocks'])

    def test_page_tables(self):
        """Of tables that are not understood nothing is shown, not even their beginning"""
        for change in (lambda t: t.replace('0-0xffff9eab8b400000', '0-0xffff9eab7b400000'),
                       lambda t: t.replace('GLB NX pmd\n0xffff9eab9f200000', 'GLB NX new\n0xffff9eab9f200000'),
                       lambda t: t[:t.index('\n0xffff9eab8bc00000') + 60] + '\n'):
            root = self.root(changes={TABLES: change})
            status, out, err = root.run('-j', '-e')
            self.assertEqual(status, 3)
            self.assertRegex(err, rf'^dmapstat: not shown: entries: /{TABLES}: not understood: 0xffff.*\n$')
            self.assertEqual(fields(json.loads(out)['blocks']), fields(self.root().json()['blocks']))
            for mode in ('-m', '-s-'):
                self.assertEqual(root.run(mode, '-e')[1], self.root().run(mode)[1])
        status, _, err = self.root(changes={TABLES: '---[ Vmemmap ]---\n'}).run('-e')
        self.assertEqual((status, 'has no section "Low Kernel Mapping"' in err), (3, True))

    def test_watch(self):
        """Rates are of what changed between two lines"""
        root = self.root('made-up', {'proc/iomem': None})
        with root.start(['-w', '0.3', '3'], text=True) as p:
            lines = [p.stdout.readline().split() for _ in range(3)]
            text = re.sub(r'(flip_unmap|mermap_flush) (\d+)', lambda m: f'{m[1]} {int(m[2]) + 3000}',
                          sections('made-up')['proc/vmstat'])
            with open(root.dir + '/new', 'w', encoding='utf-8') as f:
                f.write(text)
            os.rename(root.dir + '/new', root.dir + '/proc/vmstat')
            lines += [line.split() for line in p.stdout.read().splitlines()]
        self.assertEqual((p.returncode, len(lines)), (0, 5))
        now, later = [float(v) for v in lines[3]], [float(v) for v in lines[4]]
        self.assertTrue(0 < now[7] <= 11000 and now[7] == now[10], now)
        self.assertEqual(now[8:10] + now[11:], [0.0] * 4)
        self.assertEqual(later[7:], [0.0] * 6)

    def test_watch_header(self):
        out = self.root().run('-w', '0.01', '23')[1].splitlines()
        self.assertEqual([i for i, line in enumerate(out) if 'flush' in line], [1, 24])
        with self.root().start(['-w', '0.1'], text=True) as p:
            p.stdout.readline()
            p.stdout.close()
            self.assertEqual(p.wait(20), -13)

    def test_terminal(self):
        """Colours and the size of the map are those of the terminal"""
        root = self.root()

        def in_terminal(*args, **env):
            here, there = pty.openpty()
            fcntl.ioctl(there, termios.TIOCSWINSZ, struct.pack('=4H', 30, 40, 0, 0))
            with root.start(['-m', '-e', *args], {'TERM': 'xterm', 'COLUMNS': '200', **env}, stdout=there) as p:
                os.close(there)
                out = b''
                try:
                    while more := os.read(here, 4096):
                        out += more
                except OSError:         # EIO: nobody has the other end open any more
                    os.close(here)
            return out.decode().replace('\r', '')

        size = {'COLUMNS': '40', 'LINES': '30'}
        coloured, plain = in_terminal(), root.run('-m', '-e', env=size)[1]
        self.assertEqual(re.sub('\033\\[[0-9;]*m', '', coloured), plain)
        self.assertEqual(root.run('-m', '-e', '--color=always', env=size)[1], coloured)
        for args, env in ((['--color=never'], {}), ([], {'NO_COLOR': '1'}), ([], {'TERM': 'dumb'})):
            self.assertEqual(in_terminal(*args, **env), plain)
        self.assertEqual(in_terminal(NO_COLOR=''), coloured)

    def test_holders(self):
        """What cannot be looked at is said, and what a process calls itself is not printed as it is"""
        self.assertIn('  a?[1mb\n', self.root('holders', {'proc/116/comm': 'a\033[1mb\n'}).run('-H')[1])
        status, out, err = self.root('holders', {'proc/116/maps': ''}).run('-H')
        self.assertEqual((status, err), (3, 'dmapstat: not all processes could be looked at: that takes root\n'))
        self.assertRegex(out, r'(?m)^ +116 +1 +1 +0 +32 +0  hold$')
        out = self.root('holders', {'proc/meminfo': 'Secretmem: 164 kB\n'}).run('-H')[1]
        self.assertIn('160 kB of 164 kB\nThe rest is in files', out)


def all_tests(words):
    tests = [Expected(name, command, text) for name in sorted(os.listdir(HERE + '/expected'))
             for command, text in commands(name)[1]]
    names = unittest.defaultTestLoader.getTestCaseNames
    tests += [Recorded(m, sample) for m in names(Recorded)
              for sample in ('idle', 'secret', 'large', 'stock', 'nobody', 'made-up')]
    tests += [Modes(m) for m in names(Modes)]
    return [t for t in tests if not words or any(w in t.id() for w in words)]


if __name__ == '__main__':
    arguments = [a for a in sys.argv[1:] if a != '--update']
    if '--help' in arguments:
        sys.exit(print(__doc__))
    if not arguments or arguments[0].startswith('-'):
        sys.exit('test.py: which dmapstat? (--help)')
    # Whoever runs it need not be able to get to where it was built
    with tempfile.TemporaryDirectory(prefix='dmapstat-test.') as directory:
        os.chmod(directory, 0o755)
        tempfile.tempdir = directory
        Root.program = shutil.copy(arguments[0], directory)
        if len(arguments) < len(sys.argv) - 1:
            update()
            sys.exit()
        well = Ktap().run(all_tests(arguments[1:]))
    sys.exit(not well)
