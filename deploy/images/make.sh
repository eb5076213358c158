#!/usr/bin/env bash
# Makes the base images that docker-compose.yml and deploy/Dockerfile name, under their official tags, where no image registry is in reach:
# from Debian's packages, Maven Central's jars and this machine's Rust. An official image that is there already is left alone.
#
#   deploy/images/make.sh                    all of them
#   deploy/images/make.sh debian postgres    only these (of debian, kafka, postgres, prometheus, rust)
set -euo pipefail
cd "$(dirname "$0")"
compose=../../docker-compose.yml
dockerfile=../Dockerfile

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

# The tag is written where it is used, and only there.
tag() { sed -nE "s#^ *(image:|FROM) ($2:[^ ]+).*#\\2#p" "$1" | sort -u; }
debian=$(tag "$dockerfile" debian)
rust=$(tag "$dockerfile" rust)
kafka=$(tag "$compose" apache/kafka)
postgres=$(tag "$compose" postgres)
prometheus=$(tag "$compose" prom/prometheus)

failed() { tail -20 "$work/log" >&2; exit 1; }
say() { printf '%s\n' "$*" >&2; }

# wanted IMAGE NAME: whether it must be made. A stand-in is known by its label, which changes with what it is made of.
wanted() {
  local there
  mark=$({ echo "$1"; declare -f "make_$2"; [ ! -d "$2" ] || find "$2" -type f | sort | xargs cat; } | sha256sum | cut -c1-16)
  there=$(docker image inspect --format '{{with .Config.Labels}}{{index . "softstake.stand-in"}}{{end}}' "$1" 2>/dev/null) || there=missing
  case $there in
    '') say "$1: the official one is here"; return 1 ;;
    "$mark") say "$1: made before"; return 1 ;;
    *) say "$1: making a stand-in" ;;
  esac
}

# build IMAGE NAME: from the folder of that name, and what was laid into $work/context besides.
build() {
  mkdir -p "$work/context"
  tar -c -C "$2" . -C "$work/context" . |
    docker build --label "softstake.stand-in=$mark" --tag "$1" - >"$work/log" 2>&1 || failed
  rm -rf "$work/context"
}

make_debian() {
  wanted "$debian" debian || return 0
  local suite=${debian#*:} root=$work/root mirror
  suite=${suite%-slim}
  debootstrap --variant=minbase "$suite" "$root" >"$work/log" 2>&1 || failed
  # Updates and security fixes come from where the release comes from.
  mirror=$(awk '$1 == "deb" { print $2; exit }' "$root/etc/apt/sources.list")
  printf 'deb %s main\n' "$mirror $suite" "$mirror $suite-updates" "${mirror%/debian*}/debian-security $suite-security" \
    >"$root/etc/apt/sources.list"
  # What the slim image leaves out, now and whenever a package is installed.
  cat >"$root/etc/dpkg/dpkg.cfg.d/slim" <<'CONF'
path-exclude /usr/share/doc/*
path-include /usr/share/doc/*/copyright
path-exclude /usr/share/info/*
path-exclude /usr/share/locale/*
path-exclude /usr/share/man/*
CONF
  cat >"$root/etc/apt/apt.conf.d/slim" <<'CONF'
Acquire::Languages "none";
Apt::AutoRemove::SuggestsImportant "false";
Binary::apt::APT::Keep-Downloaded-Packages "false";
APT::Keep-Downloaded-Packages "false";
Dir::Cache::pkgcache "";
Dir::Cache::srcpkgcache "";
CONF
  chroot "$root" sh -euc 'apt-get update && DEBIAN_FRONTEND=noninteractive apt-get -y dist-upgrade && apt-get clean' >"$work/log" 2>&1 || failed
  find "$root/usr/share/doc" -type f ! -name copyright -delete
  rm -rf "$root"/usr/share/{info,locale,man}/* "$root"/var/lib/apt/lists/* "$root"/var/cache/apt/*.bin "$root"/var/log/{*.log,apt/*}
  mkdir -p "$root/usr/share/man/man1"
  tar -c -C "$root" --numeric-owner . |
    docker import --change 'CMD ["bash"]' --change "LABEL softstake.stand-in=$mark" - "$debian" >/dev/null
}

make_kafka() {
  wanted "$kafka" kafka || return 0
  mvn -q -B -f kafka/pom.xml -Dkafka.version="${kafka#*:}" dependency:copy-dependencies -DincludeScope=runtime \
    -DoutputDirectory="$work/context/libs" >"$work/log" 2>&1 || failed
  build "$kafka" kafka
}

make_postgres() {
  wanted "$postgres" postgres || return 0
  build "$postgres" postgres
}

make_prometheus() {
  wanted "$prometheus" prometheus || return 0
  build "$prometheus" prometheus
}

make_rust() {
  wanted "$rust" rust || return 0
  local sysroot
  sysroot=$(rustc --print sysroot)
  mkdir -p "$work/context/toolchain"
  cp -a "$sysroot"/{bin,lib,libexec} "$work/context/toolchain/"
  # Between this machine and the package registries there may be a proxy with an authority of its own.
  cp "${SSL_CERT_FILE:-/etc/ssl/certs/ca-certificates.crt}" "$work/context/authorities.crt"
  build "$rust" rust
}

[ $# -gt 0 ] || set -- debian kafka postgres prometheus rust
make_debian # the others stand on it
for name in "$@"; do
  case $name in
    debian) ;;
    kafka | postgres | prometheus | rust) "make_$name" ;;
    *) say "there is no image $name; there are debian, kafka, postgres, prometheus and rust"; exit 2 ;;
  esac
done
