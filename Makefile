# Targets with a line each: make
VENV ?= .venv
PYTHON ?= python3
OPENMMLAB ?= .venv-openmmlab
BIN := $(VENV)/bin
STAMP := $(VENV)/.stamp
CONFIG := configs/cyclemlp_maskrcnn_digits.py
WORK := work_dirs/demo

.PHONY: help setup demo test test-fast test-openmmlab test-browser bench-check gpu-check docs docs-fast leaderboard-digits lint format clean

help:  ## list the targets
	@sed -n 's/^\([a-z-]*\):.*## /\1\t/p' Makefile | expand -t 20

setup: $(STAMP)  ## set up the environment in .venv (make VENV=... PYTHON=python3.11 for others)

demo: $(STAMP)  ## train, test and show a small Mask R-CNN on drawn digits
	$(BIN)/python tools/train.py $(CONFIG) --work-dir $(WORK)
	$(BIN)/python tools/test.py $(CONFIG) $$(cat $(WORK)/last_checkpoint) --work-dir $(WORK) --show-dir $(WORK)/pictures
	$(BIN)/python tools/report.py $(WORK)

# Images of containers often set it: every process would compile the libraries' modules anew.
export PYTHONDONTWRITEBYTECODE :=
# A process per core, of one thread each: most tests have no use for a second.
PYTEST_OPTIONS := -n auto --maxprocesses 4 --dist worksteal
PYTEST := OMP_NUM_THREADS=1 $(BIN)/python -m pytest $(PYTEST_OPTIONS)

test: $(STAMP)  ## run all tests but those in a browser
	$(PYTEST) -m 'not browser'

test-fast: $(STAMP)  ## run the fast tests (about 3 minutes on two cores)
	$(PYTEST) -m 'not browser and not slow'

# Without graphs, which torch 2.1 cannot export, and without the rooms of the clone only. Of the slow tests, those of what
# depends on torch or the libraries: reference outputs, installation, checkpoints, recipes, training, resuming, the tools.
PYTEST_OPENMMLAB := OMP_NUM_THREADS=1 $(OPENMMLAB)/bin/python -m pytest $(PYTEST_OPTIONS)
test-openmmlab: $(OPENMMLAB)/.stamp  ## test with the original OpenMMLab line and torch 2.1, in .venv-openmmlab
	$(PYTEST_OPENMMLAB) -m 'not browser and not newer and not slow' \
		--ignore tests/backbones/test_graphs.py --ignore tests/apis/test_quantize.py --ignore tests/benchmarks --ignore tests/docs
	$(PYTEST_OPENMMLAB) -m 'not newer and slow' tests/backbones/test_references.py tests/test_install.py tests/test_registry.py \
		tests/checkpoints tests/configs tests/engine tests/tools

test-browser: $(STAMP)  ## test the leaderboard page in Chromium (as root, installs Debian's chromium if it is missing)
	@bash requirements/chromium.sh
	$(PYTEST) -m browser

bench-check: $(STAMP)  ## compare ratios of times with committed ones (a minute on an idle machine)
	$(BIN)/python -m benchmarks check

gpu-check: $(STAMP)  ## check everything on a GPU, and write one report; without a GPU, list the steps
	$(BIN)/python -m benchmarks.gpu_check

docs: $(STAMP)  ## build the documentation site, gallery included, in docs/_build/html (2 minutes)
	$(BIN)/python docs/build.py

docs-fast: $(STAMP)  ## build the site without the gallery (1 minute)
	$(BIN)/python docs/build.py --fast

lint: $(STAMP)  ## check style, formatting and types
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/basedpyright --pythonpath $(BIN)/python --level error

format: $(STAMP)  ## fix lint and format
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

leaderboard-digits: $(STAMP)  ## train networks of the same MACs on drawn digits, and rank them (5 to 9 hours)
	$(BIN)/python -m benchmarks compare
	$(BIN)/python -m benchmarks.leaderboard build

clean:  ## remove what runs and builds made; .venv stays
	rm -rf docs/_build docs/examples work_dirs data/digit_scenes* build dist *.egg-info .pytest_cache .ruff_cache .hypothesis
	find . -path './.venv*' -prune -o -name __pycache__ -type d -exec rm -rf {} +

# The stamp is written last, so that a set-up that failed or was interrupted is taken up again.
$(STAMP): requirements/lock.txt requirements/install.sh pyproject.toml
	PYTHON="$(PYTHON)" bash requirements/install.sh "$(VENV)"
	@touch $@

$(OPENMMLAB)/.stamp: requirements/openmmlab.txt requirements/install.sh pyproject.toml
	PYTHON="$(PYTHON)" bash requirements/install.sh "$(OPENMMLAB)" requirements/openmmlab.txt
	@touch $@

# It counts for nothing where the environment's Python is gone.
ifeq ($(realpath $(BIN)/python),)
.PHONY: $(STAMP)
endif
