# `make demo` and `make test` work on a fresh machine with Python 3.11 or newer; everything lives in .venv.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
TORCH := 2.13.0

.DEFAULT_GOAL := help
.PHONY: help install demo test test-all test-fast soak lint format bench fuzz openapi lock clean

help: ## say what there is
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 12

install: $(STAMP) ## make .venv from the lock file

$(STAMP): requirements.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or newer is needed, but $(PYTHON) is " + sys.version.split()[0] + "; set PYTHON=/path/to/python3")'
	@$(BIN)/python -m pip --version >/dev/null 2>&1 || $(PYTHON) -m venv --clear $(VENV)
	@echo "Installing the locked dependencies into $(VENV) (once; a few minutes) ..."
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check -r requirements.lock
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --editable .
	@touch $(STAMP)

demo: export RHOBUST_DATA_DIR ?= $(CURDIR)/data
demo: $(STAMP) ## run the quickstart on a server of its own and show its table
	@$(BIN)/rhobust demo examples/quickstart.yaml

test: $(STAMP) ## the tests, in less than a quarter of an hour
	$(BIN)/pytest -m "not long"

test-all: $(STAMP) ## all tests, also those that take minutes each: what CI runs
	$(BIN)/pytest

test-fast: $(STAMP) ## the tests of every day, without Ray and long training
	$(BIN)/pytest -m "not slow"

soak: $(STAMP) ## twenty jobs in one server: nothing is left of them
	RHOBUST_SOAK_JOBS=20 $(BIN)/pytest tests/service/jobs/test_leaks.py

lint: $(STAMP) ## formatting, lint and types
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy

format: $(STAMP) ## format and mend what can be mended
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

bench: $(STAMP) ## print how fast it is
	@for program in $(notdir $(basename $(wildcard benchmarks/*.py))); do \
		echo "== $$program"; $(BIN)/python -m benchmarks.$$program || exit 1; done

fuzz: $(STAMP) ## hours of requests that nobody thought of
	RHOBUST_FUZZ_EXAMPLES=1000 $(BIN)/pytest tests/service/web/test_schemathesis.py

openapi: $(STAMP) ## write docs/openapi.json anew
	$(BIN)/python -m service.web.openapi > docs/openapi.json.new
	mv docs/openapi.json.new docs/openapi.json

lock: ## renew requirements.lock with the newest versions that pyproject.toml allows
	rm -rf build/lock
	$(PYTHON) -m venv build/lock
	build/lock/bin/python -m pip install --quiet --disable-pip-version-check "torch==$(TORCH)" ".[postgres,dev]"
	@# What only a GPU build of torch needs, torch asks for itself. A local version such as 2.13.0+cpu names one index's build; without it the lock resolves on any machine.
	build/lock/bin/python -m pip freeze --exclude rhobust | grep -vE '^(nvidia-|triton)' \
		| sed -E 's/\+[A-Za-z0-9.]+$$//' > requirements.lock
	rm -rf build/lock

clean: ## remove .venv and caches, not the data
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache .hypothesis
