#!/usr/bin/env bash
# Spelling, in code and prose. The words we mean to write so stand in typos.toml.
set -euo pipefail
cd "$(dirname "$0")/.."

if [ -x .tools/bin/typos ]; then
    exec .tools/bin/typos
elif command -v typos >/dev/null; then
    exec typos
fi
echo "typos: missing; run: make setup" >&2
exit 1
