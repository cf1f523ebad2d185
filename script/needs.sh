#!/bin/sh
# Sees to it that what the tests need beyond Go is there. On Debian and as root
# it installs what is missing; otherwise it says in one line what to install.
set -eu

missing=

# need PACKAGES COMMAND... : PACKAGES are wanted unless COMMAND succeeds.
need() {
	packages=$1
	shift
	"$@" >/dev/null 2>&1 || missing="$missing $packages"
}

c_compiler() {
	printf '#include <stdlib.h>\nint main(void) { return 0; }\n' | $(go env CC) -x c -o /dev/null -
}

# Debian keeps the server's commands out of PATH.
postgres_server() {
	for initdb in /usr/lib/postgresql/*/bin/initdb; do
		[ -x "$initdb" ] && return
	done
	command -v initdb
}

browser() {
	command -v chromium || command -v chromium-browser || command -v google-chrome
}

# One line for each thing.
look() {
	missing=
	need "gcc libc6-dev" c_compiler # the race detector
	need curl command -v curl # the documentation
	need python3 python3 -c 'import json, sqlite3, urllib.request' # the documentation
	need procps command -v pgrep # processes of the command line
	need redis-server command -v redis-server # the Redis store; redis-cli comes with it
	need strace command -v strace # disks that are full, slow or broken, for processes
	need postgresql postgres_server # fence, the SQL side
	need prometheus command -v promtool # the alert rules
	need "chromium fonts-dejavu-core" browser # the page
}

look
[ -n "$missing" ] || exit 0
if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
	echo "installing$missing"
	export DEBIAN_FRONTEND=noninteractive
	apt-get update -qq && apt-get install -qq -y --no-install-recommends $missing >/dev/null || true
	look
	[ -n "$missing" ] || exit 0
fi
echo "the tests need more than is here; install it with: apt-get install$missing" >&2
exit 1
