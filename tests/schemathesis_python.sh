#!/usr/bin/env bash
# Prints the Schemathesis that the test of the API's document runs, below the given folder. Makes it first if it is not there yet: a virtual
# environment with the packages of schemathesis/requirements.txt, from the package index that pip is set up for.
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
cache=${1:?the folder to keep the environment in}
requirements=$here/schemathesis/requirements.txt
python3 -c 'import ensurepip, venv' 2>/dev/null || { echo "Python 3 with venv is missing: \`make test-setup\` installs it" >&2; exit 1; }

# The name contains a hash of the versions, so other packages or another Python get another folder.
key=$({ cat "$requirements" "${BASH_SOURCE[0]}"; python3 -VV; } | sha256sum | cut -c1-12)
environment=$cache/schemathesis-$key
mkdir -p "$cache"
exec 9>"$environment.lock"
flock 9
if [ ! -e "$environment/complete" ]; then
  echo "installing Schemathesis into $environment" >&2
  rm -rf "$environment"
  python3 -m venv "$environment" >&2
  "$environment/bin/pip" install --quiet --disable-pip-version-check --requirement "$requirements" >&2
  touch "$environment/complete"
fi
echo "$environment/bin/schemathesis"
