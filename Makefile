# Everything here needs nothing but make and a Python from 3.11 to 3.13.
SUITABLE := import sys; sys.exit(not (3, 11) <= sys.version_info[:2] < (3, 14))
PYTHON ?= $(shell for p in python3 python3.13 python3.12 python3.11; do \
	$$p -c '$(SUITABLE)' 2>/dev/null && echo $$p && break; done)
VENV := .venv
BIN := $(VENV)/bin
INSTALLED := $(VENV)/.installed

# mypy finds the package by its name: the repository's folder may have any other.
PACKAGE := build/package/regsearch
PARTS := __init__.py __main__.py py.typed search storage studies

BENCH_LOCK := tests/benchmarks/bench-requirements.lock
BENCH_INSTALLED := $(VENV)/.bench-installed

AUDIT_VENV := .venv-audit
AUDIT_LOCK := .ci/audit-requirements.lock
AUDIT_INSTALLED := $(AUDIT_VENV)/.installed

PIP_INSTALL := -m pip install --quiet --disable-pip-version-check
PIN := $(BIN)/uv pip compile --universal --python-version 3.11 --generate-hashes --no-emit-index-url \
	--no-emit-find-links --custom-compile-command "make lock" --quiet --upgrade

.PHONY: study test test-all drill mutants honesty lint lock audit bench bench-full scale clean

study: $(INSTALLED)        ## search the regularization of the MNIST network and print the best
	$(BIN)/regsearch run

test: $(INSTALLED)         ## run all tests, a process for each core
	$(BIN)/python -m pytest --numprocesses auto --maxprocesses 8 --dist worksteal

test-all: $(INSTALLED)     ## run every test, the slow ones too
	$(BIN)/python -m pytest --numprocesses auto --maxprocesses 8 --dist worksteal

drill: $(INSTALLED)        ## kills, crash points, full disks, locks, a large study, a server, a cluster: an hour and more, then a table of figures
	$(BIN)/python tests/programs/drill.py

mutants: $(INSTALLED)      ## remove one guard at a time, and see that a test notices; some minutes
	$(BIN)/python tests/programs/mutants.py

honesty: $(INSTALLED)      ## studies whose truth is known: how often a claim is wrong; ten minutes, then a table
	$(BIN)/python tests/programs/honesty.py

lint: $(INSTALLED)         ## style, imports and types
	$(BIN)/ruff check .
	@mkdir -p $(PACKAGE) && for part in $(PARTS); do ln -sfn ../../../$$part $(PACKAGE)/$$part; done
	$(BIN)/mypy

bench: $(BENCH_INSTALLED)  ## regsearch beside what a user would use instead; a quarter of an hour
	$(BIN)/python tests/benchmarks/bench.py

bench-full: $(BENCH_INSTALLED) ## longer studies, and batches of 128; an hour
	$(BIN)/python tests/benchmarks/bench.py --full --output build/bench-full.json

scale: $(INSTALLED)        ## how many workers one coordinator serves, with workers that only pretend to train; half an hour
	$(BIN)/python tests/benchmarks/scale.py

lock: $(INSTALLED)         ## pin every dependency again, with hashes
	$(PIN) --extra dev --output-file requirements.lock pyproject.toml
	$(PIN) --extra bench --constraint requirements.lock \
		$$(sed -n "s/^\([A-Za-z0-9._-]*\)==.*/--no-emit-package \1/p" requirements.lock) \
		--output-file $(BENCH_LOCK) pyproject.toml
	$(PIN) --output-file $(AUDIT_LOCK) .ci/audit-requirements.in

audit: $(AUDIT_INSTALLED)  ## hold the pinned dependencies against known vulnerabilities; asks osv.dev
	.ci/audit $(CURDIR)/$(AUDIT_VENV)/bin/pip-audit

clean:                     ## remove the environment and the caches, never a study
	rm -rf $(VENV) $(AUDIT_VENV) *.egg-info build .mypy_cache .pytest_cache .ruff_cache .hypothesis

define CHECK_PYTHON
	@test -n "$(PYTHON)" && $(PYTHON) -c '$(SUITABLE)' 2>/dev/null || { \
		echo "regsearch needs Python 3.11, 3.12 or 3.13 (TensorFlow has no other wheels); found:" \
		"$$($(or $(PYTHON),python3) --version 2>&1 | head -1). Install one, or name it: make PYTHON=/path/to/python3.12" >&2; exit 2; }
endef

$(INSTALLED): requirements.lock pyproject.toml
	$(CHECK_PYTHON)
	$(PYTHON) -m venv --clear $(VENV)
	$(BIN)/python $(PIP_INSTALL) --require-hashes --requirement requirements.lock
	$(BIN)/python $(PIP_INSTALL) --no-deps --no-build-isolation --editable .
	@touch $@

$(BENCH_INSTALLED): $(INSTALLED) $(BENCH_LOCK)
	$(BIN)/python $(PIP_INSTALL) --no-deps --require-hashes --requirement $(BENCH_LOCK)
	@touch $@

$(AUDIT_INSTALLED): $(AUDIT_LOCK)
	$(CHECK_PYTHON)
	$(PYTHON) -m venv --clear $(AUDIT_VENV)
	$(AUDIT_VENV)/bin/python $(PIP_INSTALL) --require-hashes --requirement $(AUDIT_LOCK)
	@touch $@
