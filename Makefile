# Every target installs the Debian packages that it needs (as root), or says what is missing and how to get it.
# What upstream provides is built once, from Go modules and Debian packages, into target/assets, or into the folder STEERSMAN_ASSETS.

NODES ?= 2
USE ?=
# Rust profile of the programs that the end-to-end tests run: what ships. `fast` builds anew in a part of the time; its programs
# are larger than the bounds of `make conformance`.
TEST_PROFILE ?= release
# End-to-end tests, by file name in e2e/tests: all of them.
E2E ?= $(basename $(notdir $(wildcard e2e/tests/*.rs)))

TARGET := $(or $(CARGO_TARGET_DIR),target)
ASSETS := $(or $(STEERSMAN_ASSETS),target/assets)
NEED := ./e2e/need.sh
# Where the installation guides of Go and Rust put them, for a shell that was never told.
export PATH := $(PATH):/usr/local/go/bin:$(HOME)/.cargo/bin

.PHONY: help build assets up down test lint unit e2e conformance clean

help:
	@echo "make build    kubelet, kube-scheduler, kube-proxy, kube-controller-manager and rig, in $(TARGET)/release"
	@echo "make up       a cluster on this machine: NODES=2, USE=kubelet=upstream,... (everything ours by default)"
	@echo "make down     ends it"
	@echo "make assets   what a cluster needs from upstream; make up does it too"
	@echo "make test     lint, unit and integration tests, end-to-end tests, upstream's conformance tests:"
	@echo "              or each alone, make lint unit e2e conformance"

build:
	$(NEED) cargo
	cargo build --release --workspace --bins

assets:
	$(NEED) cargo go images
	cargo build --release -p e2e --bins
	$(TARGET)/release/rig assets

up: build
	$(NEED) go images rig
	$(TARGET)/release/rig up --nodes $(NODES) $(if $(USE),--use $(USE))

down:
	@[ -x $(TARGET)/release/rig ] || { echo "no $(TARGET)/release/rig: make build first"; exit 1; }
	$(TARGET)/release/rig down

test: lint unit e2e conformance

lint:
	$(NEED) cargo
	cargo fmt --all --check
	cargo clippy --workspace --all-targets -- -D warnings

# Some tests of single crates run against upstream's etcd and kube-apiserver, and beside its manager and scheduler. All programs
# are built, as for what comes after: rig alone, with features of its own, would be built twice.
unit:
	$(NEED) cargo go
	cargo build --profile $(TEST_PROFILE) --workspace --bins
	$(TARGET)/$(TEST_PROFILE)/rig assets etcd kube-apiserver kube-controller-manager kube-scheduler
	KUBEBUILDER_ASSETS=$(abspath $(ASSETS)/bin) cargo test --workspace --exclude e2e --no-fail-fast
	cargo test -p e2e --lib --bins

e2e:
	$(NEED) cargo go images rig
	cargo build --profile $(TEST_PROFILE) --workspace --bins
	$(TARGET)/$(TEST_PROFILE)/rig assets
	STEERSMAN_BIN=$(abspath $(TARGET)/$(TEST_PROFILE)) cargo test -p e2e --no-fail-fast $(E2E:%=--test %) -- --test-threads=1; \
	outcome=$$?; $(TARGET)/$(TEST_PROFILE)/rig --state target/rig-e2e down; exit $$outcome

# What each program weighs, against its bounds; then upstream's conformance tests that e2e/conformance/passing.txt names.
conformance:
	$(NEED) cargo go images rig
	cargo build --profile $(TEST_PROFILE) --workspace --bins
	$(TARGET)/$(TEST_PROFILE)/rig assets conformance
	rig="$(TARGET)/$(TEST_PROFILE)/rig --state target/rig-conformance"; \
	$$rig up && $$rig bench size --check --rounds 1 --page target/size.md && $$rig conformance --check; \
	outcome=$$?; $$rig down; exit $$outcome

clean:
	cargo clean
