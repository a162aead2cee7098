#!/usr/bin/env bash
# Runs every fuzz target of the codec for so many seconds. Needs a nightly toolchain and cargo-fuzz:
#   rustup toolchain install nightly && cargo install --locked cargo-fuzz
# What it finds is written to codec/fuzz/artifacts; make it a named test before it is fixed.
set -euo pipefail
cd "$(dirname "$0")/../codec"

seconds=${1:-60}
targets=$(cargo +nightly fuzz list)
for target in $targets; do
    echo "== $target, $seconds s"
    cargo +nightly fuzz run "$target" -- -max_total_time="$seconds" -rss_limit_mb=2048 -timeout=10
done
