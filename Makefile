# `make demo` and `make test` do all their own set-up. `make help` lists the rest.
PYTHON ?= $(firstword $(foreach v,3.11 3.12 3.13 3.14,$(if $(shell command -v python$(v)),python$(v))) python3)
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
FRAMES ?= 240
SPEED ?=
SEEDS ?= 1 2 3 4
HOURS ?= 340
CELL_SEEDS ?= 1 2 3
SEED ?=
ROUNDS ?= 200

.PHONY: help setup demo check test systemd-test chaos accuracy accuracy-cell bench clean

help:  ## list the targets
	@sed -n 's/^\([a-z-]*\):.*## /\1\t/p' $(MAKEFILE_LIST) | column -t -s "$$(printf '\t')"

setup: $(READY)  ## a virtual environment with everything pinned

$(READY): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "ringwatch needs Python 3.11 or newer; name one with make PYTHON=python3.x"; exit 2; }
	@$(PYTHON) -m venv $(VENV) || { echo "Python's venv module is missing; on Debian: apt-get install python3-venv"; exit 2; }
	@echo "installing the pinned packages into $(VENV) (once)"
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[dev]'
	@touch $@

demo: $(READY)  ## the main job on a simulated beamline: FRAMES=240 SPEED=
	@$(BIN)/ringwatch demo --frames $(FRAMES) $(if $(SPEED),--speed $(SPEED))

check: $(READY)  ## style, types, import contracts
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports

test: $(READY)  ## the tests, fast ones first
	$(BIN)/python -m pytest -n 2 --dist loadfile

systemd-test: $(READY)  ## the service under a booted systemd, where root may boot one
	$(BIN)/python tests/systemd/run.py

chaos: $(READY)  ## kills, faults and nonsense at random moments, from a seed: SEED= ROUNDS=200
	PYTHONPATH=tests $(BIN)/python -m chaos.run $(if $(SEED),--seed $(SEED)) --rounds $(ROUNDS)

accuracy: $(READY)  ## how right the numbers are, on simulated courses: SEEDS="1 2 3 4" HOURS=340
	$(BIN)/python tests/accuracy/measure.py --seeds $(SEEDS) --frames $(HOURS)

accuracy-cell: $(READY)  ## the cell's side: clocks, onsets and short circuits of runs with a cycler: CELL_SEEDS="1 2 3"
	$(BIN)/python tests/accuracy/measure_cell.py --seeds $(CELL_SEEDS)

bench: $(READY)  ## speed, as ratios within one run
	$(BIN)/python tests/benchmarks/bench.py

schema: $(READY)  ## config/schema.json from the model of the settings
	$(BIN)/python -m ringwatch_daemon.settings_schema > config/schema.json

clean:  ## forget the environment and what was made
	rm -rf $(VENV) .systemd-test demo .pytest_cache .mypy_cache .ruff_cache .hypothesis
