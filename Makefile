# `make run` and `make test` set up all they need. CPU-only machines may take the small build of torch:
#   make run TORCH_INDEX=https://download.pytorch.org/whl/cpu
PYTHON ?= python3
VENV ?= .venv
TORCH_INDEX ?=
PIP_FLAGS = --quiet --disable-pip-version-check
# From that index alone, and nothing else from there: all other packages come as usual, whether it answers for them or not.
TORCH = $(if $(TORCH_INDEX),$(BIN)/python -m pip install $(PIP_FLAGS) -c constraints.txt --no-deps --index-url $(TORCH_INDEX) torch torchvision,:)
BIN = $(VENV)/bin

.DEFAULT_GOAL := help
.PHONY: help run up reproduce test model faults browser screens fuzz check format golden cookbook bench-dashboard bench-engine bench-reading bench-service bench-sweeps bench-streaming bench-theory chaos docs docs-serve clean

help: ## Show this help
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  make %-14s %s\n", $$1, $$2}'

run: $(VENV)/.installed ## Train the quickstart sweep, show its table and figure, stop
	@$(BIN)/alignsweep run recipes/quickstart.yaml

up: $(VENV)/.installed ## Start the service and stay up (Ctrl-C stops it)
	@$(BIN)/alignsweep up

reproduce: $(VENV)/.installed ## Reproduce the paper: run its experiments (SIZE ci, desk, paper), write a report
	@$(BIN)/alignsweep reproduce all --size $(or $(SIZE),ci)

test: $(VENV)/.installed-dev ## Run the tests
	@$(BIN)/python -m pytest -n 2

model: $(VENV)/.installed-dev ## Run the model of the queue RUNS times
	@MODEL_RUNS=$(or $(RUNS),2000) $(BIN)/python -m pytest tests/integration/test_model.py -k interleaving --timeout=7200

faults: $(VENV)/.installed-dev ## Run all tests of faults, those that wait for Ray too
	@$(BIN)/python -m pytest tests/faults -m 'slow or not slow'

browser: $(VENV)/.installed-dev ## Run all tests of the dashboard in a browser, those of accessibility too (needs Chromium)
	@$(BIN)/python -m pytest tests/browser -m 'slow or not slow'

screens: $(VENV)/.installed-dev ## Picture every page of the dashboard in FOLDER (out/screens), and the documentation's anew
	@SCREENS=$(abspath $(or $(FOLDER),out/screens)) RENEW_SCREENS=1 $(BIN)/python -m pytest tests/browser/test_screens.py -m slow

fuzz: $(VENV)/.installed-dev ## Hold the API against its OpenAPI document with EXAMPLES random requests per operation
	@SCHEMA_EXAMPLES=$(or $(EXAMPLES),200) $(BIN)/python -m pytest tests/contract/test_api_schema.py -s

check: $(VENV)/.installed-dev ## Format, lint, types, import contracts, then the tests
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(MAKE) test

format: $(VENV)/.installed-dev ## Format the code
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

golden: $(VENV)/.installed-dev ## Renew the golden files of the public surfaces, after a change that is meant
	@RENEW_GOLDEN=1 $(BIN)/python -m pytest tests/integration/test_schema.py tests/integration/test_sql_docs.py tests/integration/test_dashboard.py tests/unit/test_reference.py

docs: $(VENV)/.installed-docs ## Build the documentation as a site into out/site; broken links are errors
	@NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict
	@echo "out/site/index.html"

docs-serve: $(VENV)/.installed-docs ## Show the site at http://127.0.0.1:PORT (8643), and again after each change
	@NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs serve --strict --dev-addr 127.0.0.1:$(or $(PORT),8643)

cookbook: $(VENV)/.installed-dev ## Train the quickstart and write the answers of docs/cookbook.md anew
	@$(BIN)/python -m tests.cookbook

bench-engine: $(VENV)/.installed-dev ## Measure the engine beside its peers, in one run
	@mkdir -p out
	@$(BIN)/python -m benchmarks.engine out/bench-engine.json

bench-reading: $(VENV)/.installed-dev ## Measure reading among ROWS rows of traces (40000000)
	@mkdir -p out
	@$(BIN)/python -m benchmarks.reading --rows $(or $(ROWS),40000000) out/bench-reading.json

bench-service: $(VENV)/.installed-dev ## Measure the queue, the dispatcher and the API under load, in one run
	@mkdir -p out
	@$(BIN)/python -m benchmarks.service out/bench-service.json

bench-sweeps: $(VENV)/.installed-dev ## Measure whole sweeps beside training in plain processes, in one run
	@mkdir -p out
	@$(BIN)/python -m benchmarks.sweeps out/bench-sweeps.json

bench-dashboard: $(VENV)/.installed-dev ## Measure the dashboard in Chromium, with 10,000 trials and with 4M rows of traces
	@mkdir -p out
	@$(BIN)/python -m benchmarks.dashboard out/bench-dashboard.json

bench-streaming: $(VENV)/.installed-dev ## Measure pages of lists and live streams, in one run
	@mkdir -p out
	@$(BIN)/python -m benchmarks.streaming out/bench-streaming.json

bench-theory: $(VENV)/.installed-dev ## Measure how many solutions of the theory come in a second, in one run
	@mkdir -p out
	@$(BIN)/python -m benchmarks.theory out/bench-theory.json

chaos: $(VENV)/.installed-dev ## Inject random faults for a while; ends with the doctor (SEED, FAULTS, TRIALS, CALM)
	@$(BIN)/python -m tests.faults.chaos $(if $(SEED),--seed $(SEED)) --faults $(or $(FAULTS),200) --trials $(or $(TRIALS),2000) $(if $(CALM),--calm)

clean: ## Remove the environment and caches; the data folder stays
	rm -rf $(VENV) .mypy_cache .ruff_cache .hypothesis .import_linter_cache out

$(VENV)/bin/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
		|| { echo "alignsweep needs Python 3.11 or newer; name one with make PYTHON=python3.12 ..."; exit 1; }
	@$(PYTHON) -m venv $(VENV)

$(VENV)/.installed: pyproject.toml constraints.txt | $(VENV)/bin/python
	@echo "Installing into $(VENV) (once; PyTorch is large) ..."
	@$(TORCH)
	@$(BIN)/python -m pip install $(PIP_FLAGS) -c constraints.txt -e '.[service]'
	@touch $@

$(VENV)/.installed-dev: pyproject.toml constraints.txt | $(VENV)/bin/python
	@echo "Installing into $(VENV) with the tools of the tests (once) ..."
	@$(TORCH)
	@$(BIN)/python -m pip install $(PIP_FLAGS) -c constraints.txt -e '.[service,dev]'
	@# An oracle of the tests: its own dependencies (notebooks, plots) are not needed for that.
	@$(BIN)/python -m pip install $(PIP_FLAGS) --no-deps biotorch==0.0.16
	@touch $@ $(VENV)/.installed

$(VENV)/.installed-docs: pyproject.toml constraints.txt | $(VENV)/bin/python
	@echo "Installing into $(VENV) with what builds the site (once) ..."
	@$(TORCH)
	@$(BIN)/python -m pip install $(PIP_FLAGS) -c constraints.txt -e '.[service,docs]'
	@touch $@ $(VENV)/.installed
