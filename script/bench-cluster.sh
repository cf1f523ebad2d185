#!/bin/sh
# Measures a cluster of three on this machine, through its leader and through
# one of the others, and a durable server alone, and the mutex of etcd on three
# members and on one beside them, by turns: lock+unlock pairs a second.
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
go build -C internal/bench/etcd -o "$dir/etcd-bench" .
go build -C internal/bench/etcd -o "$dir/etcd-server" go.etcd.io/etcd/server/v3

# node NAME ARGS...: start a node of the cluster on ports of its own.
node() {
	for attempt in 1 2 3 4 5; do
		next_port
		serve "$@" --node-id "$1" --peer-addr "127.0.0.1:$port" --data-dir "$dir/$1-$port" && return
	done
	exit 1
}

# etcd NAME MEMBER...: start etcd on ports of its own; NAME.at is where its
# members answer.
etcd() {
	name=$1
	shift
	for attempt in 1 2 3 4 5; do
		cluster= at= started=
		for member in "$@"; do
			next_port
			cluster="$cluster,$member=http://127.0.0.1:$port"
		done
		for peer in $(echo "${cluster#,}" | tr , ' '); do
			next_port
			at="$at,127.0.0.1:$port"
			"$dir/etcd-server" --name "${peer%%=*}" --data-dir "$dir/$name-${peer%%=*}-$attempt" --initial-cluster "${cluster#,}" \
				--initial-advertise-peer-urls "${peer#*=}" --listen-peer-urls "${peer#*=}" \
				--advertise-client-urls "http://127.0.0.1:$port" --listen-client-urls "http://127.0.0.1:$port" \
				>"$dir/$name-${peer%%=*}.log" 2>&1 &
			pids="$pids $!" started="$started ${peer%%=*}:$!"
		done
		echo "${at#,}" >"$dir/$name.at"
		all=yes
		for one in $started; do
			logged "$dir/$name-${one%:*}.log" 'ready to serve client requests' "${one#*:}" || all=no
		done
		[ $all = no ] || return 0
	done
	cat "$dir/$name"-*.log >&2
	exit 1
}

serve alone --data-dir "$dir/alone"
node leader
node follower --join "$(cat "$dir/leader.at")"
node third --join "$(cat "$dir/leader.at")"
etcd etcd-alone a
etcd etcd-three a b c

# turn NAME ARGS...: measure once, and print the pairs a second.
turn() {
	name=$1
	shift
	case $name in
	etcd-*) "$dir/etcd-bench" --addr "$(cat "$dir/$name.at")" --json --duration "$duration" --warmup "$warmup" "$@" ;;
	*) bench "$name" "$@" ;;
	esac | pairs
}

# row TITLE ARGS...: measure all in turn.
row() {
	title=$1
	shift
	for name in leader follower etcd-three alone etcd-alone; do
		turn $name "$@"
	done | awk -v title="$title" '
		function ratio(a, b) { return b ? a / b : 0 } # nothing at all may come in a short time
		{ pairs[NR] = $1 }
		END {
			printf "%-12s %10s %10s %12s %6.2f %10s %12s %6.2f\n", title,
				pairs[1], pairs[2], pairs[3], ratio(pairs[1], pairs[3]), pairs[4], pairs[5], ratio(pairs[4], pairs[5])
		}'
}

printf '%-12s %10s %10s %12s %6s %10s %12s %6s\n' clients leader follower 'etcd, three' ratio alone 'etcd, alone' ratio
row '1' --clients 1
row '64' --clients 64
row '256' --clients 256
row '64, one key' --clients 64 --keys shared
