#!/usr/bin/env bash
# Runs every test of the workspace, and ends with one line that adds them up: cargo's own last line counts only the last
# of some forty test programs.
set -uo pipefail
cd "$(dirname "$0")/.."

profile=${1:-checked}
log=$(mktemp)
trap 'rm -f "$log"' EXIT

cargo test --locked --workspace --no-fail-fast --features onair/fault-injection --profile "$profile" 2>&1 | tee "$log"
status=${PIPESTATUS[0]}

awk '/^test result: / { passed += $4; failed += $6; skipped += $8 }
     END { printf "\n%d passed, %d failed, %d skipped\n", passed, failed, skipped }' "$log"
exit "$status"
