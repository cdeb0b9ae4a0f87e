# `make help` lists the targets.
PYTHON ?= python3
VENV ?= .venv

SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.ONESHELL:
.DEFAULT_GOAL := help
.PHONY: help install demo wheel test test-all test-browser lint format clean

STAMP := $(VENV)/.installed
PYTEST := $(VENV)/bin/python -m pytest -q -n auto --maxprocesses 8 --dist loadfile

help: ## list the targets
	@sed -nE 's/^([a-z-]+):.*## (.*)/  make \1\t\2/p' $(firstword $(MAKEFILE_LIST)) | expand -t 20

install: $(STAMP) ## virtual environment in .venv with everything pinned (once; a few minutes)

$(STAMP): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit("s2s needs Python 3.11 or newer; try make PYTHON=python3.12" if sys.version_info < (3, 11) else 0)'
	echo "Installing into $(VENV) ..."
	$(PYTHON) -m venv $(VENV)
	$(VENV)/bin/python -m pip install --quiet --constraint constraints.txt --editable '.[dev,documents,memory,parquet,plots,serve,zstd]'
	touch $@

demo: $(STAMP) ## train on the embedded corpus, translate four sentences, score the test set (five to ten minutes)
	@begin=$$SECONDS
	export PATH="$(abspath $(VENV))/bin:$$PATH"
	echo "== s2s train recipes/quickstart.yaml"
	s2s train recipes/quickstart.yaml
	echo
	echo "== s2s translate"
	sentences=$$(printf '%s\n' \
	  "Où est la gare la plus proche ?" \
	  "Je voudrais apprendre à jouer du piano." \
	  "Elle n'a pas encore lu ce livre." \
	  "Il fait trop froid pour nager aujourd'hui.")
	echo "$$sentences"
	echo
	s2s translate --model runs/quickstart <<< "$$sentences"
	echo
	echo "== s2s evaluate --bleu --chrf"
	s2s evaluate --model runs/quickstart --bleu --chrf
	echo
	echo "demo finished in $$((SECONDS - begin)) s"

wheel: $(STAMP) ## a wheel for this platform in dist/, with the C library in it
	@$(VENV)/bin/python -m pip wheel --quiet --no-deps --no-build-isolation --wheel-dir dist .
	ls dist/*.whl

test: $(STAMP) ## all tests but the slow ones
	@$(PYTEST)

test-all: $(STAMP) ## the slow ones too, and each process of `s2s` in a new Python
	@$(VENV)/bin/python -m pip install --quiet --constraint constraints.txt --editable '.[ray]'
	S2S_FRESH=1 $(PYTEST) -m ''

test-browser: $(STAMP) ## the page of `s2s serve` in headless Chromium (Debian's chromium and chromium-driver)
	@command -v chromium chromedriver > /dev/null || { echo "this needs chromium and chromium-driver (apt-get install chromium chromium-driver)"; exit 1; }
	$(VENV)/bin/python -m pytest -q -n 0 -m '' tests/serving/test_page.py

lint: $(STAMP) ## style and types
	@$(VENV)/bin/ruff check .
	$(VENV)/bin/ruff format --check .
	$(VENV)/bin/mypy

format: $(STAMP) ## put the code into the project's style
	@$(VENV)/bin/ruff check --fix .
	$(VENV)/bin/ruff format .

clean: ## remove the environment and caches (runs/ stays)
	@rm -rf $(VENV) .pytest_cache .ruff_cache .mypy_cache .hypothesis build dist
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
