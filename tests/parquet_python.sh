#!/usr/bin/env bash
# Prints the Python that the test of Parquet files reads them with, below the given folder. Makes it first if it is not there yet: a virtual
# environment with Arrow, from the package index that pip is set up for.
set -euo pipefail

version=26.0.1
cache=${1:?the folder to keep the environment in}
python3 -c 'import ensurepip, venv' 2>/dev/null || { echo "Python 3 with venv is missing: \`make test-setup\` installs it" >&2; exit 1; }

# The name contains a hash of the version, so another one, or another Python, gets another folder.
key=$({ cat "${BASH_SOURCE[0]}"; python3 -VV; } | sha256sum | cut -c1-12)
environment=$cache/arrow-$key
mkdir -p "$cache"
exec 9>"$environment.lock"
flock 9
if [ ! -e "$environment/complete" ]; then
  echo "installing pyarrow into $environment" >&2
  rm -rf "$environment"
  python3 -m venv "$environment" >&2
  "$environment/bin/pip" install --quiet --disable-pip-version-check --only-binary :all: "pyarrow==$version" >&2
  touch "$environment/complete"
fi
echo "$environment/bin/python"
