# Segue. `make run` starts a bridge, `make demo` breaks one on purpose, `make test` checks everything.
# Any Python from 3.11 on: make PYTHON=python3.13 test

PYTHON ?= python3
VENV   ?= .venv
JOBS   ?= 2
ARGS   ?=
BIN    := $(VENV)/bin
STAMP  := $(VENV)/.installed

.DEFAULT_GOAL := help
.PHONY: help setup run demo test check bench bench-ears bench-storm bench-failover bless clean

help:  ## show the targets
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 16

setup: $(STAMP)  ## create the environment and install Segue with its development tools

$(STAMP): pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo "Segue needs Python 3.11 or newer; name one: make PYTHON=python3.12 $(MAKECMDGOALS)" >&2; exit 2; }
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV) || \
		{ rm -rf $(VENV); echo "could not create $(VENV); on Debian and Ubuntu: apt install python3-venv" >&2; exit 2; }
	@echo "installing into $(VENV), about a minute"
	@PYTHONWARNINGS=ignore $(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[dev]' 'setuptools>=77'
	@touch $@

run: $(STAMP)  ## start a bridge on the embedded configuration (ARGS="--config segue.yaml" for your own)
	@$(BIN)/segue serve $(ARGS)

demo: $(STAMP)  ## one call whose providers fail under it; leaves ./out/demo.wav
	@$(BIN)/segue demo $(ARGS)

test: check  ## everything: lint, types, tests
	$(BIN)/python -m pytest -n $(JOBS) --durations=15 $(ARGS) < /dev/null

check: $(STAMP)  ## lint and types only
	$(BIN)/ruff check .
	$(BIN)/mypy

bench: $(STAMP)  ## load the media-stream edge beside a plain pass-through
	$(BIN)/python -m bench $(ARGS)

bench-ears: $(STAMP)  ## turn detection over a folder of recorded calls
	$(BIN)/python -m bench.ears $(ARGS)

bench-storm: $(STAMP)  ## kill a provider under a hundred calls
	$(BIN)/python -m bench.storm $(ARGS)

bench-failover: $(STAMP)  ## what callers hear of every fault, over real sockets
	$(BIN)/python -m bench.failover $(ARGS)

bless: $(STAMP)  ## rewrite the expectations of the recorded calls, for review with git diff
	$(BIN)/python -m pytest tests/replay --bless $(ARGS)

clean:  ## remove the environment and everything generated
	rm -rf $(VENV) build dist out *.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis
