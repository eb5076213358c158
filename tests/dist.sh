#!/usr/bin/env bash
# Installs the packages of deploy/dist.sh on a bare Debian, as a user would: the .deb with apt, then the tarball on another. Each must settle a
# directory bus there. The .deb is upgraded, removed and purged. The first deviation ends it with status 1. Runs as root.
#
#   tests/dist.sh PROGRAM    a release build of this commit
set -euo pipefail
cd "$(dirname "$0")/.."
program=$(realpath "$1")
[ "$(id -u)" = 0 ] || { echo 'a bare Debian can be made by root only' >&2; exit 1; }

work=$(mktemp -d)
began=$SECONDS
clean() {
  for root in "$work"/{installed,unpacked}; do
    for folder in dev/null proc; do ! mountpoint --quiet "$root/$folder" || umount "$root/$folder"; done
  done
  rm -rf --one-file-system "$work"
}
trap clean EXIT
say() { printf '%4d s  %s\n' $((SECONDS - began)) "$*"; }
fail() {
  say "FAILED: $*"
  tail -n 20 "$work/log" 2>/dev/null || true
  exit 1
}
# quietly WHAT COMMAND...: its output is shown only if it fails.
quietly() {
  local what=$1
  shift
  "$@" >"$work/log" 2>&1 || fail "$what"
}
is() { [ "$2" = "$3" ] || fail "$1: '$2', not '$3'"; }

# ---- the packages

