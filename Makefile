# Everything from a fresh clone: `make demo` shows what fedskew is for, `make test` checks it.
# Both set up a virtual environment first. PYTHON chooses the interpreter (3.11 or newer).

PYTHON ?= python3
VENV   ?= .venv
BIN    := $(VENV)/bin
READY  := $(VENV)/.ready

# What `make test-processors` sets, one word of comma-separated variables per round of tests: the instruction sets of
# PyTorch (ATen and oneDNN) and of the native kernels, as far as this processor has them.
HAS_AVX2 := $(shell grep -cs -m 1 '^flags.* avx2' /proc/cpuinfo)
ifeq ($(HAS_AVX2),1)
PROCESSORS := \
  ATEN_CPU_CAPABILITY=default \
  ATEN_CPU_CAPABILITY=avx2,ONEDNN_MAX_CPU_ISA=AVX2,MKL_ENABLE_INSTRUCTIONS=AVX2,FEDSKEW_NATIVE_TARGET=x86-64-v3 \
  FEDSKEW_NATIVE_TARGET=x86-64-v2 \
  ATEN_CPU_CAPABILITY=default,ONEDNN_MAX_CPU_ISA=SSE41,FEDSKEW_NATIVE_TARGET=x86-64
else
PROCESSORS := ATEN_CPU_CAPABILITY=default
endif

.PHONY: demo test test-all test-processors lint types site install clean

install: $(READY)

# Compiler, if there is one, and CPU count are found at run time; nothing else is needed.
$(READY): pyproject.toml constraints.txt
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "fedskew needs Python 3.11 or newer; set PYTHON=")'
	@echo "setting up $(VENV) with PyTorch and what else fedskew needs: a few minutes, once"
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[dev]'
	touch $(READY)

# The report prints the study's table too; the progress of the runs is on stderr.
demo: $(READY)
	$(BIN)/fedskew study quickstart > /dev/null
	$(BIN)/fedskew report quickstart

lint: $(READY)
	$(BIN)/ruff check src tests examples benchmarks results docs/*.py
	$(BIN)/ruff format --check src tests examples benchmarks results docs/*.py

types: $(READY)
	$(BIN)/mypy

test: lint types
	$(BIN)/pytest -n auto --dist worksteal

test-all: lint types
	$(BIN)/pytest -n auto --dist worksteal -m "slow or not slow"
	$(MAKE) --no-print-directory test-processors

# The numerical tests with the arithmetic of older processors.
test-processors: $(READY)
	@for setting in $(PROCESSORS); do \
	  variables=$$(echo "$$setting" | tr , ' '); \
	  echo "== numerical tests with $$variables"; \
	  env $$variables $(BIN)/pytest -q -n auto -m "numerical and not slow" || exit 1; \
	done

# The documentation, with a gallery of the published studies' reports, in site/.
site: $(READY)
	for study in results/*.tar.xz; do \
	  $(BIN)/fedskew report $$study --out build/gallery/$$(basename $$study .tar.xz) > /dev/null || exit 1; \
	done
	FEDSKEW_GALLERY=build/gallery $(BIN)/mkdocs build --quiet --strict

clean:
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache .hypothesis
