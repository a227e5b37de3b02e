# SPDX-License-Identifier: GPL-2.0-only
"""Compares the objects of bench/off's two builds, function by function, and the
layout of structures: off.md, and both sides of what differs in functions/."""

import os
import re
import subprocess
import sys
from difflib import SequenceMatcher

from counted import NoFigure, NotJudged
from judge import Judge
from limits import BENCH

# What runs for each page that is allocated or freed, or for each few
HOT = """__alloc_frozen_pages_noprof __alloc_pages_noprof alloc_pages_bulk_noprof prepare_alloc_pages
get_page_from_freelist rmqueue rmqueue_pcplist __rmqueue_pcplist rmqueue_buddy rmqueue_bulk __rmqueue
__rmqueue_smallest prep_new_page post_alloc_hook expand __zone_watermark_ok zone_watermark_ok
free_frozen_pages ___free_pages __free_pages __free_frozen_pages free_frozen_page_commit free_pcppages_bulk
free_unref_folios __free_one_page free_one_page __free_pages_ok split_large_buddy nr_pcp_alloc nr_pcp_high
get_pfnblock_migratetype get_pfnblock_freetype __get_pfnblock_flags_mask get_pfnblock_flags_mask
__del_page_from_free_list __mod_zone_page_state folio_zone""".split()

# Another name, and what returns is another type: the code is to be the same
RENAMED = {"get_pfnblock_freetype": "get_pfnblock_migratetype"}

STRUCTURES = "page folio zone per_cpu_pages free_area pglist_data mm_struct address_space task_struct alloc_context".split()


def run(*command):
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        raise NotJudged(f"{' '.join(command)}: {done.stderr.strip()}")
    return done.stdout


def functions(obj):
    """Each function's instructions, without addresses and what follows from them."""
    found, name, body = {}, None, []

    def end():
        # Between functions
        while body and re.match(r"(nop|int3|xchg +%ax,%ax|cs nop|data16)", body[-1]):
            body.pop()
        if name:
            found[name] = list(body)

    for line in run("objdump", "-dr", "--no-show-raw-insn", obj).splitlines():
        head = re.match(r"[0-9a-f]+ <([^>]+)>:$", line)
        if head:
            end()
            name, body = head[1], []
            continue
        text = re.match(r"\s+[0-9a-f]+:\s+(\S.*)", line)
        if name is None or not text:
            continue
        text = text[1].strip()
        if text.startswith("R_X86_64"):
            # Where in a section something lies depends on all that is before it
            text = re.sub(r"(\.(?:rodata|data|bss|text|init|altinstr)[\w.]*)[+-]0x[0-9a-f]+", r"\1", text)
            text = re.sub(r"(__UNIQUE_ID_|__already_done|__func__|descriptor|_rs|__warned)[\w.]*", r"\1", text)
        # A target by name and offset, not by address; where a relocation follows
        # there is no target yet
        text = re.sub(r"\b[0-9a-f]+ (<[^>]+>)", r"\1", text)
        text = re.sub(r"# [0-9a-f]+ <", "# <", text)
        text = re.sub(r"<[^>]+>", lambda m: "<>" if not re.match(r"<" + re.escape(name) + r"(\+|>)", m[0]) else m[0], text)
        text = re.sub(r"\.(constprop|isra|part|cold)\.\d+", r".\1", text)
        for new, old in RENAMED.items():
            text = re.sub(rf"\b{new}\b", old, text)
        body.append(re.sub(r"\s+", " ", text))
    end()
    return {re.sub(r"\.\d+$", "", k): v for k, v in found.items() if not k.startswith((".", "__pfx_", "__cfi_"))}


def instructions(body):
    return sum(not i.startswith("R_X86_64") for i in body)


def base(name):
    return name.split(".")[0]


def layout(obj, structure):
    done = subprocess.run(["pahole", "-C", structure, obj], capture_output=True, text=True)
    # Tabs and blanks may differ with the width of names; names may: sizes and offsets not
    fields = re.findall(r"/\* +(\d+)(?::( *\d+))? +(\d+) \*/", done.stdout)
    size = re.search(r"/\* size: (\d+)", done.stdout)
    return (int(size[1]) if size else None), fields, done.stdout


def explained():
    """What may differ: bench/off.explained."""
    with open(os.path.join(BENCH, "off.explained")) as f:
        rows = [line.split("|", 1) for line in f if "|" in line and not line.startswith("#")]
    return {name.strip(): why.strip() for name, why in rows}


