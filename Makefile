# make demo    the main job: a grid search of a Keras model on real images
# make test    every promise once; some tests: make test ARGS="tests/unit -k grid"
# make test-all  all tests: browsers, every store, every framework, soak tests and long matrices included
# make lint    format, lint, types and import layers
# make check   what CI runs: format, lint, types, import layers, documentation, make test
# make docs    the documentation as a site, in site/
# make test-latest  make test with the newest versions that are allowed, instead of those in constraints.txt
# make pins    constraints.txt anew
# Needs Python 3.10 to 3.13 and Java 17 or 21. Another Python: make test PYTHON=python3.12

PYTHON ?= python3
ARGS ?=
PYTEST := pytest
PYSPARK ?=
PYTHONS ?= python3.10 python3.13
SPARKS ?= 3.5.0 4.0
VENV := .venv
CONSTRAINTS := constraints.txt
BENCHMARKS := startup overhead trial_cpu makespan imports scale distributed define_by_run de_quality report earlystop pbt algorithms recorded faults storage display dashboard connect

# Part of the markers' names: an environment of another Python version is made again, not mixed.
PYTHON_VERSION := $(shell $(PYTHON) -c "import sys; print('%d.%d' % sys.version_info[:2])" 2>/dev/null)
DEMO := $(VENV)/.installed-demo-$(PYTHON_VERSION)
LINT := $(VENV)/.installed-lint-$(PYTHON_VERSION)
TEST := $(VENV)/.installed-test-$(PYTHON_VERSION)
DEV := $(VENV)/.installed-dev-$(PYTHON_VERSION)
BENCH := $(VENV)/.installed-bench-$(PYTHON_VERSION)

# Draws the diagrams of docs/; without npm they are shown as text.
MERMAID := .cache/mermaid/mermaid.min.js

MAKEFLAGS += --no-print-directory
.DEFAULT_GOAL := help
.PHONY: help demo test test-all test-latest test-matrix pins lint check docs bench format clean python java

help:
	@sed -n '1,9s/^# //p' Makefile

demo: java $(DEMO)
	@$(VENV)/bin/python examples/grid_search_digits.py

test test-all test-matrix bench: export MLFLOW_DISABLE_TELEMETRY = true
test test-all test-matrix bench: export TF_CPP_MIN_LOG_LEVEL = 2

test: java $(TEST) $(VENV)/spark.jsa
	@$(VENV)/bin/python -m $(PYTEST) -m "not slow" $(or $(ARGS),-n 3)

test-all: java $(DEV) $(VENV)/spark.jsa
	@$(VENV)/bin/python -m pytest $(or $(ARGS),-n 3)

test-latest:
	@$(MAKE) test VENV=.venv-latest CONSTRAINTS=

lint: $(LINT)
	$(VENV)/bin/ruff format --check .
	$(VENV)/bin/ruff check .
	$(VENV)/bin/mypy
	$(VENV)/bin/lint-imports

check:
	$(MAKE) lint
	$(MAKE) docs
	$(MAKE) test PYTEST=tests.helpers.run_again

docs: export NO_MKDOCS_2_WARNING = 1
docs: $(LINT) $(MERMAID)
	@$(VENV)/bin/mkdocs build --strict --quiet

test-matrix:  # PYTHONS and SPARKS name others than these
	@status=0; for python in $(PYTHONS); do for spark in $(SPARKS); do \
	  $(MAKE) test PYTHON=$$python VENV=.venv-$$python-spark$$spark PYSPARK="pyspark~=$$spark" \
	    CONSTRAINTS= ARGS="$(or $(ARGS),tests/unit tests/cluster -n 3)" || status=1; \
	done; done; exit $$status

bench: java $(BENCH)
	@set -e; for name in $(BENCHMARKS); do $(VENV)/bin/python benchmarks/$$name.py; done

format: $(LINT)
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

# $(call environment,packages): make or repair the virtual environment and install into it. One in which an install was
# interrupted, that cannot run pip or has another Python version is made from nothing; in a sound one only what is
# missing is added. uv installs, since it takes a tenth of pip's time; but pyspark, which has no wheel, comes by pip, which
# keeps the one that it has built, where uv builds it again for each environment and keeps 2.5 GB of each time.
define environment
	@echo "installing $(1) into $(VENV) (minutes the first time)"
	@test ! -e $(VENV)/.unfinished && test "$$($(VENV)/bin/python -c "$(SOUND)" 2>/dev/null)" = "$(PYTHON_VERSION)" \
	  || $(PYTHON) -m venv --clear $(VENV)
	@touch $(VENV)/.unfinished
	@test -x $(VENV)/bin/uv \
	  || $(VENV)/bin/python -m pip install --quiet --disable-pip-version-check $(CONSTRAINED) uv
	@$(VENV)/bin/python -m pip install --quiet --disable-pip-version-check --no-deps \
	  $(if $(PYSPARK),"$(PYSPARK)",$(CONSTRAINED) "pyspark<5")
	@$(INSTALL) --editable $(1)
	@rm $(VENV)/.unfinished
endef
CONSTRAINED := $(if $(CONSTRAINTS),--constraint $(CONSTRAINTS))
INSTALL := $(VENV)/bin/uv pip install --quiet --compile-bytecode --python $(VENV)/bin/python $(CONSTRAINED)
FRAMEWORKS = @$(VENV)/bin/python tests/helpers/install_frameworks.py "$(CONSTRAINTS)"
comma := ,
SOUND := import pip, sys; print('%d.%d' % sys.version_info[:2])

$(DEMO): pyproject.toml $(CONSTRAINTS) | java
	$(call environment,".[all]")
	$(FRAMEWORKS) tensorflow
	@touch $@

$(LINT): pyproject.toml $(CONSTRAINTS) | python
	$(call environment,".[all$(comma)test$(comma)lint]")
	@touch $@

$(TEST): pyproject.toml $(CONSTRAINTS) | java
	$(call environment,".[all$(comma)test]" $(if $(PYSPARK),"$(PYSPARK)"))
	$(FRAMEWORKS) tensorflow tf_keras
	@touch $(DEMO) $@

$(DEV): pyproject.toml $(CONSTRAINTS) | java
	$(call environment,".[all$(comma)test$(comma)lint$(comma)servers]")
	$(FRAMEWORKS)
	@touch $(DEMO) $(LINT) $(TEST) $@

$(MERMAID):
	@mkdir -p $(@D)
	@if command -v npm >/dev/null; then cd $(@D) && npm pack --silent mermaid@11.17.2 >/dev/null \
	  && tar xzf mermaid-*.tgz --strip-components=2 package/dist/mermaid.min.js; rm -f mermaid-*.tgz; fi

$(VENV)/spark.jsa: $(TEST)
	-@$(VENV)/bin/python -m tests.helpers.spark_archive

$(BENCH): pyproject.toml $(DEV) | java
	$(call environment,".[all$(comma)bench]")
	@touch $@

pins: $(LINT)
	@printf 'tensorflow-cpu\n' | $(VENV)/bin/uv pip compile --quiet --universal --python-version 3.10 --upgrade \
	  --no-annotate --no-header --extra dev --output-file constraints.txt pyproject.toml -
