# make demo   builds a broker and shows it at work on real input; needs nothing but Go
# make test   runs every test, and installs what they need
# make        lists all targets

# go.mod names a toolchain without known vulnerabilities; a Go that is set to its own only would otherwise not fetch it.
export GOTOOLCHAIN ?= auto

# As many digits in every clone: what is released has this name.
VERSION ?= $(shell git describe --tags --always --dirty --abbrev=12 2>/dev/null || echo 0.0.0-dev)
COMMIT  ?= $(shell git rev-parse HEAD 2>/dev/null || echo unknown)
LDFLAGS := -s -w -X main.release=$(VERSION) -X main.commit=$(COMMIT)
BUILD   := CGO_ENABLED=0 go build -trimpath -ldflags "$(LDFLAGS)"
# The time of the commit is that of every file in what is released, and the toolchain is the one that go.mod names: no other makes the same bytes.
export SOURCE_DATE_EPOCH ?= $(shell git log -1 --format=%ct 2>/dev/null || echo 0)
RELEASED_BY := $(shell sed -n 's/^toolchain //p' go.mod)
PLATFORMS ?= linux/amd64,linux/arm64,darwin/arm64
DIST ?= dist
CRASH_POINTS ?= 100000
TOOL    := go tool -modfile=tools/go.mod
GOFILES := $(shell git ls-files '*.go' 2>/dev/null)

.PHONY: help
help:
	@sed -n '/^##/{s/^## //;p}' Makefile

## build      the binary, at bin/ottla
.PHONY: build
build:
	$(BUILD) -o bin/ottla ./cmd/ottla

## man        the manual pages, at bin/man1
.PHONY: man
man: build
	./bin/ottla man bin/man1

## dist       what is released, at dist: archives for three platforms, Debian packages, roots of container images, lists of parts, SHA256SUMS
.PHONY: dist
dist:
	GOFLAGS= GOTOOLCHAIN=$(RELEASED_BY) go run ./deploy/dist -out $(DIST) -version $(VERSION) -commit $(COMMIT) \
		-epoch "$(SOURCE_DATE_EPOCH)" -platforms $(PLATFORMS)

## dist-check that dist is the same from another directory and another Go cache, and that the Debian package and its unit are in order
.PHONY: dist-check
dist-check:
	deploy/dist-check.sh

## demo       publish 20,000 real flights, kill -9 the broker in the middle, read all back and check it
.PHONY: demo
demo: build
	cd test && go build -o ../bin/demo ./demo
	./bin/demo -ottla bin/ottla -input testdata/flights.jsonl

## test       everything that CI runs: lint, builds for all platforms, reproducibility, unit tests under race, foreign clients, crashes, short bench
.PHONY: test
test: lint platforms dist-check unit foreign

## lint       gofmt, vet, staticcheck, govulncheck, and that generated code is what the generator makes
.PHONY: lint
lint:
	@test -z "$$(gofmt -l $(GOFILES))" || { gofmt -l $(GOFILES); echo "gofmt: run gofmt -w on these"; exit 1; }
	go vet ./...
	cd test && go vet ./...
	$(TOOL) staticcheck ./...
	cd test && go tool -modfile=../tools/go.mod staticcheck ./...
	tools/vulncheck.sh ./...

## platforms  builds for linux/amd64, linux/arm64 and darwin/arm64
.PHONY: platforms
platforms: build
	GOOS=linux GOARCH=arm64 $(BUILD) -o /dev/null ./cmd/ottla
	GOOS=darwin GOARCH=arm64 $(BUILD) -o /dev/null ./cmd/ottla

## unit       go test -race of this module, without race what counts allocations and memory, a crash after every disk operation of many random scripts, a flip of every byte of a log
.PHONY: unit
unit:
	go test -race -timeout 20m ./...
	go test -count=1 -timeout 5m -run 'Alloc|IdleConnectionIsSmall' . ./internal/...
	OTTLA_CRASH_POINTS=$(CRASH_POINTS) go test -count=1 -timeout 20m -run 'Crash|EveryByteFlipped' ./internal/storage

## foreign    the test module: clients that we did not write, kill -9, power cuts, the short benchmark
.PHONY: foreign
foreign: build
	test/run.sh

## nightly    what is too large for every commit: engines
.PHONY: nightly
nightly: engines

## engines    Kafka Connect, Spark, Flume and Storm against a broker that is killed; downloads 850 MB at first; writes test/engines/results.json
.PHONY: engines
engines: build
	test/engines/install.sh
	cd test && OTTLA_BIN=$(CURDIR)/bin/ottla OTTLA_ENGINES=1 OTTLA_RESULTS=1 go test -v -count=1 -timeout 30m ./engines

## clients    the foreign clients once more, and what they ran with into test/clients/results.json and test/groups/results.json
.PHONY: clients
clients: build
	test/install.sh
	cd test && OTTLA_BIN=$(CURDIR)/bin/ottla OTTLA_RESULTS=1 go test -p 1 -count=1 -timeout 15m -run 'TestProduceAndRead|TestGroups' ./clients ./groups

## generate   the wire protocol from its schema
.PHONY: generate
generate:
	go generate ./internal/wire

## clean      what was built
.PHONY: clean
clean:
	rm -rf bin dist