def off(out):
    """Whether no hot function and no structure differs but for a reason."""
    with open(os.path.join(out, "changed")) as f:
        files = [line.strip()[:-2] for line in f]
    os.makedirs(os.path.join(out, "functions"), exist_ok=True)
    for f in os.listdir(os.path.join(out, "functions")):
        os.unlink(os.path.join(out, "functions", f))
    same, rows, hot, seen_hot, total = 0, [], [], set(), {"stock": 0, "this": 0}
    for name in files:
        code = {}
        for side in ("stock", "this"):
            obj = os.path.join(out, side, name + ".o")
            if not os.path.exists(obj):
                raise NoFigure(side, name + ".o")
            code[side] = functions(obj)
            total[side] += sum(map(instructions, code[side].values()))
        for function in sorted(set(code["stock"]) | set(code["this"])):
            a, b = code["stock"].get(RENAMED.get(function, function)), code["this"].get(function)
            if base(function) in HOT and (a is not None or b is not None):
                seen_hot.add(base(function))
            if a == b:
                same += 1
                continue
            for side, body in (("stock", a), ("this", b)):
                if body is not None:
                    with open(os.path.join(out, "functions", f"{function}.{side}"), "w") as f:
                        f.write("\n".join(body) + "\n")
            if a is None or b is None:
                what = "only here" if a is None else "only in stock"
                many = len(b if a is None else a)
            else:
                # One instruction more moves all targets behind it: do not count these
                a, b = ([re.sub(r"<[^>]*>", "<>", i) for i in body] for body in (a, b))
                blocks = SequenceMatcher(None, a, b, autojunk=False).get_matching_blocks()
                many = max(len(a), len(b)) - sum(m.size for m in blocks)
                what = f"{many} lines; {instructions(a)} instructions, {instructions(b)} here"
            rows.append((base(function) in HOT, -many, f"{name}.c", function, what))
            if base(function) in HOT and base(function) not in hot:
                hot.append(base(function))
    rows.sort(key=lambda r: (not r[0], r[1]))
    lines = ["# Not built in: the code beside stock's", "",
             f"{len(files)} C files of the series, `configs/off.config`. {same} functions are the same, {len(rows)} are not;",
             f"{total['stock']:,} instructions in stock, {total['this']:,} here.", ""]
    if rows:
        lines += ["| file | function | | differs in |", "| --- | --- | --- | --- |"]
        lines += [f"| {f} | `{function}` | {'hot' if is_hot else ''} | {what} |" for is_hot, _, f, function, what in rows]
        lines.append("")

    differ = []
    lines += ["| structure | size, stock | here | members |", "| --- | ---: | ---: | --- |"]
    for structure in STRUCTURES:
        sides = {}
        for side in ("stock", "this"):
            sides[side] = layout(os.path.join(out, side, "mm/page_alloc.o"), structure)
            if sides[side][0] is None:
                raise NoFigure(side, "struct", structure)
        equal = sides["stock"][:2] == sides["this"][:2]
        if not equal:
            differ.append(structure)
            for side in sides:
                with open(os.path.join(out, "functions", f"struct.{structure}.{side}"), "w") as f:
                    f.write(sides[side][2])
        lines.append(f"| `{structure}` | {sides['stock'][0]} | {sides['this'][0]} | "
                     f"{'the same sizes and offsets' if equal else 'differ'} |")
    lines.append("")
    # Neither a claim about nothing
    for function in ("get_page_from_freelist", "__free_frozen_pages"):
        if function not in seen_hot:
            raise NoFigure(function)
    reasons = explained()
    known = [name for name in hot + differ if name in reasons]
    if known:
        lines += ["Differ for a reason:", ""] + [f"- `{name}`: {reasons[name]}" for name in known] + [""]
    stale = sorted(set(reasons) - set(known))
    if stale:
        lines += [f"Do not differ any more, but are in bench/off.explained: {', '.join(stale)}", ""]
    j = Judge("- ")
    for odd, all_, what in ((hot, len(seen_hot), "hot functions have the code"), (differ, len(STRUCTURES), "structures have the layout")):
        bad = [name for name in odd if name not in known]
        j.claim(not bad, f"P4    {all_ - len(odd)} of {all_} {what} that they have in stock, "
                f"{len(odd) - len(bad)} differ for a reason" + (f"; not {', '.join(bad)}" if bad else ""))
    text = "\n".join(lines + ["What was claimed:", ""] + j.lines + ["", j.verdict()]) + "\n"
    with open(os.path.join(out, "off.md"), "w") as f:
        f.write(text)
    sys.stdout.write(text)
    return not j.missed
