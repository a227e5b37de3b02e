# SPDX-License-Identifier: GPL-2.0-only
"""
What a program may do with much memory; prints the same each time.

  memory.py COMMAND [ARGUMENT...]: runs the command while it has much of it
"""
import array
import bisect
import hashlib
import json
import mmap
import subprocess
import sys
import threading
import zlib


def say(what, data):
    if not isinstance(data, (bytes, bytearray)):
        data = repr(data).encode()
    print(what, len(data), hashlib.sha256(data).hexdigest(), flush=True)


def numbers(count, seed=1):
    for _ in range(count):
        seed = (seed * 6364136223846793005 + 1442695040888963407) % 2**64
        yield seed >> 33


# A buffer that grows and shrinks: realloc()
buffer = bytearray()
for n in numbers(40000, 2):
    buffer += b"%d," % n
say("bytearray", buffer)
del buffer[1000:-1000]
say("bytearray, most of it deleted", buffer)
buffer += bytes(300000)
say("bytearray, grown again", buffer)

# Small objects in arenas, large tables and lists
table = {n: str(n) for n in numbers(60000)}
text = json.dumps(table, sort_keys=True)
say("dict", text.encode())
assert json.loads(text) == {str(n): value for n, value in table.items()}
say("list", sorted(table, key=lambda n: table[n][::-1]))
ordered = []
for n in numbers(8000, 3):
    bisect.insort(ordered, n)
say("insort", ordered)
say("array", array.array("Q", numbers(50000, 4)).tobytes())
say("integer", (3**60000 % 7**30000).to_bytes(11000, "big"))
packed = zlib.compress(text.encode())
say("zlib", packed)
assert zlib.decompress(packed).decode() == text

# Threads: arenas and locks are shared
parts = [None] * 4


def work(i):
    parts[i] = hashlib.sha512(b"".join(b"%x" % n for n in numbers(20000, i))).digest()


threads = [threading.Thread(target=work, args=(i,)) for i in range(len(parts))]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
say("threads", b"".join(parts))

# Mappings: what is new is zero, and what was given back
area = mmap.mmap(-1, 1 << 20, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
say("mmap", area[:])
area[:] = bytes(i * 7 % 251 for i in range(1 << 20))
area.resize(3 << 20)
say("mremap to 3 MiB", area[:])
area.resize(256 << 10)
say("mremap to 256 KiB", area[:])
area.resize(1 << 20)
say("mremap to 1 MiB", area[:])
area[:] = b"\x5a" * (1 << 20)
area.madvise(mmap.MADV_DONTNEED, 128 << 10, 512 << 10)
say("MADV_DONTNEED", area[:])
area.close()

subprocess.run(sys.argv[1:], check=True)

# What is secret goes through pipes, to a program and back
data = bytes(n & 255 for n in numbers(1 << 19, 5))
done = subprocess.run(["cat"], input=data, stdout=subprocess.PIPE, check=True)
assert done.stdout == data
say("pipes", done.stdout)
