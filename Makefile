# Targets with a line each: make
VENV ?= .venv
PYTHON ?= python3
BIN := $(VENV)/bin
STAMP := $(VENV)/.stamp
CONFIG := configs/cyclemlp_maskrcnn_digits.py
WORK := work_dirs/demo

.PHONY: help setup demo test docs docs-fast leaderboard-digits lint format clean

help:  ## list the targets
	@sed -n 's/^\([a-z-]*\):.*## /\1\t/p' Makefile | expand -t 20

setup: $(STAMP)  ## set up the environment in .venv (make VENV=... PYTHON=python3.11 for others)

demo: $(STAMP)  ## train, test and show a small Mask R-CNN on drawn digits
	$(BIN)/python tools/train.py $(CONFIG) --work-dir $(WORK)
	$(BIN)/python tools/test.py $(CONFIG) $$(cat $(WORK)/last_checkpoint) --work-dir $(WORK) --show-dir $(WORK)/pictures
	$(BIN)/python tools/report.py $(WORK)

# A process per core, of one thread each: most tests have no use for a second.
test: $(STAMP)  ## run the tests (installs Debian's chromium where it is missing, if root)
	@bash requirements/chromium.sh
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n auto --maxprocesses 4 --dist worksteal

docs: $(STAMP)  ## build the documentation site, gallery included, in docs/_build/html (2 minutes)
	$(BIN)/python docs/build.py

docs-fast: $(STAMP)  ## build the site without the gallery (1 minute)
	$(BIN)/python docs/build.py --fast

lint: $(STAMP)  ## check style and formatting
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

format: $(STAMP)  ## mend what ruff can and format the code
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

leaderboard-digits: $(STAMP)  ## train networks of the same multiply-adds on drawn digits, and rank them (3 to 5 hours)
	$(BIN)/python -m benchmarks compare
	$(BIN)/python -m mlp_backbones leaderboard build

clean:  ## remove what runs and builds made; .venv stays
	rm -rf docs/_build docs/examples work_dirs data/digit_scenes* build dist *.egg-info .pytest_cache .ruff_cache .hypothesis
	find . -path './.venv*' -prune -o -name __pycache__ -type d -exec rm -rf {} +

# The stamp is written last, so that a set-up that failed or was interrupted is taken up again.
$(STAMP): requirements/lock.txt requirements/openmmlab.txt requirements/install.sh setup.py
	PYTHON="$(PYTHON)" bash requirements/install.sh "$(VENV)"
	@touch $@

# It counts for nothing where the environment's Python is gone.
ifeq ($(realpath $(BIN)/python),)
.PHONY: $(STAMP)
endif
