# `make demo` and `make test` work on a new machine: they install what they need. A change must also pass `make lint`.
# Everything is built in the release profile, because the dependencies take long to build and should be built once. The build
# folder is outside the clone, so a second clone uses it again. CARGO_TARGET_DIR names another folder.
SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help

CACHE ?= $(or $(XDG_CACHE_HOME),$(HOME)/.cache)/softstake
export CARGO_TARGET_DIR ?= $(CACHE)/target
TOOLS := $(CACHE)/tools
DENY_VERSION := 0.20.2
DENY := $(TOOLS)/bin/cargo-deny
MDBOOK_VERSION := 0.5.4
MDBOOK := $(TOOLS)/mdbook-$(MDBOOK_VERSION)/bin/mdbook
LINKCHECKER := $(TOOLS)/linkchecker-$(shell sha256sum site/requirements.txt | cut -c1-8)
# RocksDB is built by deploy/rocksdb.sh, in three minutes; its crate alone takes over twenty. The folder's name has the crate's
# version and a hash of rocksdb.sh, so another of either is another folder. Elsewhere than on Linux the crate builds it.
ifeq ($(shell uname -s),Linux)
ROCKSDB := $(CACHE)/rocksdb/$(shell sed -n '/^name = "librocksdb-sys"$$/{n;s/^version = "\(.*\)"$$/\1/p}' Cargo.lock)-$(shell sha256sum deploy/rocksdb.sh | cut -c1-8)
export ROCKSDB_LIB_DIR ?= $(ROCKSDB)
export ROCKSDB_STATIC ?= 1
endif
COMPOSE_VERSION := v2.40.3
ACTIONLINT_VERSION := v1.7.12
HELM_VERSION := v4.3.1
KUBECONFORM_VERSION := v0.8.0
ACTIONLINT := $(TOOLS)/bin/actionlint-$(ACTIONLINT_VERSION)
HELM := $(TOOLS)/bin/helm-$(HELM_VERSION)
KUBECONFORM := $(TOOLS)/bin/kubeconform-$(KUBECONFORM_VERSION)
export COMPOSE ?= $(TOOLS)/bin/docker-compose
SUDO := $(shell [ "$$(id -u)" = 0 ] || command -v sudo)
INSTALL := $(SUDO) env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq

.PHONY: help own-sources setup test-setup build build-all demo test lint advisories fmt bench kill-test chaos-test alerts-test compose-test deploy-lint-setup deploy-lint dist-setup dist dist-test site clean
help: ## list the targets
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## /make \1\t/' | expand -t 20

# Cargo tells by the times of files whether a build is of these sources. Another clone's build may be newer than the files here.
own-sources:
	@mkdir -p "$(CARGO_TARGET_DIR)"; \
	if [ "$$(cat "$(CARGO_TARGET_DIR)/clone" 2>/dev/null)" != "$(CURDIR)" ]; then \
	  find benches examples src tests -name '*.rs' -exec touch {} +; echo "$(CURDIR)" >"$(CARGO_TARGET_DIR)/clone"; \
	fi

