#!/usr/bin/env bash
# Prints the path of Prometheus: the installed one, or one below the given folder. Fetches Debian's package first if there is neither. It is unpacked,
# not installed: an installed package would start a service.
set -euo pipefail

cache=${1:?the folder to keep Prometheus in}
if command -v prometheus; then
  exit
fi
binary=$cache/unpacked/usr/bin/prometheus
mkdir -p "$cache"
exec 9>"$cache/lock"
flock 9
if [ ! -x "$binary" ]; then
  for tool in apt-get dpkg-deb; do
    command -v "$tool" >/dev/null || { echo "Prometheus is missing, and $tool as well: install prometheus" >&2; exit 1; }
  done
  echo "fetching Prometheus into $cache" >&2
  rm -rf "$cache/package" "$cache/new" "$cache/unpacked"
  mkdir "$cache/package"
  (cd "$cache/package" && apt-get download -qq prometheus >&2)
  dpkg-deb -x "$cache/package"/prometheus_*.deb "$cache/new"
  # Complete or not at all.
  mv -T "$cache/new" "$cache/unpacked"
  rm -rf "$cache/package"
fi
echo "$binary"
