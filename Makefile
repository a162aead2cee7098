# The commands anyone needs. `make help` lists them.

# Optimised, with every assertion on: the load tests need the speed, the others the checks. One build serves both.
PROFILE ?= checked
# Seconds for each fuzz target of `make fuzz`.
FUZZ_SECONDS ?= 60
# Sessions, and faults of each kind, for the ledger in `make chaos`.
LEDGER_SESSIONS ?= 2000
LEDGER_FAULTS ?= 10
# Faults for each topology of `make chaos`: in five, two kills, two freezes, and a kill of a primary that replicas lag behind.
CHAOS_FAULTS ?= 50

.DEFAULT_GOAL := help
.PHONY: help run setup test check fmt clippy docs deny pure typos fuzz bench microbench chaos

help: ## this list
	@awk -F':.*## ' '/^[a-z]+:.*## / { printf "  make %-10s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

run: ## build and start one whole node: RTMP on 1935, API on 127.0.0.1:8080, files in ./onair-data (ARGS=... for flags)
	cargo run --locked --release -- serve $(ARGS)

setup: ## install what tests and checks need beside Rust: ffmpeg (two of them), GStreamer, mpv, Redis, PostgreSQL, Kafka with a Java, cargo-deny; quick when all is there
	scripts/setup.sh

test: setup ## every test, with real encoders and players; installs those first if they are missing
	scripts/test.sh $(PROFILE)

check: setup fmt clippy docs deny pure typos ## everything but the tests: format, lints, documentation, licences, spelling

fmt:
	cargo fmt --all --check
	cargo fmt --manifest-path codec/fuzz/Cargo.toml --check

clippy:
	cargo clippy --locked --workspace --all-targets -- -D warnings
	cargo clippy --locked --manifest-path codec/fuzz/Cargo.toml --target-dir target/fuzz-check -- -D warnings

docs:
	RUSTDOCFLAGS="-D warnings" cargo doc --locked --workspace --no-deps --document-private-items

deny:
	scripts/deny.sh

pure:
	scripts/codec-is-pure.sh

typos:
	scripts/typos.sh

fuzz: ## run every fuzz target of the codec for FUZZ_SECONDS (60) each; needs nightly and cargo-fuzz
	scripts/fuzz.sh $(FUZZ_SECONDS)

chaos: setup ## long: Redis primaries killed, frozen and made to forget, CHAOS_FAULTS (50) times a topology, once unconfirmed; outages at full length; the ledger while everything around it dies LEDGER_FAULTS (10) times
	ONAIR_CHAOS_FAULTS=$(CHAOS_FAULTS) cargo test --locked --profile $(PROFILE) --test chaos -- --test-threads 1 --nocapture --include-ignored
	ONAIR_LONG=1 cargo test --locked --profile $(PROFILE) --test outage -- --test-threads 1 --nocapture
	ONAIR_LONG=1 ONAIR_LEDGER_SESSIONS=$(LEDGER_SESSIONS) ONAIR_LEDGER_FAULTS=$(LEDGER_FAULTS) cargo test --locked --profile $(PROFILE) --test ledger -- --test-threads 1 --nocapture

bench: ## Onair beside nginx-rtmp, xiu, SRS (if there is one) and bare sockets, some three hours; BENCH='--only ingest-200 --servers onair,nginx' for a part, BENCH=--help for more
	scripts/bench/run $(BENCH)

microbench: setup ## the benchmarks of parts: the codec's chunks, the registry and keeper, the Live DB; from the first media to Kafka and the event feed
	cargo bench --locked --workspace
	cargo test --locked --profile $(PROFILE) --test latency -- --ignored --nocapture