setup: own-sources ## install the system packages for the build, and build RocksDB
	@packages=""; \
	command -v cc >/dev/null && command -v c++ >/dev/null && command -v make >/dev/null || packages="$$packages build-essential"; \
	ldconfig -p | grep -q 'libclang[-.]' || ls /usr/lib/llvm-*/lib/libclang*.so* >/dev/null 2>&1 || packages="$$packages libclang-dev"; \
	command -v clang++ >/dev/null && ls /usr/lib/llvm-*/lib/clang/*/include/stddef.h >/dev/null 2>&1 || packages="$$packages clang"; \
	command -v pkg-config >/dev/null || packages="$$packages pkg-config"; \
	command -v python3 >/dev/null || packages="$$packages python3"; \
	for library in libssl:libssl-dev libcurl:libcurl4-openssl-dev zlib:zlib1g-dev; do \
	  pkg-config --exists "$${library%%:*}" 2>/dev/null || packages="$$packages $${library##*:}"; \
	done; \
	command -v cargo >/dev/null || { echo "Rust is missing: see https://rustup.rs" >&2; exit 1; }; \
	if [ -n "$$packages" ]; then \
	  echo "installing$$packages"; \
	  $(SUDO) apt-get update -qq && $(INSTALL) $$packages; \
	fi; \
	[ -z "$(ROCKSDB)" ] || [ "$(ROCKSDB)" != "$${ROCKSDB_LIB_DIR:-}" ] || deploy/rocksdb.sh "$(ROCKSDB)"

test-setup: setup ## also install Kafka, PostgreSQL, Chromium and Python packages for the tests
	@packages=""; \
	command -v javac >/dev/null || packages="$$packages default-jdk-headless"; \
	command -v mvn >/dev/null || packages="$$packages maven"; \
	ls /usr/lib/postgresql/*/bin/initdb >/dev/null 2>&1 || packages="$$packages postgresql"; \
	python3 -c "import ensurepip, venv" 2>/dev/null || packages="$$packages python3 python3-venv"; \
	[ -x /usr/bin/chromium ] || packages="$$packages chromium"; \
	command -v node >/dev/null || packages="$$packages nodejs"; \
	command -v npm >/dev/null || packages="$$packages npm"; \
	if [ -n "$$packages" ]; then \
	  echo "installing$$packages"; \
	  $(SUDO) apt-get update -qq && $(INSTALL) $$packages; \
	fi; \
	tests/kafka/libs.sh "$(CACHE)/kafka" >/dev/null; \
	tests/payout_python.sh "$(CACHE)/python" >/dev/null; \
	tests/parquet_python.sh "$(CACHE)/python" >/dev/null; \
	tests/schemathesis_python.sh "$(CACHE)/python" >/dev/null

build: setup ## build the program, at $CARGO_TARGET_DIR/release/softstake
	cargo build --release --locked --package softstake

build-all: setup ## build the program and the payout consumer
	cargo build --release --locked

demo: build ## settle two days of real trades, and show the results
	"$(CARGO_TARGET_DIR)/release/softstake" demo

# Many tests mostly wait, so two a core run at a time.
# The program of the test of upgrades is built first, or it would be built beside other tests.
test: test-setup ## run all tests
	cargo build --release --locked --package softstake --bin softstake-with-made-up-rules --features made-up-rules \
	  --config profile.release.package.softstake.opt-level=0 --config profile.release.package.softstake.codegen-units=256
	libs="$$(tests/kafka/libs.sh "$(CACHE)/kafka")"; threads="$${RUST_TEST_THREADS:-$$((2 * $$(getconf _NPROCESSORS_ONLN)))}"; \
	SOFTSTAKE_TEST_KAFKA_LIBS="$$libs" RUST_TEST_THREADS="$$threads" cargo test --release --locked

lint: setup $(DENY) ## check formatting, clippy warnings, docs/events.md, and the licences, sources and advisories of all dependencies
	cargo fmt --all --check
	cargo clippy --release --locked --all-targets -- -D warnings
	python3 site/events.py --check
	"$(DENY)" --locked --workspace check licenses bans sources
	$(MAKE) --no-print-directory advisories

# A machine that cannot fetch the database passes, but says so.
advisories: $(DENY) ## check that no dependency has a known vulnerability, if their database can be fetched
	@if "$(DENY)" --locked fetch db; then \
	  "$(DENY)" --locked --offline --workspace check advisories; \
	else \
	  echo "SKIPPED: the advisories of the dependencies were not checked, because their database cannot be fetched" >&2; \
	fi

$(DENY):
	CARGO_TARGET_DIR="$(TOOLS)/target" cargo install --quiet --locked cargo-deny --version $(DENY_VERSION) --debug --root "$(TOOLS)"

