#!/bin/sh
# Runs every fuzz target of the module for the time, or the number of inputs,
# given: script/fuzz.sh 10s, script/fuzz.sh 40000x
set -eu

time=$1
grep -rHo --include='*_test.go' '^func Fuzz[A-Za-z0-9_]*' . | sort | while IFS=: read -r file target; do
	package=${file%/*}
	target=${target#func }
	echo "$package $target"
	go test -run '^$' -fuzz "^$target\$" -fuzztime "$time" "$package" </dev/null
done
