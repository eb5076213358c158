#!/usr/bin/env bash
# Packs the program for a release: a tarball and a .deb, with SHA256SUMS. The same commit and the same program give the same bytes.
#
#   deploy/dist.sh PROGRAM FOLDER    PROGRAM is a release build of this commit; the packages go to FOLDER
#
# It needs cargo, and Debian's dpkg-dev and binutils. The .deb is for the Debian release that the program was built on, and newer ones.
set -euo pipefail
cd "$(dirname "$0")/.."
program=$(realpath "$1")
mkdir -p "$2"
out=$(realpath "$2")
export LC_ALL=C TZ=UTC
umask 022

version=$(sed -n '/^\[package\]/,/^\[/s/^version = "\(.*\)"/\1/p' Cargo.toml)
says=$("$program" --version)
[ "$says" = "softstake $version" ] || { echo "$program says '$says', not 'softstake $version': build it from this commit" >&2; exit 1; }

# A commit with the tag of the version is the release. Any other is older than it: "~" sorts before nothing.
if commit=$(git rev-parse --short=8 HEAD 2>/dev/null); then
  : "${SOURCE_DATE_EPOCH:=$(git log -1 --format=%ct)}"
  [ -z "$(git status --porcelain --untracked-files=no)" ] || commit+=.changed
  if [ "$(git describe --tags --exact-match --dirty 2>/dev/null)" != "v$version" ]; then
    version+="~git$(date --date="@$SOURCE_DATE_EPOCH" +%Y%m%d%H%M%S).$commit"
  fi
else
  : "${SOURCE_DATE_EPOCH:=$(stat --format=%Y Cargo.lock)}"
fi
export SOURCE_DATE_EPOCH

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
strip -o "$work/softstake" "$program"
"$work/softstake" man "$work/man1" >/dev/null
deploy/licences.sh >"$work/THIRD-PARTY-LICENCES.txt"
for shell in bash zsh fish; do "$work/softstake" completions "$shell" >"$work/$shell"; done

# put MODE FILE... TO: copies, and creates the folder of TO.
put() { install -D -m "$@"; }
documents() {
  put 644 README.md CHANGELOG.md -t "$1"
  put 644 docs/*.md docs/*.svg -t "$1/docs"
  put 644 docs/pages/*.png -t "$1/docs/pages"
  put 644 schemas/*.* -t "$1/schemas"
  mkdir "$1/schemas/examples"
  cp -R --no-preserve=all schemas/examples/valid "$1/schemas/examples"
  put 755 examples/verify_proof.py -t "$1/examples"
  # docs/alerts.md and docs/operations.md link to them.
  put 644 deploy/prometheus/rules.yml -t "$1/deploy/prometheus"
  put 644 deploy/grafana/*.json -t "$1/deploy/grafana"
}
# pack FOLDER: as a tar archive, in one order, with one owner and one time.
pack() {
  tar -c --directory "$work" --sort=name --format=posix --pax-option=exthdr.name=%d/PaxHeaders/%f,delete=atime,delete=ctime \
    --mtime="@$SOURCE_DATE_EPOCH" --owner=0 --group=0 --numeric-owner "$1"
}

# ---- the tarball

name=softstake-${version//'~'/-}-$(uname -m)-linux
root=$work/$name
put 755 "$work/softstake" -t "$root/bin"
put 644 "$work"/man1/* -t "$root/share/man/man1"
put 644 "$work/bash" "$root/share/bash-completion/completions/softstake"
put 644 "$work/zsh" "$root/share/zsh/site-functions/_softstake"
put 644 "$work/fish" "$root/share/fish/vendor_completions.d/softstake.fish"
put 644 deploy/softstake.service deploy/softstake-serve.service deploy/softstake.toml -t "$root/etc"
put 644 LICENSE "$work/THIRD-PARTY-LICENCES.txt" -t "$root"
documents "$root"
pack "$name" | gzip -9n >"$out/$name.tar.gz"

# ---- the package

root=$work/deb
put 755 "$work/softstake" -t "$root/usr/bin"
put 644 "$work"/man1/* -t "$root/usr/share/man/man1"
gzip -9n "$root"/usr/share/man/man1/*
put 644 "$work/bash" "$root/usr/share/bash-completion/completions/softstake"
put 644 "$work/zsh" "$root/usr/share/zsh/vendor-completions/_softstake"
put 644 "$work/fish" "$root/usr/share/fish/vendor_completions.d/softstake.fish"
put 644 deploy/softstake.service deploy/softstake-serve.service -t "$root/usr/lib/systemd/system"
put 640 deploy/softstake.toml -t "$root/etc/softstake"
documents "$root/usr/share/doc/softstake"
gzip -9n <CHANGELOG.md >"$root/usr/share/doc/softstake/changelog.gz"
rm "$root/usr/share/doc/softstake/CHANGELOG.md"
gzip -9n <"$work/THIRD-PARTY-LICENCES.txt" >"$root/usr/share/doc/softstake/THIRD-PARTY-LICENCES.txt.gz"
{
  printf '%s\n' 'Format: https://www.debian.org/doc/packaging-manuals/copyright-format/1.0/' 'Upstream-Name: softstake' '' \
    'Files: *' 'Copyright: the authors of Softstake' 'License: Apache-2.0' '' 'License: Apache-2.0'
  sed 's/^$/./; s/^/ /' LICENSE
} >"$root/usr/share/doc/softstake/copyright"
put 755 deploy/debian/{postinst,prerm,postrm} -t "$root/DEBIAN"
echo /etc/softstake/softstake.toml >"$root/DEBIAN/conffiles"
(cd "$root" && find etc usr -type f ! -path etc/softstake/softstake.toml -print0 | sort -z | xargs -0 md5sum) >"$root/DEBIAN/md5sums"

# The libraries that the program is linked with, as the packages of this Debian, each in the version whose symbols it uses.
mkdir "$work/debian"
echo 'Source: softstake' >"$work/debian/control"
libraries=$(cd "$work" && dpkg-shlibdeps -O -e softstake 2>/dev/null | sed -n 's/^shlibs:Depends=//p')
[ -n "$libraries" ] || { echo 'dpkg-shlibdeps does not find the packages of the libraries' >&2; exit 1; }
architecture=$(dpkg --print-architecture)
cat >"$root/DEBIAN/control" <<CONTROL
Package: softstake
Version: $version
Architecture: $architecture
Maintainer: Softstake <softstake@localhost>
Section: net
Priority: optional
Installed-Size: $(du -sk --apparent-size "$root/usr" "$root/etc" | awk '{ kilobytes += $1 } END { print kilobytes }')
Depends: $libraries, adduser
Recommends: ca-certificates
Suggests: bash-completion, man-db
Description: $(sed -n 's/^description = "\(.*\)"/\1/p' Cargo.toml)
 Softstake reads the deposits, withdrawals and trades of an exchange from Kafka
 or from a folder, and shares out staking rewards by how much each customer held
 and for how long: exact to the unit, once, and the same on every replay.
 .
 Two services are installed, but neither enabled nor started: softstake, and the
 read side softstake-serve. Name the bus in /etc/softstake/softstake.toml first.
CONTROL
deb=softstake_${version}_$architecture.deb
dpkg-deb --root-owner-group -Zxz --build "$root" "$out/$deb" >/dev/null

(cd "$out" && sha256sum "$deb" "$name.tar.gz" >SHA256SUMS)
echo "$out/$deb"
echo "$out/$name.tar.gz"
