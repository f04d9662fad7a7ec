#!/bin/sh
# Print the path of a free-threaded CPython with this project's build and test dependencies.
#
#     PYTHON=$(scripts/free-threaded.sh)
#
# The first call builds it from Debian's source package (4 to 8 minutes) and keeps it under ~/.cache/ratelimit;
# later calls take a moment. JOBS=1 builds with one processor. The Debian packages it needs are installed for root;
# another user runs `sudo scripts/install-packages python-build` once.
#
# Exits with 1 if neither version is available: a release check then fails; a developer may continue without.
set -eu

SOURCES="\
3.14.7 3b48dac8fb59f62eaa67ac83c1eb12bda1b7a08406dd286e252c11a66be27f81
3.13.5 93e583f243454e6e9e4588ca2c2662206ad961659863277afcdb96801647d640"

project=$(cd "$(dirname "$0")/.." && pwd)
cache=${XDG_CACHE_HOME:-$HOME/.cache}/ratelimit
mkdir -p "$cache"
exec 9>"$cache/free-threaded.lock"
flock 9  # two calls at once build once

say() { echo "free-threaded.sh: $*" >&2; }

# The mirror that this machine installs from: no other host is asked.
mirror() {
    sed -n 's/^URIs: *\([^ ]*\).*/\1/p' /etc/apt/sources.list.d/debian.sources 2>/dev/null | grep . | head -n 1 ||
        sed -n 's/^deb \(\[[^]]*\] \)\{0,1\}\([^ ]*\).*/\2/p' /etc/apt/sources.list | grep . | head -n 1
}

# A directory is whole once `complete` is in it: that file is written last, so a killed build never passes for one.
whole() { [ -e "$1/complete" ]; }

build() (  # VERSION SHA256
    series=${1%.*}
    "$project/scripts/install-packages" --if-root python-build >&2 9>&- || exit 1
    work=$cache/build-$1
    prefix=$cache/cpython-$1t
    rm -rf "$work" "$prefix"
    mkdir "$work"
    trap 'rm -rf "$work"' EXIT
    archive=python${series}_$1.orig.tar.xz
    say "building CPython $1 without the GIL; the log is $cache/build-$1.log"
    curl -fsSL --retry 2 -o "$work/$archive" "$(mirror)/pool/main/p/python$series/$archive" || exit 1
    echo "$2  $work/$archive" | sha256sum --check --quiet || exit 1
    cd "$work" && tar -xJf "$archive" --strip-components=1 || exit 1
    {
        ./configure --disable-gil --prefix="$prefix" --without-static-libpython --disable-test-modules &&
            make "-j${JOBS:-$(nproc)}" &&
            make altinstall &&
            "$prefix/bin/python${series}t" -c 'import ctypes, ssl, sys, zlib; assert not sys._is_gil_enabled()'
    } >"$cache/build-$1.log" 2>&1 9>&- || exit 1
    : >"$prefix/complete"
)

# Named by what it holds: another pyproject.toml gets another one.
furnish() (  # VERSION
    dependencies=$(sha256sum "$project/pyproject.toml" | cut -c1-12)
    venv=$cache/venv-$1t-$dependencies
    if ! whole "$venv"; then
        rm -rf "$venv"
        find "$cache" -maxdepth 1 -name "venv-$1t-*" -mtime +7 -exec rm -rf {} +  # another tree may use a newer one
        "$cache/cpython-$1t/bin/python${1%.*}t" -m venv "$venv" || exit 1
        cd "$project" && "$venv/bin/python" -m pip install --quiet --disable-pip-version-check \
            --only-binary numpy,hypothesis --group build --group core-test >&2 9>&- || exit 1
        : >"$venv/complete"
    fi
    echo "$venv/bin/python"
)

echo "$SOURCES" >"$cache/sources"
while read -r version sum; do
    if whole "$cache/cpython-${version}t" || build "$version" "$sum"; then
        furnish "$version"
        exit
    fi
    say "CPython $version could not be built"
done <"$cache/sources"
say "NO FREE-THREADED INTERPRETER: nothing has been tested without the GIL"
exit 1