quietly 'the packages' deploy/dist.sh "$program" "$work/dist"
quietly 'the packages a second time' deploy/dist.sh "$program" "$work/again"
quietly 'the second packages have other bytes' diff -r "$work/dist" "$work/again"
(cd "$work/dist" && quietly 'the checksums' sha256sum --check --strict SHA256SUMS)
deb=$(echo "$work"/dist/*.deb) tarball=$(echo "$work"/dist/*.tar.gz)
say "$(cd "$work/dist" && du -h --apparent-size ./*.deb ./*.tar.gz | tr '\t\n' '  ')"
say "$(dpkg-deb --field "$deb" Depends)"
dpkg-deb --contents "$deb" >"$work/contents"
for file in usr/bin/softstake etc/softstake/softstake.toml usr/lib/systemd/system/{softstake,softstake-serve}.service usr/share/man/man1/{softstake-run,softstake-serve}.1.gz \
  usr/share/doc/softstake/{copyright,changelog.gz,README.md,THIRD-PARTY-LICENCES.txt.gz} usr/share/doc/softstake/schemas/softstake.distribution.v1.schema.json \
  usr/share/doc/softstake/deploy/{prometheus/rules.yml,grafana/softstake{,-serve}.json}; do
  grep -q " \./$file\$" "$work/contents" || fail "the .deb lacks $file"
done
! grep -v ' root/root ' "$work/contents" || fail 'a file in the .deb is not of root'

# ---- bare roots

suite=$(. /etc/os-release && echo "$VERSION_CODENAME")
mkdir "$work/installed"
quietly 'debootstrap' debootstrap --variant=minbase "$suite" "$work/installed"
# No service may start in it.
printf '#!/bin/sh\nexit 101\n' >"$work/installed/usr/sbin/policy-rc.d"
chmod 755 "$work/installed/usr/sbin/policy-rc.d"
cp -a "$work/installed" "$work/unpacked"
say "a bare Debian $suite, $(chroot "$work/installed" dpkg-query --show | wc -l) packages"

# inside ROOT COMMAND...: runs a command there, with nothing of this machine's environment but the way to the packages.
inside() {
  local root=$1 name keep=()
  shift
  for name in http_proxy https_proxy no_proxy; do [ -z "${!name:-}" ] || keep+=("$name=${!name}"); done
  mountpoint --quiet "$work/$root/proc" || mount -t proc proc "$work/$root/proc"
  chroot "$work/$root" env -i HOME=/root PATH=/usr/sbin:/usr/bin:/sbin:/bin DEBIAN_FRONTEND=noninteractive "${keep[@]}" "$@"
}
in_deb() { inside installed "$@"; }
owner_and_mode() { stat --format '%U:%G %a' "$work/installed$1" 2>/dev/null | sed "s/^UNKNOWN/$2/"; }

# settles ROOT SOFTSTAKE: a synthetic day becomes payouts, and the other commands agree with them.
settles() {
  local root=$1 softstake=$2
  is 'the version' "$(inside "$root" "$softstake" --version)" "softstake $(sed -n 's/^version = "\(.*\)"/\1/p' Cargo.toml | head -1)"
  quietly 'gen' inside "$root" "$softstake" gen --bus dir:/tmp/bus --events 3000 --accounts 50 --epochs 2
  quietly 'run' inside "$root" "$softstake" run --bus dir:/tmp/bus --state /tmp/state --partitions 2 --until-idle
  quietly 'reconcile' inside "$root" "$softstake" reconcile --bus dir:/tmp/bus
  grep -q '^EQUAL: all ' "$work/log" || fail 'reconcile has no verdict'
  say "$root: $(grep '^EQUAL: all ' "$work/log")"
  rm -r "$work/$root/tmp/bus" "$work/$root/tmp/state"
}

# ---- the .deb, installed by apt, which finds its dependencies

cp "$deb" "$work/installed/tmp/softstake.deb"
quietly 'apt-get update' in_deb apt-get update
before=$(in_deb dpkg-query --show | wc -l)
quietly 'apt-get install' in_deb apt-get install -y --no-install-recommends /tmp/softstake.deb
say "installed, with $(($(in_deb dpkg-query --show | wc -l) - before - 1)) dependencies"
is 'missing libraries' "$(in_deb ldd /usr/bin/softstake | grep -c 'not found' || true)" 0
settles installed softstake
is 'the user of the read side' "$(in_deb sh -c 'getent passwd softstake-serve | cut -d: -f6,7; id -gn softstake-serve')" \
  $'/var/lib/softstake-serve:/usr/sbin/nologin\nsoftstake'
is 'the user' "$(in_deb getent passwd softstake | cut -d: -f6,7)" /var/lib/softstake:/usr/sbin/nologin
is 'the state folder' "$(in_deb stat --format '%U:%G %a' /var/lib/softstake)" 'softstake:softstake 700'
is 'the settings' "$(in_deb stat --format '%U:%G %a' /etc/softstake/softstake.toml)" 'root:softstake 640'
is 'the folder of the settings' "$(in_deb stat --format '%U:%G %a' /etc/softstake)" 'root:softstake 750'
is 'enabled units' "$(find "$work/installed/etc/systemd" -name 'softstake*' 2>/dev/null)" ''

# As the service does: its user, its settings, its folder.
conffile=$work/installed/etc/softstake/softstake.toml
sed -i 's|^#bus = .*|bus = "dir:/var/lib/softstake/bus"|' "$conffile"
as_service() { in_deb setpriv --reuid softstake --regid softstake --clear-groups "$@"; }
command=$(sed -n 's/^ExecStart=//p' deploy/softstake.service)
quietly 'gen as the service' as_service softstake gen --bus dir:/var/lib/softstake/bus --events 3000 --accounts 50 --epochs 2
quietly "$command" as_service sh -c "cd /var/lib/softstake && exec $command --state /var/lib/softstake/state --until-idle"
is 'seals' "$(cat "$work"/installed/var/lib/softstake/bus/softstake.epochs/*.jsonl | wc -l)" 8
say 'the command of the unit works as the user of the service, with the installed settings'

# The read side as its service does: its user in the group of the other one, its variables, and folders that systemd would make. The stores are
# closed to it, so the bus is elsewhere.
unit=deploy/softstake-serve.service
cp -a "$work/installed/var/lib/softstake/bus" "$work/installed/srv/softstake-bus"
in_deb chmod -R g+rX /srv/softstake-bus
in_deb install -d -o softstake-serve -g softstake -m 700 /var/lib/softstake-serve /var/log/softstake-serve
as_reader() { in_deb setpriv --reuid softstake-serve --regid softstake --clear-groups "$@"; }
! as_reader ls /var/lib/softstake >/dev/null 2>&1 || fail 'the read side can look into the folder of the stores'
mapfile -t variables < <(sed -n 's/^Environment=//p' "$unit")
command=$(sed -n 's/^ExecStart=//p' "$unit")
as_reader env "${variables[@]}" timeout --preserve-status 30 sh -c "umask 077 && cd /var/lib/softstake-serve && exec $command --bus dir:/srv/softstake-bus --listen 127.0.0.1:0" \
  >"$work/serve.log" 2>&1 &
reader=$!
for _ in $(seq 20); do
  address=$(sed -n 's#.* serving on http://\([0-9.:]*\);.*#\1#p' "$work/serve.log")
  [ -z "$address" ] || break
  sleep 1
done
[ -n "$address" ] || { cp "$work/serve.log" "$work/log"; fail 'the read side does not listen'; }
# asks PATH: the answer, without its head.
asks() {
  exec 3<>"/dev/tcp/${address%:*}/${address##*:}"
  printf 'GET %s HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n' "$1" >&3
  sed '1,/^\r$/d' <&3
  exec 3<&-
}
for _ in $(seq 20); do
  sealed=$(asks /v1/assets/ATOM/epochs)
  [[ $sealed != *'"state":"sealed"'* ]] || break
  sleep 1
done
[[ $sealed = *'"state":"sealed"'* ]] || { cp "$work/serve.log" "$work/log"; fail "the read side shows no sealed epoch: $sealed"; }
[[ $(asks /) = *'<html'* ]] || fail 'the read side has no page'
wait $reader || { cp "$work/serve.log" "$work/log"; fail 'the read side fails'; }
is 'the view' "$(in_deb stat --format '%U:%G %a' /var/lib/softstake-serve/view)" 'softstake-serve:softstake 700'
rm -r "$work/installed/srv/softstake-bus"
say 'the command of softstake-serve.service works as its user, and shows a sealed epoch'

# ---- pages, completions, units

quietly 'apt-get install of tools' in_deb apt-get install -y --no-install-recommends mandoc groff-base zsh fish systemd
pages=$(cd "$work/installed/usr/share/man/man1" && ls softstake*.gz)
for page in $pages; do
  gzip -dc "$work/installed/usr/share/man/man1/$page" >"$work/installed/tmp/page.1"
  quietly "mandoc of $page" in_deb mandoc -T lint -W error /tmp/page.1
  quietly "groff of $page" in_deb sh -c 'test -z "$(groff -K utf8 -T utf8 -man -ww -z /tmp/page.1 2>&1 | tee /dev/stderr)"'
done
in_deb groff -K utf8 -T utf8 -man /tmp/page.1 | grep 'Softstake manual' >/dev/null || fail 'a page is empty'
say "$(wc -w <<<"$pages") pages pass mandoc and groff"
quietly 'bash completions' in_deb bash -n /usr/share/bash-completion/completions/softstake
quietly 'zsh completions' in_deb zsh -n /usr/share/zsh/vendor-completions/_softstake
quietly 'fish completions' in_deb fish --no-execute /usr/share/fish/vendor_completions.d/softstake.fish
is 'what fish completes' "$(in_deb fish -c 'complete -C "softstake reconcile --ht"' | cut -f1)" --html
say 'completions of bash, zsh and fish are read'
for unit in softstake softstake-serve; do
  unit=/usr/lib/systemd/system/$unit.service
  quietly 'systemd-analyze verify' in_deb systemd-analyze verify --man=no "$unit"
  [ ! -s "$work/log" ] || fail 'systemd-analyze verify warns'
  quietly 'systemd-analyze security' in_deb systemd-analyze security --offline=true --no-pager --threshold=20 "$unit"
  say "$(grep -o 'Overall exposure level.*' "$work/log")"
done

# ---- upgrade, removal, purge

quietly 'an upgrade over itself' in_deb dpkg --install /tmp/softstake.deb
grep -q '^bus = ' "$conffile" || fail 'the upgrade lost the edited settings'
is 'the settings after the upgrade' "$(in_deb stat --format '%U:%G %a' /etc/softstake/softstake.toml)" 'root:softstake 640'
quietly 'apt-get remove' in_deb apt-get remove -y softstake
[ ! -e "$work/installed/usr/bin/softstake" ] || fail 'the program was not removed'
grep -q '^bus = ' "$conffile" || fail 'the removal lost the settings'
[ -d "$work/installed/var/lib/softstake/state" ] || fail 'the removal lost the state'
quietly 'an installation after the removal' in_deb dpkg --install /tmp/softstake.deb
grep -q '^bus = ' "$conffile" || fail 'the new installation lost the settings'
quietly 'apt-get purge' in_deb apt-get purge -y softstake
left=$(cd "$work/installed" && find . -path ./proc -prune -o -path ./tmp -prune -o -path ./var/log -prune -o -name '*softstake*' -print)
is 'what the purge leaves' "$left" ''
say 'upgraded, removed, installed again, and purged'

# ---- the tarball, where the libraries are

tar -x --directory "$work/unpacked/opt" --file "$tarball"
quietly 'apt-get update' inside unpacked apt-get update
# shellcheck disable=SC2046 # several words
quietly 'the libraries' inside unpacked apt-get install -y --no-install-recommends \
  $(dpkg-deb --field "$deb" Depends | sed 's/([^)]*)//g; s/adduser//' | tr ',' ' ')
settles unpacked "/opt/$(basename "$tarball" .tar.gz)/bin/softstake"
unpacked=$work/unpacked/opt/$(basename "$tarball" .tar.gz)
[ -s "$unpacked/LICENSE" ] || fail 'the tarball lacks its licence'

# ---- the licences of others: each crate that is linked, and the C libraries

licences=$unpacked/THIRD-PARTY-LICENCES.txt
crates=$(cargo tree --locked --package softstake --edges normal,no-proc-macro --prefix none --no-dedupe | grep -v '^softstake ' | sort -u)
while read -r crate version _; do
  grep -qF "$crate ${version#v}: " "$licences" || fail "there is no licence of $crate"
done <<<"$crates"
for text in 'Copyright (c) 2012-2022, Magnus Edenhill' 'Copyright (c) 2011 The LevelDB Authors' 'Copyright (c) Meta Platforms' 'Yann Collet'; do
  grep -qF "$text" "$licences" || fail "the licences lack '$text'"
done
say "licences of $(wc -l <<<"$crates") crates"
say 'the packages work'
