#!/bin/sh
# Measures locks side by side: Holdfast in memory against Redis, and Holdfast
# on disk against a Redis that syncs before it answers, both with go-redis. It
# starts them on free ports, lets them take turns, and prints the medians:
# lock+unlock pairs a second, and in brackets what the slowest client made of
# the mean.
#
#	script/bench.sh [--apart] [DURATION] [ROUNDS] [WARMUP]
#
# The first is how long one turn measures; without it 2s, and 3 rounds. With
# --apart the servers have one half of the processors and the clients the other,
# as they do on machines of their own; without it they take them from each other.
set -eu

on_servers=
on_clients=
if [ "${1:-}" = --apart ]; then
	shift
	half=$(($(nproc) / 2))
	[ $half -gt 0 ] || { echo "--apart needs two processors" >&2; exit 1; }
	on_servers="taskset -c 0-$((half - 1))"
	on_clients="taskset -c $half-$((2 * half - 1))"
fi
duration=${1:-2s}
rounds=${2:-3}
warmup=${3:-500ms}
cd "$(dirname "$0")/.."
. script/servers.sh
go build -o "$dir" ./cmd/holdfast ./internal/bench/goredis

# redis NAME ARGS...: start Redis on the next port that is free; NAME.at is
# its address.
redis() {
	name=$1
	shift
	for attempt in 1 2 3 4 5 6 7 8 9 10; do
		next_port
		mkdir -p "$dir/$name"
		$on_servers redis-server --port "$port" --bind 127.0.0.1 --dir "$dir/$name" --save '' "$@" >"$dir/$name.log" 2>&1 &
		if logged "$dir/$name.log" 'Ready to accept connections' $!; then
			pids="$pids $!"
			echo "127.0.0.1:$port" >"$dir/$name.at"
			return
		fi
	done
	cat "$dir/$name.log" >&2
	exit 1
}

serve memory -N
serve durable --data-dir "$dir/data"
redis redis
redis always --appendonly yes --appendfsync always

# turn NAME ARGS...: measure once; adds a line to NAME.pairs and NAME.fair.
turn() {
	name=$1
	shift
	case $name in
	memory | durable) result=$(bench "$name" $calls "$@") ;;
	*) result=$($on_clients "$dir/goredis" --addr "$(cat "$dir/$name.at")" --json --duration "$duration" --warmup "$warmup" "$@") ;;
	esac
	echo "$result" | pairs >>"$dir/$name.pairs"
	echo "$result" | sed 's/.*"smallest":\([0-9]*\),"mean":\([0-9.]*\).*/\1 \2/' |
		awk '{ printf "%.2f\n", $2 ? $1 / $2 : 0 }' >>"$dir/$name.fair"
}

# median FILE
median() { sort -n "$1" | sed -n "$(((rounds + 1) / 2))p"; }

# row TITLE CALLS ARGS...: measure all in turn, and print the medians. CALLS are
# arguments for Holdfast alone.
row() {
	title=$1
	calls=$2
	shift 2
	rm -f "$dir"/*.pairs "$dir"/*.fair
	round=0
	while [ $round -lt "$rounds" ]; do
		for name in memory redis durable always; do turn $name "$@"; done
		round=$((round + 1))
	done
	for name in memory redis durable always; do
		echo "$(median "$dir/$name.pairs") $(median "$dir/$name.fair")"
	done | awk -v title="$title" '
		function ratio(a, b) { return b ? a / b : 0 } # nothing at all may come in a short time
		{ pairs[NR] = $1; fair[NR] = " (" $2 ")" }
		END {
			printf "%-32s %14s %14s %6.2f %14s %14s %6.2f\n", title,
				pairs[1] fair[1], pairs[2] fair[2], ratio(pairs[1], pairs[2]),
				pairs[3] fair[3], pairs[4] fair[4], ratio(pairs[3], pairs[4])
		}'
}

printf '%-32s %14s %14s %6s %14s %14s %6s\n' clients memory Redis ratio durable 'Redis, synced' ratio
row '1' '' --clients 1
row '64' '' --clients 64
row '256' '' --clients 256
row '64, a stream each' '--conns 64' --clients 64
row '64, plain HTTP' --http --clients 64
row '64, one key' '' --clients 64 --keys shared
row '64, one key, each held for 2 ms' '' --clients 64 --keys shared --hold 2ms
