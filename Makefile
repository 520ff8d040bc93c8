# Needs make and Python 3.11 or newer; everything else goes into .venv. `make help` lists what there is.

PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
STAMP  := $(VENV)/.installed
OTHERS := .venv-interop
JOBS   ?= 2

PACKAGES := forecast-core forecast-finance forecast-timeseries forecast-traffic forecast-vision
CORE_EXTRAS       := torch,fabric,lion,evaluate,plot,tune,track,serve,cli,export,onnx,test
FINANCE_EXTRAS    := chronos,dataset,indices,lightgbm,splits
TIMESERIES_EXTRAS := chronos,ets,gbm,pedestrians
TRAFFIC_EXTRAS    := hdf,plot
VISION_EXTRAS     := dino,lora,plot,text
BUILD_TOOLS := hatchling editables setuptools
DEV_TOOLS   := build mypy polars pyarrow pytest-xdist ruff scoringrules smartmoneyconcepts statsmodels ta \
  torch-geometric types-PyYAML utilsforecast

PIP := $(BIN)/python -m pip --quiet --quiet --disable-pip-version-check

export MPLBACKEND := Agg

.DEFAULT_GOAL := help
.PHONY: help install demo test interop check format bench build clean

help: ## Show this list
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "  make %-9s %s\n", $$1, $$2 }' Makefile

install: $(STAMP) ## Set up .venv with all packages (editable), their extras and the tools
	@:

$(STAMP): constraints.txt Makefile $(PACKAGES:%=packages/%/pyproject.toml)
	@command -v "$(PYTHON)" >/dev/null || { \
	  echo "make: no '$(PYTHON)' found; install Python 3.11 or newer, or say make $(MAKECMDGOALS) PYTHON=/path/to/python" >&2; exit 1; }
	@"$(PYTHON)" -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
	  echo "make: $$("$(PYTHON)" --version) is too old, 3.11 or newer is needed; say make $(MAKECMDGOALS) PYTHON=python3.11" >&2; exit 1; }
	@echo "Installing into $(VENV) with $$("$(PYTHON)" --version); the first time takes a few minutes."
	@"$(PYTHON)" -m venv $(VENV)
	@$(PIP) install -c constraints.txt $(BUILD_TOOLS)
	@$(PIP) install -c constraints.txt --no-build-isolation \
	  -e "packages/forecast-core[$(CORE_EXTRAS)]" -e "packages/forecast-finance[$(FINANCE_EXTRAS)]" \
	  -e "packages/forecast-timeseries[$(TIMESERIES_EXTRAS)]" -e "packages/forecast-traffic[$(TRAFFIC_EXTRAS)]" \
	  -e "packages/forecast-vision[$(VISION_EXTRAS)]" $(DEV_TOOLS)
	@touch $@
	@echo "Installed: $(BIN)/python, $(BIN)/forecast."

demo: install ## Train and compare models on real pedestrian counts, and write an HTML report
	@$(BIN)/python examples/pedestrians.py

test: install ## Run the test suite; ARGS="-m slow" or a path narrows or widens it
	@OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n $(JOBS) --dist worksteal $(ARGS)

interop: install $(OTHERS)/.installed ## Ask the server with KServe's client and types, in an environment of theirs
	@OMP_NUM_THREADS=1 $(BIN)/python -m pytest -m interop tests/test_interop.py

$(OTHERS)/.installed: tests/interop/requirements.txt
	@"$(PYTHON)" -m venv $(OTHERS)
	@$(OTHERS)/bin/python -m pip --quiet --quiet --disable-pip-version-check install -r $<
	@touch $@

check: install ## Lint, check the formatting, check the types
	@$(BIN)/python -m ruff check .
	@$(BIN)/python -m ruff format --check .
	@$(BIN)/python -m mypy

format: install ## Sort imports and format every file
	@$(BIN)/python -m ruff check --select I --fix .
	@$(BIN)/python -m ruff format .

bench: install ## Run every benchmark; each prints ratios against named peers (those in public_data/ want its path)
	@set -e; for script in benchmarks/*.py; do \
	  [ -e "$$script" ] || { echo "no benchmarks"; break; }; \
	  echo "== $$script"; $(BIN)/python "$$script"; done

build: install ## Build a wheel of each package into dist/
	@mkdir -p dist
	@for package in $(PACKAGES); do \
	  $(PIP) wheel --no-deps --no-build-isolation --wheel-dir dist "packages/$$package" || exit 1; done
	@ls dist/*.whl

clean: ## Remove the environments, wheels and caches; runs and reports stay
	@rm -rf $(VENV) $(OTHERS) dist .pytest_cache .mypy_cache .ruff_cache .hypothesis
	@find packages examples tests benchmarks -name __pycache__ -type d -prune -exec rm -rf {} + 2>/dev/null || true
