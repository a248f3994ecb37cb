# Everything happens in .venv/ and build/. See `make help`.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
RUN := $(BIN)/python -m
# `make test PYTEST='-k layers -x'`, `make bench BENCH='--runs 1'`, `make demo DEMO=--cold`
PYTEST ?=
# One process a core shares the tests, file by file. `make test PYTEST='-n 0 -s'` has one alone.
WORKERS := -n auto --maxprocesses 4 --dist loadfile --no-loadscope-reorder
BENCH ?=
DEMO ?=

.DEFAULT_GOAL := help
.PHONY: help venv engine demo test lint format bench bench-quick bench-report bench-bundle \
	bench-delta bench-images bench-pack bench-push bench-rebuild bench-serve bench-slim channel \
	channel-full channel-workloads channel-boosting channel-language channel-heavy channel-cuda \
	channel-cuda-heavy clean

help: ## show this
	@sed -n 's/^\([a-z-]*\):.*## /\1\t/p' $(MAKEFILE_LIST) | expand -t 20

demo: engine ## build examples/serve into an image, run it, ask it, print a table
	@$(RUN) benchmarks.demo $(DEMO)

test: venv ## run all tests that this machine can run; set up what they need
	@$(RUN) benchmarks.setup tests
	@$(RUN) compileall -q slimpack benchmarks
	@$(RUN) pytest $(WORKERS) $(PYTEST)

lint: venv ## check style and types
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy

format: venv ## bring the code into the one style
	$(BIN)/ruff check --fix
	$(BIN)/ruff format

bench: engine ## measure everything: size, builds, cold start, scaling (hours)
	@$(RUN) benchmarks run $(BENCH)

bench-quick: engine ## measure what shows most, in under 10 minutes (W0)
	@$(RUN) benchmarks run --quick $(BENCH)

bench-report: venv ## write tables and pictures anew from what was measured
	@$(RUN) benchmarks report

bench-serve: venv ## measure packing one prefix against conda-pack and tar | zstd
	@$(RUN) benchmarks.serve $(BENCH)

bench-bundle: venv ## measure slimpack bundle create against skopeo and tar
	@$(RUN) benchmarks.bundle $(BENCH)

bench-pack: venv ## measure slimpack pack against conda-pack, format by format
	@$(RUN) benchmarks.pack $(BENCH)

bench-delta: venv ## measure what a new release costs as a delta bundle
	@$(RUN) benchmarks.delta $(BENCH)

bench-push: venv ## measure slimpack push against skopeo
	@$(RUN) benchmarks.push $(BENCH)

bench-images: engine ## measure what the images of every method hold
	@$(RUN) benchmarks run images $(BENCH)

bench-rebuild: engine ## measure what builds and changes cost, by every method
	@$(RUN) benchmarks run builds $(BENCH)

bench-slim: venv ## measure what slimming gives, profile by profile (an hour or more)
	@$(RUN) benchmarks.slim $(BENCH)

channel: venv ## build the local conda channel (build/channel), for linux-64 and linux-aarch64
	@$(RUN) benchmarks.channel build

channel-full: venv ## the same with CPython compiled from source (some minutes)
	@$(RUN) benchmarks.channel build --full

channel-workloads: venv ## add what benchmarks/workloads need: pandas, onnxruntime, PyTorch
	@$(RUN) benchmarks.channel build --group workloads

channel-boosting: venv ## add what w4 needs besides: XGBoost, LightGBM, PyArrow
	@$(RUN) benchmarks.channel build --group workloads --group boosting

channel-language: venv ## add what w5 needs besides: transformers and its tokenizers
	@$(RUN) benchmarks.channel build --group workloads --group language

channel-heavy: venv ## add all that, and big packages for the slimming rules, up to TensorFlow
	@$(RUN) benchmarks.channel build --group heavy

channel-cuda: venv ## add CUDA's smaller libraries and CuPy
	@$(RUN) benchmarks.channel build --group cuda

channel-cuda-heavy: venv ## add CUDA's big libraries and PyTorch with CUDA (3 GB to download)
	@$(RUN) benchmarks.channel build --group cuda-heavy

engine: venv ## see that a Docker engine answers; as root, install and start one
	@$(RUN) benchmarks.setup engine

clean: ## stop the engine that was started here, remove all that was made
	@if [ -e build/dockerd.pid ]; then $(RUN) benchmarks.setup stop; fi
	rm -rf build dist $(VENV) .mypy_cache .pytest_cache .ruff_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

venv: $(VENV)/.stamp

# Debian keeps the venv module's other half in a package of its own.
$(VENV)/.stamp: pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 10) and "slimpack needs Python 3.10 or newer; name one with: make PYTHON=python3.12")'
	@$(PYTHON) -c 'import ensurepip' 2>/dev/null || [ "$$(id -u)" != 0 ] || \
		{ apt-get -q update; apt-get -qy install --no-install-recommends python3-venv; }
	$(PYTHON) -m venv --clear $(VENV)
	$(BIN)/pip install --quiet --upgrade pip
	$(BIN)/pip install --quiet --editable . --group test --group lint --group bench
	@touch $@