fmt: ## format the sources
	cargo fmt --all

bench: setup ## run the benchmarks
	cargo bench --locked

kill-test: setup ## run the kill test with 500 rounds
	TEST_KILL_ROUNDS=500 cargo test --release --locked --test it recovery::kill -- --nocapture

chaos-test: test-setup ## run the chaos test on Kafka with 100 kills, 20 broker faults, 300,000 events and all kinds of programmes
	libs="$$(tests/kafka/libs.sh "$(CACHE)/kafka")"; SOFTSTAKE_TEST_KAFKA_LIBS="$$libs" \
	TEST_CHAOS_KILLS=100 TEST_CHAOS_BROKER_FAULTS=20 TEST_CHAOS_EVENTS=300000 TEST_CHAOS_EPOCHS=12 TEST_CHAOS_ASSETS=12 \
	cargo test --release --locked --test it kafka::chaos -- --nocapture

alerts-test: test-setup ## let each alert fire by its cause, with a real Prometheus; needs root or user namespaces to mount a small disk
	@command -v strace >/dev/null || { $(SUDO) apt-get update -qq && $(INSTALL) strace; }
	@tests/prometheus.sh "$(CACHE)/prometheus" >/dev/null 2>&1 || $(SUDO) apt-get update -qq; tests/prometheus.sh "$(CACHE)/prometheus"
	libs="$$(tests/kafka/libs.sh "$(CACHE)/kafka")"; SOFTSTAKE_TEST_KAFKA_LIBS="$$libs" \
	cargo test --release --locked --test it deployment::alerts -- --ignored --nocapture

compose-test: ## test docker-compose.yml and kill each container, as root; SOFTSTAKE_BIN and PAYOUT_BIN replace the build
	@packages=""; \
	command -v dockerd >/dev/null || packages="$$packages docker.io iptables"; \
	command -v debootstrap >/dev/null || packages="$$packages debootstrap"; \
	command -v mvn >/dev/null || packages="$$packages maven"; \
	command -v curl >/dev/null || packages="$$packages curl"; \
	command -v python3 >/dev/null || packages="$$packages python3"; \
	[ -z "$$packages" ] || { $(SUDO) apt-get update -qq && $(SUDO) env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq $$packages; }
	docker compose version >/dev/null 2>&1 || $(MAKE) "$(COMPOSE)"
	[ -n "$${SOFTSTAKE_BIN:-}" ] || { $(MAKE) setup; cargo build --release --locked; }
	SOFTSTAKE_BIN="$${SOFTSTAKE_BIN:-$(CARGO_TARGET_DIR)/release/softstake}" \
	PAYOUT_BIN="$${PAYOUT_BIN:-$(CARGO_TARGET_DIR)/release/payout_consumer}" tests/compose.sh

deploy-lint-setup: $(ACTIONLINT) $(HELM) $(KUBECONFORM)
	@packages=""; \
	command -v promtool >/dev/null || packages="$$packages prometheus"; \
	command -v shellcheck >/dev/null || packages="$$packages shellcheck"; \
	command -v systemd-analyze >/dev/null || packages="$$packages systemd"; \
	python3 -c "import ensurepip, venv" 2>/dev/null || packages="$$packages python3 python3-venv"; \
	[ -z "$$packages" ] || { $(SUDO) apt-get update -qq && $(INSTALL) --no-install-recommends $$packages; }
	deploy/helm/schemas.sh "$(TOOLS)/schemas"

# It needs Go. The first time it compiles Helm, which takes some minutes.
deploy-lint: deploy-lint-setup ## check alerts, dashboards, the Helm chart, the units and the workflows
	@ACTIONLINT="$(ACTIONLINT)" HELM="$(HELM)" KUBECONFORM="$(KUBECONFORM)" SCHEMAS="$(TOOLS)/schemas" deploy/lint.sh

