# Two commands on a fresh machine with Python 3.11: `make demo` and `make test`.
PYTHON ?= python3.11
BIN := .venv/bin
STAMP := .venv/.installed

.PHONY: demo test bench clean
.DELETE_ON_ERROR:

# The stamp is newer than what it was installed from, so a second call installs nothing.
$(STAMP): pyproject.toml
	@command -v $(PYTHON) >/dev/null || { echo "lookwhy needs Python 3.11 or newer: set PYTHON=python3.x"; exit 2; }
	$(PYTHON) -m venv .venv
	$(BIN)/pip install --quiet --disable-pip-version-check -e '.[dev]'
	@touch $@

test: $(STAMP)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/pytest
