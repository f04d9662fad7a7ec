#!/bin/sh
# Print the path of a free-threaded CPython with this project's build and test dependencies.
#
#     PYTHON=$(scripts/free-threaded.sh)
#
# The first call builds it (scripts/cpython); later calls take a moment.
#
# Exits with 1 if neither series is available: a release check then fails; a developer may continue without.
set -eu

project=$(cd "$(dirname "$0")/.." && pwd)
cache=${XDG_CACHE_HOME:-$HOME/.cache}/ratelimit

# A directory is whole once `complete` is in it: that file is written last.
whole() { [ -e "$1/complete" ]; }

# Named by what it holds: another pyproject.toml gets another one.
furnish() (  # PYTHON SERIES
    dependencies=$(sha256sum "$project/pyproject.toml" | cut -c1-12)
    venv=$cache/venv-$2-$dependencies
    exec 9>"$cache/venv.lock"
    flock 9 # two calls at once install once
    if ! whole "$venv"; then
        rm -rf "$venv"
        find "$cache" -maxdepth 1 -name "venv-$2-*" -mtime +7 -exec rm -rf {} +  # another tree may use a newer one
        "$1" -m venv "$venv" || exit 1
        cd "$project" && "$venv/bin/python" -m pip install --quiet --disable-pip-version-check \
            --only-binary numpy,hypothesis --group build --group core-test >&2 9>&- || exit 1
        : >"$venv/complete"
    fi
    echo "$venv/bin/python"
)

for series in 3.14t 3.13t; do
    if python=$("$project/scripts/cpython" "$series"); then
        mkdir -p "$cache"
        furnish "$python" "$series"
        exit
    fi
done
echo "free-threaded.sh: NO FREE-THREADED INTERPRETER: nothing has been tested without the GIL" >&2
exit 1
