#!/bin/sh
# Shows what benchmarks have measured: of each its figures in these units, the
# medians if it has run several times.
#
#	go test -run '^$' -bench Pairs -count 4 ./internal/api | script/figures.sh ratio pairs/s
#
# It fails, and shows what it was given, if a benchmark failed or there is no
# such figure.
set -eu

awk -v units="$*" '
	{ all = all $0 "\n" }
	/^--- FAIL|^FAIL/ { failed = 1 }
	/^Benchmark/ {
		name = substr($1, 10)
		sub(/-[0-9]+$/, "", name) # of how many processors
		if (!(name in seen)) { seen[name]; names[++count] = name }
	}
	# Something else may have been printed between the name and the figures.
	/ ns\/op/ {
		for (first = 2; $(first + 1) != "ns/op"; first++);
		for (i = first; i < NF; i += 2) runs[name, $(i + 1), ++times[name, $(i + 1)]] = $i
	}
	function median(name, unit,   n, i, j, v, sorted) {
		n = times[name, unit]
		for (i = 1; i <= n; i++) {
			v = runs[name, unit, i] + 0
			for (j = i; j > 1 && sorted[j - 1] > v; j--) sorted[j] = sorted[j - 1]
			sorted[j] = v
		}
		return (sorted[int((n + 1) / 2)] + sorted[int(n / 2) + 1]) / 2
	}
	function short(v) { return sprintf(v < 10 ? "%.2f" : v < 100 ? "%.1f" : "%.0f", v) }
	END {
		n = split(units, unit, " ")
		width = 10
		for (i = 1; i <= count; i++) if (length(names[i]) > width) width = length(names[i])
		head = sprintf("%-" width "s", "benchmark")
		for (j = 1; j <= n; j++) head = head sprintf("  %*s", wide(unit[j]), unit[j])
		for (i = 1; i <= count; i++) {
			line = sprintf("%-" width "s", names[i])
			for (j = 1; j <= n; j++) {
				had = (names[i], unit[j]) in times
				line = line sprintf("  %*s", wide(unit[j]), had ? short(median(names[i], unit[j])) : "-")
				any = any || had
			}
			lines = lines line "\n"
		}
		if (failed || !any) { printf "%s", all; exit 1 }
		printf "%s\n%s", head, lines
	}
	function wide(unit) { return length(unit) > 9 ? length(unit) : 9 }
'
