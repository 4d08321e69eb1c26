# What a developer runs. Every target first brings the virtual environment up to date, so each works in a clean clone
# with Python 3.11 or newer and make.

PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
# Further arguments of a target: make test ARGS="-k http", make faults ARGS="--seconds 60 --seed 7"
ARGS ?=
# Tests wait for servers more than they compute.
WORKERS ?= $(shell expr 2 \* $$(nproc))
# Tests start hundreds of processes: each would compile all of it again.
export PYTHONDONTWRITEBYTECODE :=

.PHONY: help run test outages check check-code check-shipped collect docs console screenshots servers bench faults deploy-tools
.DEFAULT_GOAL := help

help:
	@echo 'make run      the quickstart: a router with two flows, and what to try on it'
	@echo 'make test     the tests'
	@echo 'make outages  tests that kill, freeze and cut off a Kafka of their own, for minutes'
	@echo 'make check    format, lint, types, layers, pages made from code, and a smoke test of the built wheel'
	@echo 'make docs     the pages about connectors, formats, framings, functions and the API, the dashboard and the manifest of alerts,'
	@echo '              from code'
	@echo 'make console  the web console, from the sources in console/; needs Node and npm'
	@echo 'make screenshots  pictures of the console in docs/console; needs Chromium'
	@echo 'make servers  an Apache Kafka and a Mosquitto to play with, until Ctrl-C'
	@echo 'make deploy-tools  what looks at deploy/ (hadolint, kubectl, schemas), for the tests of it'
	@echo 'make bench    the benchmarks, each beside its floor'
	@echo 'make faults   kill -9, full disks, sinks that refuse, hang or go away; every record is looked for;'
	@echo '              others with ARGS=kafka, mqtt, http, kafka-group, kill, ... (docs/architecture.md)'

# The stamp is older than pyproject.toml when dependencies or entry points may have changed.
$(VENV)/.stamp: pyproject.toml scripts/environment.py
	@$(PYTHON) scripts/environment.py $(VENV)
	@touch $@

run: $(VENV)/.stamp
	@echo 'Records go to deploy/quickstart/out; the rules are in deploy/quickstart/rules.'
	@exec $(BIN)/sluiceway run deploy/quickstart/sluiceway.yaml

test: $(VENV)/.stamp
	$(BIN)/pytest -n $(WORKERS) $(ARGS)

# What pytest compiles of the tests is kept: else each of its workers does it, all at once. What it cannot compile
# `make test` tells.
collect: $(VENV)/.stamp
	-$(BIN)/pytest --collect-only -qq >/dev/null

outages: $(VENV)/.stamp
	$(BIN)/pytest -m outage $(ARGS)

check: check-code check-shipped

check-code: $(VENV)/.stamp
	$(BIN)/ruff format --check
	$(BIN)/ruff check
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/python -m scripts.all_docs --check

check-shipped: $(VENV)/.stamp
	$(BIN)/python -m scripts.console --check --types
	$(BIN)/python -m scripts.smoke

docs: $(VENV)/.stamp
	$(BIN)/python -m scripts.all_docs

console: $(VENV)/.stamp
	$(BIN)/python -m scripts.console

screenshots: $(VENV)/.stamp
	$(BIN)/python -m scripts.screenshots $(ARGS)

servers: $(VENV)/.stamp
	@exec $(BIN)/python deploy/dev/servers $(ARGS)

deploy-tools: $(VENV)/.stamp
	$(BIN)/python -m scripts.deploy_tools

bench: $(VENV)/.stamp
	$(BIN)/python -m bench $(ARGS)

faults: $(VENV)/.stamp
	$(BIN)/python tests/faults $(ARGS)
