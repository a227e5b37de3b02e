# SPDX-License-Identifier: GPL-2.0-only
# Plots out/MACHINE.dat, for each machine of names, into out/fragmentation.svg
# (bench/fragmentation says what they are).
set terminal svg size 1100,1200 font "sans,13" background "white"
set output out."/fragmentation.svg"
title(m) = m eq "stock" ? "stock" : words(names) == 2 ? "release" : m eq "pool-on" ? "release, pool on" : "release, pool off"
file(m) = out."/".m.".dat"

set linetype 1 lc rgb "#888888" lw 1.5
set linetype 2 lc rgb "#c03020" lw 1.5
set linetype 3 lc rgb "#2060c0" lw 1.5
set grid ytics lc rgb "#dddddd"
set xlabel "round"
set key top left

set multiplot layout 4,2 title "A mixed load with secret memory in it, 4 GiB" font ",16"

set title "largest free order, for an ordinary caller"
set yrange [-1:11]
set key bottom left
plot for [m in names] file(m) using 1:2 with steps title title(m)

set key top left
set title "free 2 MiB blocks, for an ordinary caller"
set yrange [0.5:*]
set logscale y
set key top right
plot for [m in names] file(m) using 1:($3 < 0.5 ? 0.5 : $3) with steps title title(m)
unset logscale y
set key top left

set title "secret memory, and the direct map in 4 KiB pieces (MiB)"
set yrange [0:*]
plot file(word(names, 1)) using 1:11 with filledcurves y1=0 lc rgb "#e8e0b0" title "secret memory", \
     for [i = 1:words(names)] file(word(names, i)) using 1:6 with steps lt i title title(word(names, i))

set title "shootdowns by secret memory, in all"
set yrange [1:*]
set logscale y
set key bottom right
plot for [m in names] file(m) using 1:($7 < 1 ? 1 : $7) with steps title title(m)
unset logscale y
set key top left

set key bottom right
set title "blocks unmapped"
set yrange [0:*]
plot for [i = 2:words(names)] file(word(names, i)) using 1:4 with steps lt i title title(word(names, i))

set title "in use of unmapped blocks (%)"
set yrange [0:105]
plot for [i = 2:words(names)] file(word(names, i)) using 1:($4 > 0 ? $5 : NaN) with steps lt i title title(word(names, i))
set key top left

set title "contiguous allocations that failed, in all"
set yrange [0:*]
plot for [m in names] file(m) using 1:9 with steps title title(m)

set title "other allocations that failed, in all"
set yrange [0:1<*]
plot for [m in names] file(m) using 1:8 with steps title title(m)

unset multiplot
