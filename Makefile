# Two commands do all their own set-up: `make demo` and `make test`. Nothing needs root.
SHELL := /bin/bash
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready

# Compiled modules make every later start quick, so they are wanted even where the machine's owner switched them off.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: help demo test lab check bench setup constraints clean

help: ## What can be made
	@grep -hE '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed -E 's/^([a-z]+):.*## /  make \1\t/' | expand -t 20

demo: $(READY) ## A ten-miner Spacemesh network from nothing, on the lab, in under three minutes
	@$(BIN)/python -m deployments.local demo

lab: $(READY) ## Lab, Prefect server and UI, up until Ctrl-C
	@$(BIN)/python -m deployments.local lab

test: check ## Everything that CI checks
	@$(BIN)/python -m pytest -n 2 --dist loadfile

check: $(READY) ## Style, types and arrows between rooms
	@$(BIN)/ruff check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports --no-logo

bench: $(READY) ## The testnet preset on the lab, against a bare HTTP client
	@$(BIN)/python -m bench.testnet

setup: $(READY) ## Only the virtual environment

$(READY): pyproject.toml constraints.txt tools/setup.sh
	@PYTHON=$(PYTHON) tools/setup.sh $(VENV) && touch $@

constraints: ## Write constraints.txt anew from the newest versions that fit
	@PYTHON=$(PYTHON) tools/setup.sh --newest $(VENV)

clean: ## Forget the virtual environment and all state of demo and lab
	rm -rf $(VENV) .lab .cache build *.egg-info
