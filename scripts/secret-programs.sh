#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-only
# Programs of Debian's in the test machine, with all large pieces of their memory secret.
set -eu
. "$(dirname "$0")/lib.sh"
usage "${1:-}" "usage: secret-programs.sh [KERNEL...]

Packs sqlite3, openssl, xz and python3 as they are installed here, with their libraries
and what they need of python's, and boots each KERNEL (default: stock, release; built by
'make machine CONFIG=...') with them. In there vm/shim/secret-programs.sh runs each with
ordinary memory and with vm/shim/shim.c preloaded, which makes secret memory of what a
program asks for in pieces of 64 KiB or more, and compares what it prints.

The last line is 'N passed, N failed, N skipped'; before it, how much of each program's
memory was secret. Logs: build/secret-programs/."
[ $# -gt 0 ] || set -- stock release
for k; do
	[ -f "$BUILD/kernel-$k/initramfs.cpio.gz" ] ||
		die "no kernel $k: run 'make machine CONFIG=$k'"
done
need_tool gcc cpio gzip ldd sqlite3 openssl xz qemu-system-x86_64
# Where python3 is not Debian's, it is somewhere else, with libraries of its own
python=/usr/bin/python3
[ -x $python ] || die "Debian's python3 is not installed: run 'make deps' (as root, or with sudo)"

out=$BUILD/secret-programs
root=$out/root
rm -rf "$root"
mkdir -p "$root/bin" "$root/lib/secret-programs" "$root/usr/bin"

gcc -O2 -Wall -Wextra -Werror -fno-builtin -fPIC -shared \
	-o "$root/lib/secret-shim.so" "$TOP/vm/shim/shim.c" ||
	die "vm/shim/shim.c does not build"
cp "$TOP/vm/shim/secret-programs.sh" "$root/bin/"
cp "$TOP/vm/shim/memory.py" "$root/lib/secret-programs/"

pack_with_libraries "$root" /usr/bin/sqlite3 /usr/bin/openssl /usr/bin/xz $python

# Of python's library what was loaded when all has run; os.py is how it finds the others
$python -ISB - "$TOP/vm/shim/memory.py" true >"$out/memory.out" 2>"$out/modules" <<'EOF' ||
import os, sys
del sys.argv[0]
exec(compile(open(sys.argv[0]).read(), sys.argv[0], "exec"))
for module in list(sys.modules.values()):
    if getattr(module, "__file__", None):
        print(module.__file__, file=sys.stderr)
EOF
	{ cat "$out/modules" >&2; die "vm/shim/memory.py does not run here"; }
while read -r m; do
	case $m in
	*.so)	pack_with_libraries "$root" "$m" ;;
	*)	pack "$root" "$m" ;;
	esac
done <"$out/modules"
ls "$root"/usr/lib/python3*/os.py >/dev/null || die "python's library is not where it is expected"

# Something to encrypt and to compress
cat "$root"/lib/x86_64-linux-gnu/lib*.so* | head -c 2M >"$root/lib/secret-programs/data"
archive "$root" "$out/packed.cpio.gz"

boot_packed "$out" secret_programs '[a-z0-9]*: secret: ' --mem 2G --timeout 4000 -- "$@"
