# The contributor's day. Each target makes the virtual environment first, if it is not there.

PYTHON ?= python3
# Versions of dependencies: locked (of constraints/), lowest (that pyproject.toml allows) or newest.
DEPS ?= locked
ifeq ($(PYTHON)-$(DEPS),python3-locked)
VENV := .venv
else
VENV := .venv-$(shell $(PYTHON) -c "import sys; print('%d.%d' % sys.version_info[:2])")-$(DEPS)
endif
BIN := $(VENV)/bin
INSTALLED := $(VENV)/.installed
# Byte code is made of what is imported, not of all that there is, which takes 20 s.
PIP_INSTALL := $(BIN)/python -m pip --quiet --disable-pip-version-check install --no-compile

# Servers that the tests start would compile all modules anew, and pytest those of the tests.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: help install demo test fuzz clients test-system check format conformance soak bench clean

help:
	@echo "make install      make the environment, which every target does that needs it"
	@echo "make demo         run the sample projects and call them (ONCE=1: stop afterwards)"
	@echo "make test         run the tests, but for those of the next three targets"
	@echo "make fuzz         send four real hosts whatever there is (EXAMPLES=2000 for more)"
	@echo "make clients      call every host with real clients of other projects (CLIENTS=...)"
	@echo "make test-system  call every host from Chromium, and count instructions (Debian's chromium-driver, valgrind, nginx)"
	@echo "make check        lint, formatting, types"
	@echo "make format       let the linter and the formatter mend what they can"
	@echo "make conformance  run the official conformance suite on every host"
	@echo "make soak         drive four workers for 10 minutes: what they hold must not grow (HOST=... SECONDS=...)"
	@echo "make bench        measure ours and plain views (ONLY=... ROUNDS=... PEERS=1 ARGS=--help)"
	@echo "make clean        remove what the other targets made"
	@echo
	@echo "PYTHON=python3.12 takes another Python, DEPS=lowest or DEPS=newest other versions of"
	@echo "the dependencies, for each of these targets."

$(INSTALLED): pyproject.toml $(wildcard constraints/*.txt)
	@echo "Installing into $(VENV) (a minute or so) ..."
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
ifeq ($(DEPS),newest)
	@$(PIP_INSTALL) --upgrade --editable ".[dev]"
else
	@$(PIP_INSTALL) --editable ".[dev]" --constraint $$($(BIN)/python -c "import sys; \
		print('constraints/%s.txt' % ('locked' if sys.version_info > (3, 11) else 'python3.10'))")
endif
ifeq ($(DEPS),lowest)
	@$(PIP_INSTALL) --no-deps --requirement constraints/lowest.txt
endif
	@touch $@

install: $(INSTALLED)

demo: $(INSTALLED)
	@$(BIN)/python -m sample_projects.demo $(if $(ONCE),--once)

# Four workers on two cores: half of the time they wait for servers that start and stop.
test: $(INSTALLED)
	@echo "Without tests/fuzz, tests/clients, tests/system: make fuzz, make clients, make test-system"
	$(BIN)/python -m pytest -n 4 --dist worksteal --ignore tests/fuzz \
		--ignore tests/system $(ARGS)

# Each worker starts servers of its own, so that more than two would not help on two cores.
fuzz: $(INSTALLED)
	$(if $(EXAMPLES),FUZZ_EXAMPLES=$(EXAMPLES)) $(BIN)/python -m pytest -n 2 --dist worksteal tests/fuzz $(ARGS)

# Each client is installed into an environment of its own.
clients: $(INSTALLED)
	@$(BIN)/python -m tests.clients.run $(CLIENTS)
	@$(BIN)/python -m tests.clients.models.run $(MODEL_CLIENTS)

# Of two workers one counts instructions, which takes as long as the browser.
test-system: $(INSTALLED)
	$(BIN)/python -m pytest -n 2 --dist loadfile tests/system $(ARGS)

check: $(INSTALLED)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

format: $(INSTALLED)
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

conformance: $(INSTALLED)
	@$(BIN)/python -m tests.conformance.run $(HOSTS)

soak: $(INSTALLED)
	@$(BIN)/python -m tests.workers.soak $(if $(HOST),--host "$(HOST)") $(if $(SECONDS),--seconds $(SECONDS))

bench: $(INSTALLED)
	@$(BIN)/python -m benchmarks $(ONLY) $(if $(ROUNDS),--rounds $(ROUNDS)) \
		$(if $(PEERS),--peers) $(ARGS)

clean:
	rm -rf .venv .venv-* tests/*/node_modules tests/clients/models/node_modules tests/clients/.environments benchmarks/peers/.environments build dist .mypy_cache .ruff_cache
