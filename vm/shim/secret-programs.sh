#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-only
#
# Whole programs whose memory is secret say what they say with ordinary memory.
#
#   secret-programs.sh [sqlite3 | openssl | xz | python3]...
#
# Runs each program that scripts/secret-programs.sh packed as it is, and once more with
# vm/shim/shim.c preloaded. Both have to end well with the same output, of which checksums
# of files are a part. What shows that memory was secret does not only come from the shim:
# /proc/PID/smaps is looked at all the while. Where the kernel counts it, as many pages
# must have been erased afterwards, and none be left.
set -u
shim=/lib/secret-shim.so files=/lib/secret-programs dir=/tmp/secret-programs
export LC_ALL=C OPENSSL_CONF=/dev/null
# shellcheck disable=SC3045 # busybox's has it
mkdir -p $dir && cd $dir && ulimit -l unlimited || exit 1

# As long as all memory is looked at once, from the beginning: for when a program has
# much of it and waits
hold()
{
	now=$(wc -l <seen)
	while [ "$(wc -l <seen)" -lt $((now + 2)) ]; do sleep 0.1; done
}
# From sqlite3 and python3
[ "${1:-}" != --hold ] || { hold; exit; }

# p PROGRAM [ARGUMENT...]: a program of Debian's, not busybox's of that name
p()
{
	binary=/usr/bin/$1
	shift
	$with "$binary" "$@"
}

work_sqlite3()
{
	# All pages of the database are slots of one area
	p sqlite3 -batch -init /dev/null -pagecache 4400 6000 :memory: <<'EOF'
CREATE TABLE t (id INTEGER PRIMARY KEY, k TEXT, v TEXT);
WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 20000)
	INSERT INTO t SELECT i, printf('%08x', i * 2654435761 % 4294967296),
		printf('%0250d', i * i) FROM n;
CREATE INDEX k ON t (k);
SELECT count(*), sum(length(v)), min(k), max(k) FROM t;
DELETE FROM t WHERE id % 3 = 0;
UPDATE t SET v = v || k WHERE id % 5 = 0;
SELECT substr(k, 1, 1), count(*), max(v) FROM t GROUP BY 1 ORDER BY 3;
SELECT a.id, b.id FROM t a JOIN t b ON b.k > a.k AND b.id = a.id + 1 ORDER BY a.v DESC LIMIT 5;
SELECT length(group_concat(v)), hex(sha3(group_concat(v))) FROM t;
.system secret-programs.sh --hold
.sha3sum
VACUUM;
PRAGMA integrity_check;
.sha3sum
EOF
}

work_openssl()
{
	cipher="-aes-256-cbc -K 000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f
		-iv f0e0d0c0b0a090807060504030201000 -bufsize 1048576"
	p openssl enc -e $cipher -in $files/data -out cipher &&
	p openssl dgst -sha256 -r cipher &&
	p openssl enc -d $cipher -in cipher -out plain &&
	p openssl dgst -sha512 -hmac key -r plain &&
	cmp plain $files/data &&
	# 16 MiB that are written and read, here and there
	p openssl kdf -keylen 64 -kdfopt pass:secret -kdfopt salt:memory \
		-kdfopt n:16384 -kdfopt r:8 -kdfopt p:1 SCRYPT &&
	# A string, which is read as a whole
	{ printf '\004\203\040\000\000' && cat $files/data && hold; } |
		p openssl asn1parse -inform DER -noout -out string &&
	p openssl dgst -sha256 -r string &&
	p openssl speed -seconds 1 -bytes 1048576 -evp sha256 >speed.out 2>&1 ||
		{ cat speed.out; return 1; }
}

work_xz()
{
	{ cat $files/data && hold; } | p xz -3 -T1 -c >one.xz &&
	p xz -1 -T2 --block-size=1MiB -c $files/data >two.xz &&
	sha256sum one.xz two.xz &&
	p xz -lv one.xz two.xz &&
	p xz -dc one.xz >one &&
	p xz -dc -T2 two.xz >two &&
	cmp one $files/data &&
	cmp two $files/data
}

work_python3() { p python3 -ISB $files/memory.py secret-programs.sh --hold; }

# All secret memory that any process has, in KiB, again and again
watch()
{
	while :; do
		cat /proc/[0-9]*/smaps 2>/dev/null | awk '
			/^[0-9a-f]+-[0-9a-f]+ / { secret = / \/secretmem/ }
			secret && $1 == "Rss:" { sum += $2 }
			END { print sum + 0 }'
		sleep 0.2
	done
}
left() { awk '$1 == "Secretmem:" { print $2 }' /proc/meminfo; }
erased() { awk '$1 == "no_direct_map_zeroed_pages" { print $2 * 4 }' /proc/vmstat; }

no() { echo "# $name, $memory memory: $*"; wrong=1; }

# once WITH: sets seen, in KiB
once()
{
	with=$1
	rm -f cipher plain string one* two*
	: >speed.out
	watch >seen &
	watcher=$!
	work_"$name" >$memory 2>&1 || no "exit $?"
	kill $watcher
	wait $watcher 2>/dev/null
	seen=$(sort -n seen | tail -n 1)
	[ -s $memory ] || no "no output"
	# Of what went wrong
	[ ! "$wrong" ] || tail -n 5 $memory | sed 's/^/# /'
}

# try NAME
try()
{
	name=$1 wrong=''
	# What it is to have of secret memory at once, KiB
	case $name in
	sqlite3) least=8192 ;;
	openssl) least=2048 ;;
	xz)	least=8192 ;;
	*)	least=4096 ;;
	esac
	nr=$((nr + 1))
	memory=ordinary
	once ''
	[ "$seen" -eq 0 ] || no "$seen KiB are secret"

	memory=secret
	rm -f report
	before=$(erased)
	once "env LD_PRELOAD=$shim SECRET_SHIM_REPORT=$dir/report"
	after=$(erased)
	touch report
	read -r areas given <<-EOF
		$(awk '{ areas += $2; kib += $3 / 1024 } END { print areas + 0, int(kib) }' report)
	EOF
	cmp ordinary secret || no "the output is not that of ordinary memory"
	[ "$given" -ge "$least" ] || no "the shim made $given KiB secret, not $least"
	[ "$seen" -ge "$least" ] ||
		no "$seen KiB of /secretmem were seen in /proc/PID/smaps, not $least"
	[ -z "$before" ] || [ $((after - before)) -ge "$seen" ] ||
		no "$((after - before)) KiB were erased, $seen were in use"
	[ "$(left)" -eq 0 ] 2>/dev/null || [ -z "$(left)" ] || no "$(left) KiB are left"
	echo "# $name: secret: $areas areas, $given KiB; seen at once $seen KiB; output:" \
		"$(wc -l <secret) lines"
	echo "${wrong:+not }ok $nr $name"
	[ -z "$wrong" ] || failed=1
}

nr=0 failed=0
[ $# -gt 0 ] || set -- sqlite3 openssl xz python3
echo "1..$#"
for program; do
	try "$program"
done
exit $failed
