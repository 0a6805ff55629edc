# The one build tool. Logic beyond a few lines is a Go program under cmd/internal.
GO ?= go
T ?= 30s
export CGO_ENABLED ?= 0
STATICCHECK = honnef.co/go/tools/cmd/staticcheck@v0.8.2

.PHONY: help build test check staticcheck race fuzz gen bench demo reference clean services services-stop test-services faults

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "make %-14s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

build: ## build bin/leat, one binary without cgo
	$(GO) build -trimpath -o bin/leat ./cmd/leat

test: ## all tests, in under two minutes; needs Go and python3
	$(GO) test ./...
	@test -d "$${LEAT_SHARED:-../shared}/data" || echo "note: tests over real data were SKIPPED: there is no ../shared; LEAT_SHARED may name it"

check: ## formatting, vet, staticcheck, test: run before every commit
	@test -z "$$(gofmt -l .)" || { echo "not as gofmt writes it:"; gofmt -l .; exit 1; }
	$(GO) vet ./...
	$(MAKE) staticcheck test

staticcheck: ## what go vet does not see
	$(GO) run $(STATICCHECK) ./...

services: ## start Kafka, PostgreSQL, MQTT and NATS on loopback for tests, installing what is missing
	$(GO) run ./cmd/internal/services start

services-stop: ## end what make services started
	$(GO) run ./cmd/internal/services stop

test-services: ## the tests that talk to those servers; none of them is skipped
	LEAT_SERVICES=1 $(GO) test -count=1 -timeout 20m ./internal/services ./connector/... ./engine/... ./cmd/leat/... ./faults/...

faults: ## streams under faults, in full: hours
	LEAT_FAULTS=full $(GO) test -count=1 -run Fault -timeout 3h ./faults/...

race: ## the tests under the race detector; needs a C compiler
	CGO_ENABLED=1 $(GO) test -race -short ./...

fuzz: ## each fuzz target for a while: make fuzz T=30s
	$(GO) run ./cmd/internal/fuzz -time $(T)

gen: ## write what is generated: docs, connector/all
	$(GO) run ./cmd/internal/gen

bench: ## leat against its peers on the same files; see bench/README.md
	$(GO) run ./cmd/internal/bench $(BENCH)

demo: build ## a fleet of machines, end to end
	@$(GO) run ./cmd/internal/demo -leat bin/leat

reference: ## record what the reference libraries answer; see reference/README.md
	reference/run.sh $(R)

clean: ## remove what was built
	@test ! -d bin/services || $(MAKE) services-stop
	rm -rf bin
