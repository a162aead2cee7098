#!/usr/bin/env bash
# Installs what the tests and checks need beside Rust, on Debian or Ubuntu. Quick when all is there; run it as often as
# you like.
#
#   Debian packages   ffmpeg, GStreamer's tools and plugins, mpv, Redis, Python's venv     (as root, or through sudo)
#   .tools/           a current ffmpeg and a spell checker, from PyPI; nothing outside this directory
#   cargo             cargo-deny, if there is none
set -euo pipefail
cd "$(dirname "$0")/.."
# Where `cargo install` puts things, on the PATH or not.
PATH=$PATH:${CARGO_HOME:-$HOME/.cargo}/bin

# Pinned, so that everyone's tests meet the same client. It carries a current ffmpeg binary.
IMAGEIO_FFMPEG=imageio-ffmpeg==0.8.1
TYPOS=typos==1.52.0

say() { printf 'setup: %s\n' "$*" >&2; }

as_root() {
    if [ "$(id -u)" -eq 0 ]; then "$@"; else sudo "$@"; fi
}

debian_packages() {
    local missing=()
    local wanted=(
        build-essential curl ffmpeg mpv python3-venv
        gstreamer1.0-tools gstreamer1.0-plugins-base gstreamer1.0-plugins-good
        gstreamer1.0-plugins-bad gstreamer1.0-plugins-ugly
        redis-server redis-sentinel openssl
    )
    local package
    for package in "${wanted[@]}"; do
        dpkg-query -W -f='${Status}' "$package" 2>/dev/null | grep -q '^install ok installed$' || missing+=("$package")
    done
    [ ${#missing[@]} -eq 0 ] && return
    say "installing ${missing[*]}"
    as_root apt-get update -qq
    without_starting_redis \
        as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${missing[@]}" >/dev/null
}

# Debian starts a freshly installed Redis as a service on port 6379. Tests start their own, each on a port of its own, and
# nobody asked for one more service: where systemd runs and Redis is new, it is installed without being started or enabled.
without_starting_redis() {
    local new=() unit status=0
    if [ -d /run/systemd/system ]; then
        for unit in redis-server redis-sentinel; do
            dpkg-query -W -f='${Status}' "$unit" 2>/dev/null | grep -q '^install ok installed$' || new+=("$unit.service")
        done
    fi
    [ ${#new[@]} -eq 0 ] || as_root systemctl --quiet mask "${new[@]}"
    "$@" || status=$?
    if [ ${#new[@]} -gt 0 ]; then
        as_root systemctl --quiet unmask "${new[@]}"
        as_root systemctl --quiet disable "${new[@]}" || true
    fi
    return $status
}

python_tools() {
    local stamp=.tools/stamp
    [ "$(cat $stamp 2>/dev/null)" = "$IMAGEIO_FFMPEG $TYPOS" ] && return
    say "fetching a current ffmpeg and a spell checker into .tools"
    rm -rf .tools
    mkdir -p .tools/bin
    python3 -m venv .tools/venv
    .tools/venv/bin/pip install --quiet --disable-pip-version-check "$IMAGEIO_FFMPEG" "$TYPOS"
    local binary
    binary=$(.tools/venv/bin/python -c 'import imageio_ffmpeg as f; print(f.get_ffmpeg_exe())')
    ln -s "$binary" .tools/bin/ffmpeg-current
    ln -s ../venv/bin/typos .tools/bin/typos
    printf '%s' "$IMAGEIO_FFMPEG $TYPOS" > $stamp
}

cargo_deny() {
    command -v cargo-deny >/dev/null && return
    say "building cargo-deny (some minutes, once)"
    cargo install --quiet --locked cargo-deny
}

debian_packages
python_tools
cargo_deny
say "ready: $(ffmpeg -version | head -n 1 | cut -d' ' -f1-3), $(redis-server --version | cut -d' ' -f1-3), current $(.tools/bin/ffmpeg-current -version | head -n 1 | cut -d' ' -f3), $(cargo deny --version)"
