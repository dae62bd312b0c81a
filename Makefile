# The verbs. Each creates .venv and installs what it needs when that is missing.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
TORCH_INDEX ?=
# Debian and Ubuntu ship venv apart from Python.
INSTALL_VENV := { test "$$(id -u)" = 0 && apt-get update -qq && apt-get install -y -qq --no-install-recommends python3-venv; }
export PIP_DISABLE_PIP_VERSION_CHECK := 1
export HF_HUB_OFFLINE := 1
export ORT_DISABLE_TELEMETRY := 1

.PHONY: help install demo test test-system peers lint format bench docs pictures clean
help: ## List the verbs
	@grep -E '^[a-z-]+:.*## ' Makefile | sed -E 's/:.*## /\t/' | expand -t 16

install: $(STAMP) ## Create .venv with everything pinned

$(STAMP): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit("Aidpost needs Python 3.11 or newer: make PYTHON=python3.12 …") if sys.version_info < (3, 11) else None'
	@$(PYTHON) -c 'import ensurepip' 2>/dev/null || $(INSTALL_VENV) || { echo 'This Python has no venv: as root, apt-get install python3-venv; then make again.'; exit 1; }
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade 'pip>=25.1'
	$(BIN)/python -m pip install --quiet --constraint constraints.txt $(if $(TORCH_INDEX),--index-url $(TORCH_INDEX)) torch==2.13.0
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[export,tui,deploy]' --group dev
	touch $@

demo: $(STAMP) ## Adapt, quantise, pack, install, screen; DATA=DIR BASE=DIR runs it on your own scans
	$(BIN)/aidpost export demo --out demo $(if $(DATA),--data '$(DATA)') $(if $(BASE),--base '$(BASE)') $(if $(RECIPE),--recipe '$(RECIPE)') $(if $(SKIP_BAD),--skip-bad)

test: $(STAMP) ## Run the tests (under 15 minutes on 2 cores)
	$(BIN)/python -P -m pytest

test-system: $(STAMP) peers ## Run the slow tests with real peers, root and power cuts (at most 40 minutes)
	$(BIN)/python -P -m pytest -m system

# The programs that the slow tests meet. Where one is missing and cannot be installed, its tests skip and say so.
APT := DEBIAN_FRONTEND=noninteractive apt-get -o DPkg::Lock::Timeout=300 -qq
peers:
	-@{ command -v dcmdjpeg && command -v strace && command -v mkfs.ext4; } >/dev/null || test "$$(id -u)" != 0 \
	|| { $(APT) update && $(APT) install --yes --no-install-recommends dcmtk strace e2fsprogs; }

lint: $(STAMP) ## Check style, types and the direction of imports
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/lint-imports

format: $(STAMP) ## Format the code
	$(BIN)/ruff check --fix-only
	$(BIN)/ruff format

bench: $(STAMP) ## Print the figures of docs/benchmarks.md (BENCH=NAME for one of them)
	$(BIN)/python -m tests.bench $(BENCH)

docs: $(STAMP) ## Type the commands of the guides and write what they print into them; then draw the pictures
	AIDPOST_REWRITE_DOCS=1 $(BIN)/python -P -m pytest tests/docs/test_consoles.py tests/docs/test_tables.py
	$(MAKE) pictures

pictures: $(STAMP) ## Draw the pictures of README and docs
	$(BIN)/python -m tests.docs.pictures

clean: ## Remove everything that the verbs made
	rm -rf $(VENV) demo build dist *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
