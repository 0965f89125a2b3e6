# Everything a developer does with this repository. `make demo` needs Python 3.11+ and nothing else.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
INSTALLED := $(VENV)/.installed
SHELL := bash
# How many tests run at once: one more than there are processors, as most of the time a test waits for its servers.
PROCESSES ?= $(shell echo $$(($$(getconf _NPROCESSORS_ONLN) + 1)))
.DEFAULT_GOAL := help

.PHONY: help demo install test lint format bench docs clean system-packages browser-packages

help: ## Show this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  %-10s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

demo: $(INSTALLED) ## Start a Postgres of its own, and the demo page on http://localhost:8000
	$(BIN)/realtime dev --open

install: $(INSTALLED) ## Make the virtual environment

$(INSTALLED): requirements.lock pyproject.toml sdk/python/pyproject.toml
	$(PYTHON) -c 'import sys; sys.exit(0 if sys.version_info >= (3, 11) else "Python 3.11 or newer is needed (make PYTHON=python3.11)")'
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements.lock
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e . -e sdk/python
	touch $@

test: $(INSTALLED) system-packages browser-packages lint ## Check and test everything
	$(BIN)/python -m pytest -n $(PROCESSES) --dist worksteal

lint: $(INSTALLED) ## Style and types
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

format: $(INSTALLED) ## Put code into the common style
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

system-packages:
	.ci/system-packages

browser-packages: system-packages
	@if command -v npm > /dev/null; then for each in tests/browser sdk/js; do \
	  ( cd $$each && { [ node_modules/.package-lock.json -nt package-lock.json ] || npm ci --no-audit --no-fund; } ) || exit 1; \
	done; fi

bench: $(INSTALLED) ## Measure
	set -e; for each in tests/bench/bench_*.py; do $(BIN)/python -m tests.bench.$$(basename $$each .py); done

docs: $(INSTALLED) ## Build the documentation into site/
	$(BIN)/mkdocs build --strict

clean: ## Remove what was made here, the demo's database included
	-[ ! -f .realtime/postgres/postmaster.pid ] || $(BIN)/python -c 'from pathlib import Path; from server.local_postgres import LocalPostgres; LocalPostgres(Path(".realtime/postgres")).stop()'
	rm -rf $(VENV) .realtime site .pytest_cache .mypy_cache .ruff_cache .hypothesis tests/browser/node_modules sdk/js/node_modules sdk/js/dist sdk/js/build tests/bench/results
