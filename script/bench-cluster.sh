#!/bin/sh
# Measures a cluster of three on this machine, through its leader and through
# one of the others, and a durable server alone beside it, by turns: lock+unlock
# pairs a second.
#
#	script/bench-cluster.sh [DURATION] [WARMUP]
#
# The first is how long one turn measures; without it 3s.
set -eu

duration=${1:-3s}
warmup=${2:-500ms}
cd "$(dirname "$0")/.."
. script/servers.sh
go build -o "$dir" ./cmd/holdfast

# node NAME ARGS...: start a node of the cluster on ports of its own.
node() {
	for attempt in 1 2 3 4 5; do
		next_port
		serve "$@" --node-id "$1" --peer-addr "127.0.0.1:$port" --data-dir "$dir/$1-$port" && return
	done
	exit 1
}

serve alone --data-dir "$dir/alone"
node leader
node follower --join "$(cat "$dir/leader.at")"
node third --join "$(cat "$dir/leader.at")"

printf '%-8s %10s %10s %10s\n' clients leader follower alone
for clients in 1 64 256; do
	line=$(printf '%-8s' "$clients")
	for name in leader follower alone; do
		line="$line $(printf '%10s' "$(bench "$name" --clients "$clients" | pairs)")"
	done
	echo "$line"
done
