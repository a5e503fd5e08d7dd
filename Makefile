# The commands of every day. `make` alone lists them.

CARGO ?= cargo
# The workspaces: the agent and the SDK, the shipped plugins, the guests of the tests, the example of a plugin.
WASM_WORKSPACES := plugins agent/tests/guests examples/plugins/chat
WORKSPACES := . $(WASM_WORKSPACES)
WASM := --target wasm32-wasip2

# How long `make fuzz` goes on, and what counts the branches that it reaches.
FUZZ_SECONDS ?= 60
FUZZ_COVERAGE := -Cpasses=sancov-module -Cllvm-args=-sanitizer-coverage-level=4 \
	-Cllvm-args=-sanitizer-coverage-inline-8bit-counters -Cllvm-args=-sanitizer-coverage-pc-table \
	-Cllvm-args=-sanitizer-coverage-trace-compares

.DEFAULT_GOAL := help
.PHONY: help setup demo cluster-demo test languages soak fuzz lint bench build

help: ## List these targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "make %-14s%s\n", $$1, $$2 }' Makefile

setup: ## Bring what is missing (wasm32-wasip2, Consul) into target/; nothing system-wide
	@.ci/setup

# The whole workspace, as `cargo build` and `cargo test` take it: a selection of packages has other
# features of their dependencies, and would build most of them a second time.
demo: setup ## Show it: a real Consul check fails, and four plugins act
	@$(CARGO) build --locked
	@$${CARGO_TARGET_DIR:-target}/debug/quickstart

# A demonstration that is also a test.
cluster-demo: setup ## Show it on a cluster: three Consul agents with ACLs, a Lictor beside each, eleven steps
	@$(CARGO) test --locked --workspace --test cluster -- --nocapture

test: ## Run every test, with a real Consul, mail server and nginx
	@.ci/setup test
	$(CARGO) test --locked --workspace
	$(CARGO) test --locked --manifest-path plugins/Cargo.toml --workspace

languages: setup ## Build and test the example plugins in Python and JavaScript; brings 410 MB of tools into target/
	examples/plugins/build install
	$(CARGO) test --locked --workspace --test plugin_languages -- --nocapture

soak: setup ## Kill it 2,000 times while checks flip, some ten minutes long; `make test` does that 200 times
	LICTOR_KILLS=2000 $(CARGO) test --locked -p lictor --test durability -- --nocapture no_kill

# With a target, the flags are not for what runs during the build. What it finds out is kept beside the build.
fuzz: setup ## Feed any bytes to what reads Consul's answers, for a minute; FUZZ_SECONDS=3600 for an hour
	@target=$${CARGO_TARGET_DIR:-target} host=$$(rustc --print host-tuple) && mkdir -p $$target/fuzz/corpus && \
	RUSTFLAGS="$(FUZZ_COVERAGE)" $(CARGO) build --locked --manifest-path agent/fuzz/Cargo.toml \
		--target $$host --target-dir $$target && \
	$$target/$$host/debug/answers -max_total_time=$(FUZZ_SECONDS) -print_final_stats=1 \
		-artifact_prefix=$$target/fuzz/ $$target/fuzz/corpus agent/tests/answers

# Advisories need a database from the network, so they are left out: run `cargo deny check advisories`.
lint: ## Check formatting, clippy, documentation, licences and bans
	@.ci/setup lint
	for dir in $(WORKSPACES) agent/fuzz; do $(CARGO) fmt --manifest-path $$dir/Cargo.toml --all --check || exit 1; done
	$(CARGO) clippy --locked --workspace --all-targets -- -D warnings
	for dir in $(WASM_WORKSPACES); do \
		$(CARGO) clippy --locked --manifest-path $$dir/Cargo.toml --workspace $(WASM) -- -D warnings || exit 1; done
	$(CARGO) clippy --locked --manifest-path plugins/Cargo.toml --workspace --all-targets -- -D warnings
	$(CARGO) metadata --locked --manifest-path agent/fuzz/Cargo.toml --format-version 1 >/dev/null
	RUSTDOCFLAGS="-D warnings" $(CARGO) doc --locked --workspace --no-deps
	for dir in $(WORKSPACES); do PATH="$$PATH:$${CARGO_TARGET_DIR:-target}/tools/bin" \
		$(CARGO) deny --manifest-path $$dir/Cargo.toml --locked --config $(CURDIR)/deny.toml check --hide-inclusion-graph \
		bans licenses sources || exit 1; done

bench: setup ## Measure: latency, CPU, memory and cold start beside a bare client and consul watch
	$(CARGO) bench --locked -p lictor

build: setup ## Build target/release/lictor
	$(CARGO) build --locked --release -p lictor
