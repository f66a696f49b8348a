# make demo          set up, and see golock run a program that nobody here wrote
# make test          set up, and pass all tests, Go and Python
# make bench         measure golock beside the interpreter's lock, and draw
# make conformance   compare golock with the interpreter, case by case
# make lint          every formatter and checker
#
# PYTHON names the interpreter; each version has a virtual environment of its own.

PYTHON ?= python3
GO ?= go
VERSION := $(shell $(PYTHON) -c 'import sys; print("%d.%d.%d" % sys.version_info[:3] + getattr(sys, "abiflags", ""))')
VENV := .venv/$(VERSION)
BIN := $(VENV)/bin
SOURCES := setup.py pyproject.toml go.mod go.sum $(wildcard golock/*.go golock/capi/*) \
	$(wildcard pyext/*.[ch] pyext/golock/*.py* pyext/golock/*/*.py pyext/golock/*/*.json)

.PHONY: demo test test-go test-python bench conformance lint format dist clean

demo: $(VENV)/golock
	$(BIN)/python -I -m golock info
	$(BIN)/python -I examples/demo.py
	$(BIN)/python -I -m golock bench --quick

test: test-go test-python

test-go:
	$(GO) vet ./...
	GOOS=darwin CGO_ENABLED=0 $(GO) vet ./golock
	GOOS=windows CGO_ENABLED=0 $(GO) vet ./golock
	$(GO) test ./...
	$(GO) test -tags golock_portable ./golock ./tests_go
	CGO_ENABLED=1 $(GO) test -race ./golock ./tests_go

test-python: $(VENV)/tests
	$(BIN)/python -m pytest
	GOLOCK_FASTPATH=0 $(BIN)/python -m pytest

conformance: $(VENV)/golock
	$(BIN)/python -I -m golock conformance

bench: $(VENV)/bench
	$(BIN)/python bench/run.py

lint: $(VENV)/lint
	test -z "$$(gofmt -l golock tests_go)" || { gofmt -d golock tests_go; exit 1; }
	$(GO) vet ./...
	$(GO) run honnef.co/go/tools/cmd/staticcheck@2025.1.1 ./...
	$(BIN)/clang-format --dry-run --Werror pyext/*.[ch] golock/capi/*.c bench/floor/*.c
	GOLOCK_WERROR=1 $(BIN)/python setup.py -q build_ext --force --build-lib build/lint --build-temp build/lint-temp
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	cd bench && MYPYPATH=../pyext ../$(BIN)/mypy --config-file= --strict --explicit-package-bases *.py
	$(BIN)/python -m mypy.stubtest golock --ignore-missing-stub

format: $(VENV)/lint
	gofmt -w golock tests_go
	$(BIN)/clang-format -i pyext/*.[ch] golock/capi/*.c bench/floor/*.c
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

dist: $(VENV)/lint
	$(BIN)/python -m build
	$(BIN)/auditwheel repair --wheel-dir wheelhouse dist/golock-*-cp$(subst .,,$(basename $(VERSION)))-*.whl

# The package as a user has it: built from the sources, installed into a virtual environment.
$(VENV)/golock: $(SOURCES)
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --force-reinstall --no-deps .
	touch $@

$(VENV)/tests: $(VENV)/golock tests_py/requirements.txt
	$(BIN)/python -m pip install --quiet -r tests_py/requirements.txt
	touch $@

$(VENV)/bench: $(VENV)/golock bench/requirements.txt
	$(BIN)/python -m pip install --quiet -r bench/requirements.txt
	touch $@

$(VENV)/lint: $(VENV)/tests $(VENV)/bench requirements-lint.txt
	$(BIN)/python -m pip install --quiet -r requirements-lint.txt
	touch $@

clean:
	rm -rf .venv build dist wheelhouse pyext/*.egg-info
