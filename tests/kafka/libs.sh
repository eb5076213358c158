#!/usr/bin/env bash
# Prints the folder with Kafka's jars, below the given folder. Downloads them first if they are not there yet.
# It also makes an archive of loaded classes, which halves the start time of a broker.
set -euo pipefail
export LC_ALL=C

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
cache=${1:?the folder to keep the jars in}
for tool in java mvn; do
  command -v "$tool" >/dev/null || { echo "$tool is missing: \`make test-setup\` installs it" >&2; exit 1; }
done
version=$(java -version 2>&1 | sed -n 's/.* version "\([0-9]*\).*/\1/p')
[ "${version:-0}" -ge 17 ] || { echo "Java ${version:-of an unknown version} is too old for Kafka: it needs 17 or newer" >&2; exit 1; }

# The name contains a hash of the versions, so another version of Kafka or Java gets another folder.
key=$({ cat "$here/pom.xml" "$here/libs.sh"; java -version 2>&1; } | sha256sum | cut -c1-12)
libs="$cache/$key"
archive="$libs/kafka.jsa"
if [ -e "$archive" ]; then
  echo "$libs"
  exit
fi

mkdir -p "$cache"
work=$(mktemp -d "$cache/.resolving-XXXXXX")
broker=""
clean() {
  [ -z "$broker" ] || kill -9 "$broker" 2>/dev/null || true
  rm -rf "$work"
}
trap clean EXIT

if [ ! -d "$libs" ]; then
  echo "resolving Kafka's jars into $libs" >&2
  mvn -q -B -f "$here/pom.xml" dependency:copy-dependencies -DincludeScope=runtime -DoutputDirectory="$work/libs" >&2
  # Complete or not at all. Another process may have made the same folder meanwhile.
  mv -T "$work/libs" "$libs" 2>/dev/null || [ -d "$libs" ]
fi

jars=("$libs"/*.jar)
classpath=$(IFS=:; echo "${jars[*]}")
port=$((20000 + RANDOM % 8000))
cat >"$work/broker.properties" <<PROPERTIES
process.roles=broker,controller
node.id=0
controller.quorum.voters=0@127.0.0.1:$((port + 1))
listeners=PLAINTEXT://127.0.0.1:$port,CONTROLLER://127.0.0.1:$((port + 1))
controller.listener.names=CONTROLLER
log.dirs=$work/data
PROPERTIES

# Starts and stops a broker, which writes the archive of its classes at the end.
archive_classes() {
  local options=(-Xmx256m -XX:+UseSerialGC -XX:TieredStopAtLevel=1 -cp "$classpath")
  java "${options[@]}" kafka.tools.StorageTool format -t AAAAAAAAAAAAAAAAAAAAAA -c "$work/broker.properties"
  java "${options[@]}" -XX:ArchiveClassesAtExit="$work/kafka.jsa" kafka.Kafka "$work/broker.properties" &
  broker=$!
  for _ in $(seq 600); do
    kill -0 "$broker" || return 1
    if (: <"/dev/tcp/127.0.0.1/$port") 2>/dev/null; then
      # It listens before its start is complete. A later end has loaded more classes.
      sleep 1
      kill "$broker"
      wait "$broker" || true
      broker=""
      mv "$work/kafka.jsa" "$archive"
      return
    fi
    sleep 0.1
  done
  return 1
}
if ! archive_classes >"$work/log" 2>&1; then
  echo "there is no archive of Kafka's classes, so brokers will start more slowly. The last lines of the log:" >&2
  tail -5 "$work/log" >&2
fi
echo "$libs"
