# The one front of the project. `make help` lists the targets; continuous integration calls the same.
SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
MAKEFLAGS += --no-print-directory
export PATH := $(CURDIR)/.venv/bin:$(PATH)

ZIWA := build/release/ziwa
PYTHON := .venv/bin/python
PHASE := tools/phase

.DEFAULT_GOAL := help
.PHONY: help demo test up bench bench-report fmt lint build binary setup uninstall clean

help: ## show this list
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/  make \1|\2/p' Makefile | awk -F"|" "{ printf \"%-18s %s\\n\", \$$1, \$$2 }"

demo: binary ## run the main job: three million flights from producer to answer (CRASH=1: two kills; SEED=, FORMAT=avro)
	@$(PYTHON) examples/flights/demo.py --binary $(ZIWA) $(if $(CRASH),--crash) $(if $(SEED),--seed $(SEED)) \
	  $(if $(FORMAT),--format $(FORMAT))

test: setup ## build and run every test: unit, sanitizers and fuzz, end to end (ARGS= for pytest)
	@$(PYTHON) tools/run_tests.py $(ARGS)

up: binary ## start the example project and leave it running, data in .ziwa (SET="doors.http.port=8081 ...")
	@$(PYTHON) examples/flights/up.py --binary $(ZIWA) $(foreach pair,$(SET),--set $(pair))

bench: binary ## run the benchmarks (ONLY=name for one); figures go to bench/results/*.jsonl
	@PYTHON=$(PYTHON) tools/bench $(ONLY)

bench-report: setup ## render bench/results/*.jsonl as docs/benchmarks.md
	@$(PYTHON) tools/bench_report.py

fmt: setup ## format the C++ sources
	@tools/lint --fix-format

lint: setup ## check format, clang-tidy on changed files (ALL=1: on all) and the tidy test
	@$(PHASE) "configure" cmake --preset release
	@tools/lint $(if $(ALL),--all)
	@$(PYTHON) tools/tidy.py

build: setup ## build everything (release)
	@$(PHASE) "configure" cmake --preset release
	@$(PHASE) "build" cmake --build --preset release

# Only the program, for targets that run it.
binary: setup
	@$(PHASE) "configure" cmake --preset release
	@$(PHASE) "build ziwa" cmake --build --preset release --target ziwa

setup: ## install what is missing (says first what, how much, and how to undo it)
	@tools/setup

uninstall: ## undo setup: the apt packages it brought, ~/.cache/ziwa, .venv, build
	@tools/uninstall

clean: ## remove build
	@rm -rf build
