# Everything a developer or a new user does. `make help` lists it.
SHELL := /bin/bash
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
LOCK := --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-emit-find-links --no-annotate --no-header -q
export PIP_DISABLE_PIP_VERSION_CHECK := 1

.DEFAULT_GOAL := help
.PHONY: help serve test check lint types layers format bench soak flakes lock browser peers shots clean

help: ## Say what can be made
	@grep -hE '^[a-z]+:.*## ' $(MAKEFILE_LIST) | sort | awk -F ':.*## ' '{printf "  make %-9s %s\n", $$1, $$2}'

serve: $(VENV)/.run ## Install what is needed and run the hub (ARGS="--port 9000")
	@WATCHBILL_HANDBOOKS="$${WATCHBILL_HANDBOOKS-$(CURDIR)/examples/handbooks}" "$(BIN)/watchbill" serve $(ARGS)

test: $(VENV)/.dev $(VENV)/.idp browser peers ## Install what is needed and run the tests (T=tests/ledger for some of them)
ifdef T
	@"$(BIN)/python" -m pytest $(T) $(ARGS)
else
	@# On two cores: first what needs no hub of its own, then real processes and the browser, a file's tests one after the other.
	@"$(BIN)/python" -m pytest -n 2 -m "not process and not browser" $(ARGS)
	@"$(BIN)/python" -m pytest -n 2 --dist loadfile -m "process or browser" $(ARGS)
endif

check: lint types layers ## Lint, types and layers

lint: $(VENV)/.dev
	@"$(BIN)/ruff" check . && "$(BIN)/ruff" format --check .

types: $(VENV)/.dev
	@WATCHBILL_PROCESS=code "$(BIN)/mypy"

layers: $(VENV)/.dev
	@WATCHBILL_PROCESS=code "$(BIN)/lint-imports"

format: $(VENV)/.dev ## Format the code
	@"$(BIN)/ruff" check --fix . ; "$(BIN)/ruff" format .

bench: $(VENV)/.dev $(VENV)/.alerta ## Measure, as JSON lines; fails where a target is missed
	@"$(BIN)/python" -m bench $(ARGS)

soak: $(VENV)/.dev ## The long rounds; prints its seed
	@WATCHBILL_SOAK=1 "$(BIN)/python" -m pytest tests -m soak $(ARGS)

flakes: $(VENV)/.dev $(VENV)/.idp browser peers ## Look for tests that fail by chance (N=20 rounds; goes on where it stopped)
	@"$(BIN)/python" tools/flakes.py --rounds $(or $(N),20) $(ARGS)

browser: ## Find or fetch Chromium (Debian's)
	@./tools/chromium

peers: ## Find or fetch the real servers that the tests talk to (Debian's Alertmanager, Prometheus and libfaketime)
	@./tools/peer alertmanager && ./tools/peer prometheus && ./tools/peer faketime

shots: $(VENV)/.dev browser ## Take the screenshots of docs/
	@"$(BIN)/python" tools/screenshots.py

lock: $(VENV)/bin/python ## Pin the requirements anew, hashed, without registry addresses
	@"$(BIN)/pip" install -q uv
	@"$(BIN)/uv" pip compile $(LOCK) --upgrade requirements/dev.in -o requirements/dev.txt
	@"$(BIN)/uv" pip compile $(LOCK) -c requirements/dev.txt requirements/run.in -o requirements/run.txt
	@"$(BIN)/uv" pip compile $(LOCK) --upgrade requirements/idp.in -o requirements/idp.txt
	@"$(BIN)/uv" pip compile $(LOCK) --upgrade requirements/alerta.in -o requirements/alerta.txt

clean: ## Remove environments and caches (never data)
	@rm -rf $(VENV) .venv-idp .venv-alerta .mypy_cache .ruff_cache .import_linter_cache .hypothesis .test-cluster artefacts

$(VENV)/bin/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "Watchbill needs Python 3.11 or later; this is $$($(PYTHON) --version). Set PYTHON=/path/to/python3.11."; exit 2; }
	@$(PYTHON) -c 'import venv, ensurepip' 2>/dev/null || { echo "This Python has no venv or pip. On Debian: apt-get install python3-venv python3-pip"; exit 2; }
	@$(PYTHON) -m venv $(VENV)

$(VENV)/.run: $(VENV)/bin/python requirements/run.txt pyproject.toml
	@echo "Installing what the hub needs …"
	@"$(BIN)/python" -m pip install -q --require-hashes -r requirements/run.txt
	@"$(BIN)/python" -m pip install -q --no-build-isolation --no-deps -e .
	@touch $@

$(VENV)/.dev: $(VENV)/.run requirements/dev.txt
	@echo "Installing what the workshop needs …"
	@"$(BIN)/python" -m pip install -q --require-hashes -r requirements/dev.txt
	@touch $@

$(VENV)/.idp: requirements/idp.txt
	@echo "Installing an OpenID Connect provider for the tests …"
	@$(PYTHON) -m venv .venv-idp && .venv-idp/bin/python -m pip install -q --require-hashes -r requirements/idp.txt
	@touch $@

$(VENV)/.alerta: requirements/alerta.txt
	@echo "Installing Alerta, a peer of the benches …"
	@$(PYTHON) -m venv .venv-alerta && .venv-alerta/bin/python -m pip install -q --require-hashes -r requirements/alerta.txt
	@touch $@
