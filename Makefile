# `make demo` and `make test` need git, make and Python 3.11 or later; everything else they install into .venv, once.
# PYTHON=/path/to/python uses a Python that has the packages already, as it is: nothing is installed.
# ARGS='...' is handed to the command: make demo ARGS='--seed 1', make test ARGS='-k spectra'.

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.SUFFIXES:
.PHONY: help demo test check types fast-tests fuzz gpu-check docs docs-serve docs-redraw format env lock clean
.PHONY: ready ready-to-test ready-to-check ready-for-docs FORCE

stamp := .venv/.installed

ifdef PYTHON
python := $(PYTHON)
# The package is not installed there: processes that the tests start elsewhere find it so.
export PYTHONPATH := $(CURDIR)$(if $(PYTHONPATH),:$(PYTHONPATH))
too-old := import sys; sys.exit(sys.version_info < (3, 11) and "it is Python %d.%d, older than 3.11" % sys.version_info[:2])
# "ok", or in one line what speaks against the given Python; $(error) ends make with that line alone. (make takes a shell's
# exit status 127 for its own failure and prints the output itself: hence the `true`.)
verdict = $(shell { "$(PYTHON)" -c '$(too-old)' && "$(PYTHON)" .ci/missing.py $(extras); } 2>&1; true)
require-ok = $(if $(filter ok,$(lastword $1)),,$(error PYTHON=$(PYTHON): $1))
ready:
	$(call require-ok,$(verdict))
ready-to-test: extras := test
ready-to-check: extras := test lint
ready-for-docs: extras := docs
ready-to-test ready-to-check ready-for-docs:
	$(call require-ok,$(verdict))
env: ready-to-check
	@echo "$(PYTHON) has the packages and is used as it is"
else
python := .venv/bin/python
ready ready-to-test ready-to-check ready-for-docs env: $(stamp)
endif

# Compiled tests are kept (git ignores them): compiling them takes a third of the time that collecting them takes.
unexport PYTHONDONTWRITEBYTECODE

# exec: a signal that ends make must reach the training, not a shell around it.
run := exec "$(python)" -m

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "make %-11s %s\n", $$1, $$2 }' Makefile

demo: ready ## train the three families at depth 110 on real digits and write the report
	@$(run) repro demo $(ARGS)

# A file's tests (or a class's, where it has classes) stay together: they share what is slow to make. Of the longest first:
# tests/conftest.py says which these are.
test: ready-to-test ## the whole test suite
	@$(run) pytest -n auto --maxprocesses 8 --dist loadscope --no-loadscope-reorder $(ARGS)

check: ready-to-check ## lint, format, types and the fast tests: what to run before a commit
	@$(run) ruff check .
	@$(run) ruff format --check .
	@+$(MAKE) --no-print-directory --jobs 2 types fast-tests

types: # beside the tests: it takes one processor, and without its cache half a minute
	@$(run) mypy
# worksteal: half of the files for each of two workers, so that most of what a file's tests share is made once.
fast-tests:
	@$(run) pytest -m "not slow" -n auto --maxprocesses 8 --dist worksteal $(ARGS)

fuzz: ready-to-test ## for some minutes, every night: contents that no reader expects; what fails lands in tests/fuzz/corpus
	@FUZZ=2000; export FUZZ; $(run) pytest tests/fuzz -n auto --maxprocesses 8 --timeout 3600 $(ARGS)

has-gpu := import sys, torch; sys.exit(not torch.cuda.is_available())

gpu-check: ready-to-test ## on a machine with a GPU: every CUDA path against the CPU's result, then what steps cost
	@if "$(python)" -c '$(has-gpu)'; then \
		"$(python)" -m pytest tests/gpu -m gpu $(ARGS) && "$(python)" benchmarks/training.py --device cuda; \
	else echo "gpu-check: torch sees no CUDA GPU on this machine, so nothing was checked"; fi