# Names of the packages have the version and the commit. The program is built by cargo unless SOFTSTAKE_BIN names one.
DIST ?= $(CARGO_TARGET_DIR)/dist
DIST_BIN = $(or $(SOFTSTAKE_BIN),$(CARGO_TARGET_DIR)/release/softstake)
dist-setup:
	@packages=""; \
	command -v dpkg-shlibdeps >/dev/null || packages="$$packages dpkg-dev"; \
	command -v strip >/dev/null || packages="$$packages binutils"; \
	[ -z "$$packages" ] || { $(SUDO) apt-get update -qq && $(INSTALL) $$packages; }
	[ -n "$(SOFTSTAKE_BIN)" ] || $(MAKE) --no-print-directory build

dist: dist-setup ## pack a tarball and a Debian package with SHA256SUMS, into $DIST
	@deploy/dist.sh "$(DIST_BIN)" "$(DIST)"

dist-test: dist-setup ## install the packages on a bare Debian and run them there, as root; SOFTSTAKE_BIN replaces the build
	@command -v debootstrap >/dev/null || { $(SUDO) apt-get update -qq && $(INSTALL) debootstrap; }
	tests/dist.sh "$(DIST_BIN)"

# The name of each has its version, so another version is another file.
$(ACTIONLINT): PACKAGE := github.com/rhysd/actionlint/cmd/actionlint
$(HELM): PACKAGE := helm.sh/helm/v4/cmd/helm
$(KUBECONFORM): PACKAGE := github.com/yannh/kubeconform/cmd/kubeconform
$(ACTIONLINT) $(HELM) $(KUBECONFORM):
	@command -v go >/dev/null || { echo "Go is missing: see https://go.dev/doc/install" >&2; exit 1; }
	folder="$$(mktemp -d)"; trap 'rm -rf "$$folder"' EXIT; name="$(notdir $@)"; \
	GOBIN="$$folder" GOFLAGS=-trimpath go install -ldflags='-s -w' "$(PACKAGE)@$${name##*-}"; \
	mkdir -p "$(TOOLS)/bin"; mv "$$folder/$${name%-*}" "$@"

# The checker reads the files of the site; nothing is fetched. The search's index is no page.
SITE = $(CARGO_TARGET_DIR)/site
site: $(MDBOOK) $(LINKCHECKER) ## build the documentation as a site into $CARGO_TARGET_DIR/site, and check all its links
	python3 site/events.py --check
	rm -rf "$(SITE)"
	"$(MDBOOK)" build --dest-dir "$(SITE)"
	"$(LINKCHECKER)/bin/python" site/links.py --config site/linkcheckerrc "$(SITE)/index.html"

$(MDBOOK):
	CARGO_TARGET_DIR="$(TOOLS)/target" cargo install --quiet --locked mdbook --version $(MDBOOK_VERSION) \
	  --no-default-features --features search --debug --root "$(TOOLS)/mdbook-$(MDBOOK_VERSION)"

$(LINKCHECKER):
	@python3 -c 'import ensurepip, venv' 2>/dev/null || { $(SUDO) apt-get update -qq && $(INSTALL) python3 python3-venv; }
	rm -rf "$@.new" && python3 -m venv "$@.new"
	"$@.new/bin/pip" install --quiet --disable-pip-version-check --requirement site/requirements.txt
	mv "$@.new" "$@"

# Compose must be built as the main module, so in its own folder.
$(COMPOSE):
	cd "$$(mktemp -d)" && go mod init compose 2>/dev/null && \
	module=$$(go mod download -json github.com/docker/compose/v2@$(COMPOSE_VERSION) | sed -n 's/.*"Dir": "\(.*\)",*/\1/p') && \
	go -C "$$module" build -trimpath -ldflags '-s -w -X github.com/docker/compose/v2/internal.Version=$(COMPOSE_VERSION)' -o "$(COMPOSE)" ./cmd

clean: ## remove the build
	cargo clean
