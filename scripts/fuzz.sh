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
    # What is found goes into the first directory; the second holds what is worth keeping.
    corpora=("fuzz/corpus/$target")
    [ -d "fuzz/seeds/$target" ] && corpora+=("fuzz/seeds/$target")
    mkdir -p "${corpora[0]}"
    cargo +nightly fuzz run "$target" "${corpora[@]}" -- -max_total_time="$seconds" -rss_limit_mb=2048 -timeout=10
done
