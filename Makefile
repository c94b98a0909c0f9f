# `make help` lists the targets. Everything is installed into $(VENV), nothing beside it.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check
INSTALL := $(PIP) install --quiet --constraint constraints.txt
PYTEST := $(BIN)/pytest --numprocesses 2 --dist loadscope --no-loadscope-reorder
PROJECTS := pyproject.toml constraints.txt operator/pyproject.toml trainer_image/pyproject.toml

.PHONY: help demo test test-fast chaos verify format crd bench bench-operator clean

help:  ## this list
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 12

demo: $(VENV)/demo.installed  ## train and evaluate a small BERT on this machine (minutes)
	$(BIN)/lmjob run manifests/examples/quickstart.yaml

test: $(VENV)/test.installed  ## every test; with KUBECONFIG those of the cluster, too
	$(PYTEST)

test-fast: $(VENV)/test.installed  ## the tests that start no trainer
	$(PYTEST) -m "not slow and not demo and not cluster"

chaos: $(VENV)/test.installed  ## faults of saving and going on, at every place where they can strike
	LMJOB_CHAOS=full $(PYTEST) -m chaos

verify: $(VENV)/verify.installed  ## format, lint, types, import contracts
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports

format: $(VENV)/verify.installed  ## format the code and mend what can be mended
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

crd: $(VENV)/demo.installed  ## write manifests/crd, and the chart's copy, anew from the classes of the specification
	$(BIN)/python -m lmjob.crd > manifests/crd/.new
	mv manifests/crd/.new manifests/crd/lmtrainingjobs.yaml
	cp manifests/crd/lmtrainingjobs.yaml charts/lmjob-operator/files/

bench: $(VENV)/bench.installed  ## the trainer beside HF Trainer, in one run
	$(BIN)/python -m tests.benchmarks train

bench-operator: $(VENV)/test.installed  ## the operator beside a floor and a plain one; LMJOB_CLUSTER_TOOL makes the cluster
	$(BIN)/python -m tests.benchmarks operator

clean:  ## remove the virtual environment
	rm -rf $(VENV)

$(VENV)/bin/python:
	$(PYTHON) -m venv $(VENV)
	$(PIP) install --quiet --upgrade "pip>=25.1"

$(VENV)/demo.installed: $(VENV)/bin/python $(PROJECTS)
	$(INSTALL) --editable './trainer_image[train,s3,hf,datasets]' --editable './operator[local,operator]'
	touch $@

$(VENV)/test.installed: $(VENV)/demo.installed
	$(INSTALL) --group test
	touch $@

$(VENV)/verify.installed: $(VENV)/test.installed
	$(INSTALL) --group verify
	touch $@

$(VENV)/bench.installed: $(VENV)/test.installed
	$(INSTALL) --group bench
	touch $@
