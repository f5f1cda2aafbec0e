# Every target sets up what it needs (scripts/setup.py, quick when all is there) and hands over to tox.
PYTHON ?= python3
TOX = .venv/bin/tox run --fail-fast --quiet -e

.PHONY: help setup test matrix features nightly unit vm page lint types docs bench

help:  ## this list
	@sed -n 's/^\([a-z]*\):.*  ## /  make \1	/p' Makefile

setup:  ## system packages, .venv and the project in it
	@$(PYTHON) scripts/setup.py run test

test: setup  ## linters, types, documents, unit tests, the page in a browser, tests that boot kernels
	@$(TOX) lint,types,docs,unit,page,vm

matrix:  ## boot the default kernels, load every program in each, write reports/
	@$(PYTHON) scripts/setup.py run
	@$(TOX) matrix

features:  ## ask the default kernels what they have, where something has changed: reports/features.md and .html
	@$(PYTHON) scripts/setup.py run
	@$(TOX) features

nightly:  ## what changed since the night before and the baseline: reports/nightly/
	@$(PYTHON) scripts/setup.py run
	@$(TOX) nightly

unit: setup  ## unit tests
	@$(TOX) unit

vm: setup  ## tests that boot kernels
	@$(TOX) vm

page: setup  ## tests of the HTML report in a browser
	@$(TOX) page

lint: setup  ## ruff and the import rules
	@$(TOX) lint

types: setup  ## mypy, strict
	@$(TOX) types

docs: setup  ## links and commands of the documents
	@$(TOX) docs

bench:  ## the benchmark of docs/benchmarks.md
	@$(PYTHON) scripts/setup.py run bench
	@$(TOX) bench
