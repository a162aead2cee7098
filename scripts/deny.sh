#!/usr/bin/env bash
# Licences, bans and sources of all dependencies; and their known vulnerabilities where the advisory database can be had.
set -euo pipefail
cd "$(dirname "$0")/.."
# Where `cargo install` puts things, on the PATH or not.
PATH=$PATH:${CARGO_HOME:-$HOME/.cargo}/bin

if ! command -v cargo-deny >/dev/null; then
    echo "deny: cargo-deny is missing; run: make setup" >&2
    exit 1
fi

cargo deny --locked check --hide-inclusion-graph licenses bans sources

# The database is a git repository that a closed network does not reach. Not reaching it is no verdict on us, and must
# not look like one. GIT_TERMINAL_PROMPT: a proxy that asks for a password would hang an unattended run.
if GIT_TERMINAL_PROMPT=0 timeout 120 cargo deny --locked fetch db 2>/dev/null; then
    cargo deny --locked check --disable-fetch advisories
else
    echo "deny: ADVISORIES NOT CHECKED: the advisory database cannot be reached from here." >&2
    echo "deny: run 'cargo deny check advisories' on a machine that reaches it." >&2
fi
