.DEFAULT_GOAL := help
PYTHON ?= python3
VENV   ?= .venv
BIN    := $(VENV)/bin
INSTANCE := runs/demo/dagster

.PHONY: help install demo test lint ui bench

help:  ## Show the targets
	@grep -hE '^[a-z]+:.*##' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  make %-9s %s\n", $$1, $$2}'

$(VENV)/.installed: requirements.lock pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check "uv>=0.9,<1"
	$(BIN)/uv pip install --python $(BIN)/python --require-hashes --requirement requirements.lock
	$(BIN)/uv pip install --python $(BIN)/python --quiet --no-deps --no-build-isolation --editable .
	touch $@

install: $(VENV)/.installed  ## Create .venv from the lock file, hashes checked

demo: install  ## Run the main job: a whole campaign on a mock sky, ending in a table and a report
	$(BIN)/dhs demo

test: install lint  ## Lint, types, import rules, definitions and every test
	$(BIN)/dagster definitions validate --workspace workspace.yaml
	$(BIN)/python -m pytest -n auto --dist loadfile

lint: install  ## ruff, mypy (strict on the library) and the import rules
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

ui: install  ## Open the Dagster UI on the demo's instance (http://127.0.0.1:3000)
	DAGSTER_HOME=$(CURDIR)/$(INSTANCE) $(BIN)/dagster dev --workspace workspace.yaml

bench: install  ## Run the benchmarks; every figure is a ratio against a peer in the same run
	$(BIN)/python -m benchmarks
