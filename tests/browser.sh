#!/usr/bin/env bash
# Tests the pages of `softstake serve` in Debian's Chromium, against two running servers:
#
#   tests/browser.sh CACHE URL_OPEN URL_WITH_AUTH TOKEN_CUSTOMER TOKEN_OPERATOR ACCOUNT
#
# URL_OPEN needs no token; URL_WITH_AUTH serves the same data and needs one. ACCOUNT is the customer's account and has some payouts.
# With SCREENSHOTS=FOLDER in the environment, it takes pictures of the pages instead.
# The packages are installed into CACHE, from the package index that npm is set up for. No browser is downloaded.
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
[ $# -eq 6 ] || { sed -n '2,9s/^# \{0,1\}//p' "${BASH_SOURCE[0]}" >&2; exit 2; }
cache=$1
export URL_OPEN=$2 URL_WITH_AUTH=$3 TOKEN_CUSTOMER=$4 TOKEN_OPERATOR=$5 ACCOUNT=$6
export CHROMIUM=${CHROMIUM:-/usr/bin/chromium}
command -v node npm >/dev/null || { echo "Node.js or npm is missing: \`make test-setup\` installs them" >&2; exit 1; }
[ -x "$CHROMIUM" ] || { echo "$CHROMIUM is missing: \`make test-setup\` installs Chromium" >&2; exit 1; }

# The name contains a hash of the versions, so other packages get another folder.
key=$(cat "$here/browser/package.json" "$here/browser/package-lock.json" | sha256sum | cut -c1-12)
mkdir -p "$cache"
export BROWSER_PACKAGES=$(cd "$cache" && pwd)/$key
exec 9>"$BROWSER_PACKAGES.lock"
flock 9
if [ ! -e "$BROWSER_PACKAGES/complete" ]; then
  echo "installing the packages of the browser tests into $BROWSER_PACKAGES" >&2
  rm -rf "$BROWSER_PACKAGES"
  mkdir "$BROWSER_PACKAGES"
  cp "$here/browser/package.json" "$here/browser/package-lock.json" "$here/browser/.npmrc" "$BROWSER_PACKAGES/"
  npm ci --prefix "$BROWSER_PACKAGES" --no-audit --no-fund >&2
  touch "$BROWSER_PACKAGES/complete"
fi
flock -u 9

[ -z "${SCREENSHOTS:-}" ] || exec node "$here/browser/screenshots.js"
# One file at a time: a browser needs a whole core.
exec node --test --test-concurrency=1 --test-timeout=180000 "$here"/browser/*.test.js
