# Every target works from a bare clone: it sets up what it needs in .venv first.
# PYTHON= chooses the interpreter that .venv is made with (3.11 or newer), VENV= another folder.
PYTHON ?= python3
VENV ?= .venv
# Tests start many processes, which start faster with bytecode from an earlier run. So Python writes it
# even if the environment forbids that, but outside the source folders.
unexport PYTHONDONTWRITEBYTECODE
export PYTHONPYCACHEPREFIX := $(abspath $(VENV))/bytecode
# Each process has its own servers, topics and ports.
# One process more than there are cores, because some tests wait.
ON_ALL_CORES := --numprocesses=$(shell expr $$(nproc) + 1) --dist=worksteal
# How many times more seeds, kills and Hypothesis examples `make test-long` runs than `make test`.
LONG ?= 20
# How many processes run tests of real servers at once; they wait most of the time.
PROCESSES ?= 6
AT_ONCE := --numprocesses=$(PROCESSES) --dist=loadscope --durations=10
BIN := $(VENV)/bin
CHARTS = $(BIN)/python -m ops.npm_files consumers/stats/page/vendor.txt consumers/stats/page/vendor
REQUIREMENTS := requirements/tools.txt requirements/run.txt requirements/embedded.txt requirements/dev.txt

# make takes `--keep` as the start of its own `--keep-going`, and would run the demo without it.
ifneq (,$(and $(filter demo,$(MAKECMDGOALS)),$(findstring k,$(filter-out --%,$(firstword -$(MAKEFLAGS))))))
$(error make has read --keep or -k as an option of its own; for the demo write: make demo DEMO=--keep)
endif

.DEFAULT_GOAL := help
.PHONY: help setup demo test test-docker test-long check lint types unit contract integration e2e bench-ingress \
  test-page test-proxy test-subscribers screenshots bench-archive bench-counters bench-scale bench-latency bench-sync bench-disk bench-audit docs-configuration docs-contract format pin clean

help:  ## list the targets
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*##/\t/' | expand -t 20

setup: $(VENV)/ready  ## make .venv with everything pinned (about 30 s from nothing)

# Not echoed: lines with texts of errors that did not happen look like errors.
$(VENV)/ready: $(REQUIREMENTS) pyproject.toml consumers/stats/page/vendor.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Hookline needs Python 3.11 or newer; choose one with: make PYTHON=python3.13 ...")'
	@echo "setting up $(VENV) (about 30 s)"
	@$(PYTHON) -m venv --clear $(VENV)
	@$(BIN)/python -m pip install --quiet --require-hashes -r requirements/tools.txt
	@VIRTUAL_ENV=$(abspath $(VENV)) $(BIN)/uv pip install --quiet --require-hashes $(REQUIREMENTS:%=-r %)
	@VIRTUAL_ENV=$(abspath $(VENV)) $(BIN)/uv pip install --quiet --no-deps --no-build-isolation -e .
	@$(CHARTS) || echo "Without uPlot the statistics page shows tables in place of charts."
	@touch $@

demo: setup  ## run everything on this machine, kill parts of it, prove that nothing is lost
	@$(BIN)/hookline demo $(DEMO)

test: check  ## all tests once: logic, real servers, killed processes (about 8 min on two quiet cores)
	$(BIN)/pytest $(AT_ONCE) tests/e2e tests/integration tests/contract

# The tests take 36 s of CPU time. mypy takes a second, but the first time it uses one core for most of the run.
check: setup  ## format, lint, types, unit and property tests (about 25 s on two cores, 60 s the first time)
	@$(MAKE) --no-print-directory --jobs=2 lint types unit

lint: setup  ## format and lint alone
	$(BIN)/ruff format --check --quiet .
	$(BIN)/ruff check --quiet .

types: setup  ## mypy alone
	$(BIN)/mypy

unit: setup  ## unit and property tests alone, on all cores
	$(BIN)/pytest -q $(ON_ALL_CORES) tests/unit tests/property examples

contract: setup  ## tests of what every sink must do, on real PostgreSQL and Valkey, alone
	$(BIN)/pytest -q $(ON_ALL_CORES) tests/contract

integration: setup  ## tests against real PostgreSQL, Valkey, Kafka and an S3 server alone
	$(BIN)/pytest $(AT_ONCE) tests/integration

