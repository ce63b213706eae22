# make demo    the main job: a grid search of a Keras model on real images
# make test    all tests; some of them: make test ARGS="tests/unit -k grid"
# make check   what CI runs: format, lint, types, import layers, documentation, tests
# make docs    the documentation as a site, in site/
# Needs Python 3.10 to 3.13 and Java 17 or 21. Another Python: make test PYTHON=python3.12

PYTHON ?= python3
ARGS ?=
VENV := .venv
BENCHMARKS := overhead makespan imports scale distributed de_quality report earlystop algorithms faults storage display

# Part of the markers' names: an environment of another Python version is made again, not mixed.
PYTHON_VERSION := $(shell $(PYTHON) -c "import sys; print('%d.%d' % sys.version_info[:2])" 2>/dev/null)
DEMO := $(VENV)/.installed-demo-$(PYTHON_VERSION)
DEV := $(VENV)/.installed-dev-$(PYTHON_VERSION)
BENCH := $(VENV)/.installed-bench-$(PYTHON_VERSION)
SPARK3 := .venv-spark3.5/.installed-$(PYTHON_VERSION)
SPARK4 := .venv-spark4/.installed-$(PYTHON_VERSION)

MAKEFLAGS += --no-print-directory
.DEFAULT_GOAL := help
.PHONY: help demo test check docs test-matrix bench format clean python java

help:
	@sed -n '1,5s/^# //p' Makefile

demo: java $(DEMO)
	@$(VENV)/bin/python examples/grid_search_digits.py

test test-matrix bench: export MLFLOW_DISABLE_TELEMETRY = true
test test-matrix bench: export TF_CPP_MIN_LOG_LEVEL = 2

test: java $(DEV) $(VENV)/spark.jsa
	@$(VENV)/bin/python -m pytest $(or $(ARGS),-n 3)

check: $(DEV)
	$(VENV)/bin/ruff format --check .
	$(VENV)/bin/ruff check .
	$(VENV)/bin/mypy
	$(VENV)/bin/lint-imports
	$(MAKE) docs
	$(MAKE) test

docs: export NO_MKDOCS_2_WARNING = 1
docs: $(DEV)
	@$(VENV)/bin/mkdocs build --strict --quiet

test-matrix: java $(SPARK3) $(SPARK4)
	.venv-spark3.5/bin/python -m pytest tests/unit tests/cluster $(ARGS)
	.venv-spark4/bin/python -m pytest tests/unit tests/cluster $(ARGS)

bench: java $(BENCH)
	@set -e; for name in $(BENCHMARKS); do $(VENV)/bin/python benchmarks/$$name.py; done

format: $(DEV)
	$(VENV)/bin/ruff format .
	$(VENV)/bin/ruff check --fix .

clean:
	rm -rf .venv .venv-spark3.5 .venv-spark4 build dist site *.egg-info .pytest_cache .mypy_cache .ruff_cache \
	  .import_linter_cache .hypothesis
	find hopslite tests examples benchmarks docs -name __pycache__ -prune -exec rm -rf {} +

# --- what every target needs -----------------------------------------------------------------------------------------

python:
	@case "$(PYTHON_VERSION)" in \
	  3.10|3.11|3.12|3.13) ;; \
	  "") echo "hopslite needs Python 3.10 to 3.13; $(PYTHON) was not found: install one, or make PYTHON=/path/to/python" >&2; exit 1 ;; \
	  *) echo "hopslite needs Python 3.10 to 3.13; $(PYTHON) is $(PYTHON_VERSION): install one, or make PYTHON=python3.12" >&2; exit 1 ;; \
	esac

java: python
	@$(PYTHON) -I hopslite/pool/_java.py

# $(call environment,folder,packages): make or repair a virtual environment and install into it. One in which an install
# was interrupted, that cannot run pip or has another Python version is made from nothing; in a sound one pip adds only
# what is missing.
define environment
	@echo "installing $(2) into $(1) (minutes the first time)"
	@test ! -e $(1)/.unfinished && test "$$($(1)/bin/python -c "$(SOUND)" 2>/dev/null)" = "$(PYTHON_VERSION)" \
	  || $(PYTHON) -m venv --clear $(1)
	@touch $(1)/.unfinished
	@$(1)/bin/python -m pip install --quiet --disable-pip-version-check --editable $(2)
	@rm $(1)/.unfinished
endef
SOUND := import pip, sys; print('%d.%d' % sys.version_info[:2])

$(DEMO): pyproject.toml | java
	$(call environment,$(VENV),".[tensorflow]" scikit-learn matplotlib)
	@touch $@

$(DEV): pyproject.toml | java
	$(call environment,$(VENV),".[dev]")
	@touch $(DEMO) $@

$(VENV)/spark.jsa: $(DEV)
	-@$(VENV)/bin/python tests/spark_archive.py

$(BENCH): pyproject.toml | java
	$(call environment,$(VENV),".[bench]")
	@touch $(DEMO) $(DEV) $@

$(SPARK3): pyproject.toml | java
	$(call environment,.venv-spark3.5,".[dev]" "pyspark~=3.5.0")
	@touch $@

$(SPARK4): pyproject.toml | java
	$(call environment,.venv-spark4,".[dev]" "pyspark~=4.0")
	@touch $@
