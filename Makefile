# Needs Python 3.10 or newer, make and a C++ compiler. Everything else is installed into .venv by the targets themselves.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
ARGS ?=
# How llama.cpp is built, when it is.
export CXXFLAGS := $(strip $(CXXFLAGS) $(shell sh scripts/compiler-flags.sh))

.PHONY: run check test lint format messages bench clean

run: $(VENV)/.run  ## set up what is missing and open the chat; ARGS="--port 9000" passes flags
	$(BIN)/python -m localchat_ui $(ARGS)

test: $(VENV)/.dev browser deployment  ## set up what is missing and run all tests
	$(BIN)/python -m pytest $(ARGS)

check: lint  ## the lint, and the tests that need neither a browser, a real model nor a process of their own
	$(BIN)/python -m pytest -q -m "not slow" $(ARGS)

lint: $(VENV)/.dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/lint-imports --no-logo
	$(BIN)/mypy

format: $(VENV)/.dev
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

messages: $(VENV)/.dev  ## find the texts of the page, and bring the catalogues of all languages up to date
	$(BIN)/python scripts/messages.py

bench: $(VENV)/.bench browser  ## ratios against llama.cpp's own programs, printed as tables; ARGS="--quick" for a look
	$(BIN)/python -m benchmarks $(ARGS)

clean:
	rm -rf $(VENV)

# One stamp a set of packages: make installs again when a version or a dependency changed.
$(VENV)/.run: pyproject.toml constraints.txt | $(BIN)/python
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[starter]'
	touch $@

$(VENV)/.dev: pyproject.toml constraints.txt | $(BIN)/python
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[starter,dev]'
	touch $@ $(VENV)/.run

$(VENV)/.bench: $(VENV)/.dev
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[bench]'
	touch $@

$(BIN)/python:
	@sh scripts/create-venv.sh $(PYTHON) $(VENV)

.PHONY: browser deployment
browser:
	@sh scripts/ensure-chromium.sh

deployment:
	@sh scripts/ensure-deployment.sh
