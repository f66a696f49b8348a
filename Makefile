# make demo          set up, compare calls and threaded programs without golock and on it, and
#                    find a deadlock and a slow lock
# make check         formatters, linters, and the quick tests, in a minute
# make test          set up, and pass all tests on one interpreter, Go and Python
# make test-all      the same with and without the fast path, all models, and every interpreter
#                    found here
# make verify        check the protocol's models, and that every fault seeded in them is found
# make verify-all    the same with the largest searches, a quarter of an hour
# make litmus        threads against each other, for each memory order that the protocol relies on;
#                    and the instructions for it in the machine code for arm64
# make limits        print what keeps the core away, and how threads wait then
# make soak          the models and the long form of the stress tests, half an hour; prints totals
# make bench         measure golock beside the interpreter's own, and draw
# make bench-go      the same for goroutines, beside sync.Mutex, a channel and semaphore.Weighted
# make conformance   compare golock with the interpreter, case by case; and the interpreter's own
#                    tests without golock and on it, test by test (some minutes)
# make test-suites   the same with other projects' tests: gevent, trio, anyio, urllib3 (half an
#                    hour)
# make lint          every formatter and checker
# make wheels        build the wheels of all interpreters and processors into wheelhouse
# make test-wheels   install each wheel into a bare Debian with its own Python; prints a table
# make test-install  the same, and install golock as users do, in bare Debian systems
# make test-arm64    the unit tests, the litmus programs and 100 forks on arm64, under qemu-user
# make release       VERSION=1.2.3: check, build, and tag a release; uploads nothing. With TAGGED=1
#                    the tag has been made
#
# make browser              get what the tests of the page need: Debian's chromium, and playwright
# make gopy                 build examples/gopy_counter, and the Go side of the tests, with gopy
# make free-threaded        build a CPython without a GIL, from Debian's source package
# make test-free-threaded   pass all Python tests with it
# make etcd                 build golock-etcd, and get Debian's etcd for the tests
# make test-etcd            pass the tests of golock.etcd, on real servers
# make test-tsan            look for data races in the extension with ThreadSanitizer
#
# PYTHON names the interpreter; each version has a virtual environment of its own.

PYTHON ?= python3
GO ?= go
PYTHON_VERSION := $(shell $(PYTHON) -c 'import sys; \
	print("%d.%d.%d" % sys.version_info[:3] + getattr(sys, "abiflags", ""))')
