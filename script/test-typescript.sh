#!/bin/sh
# Tests clients/typescript against a real server. Where there is no Node to do
# it with, that is left out, save in CI.
set -eu

if ! node -e 'process.exit(parseInt(process.versions.node) < 20 ? 1 : 0)' 2>/dev/null || ! command -v npm >/dev/null; then
	if [ -n "${CI:-}" ]; then
		echo "clients/typescript cannot be tested: node 20 or later and npm are missing" >&2
		exit 1
	fi
	echo "clients/typescript is left out: its tests need node 20 or later and npm"
	exit 0
fi
cd "$(dirname "$0")/../clients/typescript"
npm ci --silent
npm test --silent
