# ipcx: everything that people and CI run. `make help` lists it.

SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:

PYTHON ?= python3
VENV := .venv
VPY := $(VENV)/bin/python
LIB := target/release/libipcx.so
MINUTES ?= 30

export IPCX_PYTHON := $(CURDIR)/$(VPY)

.PHONY: help
help: ## this list
	@echo "ipcx needs Rust, gcc, make and Python 3.11 or later; what else it needs goes into this folder (and the caches of cargo and pip)."
	@grep -hE '^[a-z][a-z-]*:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## /\1\t/' | expand -t 16

$(VENV)/ready: requirements.txt
	@echo "== making a virtual environment in $(VENV)"
	$(PYTHON) -m venv $(VENV)
	$(VPY) -m pip install --quiet --upgrade pip
	$(VPY) -m pip install --quiet -r requirements.txt
	@touch $@

.PHONY: build
build: ## libipcx.so and libipcx.a (release), the header's library
	cargo build-c
	@$(PYTHON) scripts/notices > target/release/THIRD-PARTY

.PHONY: small
small: ## the same in target/small, smaller: Rust's standard library without what prints backtraces (needs the component rust-src)
	scripts/small

.PHONY: cli
cli: ## the ipcx command (release)
	cargo build --release --locked -p ipcx-cli
	@$(PYTHON) scripts/notices > target/release/THIRD-PARTY

# make passes on what it is given; scripts/install says what there is: PREFIX, DESTDIR, LIBDIR and the like.
.PHONY: install uninstall
install: ## copies libraries, header, command and manual pages, which `make build cli` made, to PREFIX= (/usr/local), below DESTDIR=
	@scripts/install

uninstall: ## removes them from there
	@scripts/install --uninstall

.PHONY: deb
deb: build cli ## Debian packages, in target/deb
	@scripts/deb

.PHONY: python
python: $(VENV)/ready ## the Python package, installed into .venv
	@env -u CONDA_PREFIX VIRTUAL_ENV=$(CURDIR)/$(VENV) $(VENV)/bin/maturin develop --release --locked --quiet 2>&1 | grep -vE '^(🐍|🔗|Looking|Ignoring|📦|✏|🛠|🍹|⚠️  Warning: `build-backend`)' || test $${PIPESTATUS[0]} -eq 0

.PHONY: demo
demo: build python ## C producer -> Rust stage, killed half-way -> Python consumer, on FILE= (default: libipcx.so)
	scripts/demo $(or $(FILE),$(LIB))

.PHONY: frames
frames: build python ## video frames through a pool, without a copy: C -> Rust, killed each second -> Python (FRAMES= options)
	scripts/frames $(FRAMES)

.PHONY: ticker
ticker: build python ## recorded prices to 50 subscribers in three languages, one of them stopped: who waits, and who knows (TICKER= options)
	scripts/ticker $(TICKER)

.PHONY: jobs
jobs: build python ## seats booked through a work queue: C, Python, Rust -> Python and Rust, killed again and again (JOBS= options)
	scripts/jobs $(JOBS)

.PHONY: fraud
fraud: build python ## card payments checked by two Python servers that are killed in turn, for C clients with deadlines (FRAUD= options)
	scripts/fraud $(FRAUD)

TESTS := test-rust test-cli test-c test-install test-deb test-abi test-old test-python test-cross test-demo loom

.PHONY: test
test: ## all tests of all languages
	@mkdir -p target; { ls -A /dev/shm /dev/mqueue 2>/dev/null || true; } | sort > target/before
	@$(MAKE) --no-print-directory $(TESTS)
	@# The directory of a test whose process lives is another run's.
	@left=$$({ ls -A /dev/shm /dev/mqueue 2>/dev/null || true; } | sort | comm -13 target/before - | grep ipcx \
		| while read -r name; do pid=$$(echo "$$name" | sed -nE 's/^ipcx-tests-([0-9]+)-[0-9]+$$/\1/p'); \
			[ -n "$$pid" ] && [ -d "/proc/$$pid" ] || echo "$$name"; done || true); \
	if [ -n "$$left" ]; then echo "left in shared memory: $$left" >&2; exit 1; fi; \
	echo "every test passed, and nothing is left in /dev/shm"

.PHONY: test-rust test-cli test-c test-install test-deb test-abi test-old test-python test-mp test-cross test-demo
test-rust: ## core: unit, integration and documentation tests
	cargo test --locked -p ipcx

test-cli: ## the ipcx command, and the benchmarks behind it
	cargo test --locked -p ipcx-bench -p ipcx-cli

test-c: build ## the C library, against the header, shared and static
	tests/c/run