test-page: setup  ## the statistics page in Chromium (apt-get install chromium fonts-noto-cjk; 2 min)
	$(CHARTS)
	$(BIN)/pytest --numprocesses=2 --durations=5 tests/page

test-proxy: setup  ## the nginx of docs/operations.md in front of the ingress (apt-get install nginx; 10 s)
	$(BIN)/pytest tests/proxy

screenshots: setup  ## make docs/page/*.png, the pictures of the statistics page
	$(CHARTS)
	PYTHONPATH=tests $(BIN)/python -m support.page.screenshots docs/page

test-docker: setup  ## docker compose under kills, scaling and restored copies (8 min; needs Docker and kcat)
	$(BIN)/pytest tests/docker --durations=10 -s

# Each of the processes has a broker and tests one language after the other.
test-subscribers: setup  ## the subscribers of examples/subscribers (2 min; needs Go, a JDK, Node.js, kcat and jq)
	$(BIN)/pytest --numprocesses=3 --dist=worksteal --durations=6 tests/subscribers

test-long: setup  ## the tests that repeat something, LONG times as often, and those marked long
	$(BIN)/pytest -q $(ON_ALL_CORES) tests/unit tests/property tests/contract --long=$(LONG)
	$(BIN)/pytest $(AT_ONCE) tests/integration tests/e2e --long=$(LONG)

e2e: setup  ## tests that drive and kill whole processes alone
	$(BIN)/pytest $(AT_ONCE) tests/e2e

bench-ingress: setup $(VENV)/bench-ready  ## measure the ingress beside others on a real Kafka (11 min); BENCH=--help lists the options
	@$(BIN)/python -m bench.ingress $(BENCH)

bench-archive: setup  ## measure the archive beside other readers of a real topic (12 min); BENCH=--help lists the options
	@$(BIN)/python -m bench.archive $(BENCH)

bench-scale: setup  ## measure N processes of the ingress and M of the archive (15 min); BENCH=--help lists the options
	@$(BIN)/python -m bench.scale $(BENCH)

bench-latency: setup  ## measure the time from receipt to Kafka, PostgreSQL and the counts (3 min); BENCH=--help lists the options
	@$(BIN)/python -m bench.latency $(BENCH)

bench-sync: setup  ## measure sync and the webhook beside others on real servers (8 min); BENCH=--help lists the options
	@$(BIN)/python -m bench.sync $(BENCH)

bench-disk: setup  ## measure how many bytes a callback takes in each store (3 min); BENCH=--help lists the options
	@$(BIN)/python -m bench.disk $(BENCH)

bench-audit: setup  ## measure an audit that reads the topic (5 min); BENCH=--help lists the options
	@$(BIN)/python -m bench.audit $(BENCH)

bench-counters: setup $(VENV)/bench-ready  ## measure the counters beside others on a real topic (18 min); BENCH=--help lists the options
	@$(BIN)/python -m bench.counters $(BENCH)

$(VENV)/bench-ready: $(VENV)/ready requirements/bench.txt
	VIRTUAL_ENV=$(abspath $(VENV)) $(BIN)/uv pip install --quiet --require-hashes -r requirements/bench.txt
	@touch $@

docs-configuration: setup  ## write docs/configuration.md from the settings
	$(BIN)/python -m ops.configuration > docs/configuration.md.new && mv docs/configuration.md.new docs/configuration.md

docs-contract: setup  ## write docs/contract/ from schemas/contract/
	$(BIN)/python -m ops.contract docs/contract

format: setup  ## format the code and apply ruff's fixes
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

pin: setup  ## compile requirements/*.in to requirements/*.txt with the newest versions
	for set in tools run embedded dev bench; do \
	  $(BIN)/uv pip compile --quiet --upgrade --universal --python-version 3.11 --generate-hashes \
	    --no-emit-index-url --no-emit-find-links --no-header --no-annotate $$limits \
	    requirements/$$set.in -o requirements/$$set.txt || exit 1; \
	  test $$set = tools || limits="$$limits -c requirements/$$set.txt"; \
	done

clean:  ## remove .venv and caches
	rm -rf .venv .venv-* .mypy_cache .ruff_cache .pytest_cache .hypothesis
