# On Record. `make help` lists what there is to do.
SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c

MODULES  := $(shell go list -m -f '{{.Dir}}')
FRONTEND := pkg/web/frontend
FERRETDB := deployments/ferretdb
CHECK    := deployments/check
ASSETS   := $(FRONTEND)/dist/manifest.json
VERSION  := $(shell git describe --tags --always --dirty 2>/dev/null || echo dev)
LDFLAGS  := -s -w -X github.com/onrecord/onrecord/pkg/run.Version=$(VERSION)
BUF      := go run github.com/bufbuild/buf/cmd/buf@v1.75.0
LINT     := go run github.com/golangci/golangci-lint/v2/cmd/golangci-lint@v2.15.0
ARGS     ?=

.PHONY: help
help: ## List the targets
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 14

.PHONY: run
run: assets ## Start On Record on http://localhost:8080 with data in ./data
	go run -ldflags '$(LDFLAGS)' ./services/onrecord serve --data-dir data $(ARGS)

.PHONY: demo
demo: assets ## Start it on a fresh directory with two years of demo incidents
	go run -ldflags '$(LDFLAGS)' ./services/onrecord demo $(ARGS)

.PHONY: run-services
run-services: build ## Start the three services by themselves, with NATS and a stand-in for MongoDB
	GOWORK=off go -C $(FERRETDB) build -tags ferretdb_no_postgresql -o $(CURDIR)/bin/ferretdb .
	go build -o bin/run-services ./deployments/local
	exec bin/run-services $(ARGS)

.PHONY: build
build: assets ## Build bin/onrecord, bin/intake, bin/classifier and bin/reporting
	CGO_ENABLED=0 go build -trimpath -ldflags '$(LDFLAGS)' -o bin/ ./services/onrecord ./services/intake ./services/classifier ./services/reporting

.PHONY: test
test: assets browser tools ## Install what the tests need and run all of them (under 15 minutes on two cores)
	go test -race -shuffle=on -timeout 20m work
	GOWORK=off go -C $(CHECK) test -timeout 10m ./...

CASE ?=
SEED ?= 0
RUNS ?= 10

.PHONY: faults
faults: assets postgresql ## Break the program in every way and print a table (CASE=R4 SEED=7 RUNS=50 for one)
	go test -count=1 -timeout 0 -v ./services/onrecord/faults -args -case '$(CASE)' -seed $(SEED) -runs $(RUNS)

.PHONY: bench
bench: assets ## Run the benchmarks that stand beside the code
	go test -run '^$$' -bench . -benchmem work

.PHONY: check
check: vet isolated tidy-check lint proto-check ## Everything the public workflow checks, but the tests

.PHONY: vet
vet: assets ## go vet over the workspace
	go vet work

.PHONY: lint
lint: ## golangci-lint over every module
	$(LINT) run $(addsuffix /...,$(MODULES))

.PHONY: isolated
isolated: ## Build each module from its own go.mod alone
	for m in $(MODULES); do GOWORK=off go -C $$m build -o /dev/null ./...; done
	GOWORK=off go -C $(CHECK) vet ./...
	GOWORK=off go -C $(FERRETDB) build -tags ferretdb_no_postgresql -o /dev/null .
	GOWORK=off go -C $(FERRETDB) build -o /dev/null .

.PHONY: tidy
tidy: ## Bring every go.mod in order
	go work sync
	for m in $(MODULES); do go -C $$m mod tidy; done
	GOWORK=off go -C $(FERRETDB) mod tidy
	GOWORK=off go -C $(CHECK) mod tidy

.PHONY: tidy-check
tidy-check: ## Fail if a go.mod is not in order
	for m in $(MODULES); do go -C $$m mod tidy -diff; done
	GOWORK=off go -C $(FERRETDB) mod tidy -diff
	GOWORK=off go -C $(CHECK) mod tidy -diff

.PHONY: proto
proto: ## Generate the Go code of the wire contract
	cd proto && $(BUF) generate

.PHONY: model
model: ## Train the reader of reports on its corpus, after the corpus or the lexicon was changed
	go run ./services/onrecord train --corpus services/classifier/corpus --out services/classifier/internal/reading/model.bin
	rm -f services/classifier/internal/reading/model.bin.previous services/classifier/internal/reading/model.log

.PHONY: proto-check
proto-check: ## Lint the wire contract and compare it with main
	cd proto && $(BUF) lint && $(BUF) breaking --against '../.git#branch=main,subdir=proto'

.PHONY: assets
assets: $(ASSETS) ## Build the front end

$(ASSETS): $(shell find $(FRONTEND)/src $(FRONTEND)/static -type f 2>/dev/null) $(FRONTEND)/build.mjs $(FRONTEND)/node_modules/.installed
	cd $(FRONTEND) && node build.mjs

$(FRONTEND)/node_modules/.installed: $(FRONTEND)/package.json $(FRONTEND)/package-lock.json
	cd $(FRONTEND) && npm ci --ignore-scripts --no-audit --no-fund
	@touch $@

.PHONY: browser
browser: ## Install Chromium through the system's packages, where it may
	@.ci/browser

.PHONY: tools
tools: ## Install what the fault tests need through the system's packages, where it may
	@.ci/tools

.PHONY: postgresql
postgresql: ## Install PostgreSQL, on which R10 has its database, where it may
	@.ci/postgresql

.PHONY: clean
clean: ## Remove what was built
	rm -rf bin $(FRONTEND)/node_modules
	find $(FRONTEND)/dist -mindepth 1 ! -name .gitignore -delete
