# SPDX-License-Identifier: GPL-2.0-only
# Plots what bench/report left in out: out/results-*.svg.
there(name) = int(system("test -s '".out."/".name."' && echo 1 || echo 0"))
file(name) = out."/".name

set linetype 1 lc rgb "#888888" lw 1.5 pt 7 ps 0.7
set linetype 2 lc rgb "#c03020" lw 1.5 pt 7 ps 0.7
set linetype 3 lc rgb "#2060c0" lw 1.5 pt 7 ps 0.7
set linetype 4 lc rgb "#e09080" lw 1.5 pt 6 ps 0.7
set linetype 5 lc rgb "#80a8e0" lw 1.5 pt 6 ps 0.7
set grid ytics lc rgb "#dddddd"
set datafile missing "NaN"

if (there("alloc.dat")) {
	set terminal svg size 1000,460 font "sans,13" background "white"
	set output file("results-alloc.svg")
	set title "Ordinary pages: instructions of an allocation and its free, more than stock (%)" font ",15"
	set style data histogram
	set style histogram clustered gap 1
	set style fill solid 0.9 border -1
	set boxwidth 0.9
	set xtics rotate by -30
	set xlabel "page size, hot or cold, processors"
	set key top right
	plot 1 with lines lt 1 dt 2 title "limit for unused: 1 %", \
	     file("alloc.dat") using 2:xtic(1) lt 5 title "unused", '' using 3 lt 3 title "64 MiB are secret"
	unset output
	set xtics norotate
}

if (there("sizes.dat")) {
	set terminal svg size 1000,460 font "sans,13" background "white"
	set output file("results-secret.svg")
	set style data linespoints
	set logscale x 2
	set xlabel "secret memory, MiB"
	set multiplot layout 1,2 title "Secret memory touched by one thread, 4 processors" font ",15"
	set title "instructions a page, fault and free"
	set yrange [0:30000]
	set key top right
	plot file("sizes.dat") using 1:2 lt 1 title "memfd", \
	     '' using 1:3 lt 2 title "stock, first life", '' using 1:4 lt 4 title "second", \
	     '' using 1:5 lt 3 title "this, first life", '' using 1:6 lt 5 title "second"
	set title "flushes of all processors"
	set logscale y
	set yrange [0.5:*]
	set key top left
	plot file("sizes.dat") using 1:($7 < 0.5 ? 0.5 : $7) lt 2 title "stock, first life", \
	     '' using 1:($8 < 0.5 ? 0.5 : $8) lt 4 title "second", \
	     '' using 1:($9 < 0.5 ? 0.5 : $9) lt 3 title "this, first life", \
	     '' using 1:($10 < 0.5 ? 0.5 : $10) lt 5 title "second"
	unset multiplot
	unset output
	unset logscale
}

if (there("memory.dat") && there("cpus.dat")) {
	set terminal svg size 1000,460 font "sans,13" background "white"
	set output file("results-growth.svg")
	set yrange [0:*]
	set key bottom right
	slope(name, i) = real(system(sprintf("sed -n %dp '%s' | cut -f 1", i, file(name))))
	start(name, i) = real(system(sprintf("sed -n %dp '%s' | cut -f 2", i, file(name))))
	set multiplot layout 1,2 title "64 MiB of secret memory: instructions a page, fault and free" font ",15"
	do for [name in "memory cpus"] {
		fit = name.".fit"
		# One for each line: a fit is looked up once
		s1 = slope(fit, 1); c1 = start(fit, 1); s3 = slope(fit, 3); c3 = start(fit, 3)
		s5 = slope(fit, 5); c5 = start(fit, 5); s6 = slope(fit, 6); c6 = start(fit, 6)
		set title ""
		set xlabel (name eq "memory" ? "memory of the machine, GiB" : "processors")
		plot c1 + s1 * x lt 1 notitle, c3 + s3 * x lt 2 notitle, c5 + s5 * x lt 3 notitle, \
		     c6 + s6 * x lt 5 notitle, \
		     file(name.".dat") using 1:2 with points lt 1 title "memfd", \
		     '' using 1:4 with points lt 2 title "stock, second life", \
		     '' using 1:6 with points lt 3 title "this, first life", \
		     '' using 1:7 with points lt 5 title "second life"
	}
	unset multiplot
	unset output
}
