# `make help` explains each target; `make demo` and `make test` need nothing but Python 3.11+.
.DEFAULT_GOAL := help
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
FILE ?=
READY := $(VENV)/.ready

.PHONY: help demo run test lint unit live bench-memory lock format clean

help: ## Show the targets
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed 's/:.*## /\t/' | expand -t 16

demo: $(READY) ## Send an image (FILE=path, or a sample) through the service and back, and compare
	@$(BIN)/image-gateway demo $(if $(FILE),--file "$(FILE)")

run: $(READY) ## Run store and gateway on :3000 until Ctrl-C; data stay in .image-gateway/
	@$(BIN)/image-gateway dev

test: lint unit live ## Lint, types, import contracts, unit tests, tests against a real store

lint: $(READY) ## ruff, mypy, import contracts, Dockerfile lint
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/hadolint Dockerfile

unit: $(READY) ## Tests that need no store
	$(BIN)/pytest -q -n auto --ignore=tests/live

live: $(READY) ## Tests with real gunicorn processes and a real store
	$(BIN)/pytest -q tests/live

bench-memory: $(READY) ## Peak memory of 16 parallel whole-image reads of 2 GiB
	$(BIN)/python bench/memory.py

format: $(READY) ## Format the code
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

lock: $(READY) ## Resolve setup.cfg's ranges anew into requirements/
	sh requirements/lock.sh

$(READY): setup.cfg requirements/dev.txt
	@sh requirements/make-venv.sh "$(PYTHON)" "$(VENV)"
	@touch $@

clean: ## Remove the virtual environment and all local data
	rm -rf $(VENV) .image-gateway
