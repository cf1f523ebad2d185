# What the scripts that measure have in common: servers on free ports, whose
# files are in $dir, and which end with the script. To be sourced from the root
# of the repository. In $on_servers and $on_clients is what both are started with.

dir=$(mktemp -d)
pids=
trap 'kill $pids 2>/dev/null || true; wait; rm -rf "$dir"' EXIT
trap 'exit 1' INT TERM

# logged FILE TEXT PID: wait until a process has logged the text; fails if it
# has ended.
logged() {
	until grep -qs "$2" "$1"; do # which may not be there yet
		kill -0 "$3" 2>/dev/null || return 1
		sleep 0.1
	done
}

# serve NAME ARGS...: start Holdfast, which is built in $dir; NAME.at is its URL.
serve() {
	name=$1
	shift
	${on_servers:-} "$dir/holdfast" serve -p 0 "$@" 2>"$dir/$name.log" &
	pids="$pids $!"
	logged "$dir/$name.log" '"msg":"ready"' $! || { cat "$dir/$name.log" >&2; return 1; }
	sed -n 's/.*"msg":"listening","url":"\([^"]*\)".*/\1/p' "$dir/$name.log" >"$dir/$name.at"
}

# next_port: sets port to one that has not been tried. It is below those that
# systems give out by themselves.
port=$((10000 + $$ % 20000))
next_port() { port=$((port + 1)); }

# bench NAME ARGS...: put the server under load, and print the result as JSON.
bench() {
	at=$(cat "$dir/$1.at")
	shift
	${on_clients:-} "$dir/holdfast" bench --server "$at" --json --duration "$duration" --warmup "$warmup" "$@"
}

# pairs: of such a result, the pairs a second.
pairs() { sed 's/.*"pairs_per_second":\([0-9]*\).*/\1/'; }
