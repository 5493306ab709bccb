# One command a need, the same here and in CI. `make quickstart` and `make test` need nothing installed but make and
# Python; TORCH_INDEX=URL takes PyTorch from another package index (its CPU builds are much smaller), ARGS="..." goes to
# `iclal quickstart`.

PYTHON ?= python3
VENV ?= .venv
TORCH_INDEX ?=
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check
PYTEST := OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n 2 --dist loadfile
NO_VENV := Python cannot make a virtual environment here. Debian: apt-get install python3-venv

.DEFAULT_GOAL := help
.PHONY: help install quickstart test test-fast check docs docs-check bench browser clean

help:
	@echo "make install      the package and all that its tests need, in $(VENV)"
	@echo "make quickstart   install; then watch a frozen language model get ears, and read the report"
	@echo "make test         install; then the whole suite (a browser is needed, see README)"
	@echo "make test-fast    install; then the tests that take seconds"
	@echo "make check        ruff, pyright, and the direction of imports"
	@echo "make docs         write the numbers of README and docs anew from their JSON"
	@echo "make docs-check   fail where one of them is stale"
	@echo "make bench        measure, into benchmarks/results"
	@echo "make clean        remove $(VENV)"

install: $(VENV)/installed

# PyTorch first and by itself: what comes after then takes the build that is there.
$(VENV)/installed: pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "ICLAL needs Python 3.11 or newer; this is " + sys.version)'
	@test -x $(BIN)/pip || $(PYTHON) -m venv --clear $(VENV) || { test "$$(id -u)" = 0 \
		&& apt-get update -qq && apt-get install -y -qq python3-venv && $(PYTHON) -m venv --clear $(VENV); } \
		|| { echo "$(NO_VENV)" >&2; exit 1; }
	$(PIP) install --quiet torch==2.13.0 -c constraints.txt $(if $(TORCH_INDEX),--index-url $(TORCH_INDEX))
	$(PIP) install --quiet -e '.[test]' -c constraints.txt
	@touch $@

$(VENV)/installed-check: $(VENV)/installed
	$(PIP) install --quiet -e '.[check]' -c constraints.txt
	@touch $@

quickstart: install
	$(BIN)/iclal quickstart $(ARGS)

test: install browser
	$(PYTEST)

test-fast: install
	$(PYTEST) -m "not slow and not browser"

check: $(VENV)/installed-check
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/pyright --pythonpath $(BIN)/python
	$(BIN)/lint-imports

docs: install
	$(BIN)/python docs/render.py

docs-check: install
	$(BIN)/python docs/render.py --check

bench: install
	@for file in benchmarks/*.py; do echo $$file; $(BIN)/python $$file || exit 1; done

# The report is tested in a real browser.
browser:
	@if command -v chromium || command -v chromium-browser || command -v google-chrome; then :; \
	elif test "$$(id -u)" = 0 && command -v apt-get >/dev/null; then \
		apt-get update -qq && apt-get install -y -qq chromium >/dev/null; \
	else \
		echo "make test opens the report in Chromium, which is missing. Debian: apt-get install chromium" >&2; \
		echo "Without it: make test-fast, or $(BIN)/python -m pytest -m 'not browser'" >&2; exit 1; \
	fi

clean:
	rm -rf $(VENV)
