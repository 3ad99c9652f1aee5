# What can be done here. `make help` lists it; everything sets up what it needs by itself.
.DEFAULT_GOAL := help
SHELL := /bin/sh
VENV = $(shell tools/venv)
PYTHON = $(VENV)/bin/python
TESTBED = python3 -m tests.testbed

.PHONY: help
help:  ## list the targets
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/\1\t\2/p' $(MAKEFILE_LIST) | expand -t 16

.PHONY: demo
demo:  ## a claim becomes a mounted volume before your eyes, on a real OpenStack and a real Kubernetes (KEEP=1 leaves them up)
	@$(PYTHON) -m tests.demo $(if $(KEEP),--keep)

.PHONY: demo-down
demo-down:  ## end what `make demo KEEP=1` left up
	@$(TESTBED) down

.PHONY: test
test: check test-unit test-real  ## everything: checks, unit, contract, csi-sanity and cluster tests

.PHONY: test-unit
test-unit:  ## the tests that need nothing but Python; seconds
	@$(PYTHON) -m pytest -q tests/unit

.PHONY: test-real
test-real:  ## contract, csi-sanity, host and cluster tests, on the test bed
	@$(PYTHON) -m tests.suite contract sanity host cluster

.PHONY: test-contract
test-contract:  ## the same cases on the fake and on the real OpenStack
	@$(PYTHON) -m tests.suite contract

.PHONY: sanity
sanity:  ## csi-sanity on the fake and on the real OpenStack
	@$(PYTHON) -m tests.suite sanity

.PHONY: test-cluster
test-cluster:  ## the driver in a real cluster
	@$(PYTHON) -m tests.suite cluster

.PHONY: bench
bench:  ## calls, times and memory, into build/bench.json
	@$(PYTHON) -m tests.bench

.PHONY: check
check:  ## style, types, architecture, generated files
	@$(VENV)/bin/ruff check -q . && $(VENV)/bin/ruff format -q --check .
	@$(VENV)/bin/mypy
	@$(VENV)/bin/lint-imports >/dev/null || $(VENV)/bin/lint-imports
	@$(VENV)/bin/deptry . >/dev/null 2>&1 || $(VENV)/bin/deptry .
	@$(PYTHON) proto/generate --check

.PHONY: format
format:  ## put everything into its form
	@$(VENV)/bin/ruff check -q --fix . ; $(VENV)/bin/ruff format -q .

.PHONY: lock
lock:  ## write the requirements files anew (UPGRADE=1: with the newest versions)
	@tools/lock

.PHONY: cache-clean
cache-clean:  ## drop what was downloaded and built
	@$(TESTBED) cache-clean
