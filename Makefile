# `make demo` and `make test` work on a fresh machine with Python 3.11 or newer; everything lives in .venv.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
TORCH := 2.13.0
# Each process takes tests that stand beside each other, so that most modules start their server or Ray once. No table of
# cases may hold anything random: all processes must name the same tests.
PYTEST := $(BIN)/pytest --numprocesses $(or $(TEST_PROCESSES),2) --dist worksteal --durations 25

.DEFAULT_GOAL := help
.PHONY: browser help install demo test test-all test-ci test-fast soak lint format bench fuzz docs openapi screenshots package lock clean

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

# Tests start our programs by the hundred: each would compile our sources anew.
test test-all test-ci test-fast: export PYTHONDONTWRITEBYTECODE :=

browser: $(STAMP)
	@$(BIN)/python -m tests.service.web.dashboard.chromium

test: $(STAMP) browser ## the tests, without those that take minutes each
	$(PYTEST) -m "not long"

test-all: $(STAMP) browser ## all tests, also those that take minutes each
	$(PYTEST)

test-ci: $(STAMP) browser ## all tests but those of a night: what CI runs
	$(PYTEST) -m "not nightly"

test-fast: $(STAMP) ## the tests of every day, without Ray and long training
	$(PYTEST) -m "not slow"

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

# The notice that it leaves out says that the theme is maintained until May 2027.
docs: export NO_MKDOCS_2_WARNING := 1
docs: $(STAMP) ## the documentation as a site in build/docs; a broken link fails
	$(BIN)/python -m docs.generate build/pages
	$(BIN)/mkdocs build --quiet --strict
	@echo "build/docs/index.html"

package: $(STAMP) ## wheel and source distribution, into dist/
	rm -rf dist
	$(BIN)/python -m hatchling build --directory dist

screenshots: $(STAMP) browser ## take the pictures of the dashboard anew
	$(BIN)/python -m docs.screenshots docs/images

openapi: $(STAMP) ## write docs/openapi.json anew
	$(BIN)/python -m service.web.openapi > docs/openapi.json.new
	mv docs/openapi.json.new docs/openapi.json

lock: ## renew requirements.lock with the newest versions that pyproject.toml allows
	rm -rf build/lock
	$(PYTHON) -m venv build/lock
	build/lock/bin/python -m pip install --quiet --disable-pip-version-check "torch==$(TORCH)" ".[postgres,vision,dev]"
	@# What only a GPU build of torch needs, torch asks for itself. A local version such as 2.13.0+cpu names one index's build; without it the lock resolves on any machine.
	build/lock/bin/python -m pip freeze --exclude rhobust | grep -vE '^(nvidia-|triton)' \
		| sed -E -e 's/\+[A-Za-z0-9.]+$$//' -e 's/^ruptures==.*/&; python_version < "3.14"/' > requirements.lock
	rm -rf build/lock

clean: ## remove .venv and caches, not the data
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache .hypothesis