# mkdocs-material's note on its successor is not for readers of ours.
mkdocs := export NO_MKDOCS_2_WARNING=1 PYTHONPATH="$(CURDIR)$${PYTHONPATH:+:$$PYTHONPATH}"; $(run) mkdocs

docs: ready-for-docs ## the pages, into build/docs; a warning is an error
	@$(mkdocs) build --quiet $(ARGS)
	@echo "build/docs/index.html"

docs-serve: ready-for-docs ## the pages while you write them, on http://127.0.0.1:8000
	@$(mkdocs) serve $(ARGS)

docs-redraw: ready-for-docs ## run the notebooks and draw the pictures anew; the page's needs Chromium
	@"$(python)" docs/make/notebooks.py
	@"$(python)" docs/make/pictures.py $(ARGS)

format: ready-to-check ## format the code and mend what the linter can
	@$(run) ruff check --fix .
	@$(run) ruff format .

env: ## set up .venv and do nothing else

lock: ready ## write requirements.lock anew; ARGS=--upgrade for the newest versions
	@$(run) uv pip compile pyproject.toml --extra test --extra lint --extra docs --group env --universal --python-version 3.11 \
		--fork-strategy fewest --generate-hashes --no-emit-index-url --no-emit-find-links \
		--custom-compile-command "make lock" --quiet -o requirements.lock $(ARGS)

clean: ## remove .venv, builds and caches; runs and data stay
	@rm -rf .venv build dist .mypy_cache .ruff_cache .pytest_cache .hypothesis
	@find . -name .git -prune -o -name __pycache__ -type d -prune -exec rm -rf {} +

# The locked versions have wheels for these Pythons.
supported := import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 14))
base = $(shell for p in python3 python3.13 python3.12 python3.11 python3.14; do \
	"$$p" -c '$(supported)' 2>/dev/null && echo "$$p" && break; done)
found = $(shell python3 -c 'import platform; print("python3 is " + platform.python_version())' 2>/dev/null)
no-base = $(error Python 3.11 to 3.14 is needed and none is on PATH ($(or $(found),there is no python3)))
# Debian keeps ensurepip, without which there is no pip in a virtual environment, in a package of its own.
venv-package = $(shell $(base) -c 'import ensurepip, venv' 2>/dev/null || \
	$(base) -c 'import sys; print("python%d.%d-venv" % sys.version_info[:2])')
no-pip = $(error $(base) cannot make virtual environments with pip; on Debian and Ubuntu: apt-get install $(venv-package))
# An environment that an interrupted set-up left behind, or whose Python is gone, is made again from nothing.
sound = $(shell test ! -e .venv/.unfinished && .venv/bin/python -c '$(supported)' 2>/dev/null && echo yes)

$(stamp): requirements.lock pyproject.toml $(if $(shell test -x .venv/bin/python && echo yes),,FORCE)
	$(if $(sound),,$(if $(base),,$(no-base))$(if $(venv-package),$(no-pip)))
	@$(if $(sound),,rm -rf .venv && mkdir .venv)
	@rm -f $@ && touch .venv/.unfinished
	@echo "$(if $(sound),Bringing .venv up to date,Setting up .venv: on Linux 3 GB to download and 6 GB on disk)"
	@$(if $(sound),,$(base) -m venv .venv)
	@.venv/bin/python -c 'import pip' 2>/dev/null || .venv/bin/python -m ensurepip >/dev/null
	@sed -n '/^uv==/,/[^\\]$$/p' requirements.lock > .venv/uv.lock
	@.venv/bin/python -m pip --quiet --disable-pip-version-check install --require-hashes -r .venv/uv.lock
	@.venv/bin/python -m uv pip install --python .venv/bin/python --require-hashes --compile-bytecode -r requirements.lock
	@.venv/bin/python -m uv pip install --python .venv/bin/python --no-deps --no-build-isolation -e .
	@rm .venv/.unfinished && touch $@
