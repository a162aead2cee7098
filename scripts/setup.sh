#!/usr/bin/env bash
# Installs what the tests and checks need beside Rust, on Debian or Ubuntu. Quick when all is there; run it as often as
# you like.
#
#   Debian packages   ffmpeg, GStreamer's tools and plugins, mpv, Redis, PostgreSQL, Java for Kafka, Python's venv
#                     (as root, or through sudo)
#   .tools/           a current ffmpeg, a spell checker and an API tester, from PyPI; Apache Kafka, from Maven Central; nothing outside this
#                     directory
#   cargo             cargo-deny, if there is none
set -euo pipefail
cd "$(dirname "$0")/.."
# Where `cargo install` puts things, on the PATH or not.
PATH=$PATH:${CARGO_HOME:-$HOME/.cargo}/bin

# Pinned, so that everyone's tests meet the same client. It carries a current ffmpeg binary.
IMAGEIO_FFMPEG=imageio-ffmpeg==0.8.1
TYPOS=typos==1.52.0
# Holds the API against its own description.
SCHEMATHESIS=schemathesis==4.32.5
# Kafka's version is in the list of its jars.
KAFKA_JARS=scripts/kafka-jars.txt
MAVEN_CENTRAL=https://repo1.maven.org/maven2

say() { printf 'setup: %s\n' "$*" >&2; }

as_root() {
    if [ "$(id -u)" -eq 0 ]; then "$@"; else sudo "$@"; fi
}

debian_packages() {
    local missing=()
    local wanted=(
        build-essential ca-certificates curl ffmpeg mpv python3-venv
        gstreamer1.0-tools gstreamer1.0-plugins-base gstreamer1.0-plugins-good
        gstreamer1.0-plugins-bad gstreamer1.0-plugins-ugly
        redis-server redis-sentinel openssl
    )
    local package
    for package in "${wanted[@]}"; do
        is_installed "$package" || missing+=("$package")
    done
    # Any of the machine's own will do.
    compgen -G '/usr/lib/postgresql/*/bin/initdb' >/dev/null || missing+=(postgresql)
    has_java || missing+=("$(java_package)")
    [ ${#missing[@]} -eq 0 ] && return
    say "installing ${missing[*]}"
    as_root apt-get update -qq
    without_starting_redis without_a_postgres_cluster \
        as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${missing[@]}" >/dev/null
}

is_installed() {
    dpkg-query -W -f='${Status}' "$1" 2>/dev/null | grep -q '^install ok installed$'
}

# Kafka needs Java 17 or newer.
has_java() {
    local version
    version=$(java -version 2>&1 | sed -n 's/.* version "\([0-9]*\).*/\1/p' | head -n 1) || true
    [ "${version:-0}" -ge 17 ]
}

# The smallest that will do; where a distribution has left it behind, its default is newer.
java_package() {
    [ -n "$(apt-cache madison openjdk-17-jre-headless 2>/dev/null)" ] || as_root apt-get update -qq >&2
    if [ -n "$(apt-cache madison openjdk-17-jre-headless)" ]; then
        echo openjdk-17-jre-headless
    else
        echo default-jre-headless
    fi
}

# Debian starts a freshly installed Redis as a service on port 6379. Tests start their own, each on a port of its own, and
# nobody asked for one more service: where systemd runs and Redis is new, it is installed without being started or enabled.
without_starting_redis() {
    local new=() unit status=0
    if [ -d /run/systemd/system ]; then
        for unit in redis-server redis-sentinel; do
            is_installed "$unit" || new+=("$unit.service")
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

# Debian makes and starts a cluster of databases for a freshly installed PostgreSQL, on port 5432. Tests make their own: where
# PostgreSQL is new, the package is told not to, for as long as it is being installed.
without_a_postgres_cluster() {
    local setting=/etc/postgresql-common/createcluster.d/onair-setup.conf status=0
    if is_installed postgresql-common; then
        "$@"
        return
    fi
    as_root mkdir -p "$(dirname $setting)"
    echo 'create_main_cluster = false' | as_root tee $setting >/dev/null
    "$@" || status=$?
    as_root rm -f $setting
    return $status
}

python_tools() {
    local stamp=.tools/stamp
    [ "$(cat $stamp 2>/dev/null)" = "$IMAGEIO_FFMPEG $TYPOS $SCHEMATHESIS" ] && return
    say "fetching a current ffmpeg, a spell checker and an API tester into .tools"
    rm -rf .tools/venv .tools/bin $stamp
    mkdir -p .tools/bin
    python3 -m venv .tools/venv
    .tools/venv/bin/pip install --quiet --disable-pip-version-check "$IMAGEIO_FFMPEG" "$TYPOS" "$SCHEMATHESIS"
    local binary
    binary=$(.tools/venv/bin/python -c 'import imageio_ffmpeg as f; print(f.get_ffmpeg_exe())')
    ln -s "$binary" .tools/bin/ffmpeg-current
    ln -s ../venv/bin/typos .tools/bin/typos
    printf '%s' "$IMAGEIO_FFMPEG $TYPOS $SCHEMATHESIS" > $stamp
}

kafka() {
    local stamp=.tools/kafka/stamp sum path
    cmp -s $KAFKA_JARS $stamp && return
    say "fetching Apache Kafka into .tools"
    rm -rf .tools/kafka
    mkdir -p .tools/kafka
    grep -v '^#' $KAFKA_JARS | while read -r sum path; do
        printf 'url = "%s/%s"\noutput = "%s"\n' $MAVEN_CENTRAL "$path" "${path##*/}"
    done | (cd .tools/kafka && curl --no-progress-meter --fail --location --retry 5 --parallel --config -)
    grep -v '^#' $KAFKA_JARS | while read -r sum path; do
        printf '%s  %s\n' "$sum" "${path##*/}"
    done | (cd .tools/kafka && sha256sum --check --quiet --strict)
    # Last, so that an interrupted download is done again.
    cp $KAFKA_JARS $stamp
}

cargo_deny() {
    command -v cargo-deny >/dev/null && return
    say "building cargo-deny (some minutes, once)"
    cargo install --quiet --locked cargo-deny
}

debian_packages
python_tools
kafka
cargo_deny
say "ready: $(ffmpeg -version | head -n 1 | cut -d' ' -f1-3), $(redis-server --version | cut -d' ' -f1-3), PostgreSQL $(psql --version | cut -d' ' -f3), Kafka $(sed -n 's,.*/kafka_2.13/\([^/]*\)/.*,\1,p' $KAFKA_JARS), current $(.tools/bin/ffmpeg-current -version | head -n 1 | cut -d' ' -f3), $(cargo deny --version)"
