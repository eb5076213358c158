#!/usr/bin/env bash
# Collects the licences of the crates that the program is linked with, and of the C libraries in them, from their sources.
# The same Cargo.lock gives the same bytes. A text that several crates have is there once.
#
#   deploy/licences.sh >FILE
set -euo pipefail
export LC_ALL=C
cd "$(dirname "${BASH_SOURCE[0]}")/.."
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
mkdir "$work/texts" "$work/crates"

# Cargo downloads sources that are not there yet. What runs only in the compiler is not linked.
cargo metadata --format-version 1 --locked | grep -o '"manifest_path":"[^"]*/Cargo\.toml"' | cut -d'"' -f4 | xargs -d '\n' dirname >"$work/folders"
cargo tree --locked --package softstake --edges normal,no-proc-macro --prefix none --no-dedupe --format '{p}|{l}|{r}' |
  grep -v '^softstake ' | sort -u >"$work/list"

while IFS='|' read -r crate licence _; do
  name=${crate%% *} version=${crate#* v}
  version=${version%% *}
  folder=$(grep -m1 "/$name-$version\$" "$work/folders") || { echo "cargo names no sources of $crate" >&2; exit 1; }
  found=
  while IFS= read -r file; do
    sum=$(sha256sum <"$folder/$file" | cut -d' ' -f1)
    [ -e "$work/texts/$sum" ] || { cp "$folder/$file" "$work/texts/$sum"; echo "$sum" >>"$work/order"; }
    echo "$name $version: $file" >>"$work/crates/$sum"
    found=yes
  done < <(cd "$folder" && find . -maxdepth 3 -type f \( -iname 'licen[cs]e*' -o -iname 'unlicen[cs]e*' -o -iname 'copying*' -o -iname 'copyright*' \
    -o -iname 'notice*' \) -printf '%P\n' | sort)
  # Such a crate names its licence and its authors, which is all that there is.
  [ -n "$found" ] || echo "$name $version: $licence, $(awk '/^authors = \[/ { on = 1 } on; on && /\]/ { exit }' "$folder/Cargo.toml" |
    grep -o '"[^"]*"' | tr -d '"' | paste -sd, | sed 's/,/, /g')" >>"$work/without"
done <"$work/list"

cat <<'TEXT'
Softstake is linked with these crates, some of which hold a C library, and with the standard library of Rust (MIT OR Apache-2.0,
https://www.rust-lang.org/policies/licenses). Each line has the crate, its licence, and its sources.

TEXT
sed 's/ v\([^ |]*\)[^|]*/ \1/; s/^/  /; s/|/  /g' "$work/list"
if [ -s "$work/without" ]; then
  printf '\nThese have no text of their licence in their sources; their authors are:\n\n'
  sed 's/^/  /' "$work/without"
fi
while IFS= read -r sum; do
  printf '\n%s\n' '================================================================================'
  cat "$work/crates/$sum"
  printf '%s\n\n' '--------------------------------------------------------------------------------'
  # One with carriage returns or without a last line feed, too.
  tr -d '\r' <"$work/texts/$sum" | sed -e '$a\'
done <"$work/order"
