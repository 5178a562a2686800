# The contributor's day. Each target makes the virtual environment first, if it is not there.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
INSTALLED := $(VENV)/.installed

.PHONY: help demo test fuzz check format conformance bench clean

help:
	@echo "make demo         run the sample projects and call them (ONCE=1: stop afterwards)"
	@echo "make test         run the tests, but for the fuzz"
	@echo "make fuzz         send four real hosts whatever there is (EXAMPLES=2000 for more)"
	@echo "make check        lint, formatting, types"
	@echo "make format       let the linter and the formatter mend what they can"
	@echo "make conformance  run the official conformance suite on every host"
	@echo "make bench        measure what a call costs, and each policy around it"
	@echo "make clean        remove what the other targets made"

$(INSTALLED): pyproject.toml constraints.txt
	@echo "Installing into $(VENV) (a minute or so) ..."
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check \
		--constraint constraints.txt --editable ".[dev]"
	@touch $@

demo: $(INSTALLED)
	@$(BIN)/python -m sample_projects.demo $(if $(ONCE),--once)

test: $(INSTALLED)
	@echo "Without tests/fuzz, which is: make fuzz"
	$(BIN)/python -m pytest -n 2 --ignore tests/fuzz $(ARGS)

# Each worker runs servers of its own, so that more than two would not help on two cores.
fuzz: $(INSTALLED)
	$(if $(EXAMPLES),FUZZ_EXAMPLES=$(EXAMPLES)) $(BIN)/python -m pytest -n 2 tests/fuzz $(ARGS)

check: $(INSTALLED)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

format: $(INSTALLED)
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

conformance: $(INSTALLED)
	@$(BIN)/python -m tests.conformance.run $(HOSTS)

bench: $(INSTALLED)
	@$(BIN)/python -m benchmarks.policies

clean:
	rm -rf $(VENV) tests/conformance/node_modules build dist .mypy_cache .ruff_cache