test-install: build cli $(VENV)/ready ## installing, and programs built outside with pkg-config and CMake
	IPCX_CMAKE=$(CURDIR)/$(VENV)/bin/cmake \
		IPCX_PKG_CONFIG=$$(command -v pkg-config || echo $(CURDIR)/$(VENV)/bin/pkgconf) tests/install/run

test-deb: build cli ## the Debian packages: lintian, installing, removing
	tests/deb/run

test-abi: ## that scripts/check-types notices each change that breaks programs
	tests/abi/run

test-old: build ## that an older library and this one talk, or refuse each other
	tests/old/run

test-python: build python ## the Python package, and the examples of frames, prices, bookings and payments
	cargo build --quiet --release --locked -p ipcx --example frames_filter --example ticker_watch --example jobs_push --example jobs_work
	$(VPY) -m pytest -q python/tests

test-mp: python ## CPython's own tests of multiprocessing on ipcx.mp, under fork, spawn and forkserver
	IPCX_START_METHODS="fork spawn forkserver" $(VPY) -m pytest -q python/tests/test_mp_cpython.py

test-cross: build python ## C, Python and Rust on one segment; kills; liveness
	cargo test --locked --profile proofs -p ipcx-tests

test-demo: build python ## the demonstration
	scripts/demo $(LIB)

.PHONY: wheels test-wheels
$(VENV)/wheels: requirements-wheels.txt $(VENV)/ready
	$(VPY) -m pip install --quiet -r requirements-wheels.txt
	@touch $@

wheels: $(VENV)/wheels ## dist/: a wheel for other Linux systems (glibc 2.28 and later), with the ipcx command, and the source
	scripts/wheels $(VPY)

PYTHONS ?= $(PYTHON)
test-wheels: wheels ## the wheel where there is no Rust, under each of PYTHONS=; and that its source builds
	tests/wheels/run $(PYTHONS)

.PHONY: loom
loom: ## models of the protocols under the loom checker
	scripts/models

.PHONY: check
check: build python ## formatting, lints, header and stub drift, licences, ABI, instruction counts, that mutants still apply
	cargo fmt --all --check
	cargo clippy --locked --workspace --all-targets -- -D warnings
	RUSTDOCFLAGS="-D warnings" cargo doc --locked --no-deps -p ipcx --quiet
	scripts/check-rooms
	scripts/check-header
	scripts/check-abi
	scripts/check-types
	scripts/check-instructions
	scripts/mutants --list > target/mutants.list
	$(VPY) scripts/check-licences
	PATH="$(CURDIR)/$(VENV)/bin:$$PATH" scripts/check-python

.PHONY: check-publish semver
check-publish: ## what crates.io would get of core: complete, and a program elsewhere builds with it (asks the registry)
	scripts/check-publish

semver: ## whether core's interface is compatible with that of the last release, or of BASELINE= (installs cargo-semver-checks)
	scripts/semver

.PHONY: bench bench-peers
bench: build ## ipcx against its floors and its targets (BENCH= options); to compare mechanisms: ipcx bench
	cargo build --release --locked -p ipcx-bench
	$(MAKE) --silent -C bench/c
	target/release/ipcx-bench $(BENCH)

bench-peers: build python ## the same beside rtrb, iceoryx2, boost, ZeroMQ and Python's queues, which it fetches (BENCH= options)
	cargo build --release --locked -p ipcx-bench --features peers
	bench/peers
	target/release/ipcx-bench --only peers: --json target/peers/peers.json --markdown target/peers/peers.md $(BENCH)

.PHONY: mutants sanitize valgrind fuzz compare
mutants: build python ## seeded faults, each of which a test must catch (MUTANTS= names)
	scripts/mutants $(MUTANTS)

sanitize: build python ## the tests under ThreadSanitizer and AddressSanitizer
	scripts/sanitize thread
	scripts/sanitize address

valgrind: build ## the C examples and tests under valgrind
	scripts/valgrind

fuzz: ## the six fuzz targets, one after the other, SECONDS= each (60)
	scripts/fuzz all $(or $(SECONDS),60)

compare: build python ## what the same killing does to other queues, KILLS= each (50; docs/comparison.md)
	tests/compare/run $(or $(KILLS),50)

.PHONY: soak
soak: build python ## the long proofs, for MINUTES= (30) and some 20 more; KEEP=1 keeps their table in docs/reliability.md
	scripts/soak $(if $(KEEP),--keep) $(MINUTES)

.PHONY: format
format: ## formats everything
	cargo fmt --all

.PHONY: clean
clean: ## removes what was built
	cargo clean
	rm -rf $(VENV) build dist ipcx._ipcx.data
