# PromptLab's commands. `make` alone lists them.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PORT ?= 8000
export PYTHONPATH := $(CURDIR)

.DEFAULT_GOAL := help
.PHONY: help install run demo test test-stores test-browser pictures check lint format types contracts bench words requirements clean

help:  ## Show this list
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## (.*)/  make \1\t\2/' | expand -t 20

$(VENV)/.python:
	@$(PYTHON) -c 'import sys; v = sys.version_info; sys.exit(0 if (3, 11) <= v < (3, 15) else "PromptLab needs Python 3.11 to 3.14; this is %d.%d. Choose one with: make PYTHON=python3.12 ..." % v[:2])'
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || { echo "Python's venv module is missing. On Debian and Ubuntu: apt install python3-venv"; exit 1; }
	@$(PYTHON) -m venv $(VENV)
	@touch $@

$(VENV)/.run: $(VENV)/.python requirements.txt requirements-local.txt sdk/pyproject.toml
	@echo "Installing what PromptLab runs on (once, about a minute)..."
	@$(BIN)/pip install --quiet --disable-pip-version-check --require-hashes -r requirements.txt -r requirements-local.txt
	@$(BIN)/pip install --quiet --disable-pip-version-check --no-deps -e ./sdk
	@touch $@

$(VENV)/.dev: $(VENV)/.run requirements-dev.txt
	@echo "Installing what the tests need..."
	@$(BIN)/pip install --quiet --disable-pip-version-check --require-hashes -r requirements-dev.txt
	@touch $@

$(VENV)/.browser: $(VENV)/.dev requirements-browser.txt
	@echo "Installing what the browser tests need..."
	@$(BIN)/pip install --quiet --disable-pip-version-check --require-hashes -r requirements-browser.txt
	@touch $@

install: $(VENV)/.run  ## Make the virtual environment with everything PromptLab runs on

run: $(VENV)/.run  ## Start everything on http://127.0.0.1:8000 (PORT=9000 to change it); Ctrl-C stops it
	@set -a; if [ -f .env ]; then . ./.env; fi; exec $(BIN)/python manage.py up --port $(PORT)

demo: $(VENV)/.run  ## Write the demo data again (repeatable; changes nothing that is there)
	@$(BIN)/python manage.py migrate --verbosity 0
	@$(BIN)/python manage.py seed_demo

test: $(VENV)/.dev  ## Run the tests on SQLite and a private Valkey
	@$(BIN)/python -m pytest -n auto --dist worksteal $(ARGS)

test-stores: $(VENV)/.dev  ## Run the tests on PostgreSQL and Redis (found running, or started)
	@$(BIN)/python tests/stores.py -- $(BIN)/python -m pytest -n auto --dist worksteal $(ARGS)

test-browser: $(VENV)/.browser  ## Run the tests that look at pages in Chromium (WHOLE=1: every page in every way)
	@$(BIN)/python -m pytest -n 0 tests/e2e $(ARGS)

pictures: $(VENV)/.browser  ## Take the pictures that the docs show again (needs Chromium)
	@$(BIN)/python docs/pictures.py

check: lint types contracts  ## Everything CI checks besides the tests
	@$(BIN)/python manage.py check --fail-level WARNING
	@$(BIN)/python manage.py makemigrations --check --dry-run --verbosity 1

lint: $(VENV)/.dev  ## Style and formatting
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .

format: $(VENV)/.dev  ## Format the code
	@$(BIN)/ruff check --fix .
	@$(BIN)/ruff format .

types: $(VENV)/.dev  ## Strict types where the house asks for them
	@$(BIN)/mypy

contracts: $(VENV)/.dev  ## Imports go down, never up
	@PYTHONPATH=.:sdk $(BIN)/lint-imports

bench: $(VENV)/.run  ## Measure: fetches against a bare server, lists and searches of 100,000 prompts
	@$(BIN)/python bench/serve.py
	@$(BIN)/python tests/stores.py -- $(BIN)/python bench/finding.py

words: $(VENV)/.run  ## Collect the sentences to translate, and compile what is translated (needs gettext)
	@$(BIN)/django-admin makemessages --locale es --no-obsolete --no-wrap --add-location file \
	  --ignore .venv --ignore tests --ignore sdk --ignore bench --ignore docs
	@$(BIN)/django-admin compilemessages --locale es --ignore .venv

requirements: $(VENV)/.python  ## Compile the pinned requirement files from pyproject.toml (needs uv)
	@uv pip compile -q --universal --generate-hashes --no-emit-index-url --python-version 3.11 --custom-compile-command "make requirements" pyproject.toml -o requirements.txt
	@for group in local dev stores browser; do uv pip compile -q --universal --generate-hashes --no-emit-index-url --python-version 3.11 --custom-compile-command "make requirements" --group $$group -c requirements.txt -o requirements-$$group.txt; done

clean:  ## Remove the virtual environment and all local data
	@rm -rf $(VENV) var
