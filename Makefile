# `make` lists what there is. CI runs `make test`, nothing else.

SHELL       := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help
MAKEFLAGS   += --no-print-directory

# Debian keeps servers where not everybody looks.
export PATH := $(PATH):/usr/sbin

N    ?= 3
ADDR ?= 127.0.0.1:8000

# The tools that are no part of the program, each at one version.
STATICCHECK := go run honnef.co/go/tools/cmd/staticcheck@v0.7.0
GOVULNCHECK := go run golang.org/x/vuln/cmd/govulncheck@v1.1.4
GOSEC       := go run github.com/securego/gosec/v2/cmd/gosec@v2.22.11
# A database of vulnerabilities beside the repository, for where the public one cannot be reached.
VULNDB      := $(lastword $(sort $(wildcard ../shared/vulndb/*.tar.xz)))

FUZZTIME ?= 20s
SEEDS    ?= 10000

.PHONY: help
help: ## this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-12s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

.PHONY: up
up: ## Redis, N=3 instances and HAProxy on http://127.0.0.1:8000, until Ctrl-C (make up N=5 ADDR=127.0.0.1:8001)
	@.ci/need redis-server:redis-server haproxy:haproxy
	@go build -o bin/up ./cmd/up
	@exec bin/up -n $(N) -addr $(ADDR)

.PHONY: run
run: ## one instance with Redis inside it, on http://127.0.0.1:8080; needs only Go
	@go build -o bin/chatd ./cmd/chatd
	@exec bin/chatd

.PHONY: build
build: ## bin/chatd
	go build -trimpath -o bin/chatd ./cmd/chatd

.PHONY: check
check: gofmt vet staticcheck gosec js ## what is quick: format, vet, staticcheck, types, tests without other processes
	go test ./...

.PHONY: test
test: tools gofmt vet js staticcheck unit sim fuzz-beside browser govulncheck ## everything; installs what it needs
	@echo "all is well"

.PHONY: tools
tools:
	@.ci/need redis-server:redis-server haproxy:haproxy chromium:chromium node:nodejs npm:npm xz:xz-utils

.PHONY: gofmt
gofmt:
	@files=$$(gofmt -l .); [ -z "$$files" ] || { echo "not formatted:"; echo "$$files"; exit 1; }

.PHONY: vet
vet:
	go vet -tags integration ./...

.PHONY: staticcheck
staticcheck:
	$(STATICCHECK) -tags integration ./...

.PHONY: gosec
gosec: ## what gosec finds in the program; what it is wrong about says so where it stands
	@if $(GOSEC) -version >/dev/null; then $(GOSEC) -quiet -exclude-generated $$(go list -f '{{.Dir}}' -deps ./cmd/chatd | grep "^$(CURDIR)"); \
	else echo "gosec left out: it cannot be had here"; fi

.PHONY: unit
unit: ## all tests without other processes, under the race detector
	go test -race -shuffle=on ./...
	go test -count=1 -run Alloc ./internal/chat ./internal/room

.PHONY: sim
sim: ## the deterministic simulation, SEEDS=10000
	CHATD_SIM_SEEDS=$(SEEDS) go test -count=1 -timeout 10m -run TestSeeds ./internal/sim

.PHONY: integration
integration: ## tests with real Redis, HAProxy and instances
	go test -tags integration -shuffle=on -parallel 4 -count=1 -timeout 10m ./internal/cluster ./internal/bench ./test/integration

.PHONY: fuzz-beside
fuzz-beside: ## each fuzz target for a minute, all at once, in the time that the integration tests and the drill leave idle
	@.ci/fuzz 60 $(MAKE) integration drill-short

.PHONY: microbench
microbench: ## what a message costs in each part, ten times over, for benchstat
	@go test -run '^$$' -bench . -count 10 ./internal/chat ./internal/feed ./internal/room

.PHONY: drill
drill: ## makes things fail under people who chat, and counts their messages: a few minutes (DRILL='-people 200 -report out.html')
	@.ci/need redis-server:redis-server haproxy:haproxy
	@go build -o bin/drill ./cmd/drill
	@exec bin/drill $(DRILL)

.PHONY: drill-long
drill-long: ## the same by chance, two faults at a time, for an hour (DRILL='-random 8h')
	@.ci/need redis-server:redis-server haproxy:haproxy
	@go build -o bin/drill ./cmd/drill
	@exec bin/drill -random 1h $(DRILL)

.PHONY: drill-short
drill-short: node_modules ## the five faults that tell most, and that mistakes made on purpose are found
	go test -tags integration -count=1 -timeout 10m ./internal/drill

.PHONY: bench
bench: ## what it costs, beside others, into docs/performance.md: a quarter of an hour (BENCH=-quick: a minute, writes nothing)
	@.ci/need redis-server:redis-server haproxy:haproxy node:nodejs npm:npm
	@go build -o bin/bench ./cmd/bench
	@exec bin/bench -page docs/performance.md $(BENCH)

.PHONY: js
js: node_modules ## the page's modules: tests and types
	npm run --silent test
	npm run --silent types

.PHONY: browser
browser: node_modules ## tests in Chromium, against real processes
	npm run --silent browser

.PHONY: screenshots
screenshots: node_modules ## the pictures in the documents; of all other views in test-results/
	npm run --silent screenshots

node_modules: package.json package-lock.json
	npm ci --no-audit --no-fund
	@touch node_modules

.PHONY: govulncheck
govulncheck: ## known vulnerabilities in what the program uses
ifneq ($(VULNDB),)
	@echo "govulncheck with $(notdir $(VULNDB))"
	@dir=$$(mktemp -d); trap 'rm -rf "$$dir"' EXIT; tar -xJf $(VULNDB) -C "$$dir"; \
	db=$$(dirname "$$(find "$$dir" -path '*/index/db.json' | head -n 1)"); \
	grep -o '"modified": *"[^"]*"' "$$db/db.json" | head -n 1; \
	$(GOVULNCHECK) -db "file://$${db%/index}" ./...
else
	@if timeout 5 bash -c 'exec 3<>/dev/tcp/vuln.go.dev/443' 2>/dev/null; then $(GOVULNCHECK) ./...; \
	else echo "govulncheck left out: neither ../shared/vulndb nor the public database can be reached"; fi
endif

.PHONY: fuzz
fuzz: ## each fuzz target for FUZZTIME=20s
	@for package in $$(go list ./...); do \
		for target in $$(go test -list '^Fuzz' $$package | grep '^Fuzz' || true); do \
			echo "$$package $$target"; go test -run '^$$' -fuzz "^$$target$$" -fuzztime $(FUZZTIME) $$package; \
		done; \
	done

.PHONY: confusables
confusables: node_modules ## the table of letters that look alike, anew
	go run ./internal/chat/confusables node_modules/unhomoglyph/data.json internal/chat/confusables.go

.PHONY: sbom
sbom: build ## what bin/chatd is made of: modules, versions and sums, as the binary itself says it
	@go mod verify
	@go version -m bin/chatd

.PHONY: clean
clean: ## remove what was built and tested, and run/ with its messages
	rm -rf bin run node_modules test-results