VENV := .venv/$(PYTHON_VERSION)
BIN := $(VENV)/bin
GO_SOURCES := golock internal examples tests_go tests_py
# The examples and the Go side of the Python tests are modules of their own, so that golock does not
# require gopy; so are the locks in etcd, and their tests, which contain a server.
GO_MODULES := . examples tests_py/go golock/etcd tests_go/etcd
STATICCHECK := honnef.co/go/tools/cmd/staticcheck@v0.6.1
NATIVE := $(sort $(wildcard pyext/native/*.[ch] pyext/native/*/*.[ch]))
C_SOURCES := $(NATIVE) $(wildcard golock/capi/*.[ch] golock/capi/libgolock/*.c \
	golock/etcd/libgolock_etcd/*.c bench/floor/*.c tests_py/go/*.c tests_py/stress/*.c \
	protocol/litmus/*.[ch])
SPIN := $(or $(shell command -v spin),$(CURDIR)/build/spin/usr/bin/spin)
SOURCES := setup.py pyproject.toml go.mod go.sum $(NATIVE) \
	$(wildcard golock/*.go internal/*/*.go golock/capi/*.* golock/capi/libgolock/*) \
	$(wildcard pyext/backend/*.py) \
	$(wildcard pyext/golock/*.py* pyext/golock/*/*.py pyext/golock/*/*.json pyext/golock/*/page/*)

.PHONY: demo check test test-all test-go etcd test-etcd test-etcd-with-server test-python \
	test-oldest test-newest test-slow-path verify verify-all litmus limits soak \
	browser gopy free-threaded test-free-threaded test-tsan test-suites bench bench-go \
	conformance lint format wheels test-wheels test-install test-install-quick \
	test-arm64 release clean

demo: $(VENV)/golock
	$(BIN)/python -I -m golock --version
	$(BIN)/python -I -m golock bench --quick
	$(BIN)/python -I examples/demo.py

test: test-go
	$(MAKE) browser || echo "no browser: the tests of the page are skipped"
	$(MAKE) test-python

test-go:
	for module in $(GO_MODULES); do $(GO) -C $$module vet ./... || exit 1; done
	GOOS=darwin CGO_ENABLED=0 $(GO) vet ./golock ./internal/...
	GOOS=windows CGO_ENABLED=0 $(GO) vet ./golock ./internal/...
	GOARCH=386 CGO_ENABLED=0 $(GO) vet ./golock ./internal/...
	$(GO) test ./...
	$(GO) test -tags golock_portable ./golock ./internal/... ./tests_go
	CGO_ENABLED=1 $(GO) test -race ./golock ./internal/... ./tests_go

# The stress tests have the machine for themselves. The others run side by side, twice as many as
# there are cores: they often wait.
STRESS ?= tests_py/stress
SELECT ?=
SIDE_BY_SIDE := -n 4 --dist loadfile

test-python: $(VENV)/tests
	$(BIN)/python -m pytest $(SIDE_BY_SIDE) $(SELECT) --ignore=tests_py/stress
	test -z "$(STRESS)" || $(BIN)/python -m pytest $(STRESS)

ETCD_SERVER := $(CURDIR)/build/etcd-server/usr/bin/etcd

etcd: $(VENV)/etcd $(ETCD_SERVER)

$(ETCD_SERVER):
	tests_py/debian.sh build/etcd-server etcd-server

test-etcd: $(VENV)/tests
	@if $(MAKE) --silent $(ETCD_SERVER) >/dev/null 2>&1; then $(MAKE) test-etcd-with-server; \
	else echo "no etcd-server of Debian: the tests of golock.etcd are skipped"; fi

test-etcd-with-server: $(VENV)/etcd
	$(GO) -C golock/etcd test ./...
	$(GO) -C tests_go/etcd test -timeout 30m ./...
	GOLOCK_ETCD=$(ETCD_SERVER) GOLOCK_FAULTS=20 $(GO) -C tests_go/etcd test -run OfProcesses ./...
	$(BIN)/python -m pytest tests_py/cluster

# What the sources promise to be built with: the oldest Go and setuptools, and the newest
# setuptools. The Go of this machine builds everything else.
EDGES := $(CURDIR)/build/edges

test-oldest:
	GOTOOLCHAIN=go1.24.0 $(GO) test -count=1 -run Example ./golock
	GOTOOLCHAIN=go1.24.0 $(GO) build -buildmode=c-shared -o $(EDGES)/core.so ./golock/capi/libgolock
	$(call INSTALL_WITH,setuptools==77.0.3)

test-newest:
	$(call INSTALL_WITH,setuptools)

define INSTALL_WITH
	rm -rf $(EDGES)/venv && $(PYTHON) -m venv $(EDGES)/venv
	$(EDGES)/venv/bin/python -m pip install --quiet --upgrade $(1)
	$(EDGES)/venv/bin/python -c 'import setuptools; print("setuptools", setuptools.__version__)'
	$(EDGES)/venv/bin/python -m pip install --quiet --no-build-isolation --no-deps .
	$(EDGES)/venv/bin/python -I -m golock --version
endef

# Every operation goes through the slow path.
PRIMITIVES := $(patsubst %,tests_py/unit/test_%.py,lock rlock condition event semaphore barrier \
	fork signals exit sharing waiting_without_the_core)

test-slow-path: $(VENV)/tests
	GOLOCK_FASTPATH=0 $(BIN)/python -m pytest $(SIDE_BY_SIDE) $(PRIMITIVES)

test-all: test verify-all lint
	GOLOCK_FASTPATH=0 $(BIN)/python -m pytest $(SIDE_BY_SIDE) --ignore=tests_py/stress \
		--ignore=tests_py/programs/test_packaging.py --ignore=tests_py/unit/test_bench.py
	GOLOCK_FASTPATH=0 $(BIN)/python -m pytest tests_py/stress
	.ci/interpreters

check: $(VENV)/lint lint
	$(GO) test ./golock/... ./internal/...
	$(BIN)/python -m pytest -n 4 --dist worksteal -m "not slow" tests_py/unit tests_py/regressions

verify: $(SPIN)
	SPIN=$(SPIN) $(PYTHON) protocol/verify.py

verify-all: $(SPIN)
	SPIN=$(SPIN) $(PYTHON) protocol/verify.py --all

litmus: $(VENV)/release
	$(BIN)/python protocol/litmus.py
	GO=$(GO) $(BIN)/python protocol/orders.py

limits: $(VENV)/golock
	$(BIN)/python tests_py/limits.py

soak: $(VENV)/tests $(SPIN)
	SPIN=$(SPIN) GO=$(GO) $(BIN)/python tests_py/soak.py

# Debian's package, unpacked where it harms nobody.
$(CURDIR)/build/spin/usr/bin/spin:
	rm -rf build/spin && mkdir -p build/spin
	cd build/spin && { apt-get -qq download spin || \
		{ apt-get -qq update && apt-get -qq download spin; } } && dpkg-deb --extract spin_*.deb .

CHROMIUM := $(or $(shell command -v chromium),$(CURDIR)/build/chromium/chromium)

browser: $(CHROMIUM) $(VENV)/browser

$(CURDIR)/build/chromium/chromium:
	tests_py/chromium.sh build/chromium

FREE_THREADED := build/free-threaded
TSAN := $(CURDIR)/build/tsan
TSAN_SUPPRESSIONS := $(CURDIR)/$(FREE_THREADED)/source/Tools/tsan/suppressions_free_threading.txt

free-threaded:
	tests_py/free_threaded.sh plain $(FREE_THREADED)

test-free-threaded: export PYTHON_GIL = 0
test-free-threaded: free-threaded
	$(FREE_THREADED)/plain/bin/python3.13t -c 'import sys; assert not sys._is_gil_enabled()'
	$(MAKE) test-python PYTHON=$(FREE_THREADED)/plain/bin/python3.13t

# pip and the compiler's driver would take minutes under ThreadSanitizer, so the plain interpreter
# builds. Older sanitizers cannot bear the address randomization of recent kernels.
test-tsan: $(TSAN)/requirements
	tests_py/free_threaded.sh tsan $(FREE_THREADED)
	rm -rf $(TSAN)/reports && mkdir -p $(TSAN)/reports
	cat $(TSAN_SUPPRESSIONS) tests_py/data_races.suppressions > $(TSAN)/suppressions
	CFLAGS="-fsanitize=thread -g" LDFLAGS=-fsanitize=thread PYTHONPATH=$(TSAN)/packages \
		$(FREE_THREADED)/plain/bin/python3.13t setup.py -q build \
		--build-base $(TSAN)/build --build-lib $(TSAN)/packages --build-temp $(TSAN)/build
	PYTHONPATH=$(TSAN)/packages PYTHON_GIL=0 \
		TSAN_OPTIONS="suppressions=$(TSAN)/suppressions log_path=$(TSAN)/reports/race exitcode=0" \
		setarch --addr-no-randomize $(FREE_THREADED)/tsan/bin/python3.13t -m pytest \
		$(addprefix tests_py/unit/test_,$(addsuffix .py,lock rlock condition semaphore event barrier)) \
		--deselect tests_py/stress/test_threads.py::test_threads_come_and_go_while_contending \
		$(addprefix tests_py/stress/,test_threads.py test_timeouts.py test_data_races.py) \
		$(addprefix tests_py/stress/,test_sight_holders.py test_sight_switching.py) \
		$(addprefix tests_py/unit/,test_sight.py test_sight_order.py)
	$(FREE_THREADED)/plain/bin/python3.13t tests_py/data_races.py $(TSAN)/reports \
		$(TSAN)/packages/golock/_golock.*.so

$(TSAN)/requirements: tests_py/requirements.txt | free-threaded
	$(FREE_THREADED)/plain/bin/python3.13t -m pip install --quiet --upgrade --target $(TSAN)/packages \
		setuptools -r tests_py/requirements.txt
	touch $@

conformance: $(VENV)/golock
	$(BIN)/python -I -m golock conformance
	$(BIN)/python -I -m golock conformance --standard-library

test-suites:
	$(PYTHON) tests_py/programs/suites.py

bench: $(VENV)/bench
	$(BIN)/python bench/run.py

# Each round measures all, so that what the machine does meanwhile comes to all alike.
BENCHSTAT := $(GO) run golang.org/x/perf/cmd/benchstat@v0.0.0-20260908200009-22c9c6c9d4da
BENCH_ROUNDS ?= 8

bench-go:
	mkdir -p bench/results
	$(GO) test -c -o build/tests_go.test ./tests_go
	for round in $$(seq $(BENCH_ROUNDS)); do \
		build/tests_go.test -test.run '^$$' -test.bench . -test.benchtime 200ms || exit 1; \
	done > bench/results/go.txt
	$(BENCHSTAT) -filter '.name:Uncontended OR .name:Contended' \
		-col '/lock@(sync.Mutex golock channel Weighted)' bench/results/go.txt
	$(BENCHSTAT) -filter '.name:Uncontended /lock:golock' -col /call bench/results/go.txt
	$(BENCHSTAT) -filter .name:Cancelled bench/results/go.txt

lint: $(VENV)/lint
	test -z "$$(gofmt -l $(GO_SOURCES))" || { gofmt -d $(GO_SOURCES); exit 1; }
	for module in $(GO_MODULES); do \
		$(GO) -C $$module vet ./... && $(GO) -C $$module run $(STATICCHECK) ./... || exit 1; \
	done
	$(BIN)/python examples/embed/cgo.py $(GO) -C examples vet ./embed
	$(BIN)/python examples/embed/cgo.py $(GO) -C examples run $(STATICCHECK) ./embed
	$(GO) vet -tags golock_warnings ./golock/capi/...
	$(BIN)/clang-format --dry-run --Werror $(C_SOURCES)
	$(BIN)/python pyext/native/layers.py
	PYTHONPATH=pyext $(BIN)/lint-imports --no-cache
	GOLOCK_WERROR=1 $(BIN)/python setup.py -q build_ext --force --build-lib build/lint \
		--build-temp build/lint-temp
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	cd bench && MYPYPATH=../pyext ../$(BIN)/mypy --config-file= --strict --explicit-package-bases *.py
	$(BIN)/python -m mypy.stubtest golock --ignore-missing-stub --allowlist stubtest-allowlist.txt

format: $(VENV)/lint
	gofmt -w $(GO_SOURCES)
	$(BIN)/clang-format -i $(C_SOURCES)
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

# Cross-compiled: they need no other interpreters, and no containers.
wheels: $(VENV)/release
	rm -rf wheelhouse
	$(BIN)/python pyext/backend/wheels.py --output wheelhouse
	$(BIN)/python pyext/backend/etcd.py --output wheelhouse --target x86_64 --target aarch64
	$(BIN)/python pyext/backend/check_wheels.py wheelhouse

# As root: the systems are made by debootstrap, in build/bare.
REPEAT ?= 1

test-install: test-wheels
	$(BIN)/python tests_py/installations.py --repeat $(REPEAT)

test-install-quick: $(VENV)/release
	rm -rf build/quick
	$(BIN)/python pyext/backend/wheels.py --target cp313-cp313-$$(uname -m) --output build/quick
	$(BIN)/python pyext/backend/check_wheels.py build/quick
	$(BIN)/python tests_py/installations.py --quick --wheels build/quick

test-wheels: wheels free-threaded
	for version in 3.14 3.15; do \
		tests_py/free_threaded.sh plain $(FREE_THREADED)/$$version $$version || true; \
	done
	$(BIN)/python tests_py/wheel_installations.py

# As root. It installs what it needs by apt-get, and takes 35 min on 2 CPUs.
test-arm64: $(VENV)/release
	tests_py/arm64.sh $(BIN)/python $(ARM64_TESTS)

release: $(VENV)/release
	$(BIN)/python pyext/backend/release.py $(if $(TAGGED),--tagged) $(VERSION)

# The package as a user has it: built from the sources, installed into a virtual environment.
$(VENV)/golock: $(SOURCES)
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --force-reinstall --no-deps .
	touch $@

$(VENV)/etcd: $(VENV)/golock pyext/golock_etcd/__init__.py \
		$(wildcard golock/etcd/go.* golock/etcd/*.go golock/etcd/*/*.* golock/etcd/internal/*/*)
	rm -rf build/etcd-wheel
	$(BIN)/python pyext/backend/etcd.py --output build/etcd-wheel
	$(BIN)/python -m pip install --quiet --force-reinstall --no-deps build/etcd-wheel/*.whl
	touch $@

# gopy builds the example and the Go side of the tests into one Python package, so that both have
# one Go runtime. It writes into the module that requires both, to a folder that ./... does not
# match. An extension gets the interpreter's symbols from the process. gopy would link libpython,
# which may be an archive, and so a second interpreter; -lc stands in its place.
GOPY_SOURCES := $(wildcard examples/go.* examples/gopy_counter/*.go) \
	$(wildcard tests_py/go/go.* tests_py/go/gopy_peer/*.go)
GOPY_OUTPUT := tests_py/go/_gopy/$(PYTHON_VERSION)
PATH_OF = $$($(CURDIR)/$(BIN)/python -c 'import sysconfig; print(sysconfig.get_path("$(1)"))')

gopy: $(VENV)/gopy

$(VENV)/gopy: build/tools/gopy examples/gopy_counter/requirements.txt $(GOPY_SOURCES) \
		$(wildcard golock/*.go internal/*/*.go golock/capi/*.*) | $(VENV)/golock
	$(BIN)/python -m pip install --quiet -r examples/gopy_counter/requirements.txt
	rm -rf $(GOPY_OUTPUT)
	cd tests_py/go && PATH="$(CURDIR)/build/tools:$(dir $(shell command -v $(GO))):$$PATH" \
		GOFLAGS=-buildvcs=false \
		GOPY_INCLUDE="$(call PATH_OF,include)" GOPY_LIBDIR=/usr/lib GOPY_PYLIB=c \
		gopy build -no-make -symbols=false -vm="$(CURDIR)/$(BIN)/python" -name=gopy_counter \
		-output="$(CURDIR)/$(GOPY_OUTPUT)/gopy_counter" \
		github.com/golock/golock/examples/gopy_counter ./gopy_peer
	rm -rf "$(call PATH_OF,purelib)/gopy_counter"
	mv $(GOPY_OUTPUT)/gopy_counter "$(call PATH_OF,purelib)"
	touch $@

# gopy calls goimports.
build/tools/gopy: examples/go.mod examples/go.sum
	GOBIN="$(CURDIR)/build/tools" $(GO) -C examples install tool
	touch $@

# A Go program that embeds the interpreter; an empty file where there is no libpython.
$(VENV)/embed: $(VENV)/golock examples/go.mod examples/go.sum $(wildcard examples/embed/*)
	$(BIN)/python examples/embed/cgo.py \
		$(GO) -C examples build -buildvcs=false -o $(CURDIR)/$@ ./embed
	touch $@

$(VENV)/tests: $(VENV)/golock $(VENV)/gopy $(VENV)/embed tests_py/requirements.txt \
		tests_py/requirements-loops.txt \
		tests_py/programs/requirements.txt tests_py/programs/requirements-wheels.txt
	$(BIN)/python -m pip install --quiet -r tests_py/requirements.txt
	$(BIN)/python -m pip install --quiet --no-deps -r tests_py/programs/requirements.txt
	$(BIN)/python -m pip install --quiet --no-deps --only-binary :all: \
		-r tests_py/programs/requirements-wheels.txt \
		|| echo "no gevent and no eventlet for this interpreter"
	$(BIN)/python -m pip install --quiet --only-binary :all: -r tests_py/requirements-loops.txt \
		|| echo "no uvloop for this interpreter"
	touch $@

$(VENV)/browser: tests_py/programs/requirements-browser.txt | $(VENV)/tests
	$(BIN)/python -m pip install --quiet --only-binary :all: \
		-r tests_py/programs/requirements-browser.txt
	touch $@

$(VENV)/bench: $(VENV)/golock $(VENV)/gopy bench/requirements.txt bench/requirements-plots.txt
	$(BIN)/python -m pip install --quiet -r bench/requirements.txt
	$(BIN)/python -m pip install --quiet --only-binary :all: -r bench/requirements-plots.txt \
		|| echo "no plots: matplotlib has no wheel for this interpreter"
	touch $@

$(VENV)/lint: $(VENV)/tests $(VENV)/bench requirements-lint.txt
	$(BIN)/python -m pip install --quiet -r requirements-lint.txt
	touch $@

$(VENV)/release: requirements-release.txt
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet -r requirements-release.txt
	touch $@

clean:
	rm -rf .venv build dist wheelhouse pyext/*.egg-info tests_py/go/_gopy
