# make demo    the main job: a grid search of a Keras model on real images
# make test    all tests but the slow ones; some of them: make test ARGS="tests/unit -k grid"
# make test-all  all tests, soak tests and long matrices included
# make lint    format, lint, types and import layers
# make check   what CI runs: format, lint, types, import layers, documentation, all tests
# make docs    the documentation as a site, in site/
# Needs Python 3.10 to 3.13 and Java 17 or 21. Another Python: make test PYTHON=python3.12

PYTHON ?= python3
ARGS ?=
PYSPARK ?=
PYTHONS ?= python3.10 python3.13
SPARKS ?= 3.5.0 4.0
VENV := .venv
BENCHMARKS := startup overhead trial_cpu makespan imports scale distributed define_by_run de_quality report earlystop pbt algorithms recorded faults storage display dashboard connect

# Part of the markers' names: an environment of another Python version is made again, not mixed.
PYTHON_VERSION := $(shell $(PYTHON) -c "import sys; print('%d.%d' % sys.version_info[:2])" 2>/dev/null)
DEMO := $(VENV)/.installed-demo-$(PYTHON_VERSION)
DEV := $(VENV)/.installed-dev-$(PYTHON_VERSION)
BENCH := $(VENV)/.installed-bench-$(PYTHON_VERSION)

# Draws the diagrams of docs/; without npm they are shown as text.
MERMAID := .cache/mermaid/mermaid.min.js

MAKEFLAGS += --no-print-directory
.DEFAULT_GOAL := help
.PHONY: help demo test test-all lint check docs test-matrix bench format clean python java

help:
	@sed -n '1,7s/^# //p' Makefile

demo: java $(DEMO)
	@$(VENV)/bin/python examples/grid_search_digits.py

test test-all test-matrix bench: export MLFLOW_DISABLE_TELEMETRY = true
test test-all test-matrix bench: export TF_CPP_MIN_LOG_LEVEL = 2

test: java $(DEV) $(VENV)/spark.jsa
	@$(VENV)/bin/python -m pytest -m "not slow" $(or $(ARGS),-n 3)

test-all: java $(DEV) $(VENV)/spark.jsa
	@$(VENV)/bin/python -m pytest $(or $(ARGS),-n 3)

lint: $(DEV)
	$(VENV)/bin/ruff format --check .
	$(VENV)/bin/ruff check .
	$(VENV)/bin/mypy
	$(VENV)/bin/lint-imports

check:
	$(MAKE) lint
	$(MAKE) docs
	$(MAKE) test-all

docs: export NO_MKDOCS_2_WARNING = 1
docs: $(DEV) $(MERMAID)
	@$(VENV)/bin/mkdocs build --strict --quiet

test-matrix:  # PYTHONS and SPARKS name others than these
	@status=0; for python in $(PYTHONS); do for spark in $(SPARKS); do \
	  $(MAKE) test PYTHON=$$python VENV=.venv-$$python-spark$$spark PYSPARK="pyspark~=$$spark" \
	    ARGS="$(or $(ARGS),tests/unit tests/cluster -n 3)" || status=1; \
	done; done; exit $$status

bench: java $(BENCH)
	@set -e; for name in $(BENCHMARKS); do $(VENV)/bin/python benchmarks/$$name.py; done

format: $(DEV)
	$(VENV)/bin/ruff format .
	$(VENV)/bin/ruff check --fix .

clean:
	rm -rf .venv .venv-* build dist site *.egg-info .pytest_cache .mypy_cache .ruff_cache \
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
	@$(PYTHON) -I hopslite/pool/_java_check.py

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
comma := ,
SOUND := import pip, sys; print('%d.%d' % sys.version_info[:2])

$(DEMO): pyproject.toml | java
	$(call environment,$(VENV),".[all]")
	@$(VENV)/bin/python tests/helpers/install_frameworks.py tensorflow
	@touch $@

$(DEV): pyproject.toml | java
	$(call environment,$(VENV),".[all$(comma)tools]" $(if $(PYSPARK),"$(PYSPARK)"))
	@$(VENV)/bin/python tests/helpers/install_frameworks.py
	@touch $(DEMO) $@

$(MERMAID):
	@mkdir -p $(@D)
	@if command -v npm >/dev/null; then cd $(@D) && npm pack --silent mermaid@11.17.2 >/dev/null \
	  && tar xzf mermaid-*.tgz --strip-components=2 package/dist/mermaid.min.js; rm -f mermaid-*.tgz; fi

$(VENV)/spark.jsa: $(DEV)
	-@$(VENV)/bin/python -m tests.helpers.spark_archive

$(BENCH): pyproject.toml $(DEV) | java
	$(call environment,$(VENV),".[all$(comma)bench]")
	@touch $(DEMO) $(DEV) $@
