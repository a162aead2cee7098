#!/usr/bin/env bash
# The codec is sans-IO: no runtime, no sockets, no clock, no randomness may enter it, however deep. Its own sources are
# held to that by codec/clippy.toml; its dependencies by this.
set -euo pipefail
cd "$(dirname "$0")/.."

impure=$(cargo tree --locked -p onair-codec -e normal --prefix none --format '{p}' \
    | grep -E '^(tokio|async-std|smol|mio|socket2|actix|ractor|rand|getrandom|chrono|jiff|time|onair-(cluster|ingest|manager))[ -]' || true)
if [ -n "$impure" ]; then
    printf 'the codec must stay pure, but it depends on:\n%s\n' "$impure" >&2
    exit 1
fi
cargo check --locked --quiet -p onair-codec
echo "the codec is pure"
