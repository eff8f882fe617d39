# Everything a developer or a curious user runs. Each target installs what it needs first.
.DEFAULT_GOAL := help
CARGO ?= $(shell command -v cargo 2>/dev/null || echo $(HOME)/.cargo/bin/cargo)
NEXTEST := $(shell $(CARGO) nextest --version >/dev/null 2>&1 && echo yes)
ifeq ($(NEXTEST),yes)
# They wait for each other's processes now and then: one more at a time than there are processors.
TEST := $(CARGO) nextest run --test-threads $(shell echo $$(($$(nproc) + 1)))
else
TEST := $(CARGO) test
endif

.PHONY: help demo test test-all bench types mutants fuzz lint setup-demo setup-test

help:            ## this list
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:[^#]*##/\t/' | expand -t 14

demo: setup-demo ## start a farm on this machine, render the example with two workers, compare with a local render
	$(CARGO) build --release --package tessera-cli --package xtask
	target/release/xtask demo --tessera target/release/tessera

test: setup-test web/node_modules/.package-lock.json ## every row of the product once, on real Blender 3.4.1 and 5.0.1
	$(CARGO) fmt --all --check
	$(TEST) --workspace
	npm --prefix web run check
	npm --prefix web test
	$(CARGO) xtask sim --seeds 200 --workers 200 --frames 5000

test-all: setup-test web/node_modules/.package-lock.json ## the long suites too
	$(TEST) --workspace --features tessera-blender/slow-tests
	$(CARGO) test --package tessera-cli --test e2e -- --ignored
	$(CARGO) xtask sim --seeds 200 --workers 200 --frames 5000
	$(CARGO) test --package tessera-sim --test sim -- --ignored --nocapture
	MINUTES=1 scripts/fuzz

bench: setup-test web/node_modules/.package-lock.json ## measured ratios, each against a baseline of the same run
	$(CARGO) build --release --package tessera-cli --package xtask
	target/release/xtask bench --tessera target/release/tessera

types: web/node_modules/.package-lock.json ## write the web page's types anew, of the API as it is now
	$(CARGO) xtask openapi > target/openapi.json
	npm --prefix web run --silent types -- $(CURDIR)/target/openapi.json > target/schema.ts
	mv target/schema.ts web/src/lib/api/schema.ts

mutants: setup-test ## change the scheduler in every small way, and see whether its tests notice; hours
	$(CARGO) mutants --version >/dev/null 2>&1 || $(CARGO) install --locked cargo-mutants
	PROPTEST_MAX_SHRINK_ITERS=0 $(CARGO) mutants --jobs 2 --output out

fuzz: setup-test ## feed broken EXR files to reading and merging for MINUTES=60 (COVERAGE=1: and count the lines reached)
	MINUTES=$(or $(MINUTES),60) scripts/fuzz

lint: setup-test ## format, clippy, Python, licences and bans
	$(CARGO) fmt --all --check
	$(CARGO) clippy --workspace --all-targets -- --deny warnings
	$${XDG_CACHE_HOME:-$$HOME/.cache}/tessera/tools/bin/ruff check .
	$${XDG_CACHE_HOME:-$$HOME/.cache}/tessera/tools/bin/ruff format --check .
	$${XDG_CACHE_HOME:-$$HOME/.cache}/tessera/tools/bin/mypy --config-file addon/mypy.ini
	$(CARGO) deny --version >/dev/null 2>&1 || $(CARGO) install --locked cargo-deny
	$(CARGO) deny check licenses bans sources

web/node_modules/.package-lock.json: web/package-lock.json
	npm --prefix web ci --no-audit --no-fund

setup-demo:
	@scripts/setup demo

setup-test:
	@scripts/setup test
