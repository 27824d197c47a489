# Needs Python ≥ 3.11 and make. Everything else is installed into .venv (benchmarks: .venv-bench).
PYTHON ?= python3
VENV := .venv
BENCH := .venv-bench
BIN := $(VENV)/bin
WORKERS ?= auto

.PHONY: demo test lint format bench calibration calibration-tables clean help

help:  ## list the targets
	@grep -E '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## /  make \1	/' | expand -t 28

demo: $(VENV)/base.stamp  ## the schools example end to end; writes ./demo-output
	$(BIN)/multilevel demo

test: $(VENV)/test.stamp  ## the test suite, on all cores
	$(BIN)/python -m pytest -q -n $(WORKERS)

lint: $(VENV)/test.stamp  ## style and types
	$(BIN)/ruff check .
	$(BIN)/mypy

format: $(VENV)/test.stamp  ## sort imports and apply the safe corrections of the linter
	$(BIN)/ruff check --fix .

calibration: $(VENV)/test.stamp  ## slow: coverage of intervals by simulation; writes docs/coverage.md
	$(BIN)/python -m pytest -q -n $(WORKERS) -m slow
	$(BIN)/python tests/calibration/intervals.py 1000

calibration-tables: $(VENV)/test.stamp  ## hours: simulation-based calibration of every sampler; writes docs/calibration.md
	$(BIN)/python tests/calibration/sbc.py 1000

bench: $(BENCH)/bench.stamp  ## speed and memory against other packages; writes benchmarks/results
	$(BENCH)/bin/python benchmarks/run.py
	$(BENCH)/bin/python benchmarks/generalized.py
	$(BENCH)/bin/python benchmarks/posteriors.py

clean:  ## remove environments, caches and outputs
	rm -rf $(VENV) $(BENCH) demo-output dist build .pytest_cache .mypy_cache .ruff_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

$(VENV)/bin/python:
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "multilevel needs Python 3.11 or newer: make PYTHON=python3.12")'
	$(PYTHON) -m venv $(VENV)

$(VENV)/base.stamp: pyproject.toml | $(VENV)/bin/python
	$(BIN)/python -m pip install -q -e .
	touch $@

$(VENV)/test.stamp: pyproject.toml | $(VENV)/bin/python
	$(BIN)/python -m pip install -q -e '.[test,lint]'
	touch $@ $(VENV)/base.stamp

$(BENCH)/bench.stamp: pyproject.toml
	$(PYTHON) -m venv $(BENCH)
	echo '*' > $(BENCH)/.gitignore
	$(BENCH)/bin/python -m pip install -q -e '.[bench]'
	touch $@
