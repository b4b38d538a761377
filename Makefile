# Every target makes the environment itself if it is missing, and reinstalls when pyproject.toml changed. What stands
# behind ## is what `make help` shows.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
BENCH_STAMP := $(VENV)/.installed-bench

.DEFAULT_GOAL := help
.PHONY: help demo test test-slow test-gpu lint hooks architecture bench bench-fashion-mnist results results-ten clean

help:  ## show these targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "make %-20s %s\n", $$1, $$2 }' $(firstword $(MAKEFILE_LIST))

$(STAMP): pyproject.toml
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --disable-pip-version-check --quiet --editable ".[dev]"
	touch $(STAMP)

demo: $(STAMP)  ## the central claim on known latents, then on real digits: about five minutes
	$(BIN)/aninfonce reproduce content-style --seeds 1 --out runs/demo/content-style --overwrite
	$(BIN)/aninfonce train --data digits --objective infonce --out runs/demo/infonce --overwrite
	$(BIN)/aninfonce train --data digits --objective infonce --trainable-temperature --out runs/demo/infonce-trainable --overwrite
	$(BIN)/aninfonce train --data digits --objective aninfonce --out runs/demo/aninfonce --overwrite
	$(BIN)/aninfonce compare runs/demo/infonce runs/demo/infonce-trainable runs/demo/aninfonce --out runs/demo/compare --overwrite

lint: $(STAMP)  ## ruff, mypy and the import contract
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

# Files side by side on two cores; one thread each, or they would wait for one another.
PYTEST := OMP_NUM_THREADS=1 $(BIN)/python -m pytest --numprocesses 2 --dist loadfile

test: lint  ## lint, then all tests that are not slow
	$(PYTEST)

test-slow: lint  ## lint, then the slow tests
	$(PYTEST) -m slow --hypothesis-profile default

# On a real graphics card; without one every test is skipped and says so. `make test` has the same checks of devices on
# a card that is pretended (tests/devices).
test-gpu: $(STAMP)  ## the tests that need a graphics card; skipped where there is none
	$(BIN)/python -c "import torch; print('graphics card:', torch.cuda.get_device_name() if torch.cuda.is_available() else 'there is none: every test is skipped')"
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -m gpu tests/devices

$(BENCH_STAMP): $(STAMP)
	$(BIN)/python -m pip install --disable-pip-version-check --quiet --editable ".[bench]"
	-$(BIN)/python -m pip install --disable-pip-version-check --quiet --no-deps "solo-learn>=1.0.2"
	touch $(BENCH_STAMP)

bench: $(BENCH_STAMP)  ## samplers, augmentation, losses and training against other libraries
	$(BIN)/python benchmarks/samplers.py
	$(BIN)/python benchmarks/augmentation.py
	$(BIN)/python benchmarks/sprites.py
	$(BIN)/python benchmarks/losses.py
	$(BIN)/python benchmarks/training.py $(if $(DATA_ROOT),--data-root $(DATA_ROOT))
	$(BIN)/python benchmarks/scaling.py

# Every controlled experiment, and docs/results.md from them; --list tells the cost. Finished runs are not repeated.
results: $(STAMP)  ## every controlled experiment, and docs/results.md from them
	$(BIN)/aninfonce reproduce all --out runs/all --resume $(if $(DATA_ROOT),--data-root $(DATA_ROOT))
	$(BIN)/python benchmarks/experiments.py runs/all

# The tables of ten mixings in docs/measured.md: content-style takes 18 minutes on 2 cores.
results-ten: $(STAMP)  ## the tables of ten mixings: 18 minutes on 2 cores and more
	$(BIN)/aninfonce reproduce content-style --seeds 10 --out runs/results/content-style --resume
	$(BIN)/aninfonce reproduce linear-spectrum --seeds 10 --seed 10 --out runs/results/linear-spectrum --resume

# Goes on where it was; ends with the table in docs/measured.md.
bench-fashion-mnist: $(STAMP)  ## Fashion-MNIST, and its table in docs/measured.md
	$(BIN)/python benchmarks/fashion_mnist.py $(if $(DATA_ROOT),--data-root $(DATA_ROOT))
	$(BIN)/python benchmarks/fashion_mnist_table.py

# git's hooks from .pre-commit-config.yaml; pre-commit itself is not part of the environment.
hooks: $(STAMP)  ## install the hooks that check a commit (needs pre-commit on the path)
	pre-commit install

architecture: $(STAMP)  ## draw docs/images/architecture.svg from the import graph
	$(BIN)/python tools/architecture.py

clean:  ## remove the environment, the runs and every cache
	rm -rf $(VENV) runs .pytest_cache .mypy_cache .ruff_cache .import_linter_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
