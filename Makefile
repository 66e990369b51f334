# One verb, one thing; `make help` lists them. Continuous integration calls the same verbs through .ci/run.

SHELL := /bin/bash
PYTHON ?= python3
# Flags for `make run` and `make chaos`, and for pytest under `make test` and `make test-fast`.
ARGS ?=
# Processes that `make test` shares the tests out to, file by file; 0: one after the other in this one.
PROCESSES ?= 2
# The same of `make test-fast`, whose tests wait more than they compute.
FAST_PROCESSES ?= 3
# A Kafka for `make benchmarks`; empty: the embedded broker.
BOOTSTRAP ?=
# Of the requests and faults of `make chaos`; empty: any, and printed.
SEED ?=
# Where `make kafka` listens on 127.0.0.1, and the folder of its data.
PORT ?= 9092
DATA ?= .kafka/data

BIN := .venv/bin
PIP := $(BIN)/python -m pip install --disable-pip-version-check -c constraints.txt
INSTALLED := .venv/.installed
INSTALLED_TESTS := .venv/.installed-tests

# On a terminal the command gets a process group of its own: Ctrl-C then ends the command and not make,
# whose exit status stays the command's own. `exit $$?` keeps bash from replacing itself with the command.
FOREGROUND := if [ -t 0 ]; then set -m; fi;

.DEFAULT_GOAL := help
.PHONY: help install run test test-fast lint format kafka chaos benchmarks clean

help:  ## list the verbs
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "make %-10s %s\n", $$1, $$2 }' Makefile

install: $(INSTALLED_TESTS)  ## make .venv with everything the other verbs need (PYTHON=python3.12 chooses the interpreter)
	@echo ".venv is ready"

run: $(INSTALLED)  ## broker, worker and API, and the sample corpus through them (ARGS="--port 8001")
	@$(FOREGROUND) $(BIN)/kafka-embeddings up --sample $(ARGS); exit $$?

test: $(INSTALLED_TESTS)  ## every test; REQUIRE_KAFKA=1 forbids skipping, KAFKA_BOOTSTRAP=host:port uses your Kafka
	$(BIN)/python -m pytest -n $(PROCESSES) --dist loadfile $(ARGS)

test-fast: $(INSTALLED_TESTS)  ## tests without Kafka and without the model, under a minute
	$(BIN)/python -m pytest -m "not kafka and not model and not slow" -n $(FAST_PROCESSES) --dist loadfile $(ARGS)

lint: $(INSTALLED_TESTS)  ## ruff, mypy and the layers between packages
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/lint-imports

format: $(INSTALLED_TESTS)  ## rewrite the code in its one format
	$(BIN)/ruff format
	$(BIN)/ruff check --fix

kafka: $(INSTALLED)  ## a real Apache Kafka on 127.0.0.1:9092 until Ctrl-C, needs Java 17 and Maven (PORT=, DATA=)
	@$(FOREGROUND) $(BIN)/python -m tests.kafka_broker --port $(PORT) --data "$(DATA)"; exit $$?

chaos: $(INSTALLED_TESTS)  ## a million requests while workers and broker are killed, and the longest tests; needs Java 17 and Maven (SEED=, ARGS="--requests 100000")
	$(BIN)/python -m tests.chaos $(if $(SEED),--seed $(SEED)) --report chaos-report.json $(ARGS)
	$(BIN)/python -m pytest -m chaos

benchmarks: $(INSTALLED_TESTS)  ## measure everything on this machine, hours, and draw it into docs/benchmarks.md (BOOTSTRAP=host:port)
	$(BIN)/python -m benchmarks.everything --bootstrap "$(BOOTSTRAP)"

clean:  ## remove .venv, Kafka's jars and data, installed clients, and every cache
	rm -rf .venv .kafka .clients .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache build dist
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

.venv/bin/python:
	@$(PYTHON) -c 'import sys; sys.version_info >= (3, 11) or sys.exit(1)' || { \
	  echo "kafka-embeddings needs Python 3.11 or newer, $(PYTHON) is $$($(PYTHON) --version 2>&1): make install PYTHON=python3.11" >&2; \
	  exit 1; }
	@# A half-made .venv (Debian without python3-venv) must not pass for one.
	$(PYTHON) -m venv .venv || { rm -rf .venv; exit 1; }

$(INSTALLED): pyproject.toml constraints.txt | .venv/bin/python
	$(PIP) -e '.[api,worker,embed]'
	@touch $@

$(INSTALLED_TESTS): $(INSTALLED)
	$(PIP) -e '.[api,redis,otel,worker,embed,test,lint]'
	@touch $@
