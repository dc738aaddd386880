# Two commands: `make run` watches the lab's model on the embedded default; `make test` passes every test.
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help

# 3.11 first: it is what the pins in constraints.txt are tried on.
PYTHON ?= $(shell for p in python3.11 python3 python3.12 python3.13; do \
  if $$p -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then echo $$p; break; fi; done)
# Without kept bytecode each of the hundreds of commands that the tests start compiles the package anew.
unexport PYTHONDONTWRITEBYTECODE
BIN := .venv/bin
INSTALLED := .venv/.installed

help: ## this list
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 14

$(INSTALLED): pyproject.toml constraints.txt
	@test -n "$(PYTHON)" || { echo "make: no Python 3.11 or newer was found; set PYTHON=/path/to/python3.11"; exit 1; }
	@echo "== setting up .venv with $$($(PYTHON) --version) and about 1.5 GB of packages; some minutes the first time"
	@$(PYTHON) -m venv .venv
	@$(BIN)/python -m pip install -q --disable-pip-version-check -c constraints.txt pip
	@$(BIN)/python -m pip install -c constraints.txt -e '.[local,lab,otlp,postgres,files]' --group dev --group bench 2>&1 | tee .venv/install.log \
	  | { grep --line-buffered -E '^(Collecting|Building|Installing|ERROR)' \
	  | sed -u -E 's/^(Collecting [^ ]*).*/\1/; s/^Installing.*/== all is fetched; unpacking takes a minute or two more/' || true; }
	@touch $@
	@echo "== installed: .venv/bin/cliffwatch"

setup: $(INSTALLED) ## make .venv and install everything into it

run: $(INSTALLED) ## watch the lab's fine-tuned model; tells you how to break it
	@$(BIN)/cliffwatch demo --watch

demo: $(INSTALLED) ## the same unattended, start to finish
	@$(BIN)/cliffwatch demo

servers: ## install the servers that the tests use, where this machine lets us
	@scripts/install-test-servers

test: $(INSTALLED) servers lint ## every test: unit, contract, integration, acceptance
	@echo "== tests: the slow ones start real servers and a real daemon"
	@# A file's tests stay in one process, the longest files go first; a third process works while others wait.
	@# One thread each: the cores are shared out by then, and an OpenMP thread that waits for another spins.
	@OMP_NUM_THREADS=1 $(BIN)/python -m pytest -m "not slow and not servers" --durations=10 -n 4 --dist loadfile --no-loadscope-reorder

test-servers: $(INSTALLED) ## tests against real servers, each in an environment of its own; minutes, needs PyPI
	@OMP_NUM_THREADS=1 $(BIN)/python -m pytest -m servers --durations=10 tests/servers

contact: $(INSTALLED) ## what real servers, logs and adapters send, through real commands; under two minutes
	@OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n 2 tests/contact

lint: $(INSTALLED) ## ruff, sizes of files and functions, import-linter, mypy --strict
	@echo "== ruff, sizes, imports and types"
	@$(BIN)/ruff check . && $(BIN)/ruff format --check . && $(BIN)/python scripts/check_style.py \
	  && $(BIN)/lint-imports --no-logo && $(BIN)/mypy

docs: $(INSTALLED) ## write the generated documents, dashboards and alert rules again
	@$(BIN)/python -m scripts.generate_docs
	@$(BIN)/python -m monitor.lab.suite
	@$(BIN)/python -m monitor.lab.anchors
	@$(BIN)/python -m dashboards.build
	@$(BIN)/python -m monitor.report.metrics.alerts.rules

constraints: $(INSTALLED) ## write the pins of .venv into constraints.txt
	@{ echo "# Every pin of the environment that is tested (Python 3.11). Made by: make constraints"; \
	  $(BIN)/python -m pip freeze --all --exclude-editable | sed -E 's/^(torch==[0-9.]+).*/\1/; s/ @ .*//'; } > constraints.new
	@mv constraints.new constraints.txt

lab: $(INSTALLED) ## train the lab's models again (about an hour on two cores)
	@$(BIN)/python -m monitor.lab.train

snapshots: $(INSTALLED) ## take the present wording of messages over into the tests' snapshot files
	@grep -rlZ --include='*.py' 'snapshot: SnapshotAssertion' tests | OMP_NUM_THREADS=1 xargs -0 -r \
	  $(BIN)/python -m pytest -m "not slow and not servers" -n 2 --dist loadfile --snapshot-update

.PHONY: help setup run demo servers test test-servers contact lint docs snapshots lab constraints
