#!/usr/bin/env bash
# Builds the static library librocksdb.a in the given folder, in about three minutes on two cores. The crate
# librocksdb-sys takes over twenty: it compiles 343 files by themselves, and nearly all of the time goes into headers
# that each of them reads again. Here they are included into six files, without those that nothing links.
#
# Definitions and flags are those of the crate that Cargo.lock names (its build.rs), with the feature `lz4`.
# The library is given to the crate by ROCKSDB_LIB_DIR and ROCKSDB_STATIC. A plain `cargo build` does not need it.
set -euo pipefail
export LC_ALL=C

folder=${1:?the folder to build in}
[ ! -e "$folder/librocksdb.a" ] || exit 0
cd "$(dirname "${BASH_SOURCE[0]}")/.."
compiler=${CXX:-clang++}
command -v "$compiler" >/dev/null || { echo "$compiler is missing: \`make setup\` installs clang++" >&2; exit 1; }

# Another process may want the same library.
mkdir -p "$(dirname "$folder")"
exec 9>"$folder.lock"
flock 9
[ ! -e "$folder/librocksdb.a" ] || exit 0
work=$(mktemp -d "$folder.building-XXXXXX")
trap 'rm -rf "$work"' EXIT

# The folder of a crate's sources, which cargo downloads if they are not there yet.
cargo metadata --format-version 1 --locked >"$work/metadata.json"
crate() {
  local manifest
  manifest=$(grep -o "\"manifest_path\":\"[^\"]*/$1[^/\"]*/Cargo.toml\"" "$work/metadata.json" | cut -d'"' -f4)
  [ -f "$manifest" ] || { echo "cargo names no sources of the crate $1" >&2; exit 1; }
  dirname "$manifest"
}
sys=$(crate librocksdb-sys)
lz4=$(crate lz4-sys)

# The crate's version ends with that of RocksDB: 0.19.0+11.8.1.
part() { sed -n "s/^#define ROCKSDB_$1 //p" "$sys/rocksdb/include/rocksdb/version.h"; }
library="$(part MAJOR).$(part MINOR).$(part PATCH)"
locked=$(sed -n '/^name = "librocksdb-sys"$/{n;s/^version = "\(.*\)"$/\1/p}' Cargo.lock)
[ "${locked#*+}" = "$library" ] || {
  echo "Cargo.lock names librocksdb-sys $locked, but the sources in $sys are of RocksDB $library" >&2
  exit 1
}

flags=(
  -O2 -fPIC -ffunction-sections -fdata-sections -std=c++20 -include cstdint -w
  "-I$sys/rocksdb/include" "-I$sys/rocksdb" "-I$sys" "-I$lz4/liblz4/lib"
  -DNDEBUG=1 -DLZ4=1 -DHAVE_ALIGNED_NEW -DHAVE_UINT128_EXTENSION
  -DOS_LINUX -DROCKSDB_PLATFORM_POSIX -DROCKSDB_LIB_IO_POSIX -DROCKSDB_SCHED_GETCPU_PRESENT
  -DROCKSDB_AUXV_GETAUXVAL_PRESENT -DROCKSDB_FALLOCATE_PRESENT -DROCKSDB_RANGESYNC_PRESENT
)
# Parts of RocksDB that the program does not use. Functions that need them are dropped when the program is linked, as are all that
# nothing calls. If the program calls one some day, the linker says "undefined symbol", and the part must be removed from here.
unused='^(utilities/(backup|blob_db|cassandra|persistent_cache|secondary_index|simulator_cache|sorted_run_builder)/'
unused+='|utilities/transactions/(lock|optimistic|pessimistic|transaction|write_)'
unused+='|utilities/(cache_dump|env_mirror|fault_injection|leveldb_options|option_change_migration)'
unused+='|db/db_impl/db_impl_follower|db/repair|env/fs_on_demand|test_util|tools)'
# Parts of about equal size, of files that are neighbours in the list: they read the same headers. build_version.cc is the crate's
# own, outside RocksDB's folder.
grep -v '^util/build_version\.cc$' "$sys/rocksdb_lib_sources.txt" | grep -Ev "$unused" | (cd "$sys/rocksdb" && xargs wc -c) |
  awk -v sources="$sys/rocksdb" -v work="$work" '
    $2 != "total" { size[++count] = $1; name[count] = $2; total += $1 }
    END {
      for (i = 1; i <= count; i++) {
        printf "#include \"%s/%s\"\n", sources, name[i] > sprintf("%s/part%d.cc", work, 6 * done / total)
        done += size[i]
      }
    }
  '
echo "#include \"$sys/build_version.cc\"" >"$work/build_version.cc"

# A part needs up to 0.9 GB of memory.
jobs=$(nproc)
most=$(awk '/^MemAvailable:/ { print int($2 / 1000000) + 0 }' /proc/meminfo)
[ "$jobs" -le "$most" ] || jobs=$((most > 1 ? most : 1))
echo "compiling RocksDB $library with $compiler, $jobs parts at a time" >&2
compile() { "$compiler" "${@:2}" -c "$1" -o "${1%.cc}.o"; }
export compiler
export -f compile
printf '%s\0' "$work"/*.cc | xargs -0 -P "$jobs" -I{} bash -euc 'compile "$@"' - {} "${flags[@]}"
ar crs "$work/librocksdb.a" "$work"/*.o
rm "$work"/*.o "$work"/*.cc "$work/metadata.json"
# Complete or not at all.
mv -T "$work" "$folder"
