# Everything from a fresh clone: `make demo` shows what fedskew is for, `make test` checks it.
# Both set up a virtual environment first. PYTHON chooses the interpreter (3.11 or newer).

PYTHON ?= python3
VENV   ?= .venv
BIN    := $(VENV)/bin
READY  := $(VENV)/.ready

.PHONY: demo test test-all lint types install clean

install: $(READY)

# Compiler, if there is one, and CPU count are found at run time; nothing else is needed.
$(READY): pyproject.toml constraints.txt
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "fedskew needs Python 3.11 or newer; set PYTHON=")'
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[dev]'
	touch $(READY)

# The report prints the study's table too; the progress of the runs is on stderr.
demo: $(READY)
	$(BIN)/fedskew study quickstart > /dev/null
	$(BIN)/fedskew report quickstart

lint: $(READY)
	$(BIN)/ruff check src tests examples benchmarks
	$(BIN)/ruff format --check src tests examples benchmarks

types: $(READY)
	$(BIN)/mypy

test: lint types
	$(BIN)/pytest -n auto

test-all: lint types
	$(BIN)/pytest -n auto -m "slow or not slow"

clean:
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache .hypothesis
