# `make demo` and `make test` are all a newcomer needs; they set themselves up in .venv.
VENV ?= .venv
BIN := $(VENV)/bin
export VENV

.DEFAULT_GOAL := help
.PHONY: help demo test unit check dev bench conformance fuzz gramine-lint clean

help: ## Show these targets
	@sed -n 's/^\([a-z-]*\):.*## /  make \1\t/p' $(MAKEFILE_LIST) | expand -t 22

demo: ## The main job, for real: git push to enforced manifest, under two minutes
	@tools/bootstrap run
	@$(BIN)/marbleops demo $(DEMO_ARGS)

dev: ## Set up .venv with everything a contributor needs
	@tools/bootstrap dev

test: dev ## Everything that needs no hardware: gates, unit, contract, conformance, integration, end to end
	@tools/run-tests

unit: dev ## The fast tests only (under 10 seconds)
	@tools/run-unit

check: dev ## Formatting, lint, types, import contracts, generated files
	@tools/run-checks

conformance: dev ## Rebuild the cases, run them, fail if the committed ones differ
	@$(BIN)/python -m conformance.build --check
	@$(BIN)/python -m conformance.run
	@$(BIN)/python -m conformance.wire.build --check
	@$(BIN)/python -m conformance.wire

fuzz: dev ## A short run of every fuzz target (longer: RUNS=100000)
	@for target in fuzz/fuzz_*.py; do echo "$$target"; $(BIN)/python -m fuzz.$$(basename $$target .py) --runs $${RUNS:-2000} || exit 1; done

bench: dev ## Ratios against a peer measured in the same run
	@$(BIN)/python -m bench

gramine-lint: ## Refuse an enclave manifest that would not protect
	@tools/gramine-lint

clean: ## Remove .venv and caches
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
