# `make help` lists what there is to make.

# Arguments for `make run`, such as ARGS="-p 4000".
ARGS =
# Which benchmarks `make bench` runs, as a regular expression.
BENCH = .
# For how long `make fuzz` runs each fuzz target.
FUZZTIME = 10s
# What `make faults` draws from, for how long it goes on, and which deployment
# it hits; empty for a seed of its own, one short round, and all of them.
SEED =
TIME =
ONLY =
# What `holdfast version` says; empty if it cannot be known.
VERSION ?= $(shell git describe --tags --always --dirty 2>/dev/null)

# What `make release` builds for.
PLATFORMS = linux/amd64 linux/arm64 darwin/amd64 darwin/arm64 windows/amd64 windows/arm64

LDFLAGS = -s -w -X main.version=$(VERSION)

.PHONY: help run build release test test-typescript check needs bench fuzz abuse pictures faults soak clean

help: ## list the targets
	@sed -n 's/^\([a-z-]*\):.*## /\1\t/p' $(MAKEFILE_LIST) | expand -t 17

run: ## start the service, its state in holdfast-data; flags: make run ARGS="-p 4000"
	CGO_ENABLED=0 go run ./cmd/holdfast serve $(ARGS)

build: ## build bin/holdfast, one static binary
	CGO_ENABLED=0 go build -trimpath -buildvcs=false -ldflags '$(LDFLAGS)' -o bin/holdfast ./cmd/holdfast

release: ## build for all platforms, archives with checksums in dist
	@sh script/release.sh '$(or $(VERSION),devel)' '$(LDFLAGS)' $(PLATFORMS)

# Go's tests stand last, so that their summary ends the output. Fuzzing is told
# a number and not a time: at the end of a time, go test fails now and then for
# no other reason (go.dev/issue/75804, mended in Go 1.27).
test: check needs test-typescript ## check the code and run all tests; installs what they need
	@sh script/fuzz.sh 40000x
	CGO_ENABLED=1 go test -race -timeout 20m ./...

test-typescript: ## test clients/typescript; without node it is left out, save in CI
	@sh script/test-typescript.sh

check: ## gofmt, go vet and staticcheck
	@echo gofmt -l .
	@unformatted=$$("$$(go env GOROOT)/bin/gofmt" -l .) && if [ -n "$$unformatted" ]; then \
		echo "not formatted, run gofmt -w on:" $$unformatted >&2; exit 1; fi
	go vet ./...
	go vet -C internal/bench/etcd ./...
	go tool staticcheck ./...

needs: ## install what the tests need beyond Go, or say what is missing
	@sh script/needs.sh

bench: ## run the benchmarks; some of them: make bench BENCH=Lock
	go test -run '^$$' -bench '$(BENCH)' -benchmem ./...

fuzz: ## run each fuzz target for FUZZTIME
	@sh script/fuzz.sh $(FUZZTIME)

abuse: ## misuse a server in full size: 10,000 connections, 50,000 waiters, a million keys; some minutes
	ulimit -n "$$(ulimit -H -n)" && go test ./internal/api -count 1 -v -timeout 1h -abuse \
		-run 'IdleAndSlow|ManyWaiters|ManyKeys|Bombs|HidesInAnother|FloodsOfHeaders|FramesGoneWrong'

pictures: needs ## take the pictures of the page in docs anew; looks best with the fonts Inter and JetBrains Mono
	go test ./internal/ui -run Pictures -count=1 -pictures "$(CURDIR)/docs"

faults: needs ## do harm to real deployments and check that the rules hold: SEED=7 TIME=30m ONLY=cluster-3
	go test ./internal/proof/faults -run TestFaults -count 1 -v -timeout 0 \
		-args -seed $(or $(SEED),0) $(if $(TIME),-time $(TIME)) $(if $(ONLY),-only $(ONLY))

soak: ## work for TIME, an hour by default, and see that memory and goroutines do not grow
	go test ./internal/proof/faults -run TestSoak -count 1 -v -timeout 0 -args -soak $(or $(TIME),1h)

clean: ## remove what was built
	rm -rf bin dist
