#!/usr/bin/env bash
# Compares Softstake with the same job in Kafka Streams, on one broker. Arguments go to compare.py: --help lists them.
# SOFTSTAKE names the program, and CARGO_TARGET_DIR the folder that everything is built and measured in.
set -euo pipefail
export LC_ALL=C.UTF-8

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
cache="${XDG_CACHE_HOME:-$HOME/.cache}/softstake"
target="${CARGO_TARGET_DIR:-$cache/target}"
softstake="${SOFTSTAKE:-$target/release/softstake}"
build="$target/peers/build"
for tool in java javac mvn python3; do
  command -v "$tool" >/dev/null || { echo "$tool is missing: \`make test-setup\` installs it" >&2; exit 1; }
done
[ -x "$softstake" ] || { echo "$softstake is missing: \`make build\` makes it" >&2; exit 1; }

libs="${SOFTSTAKE_TEST_KAFKA_LIBS:-$("$here/../../tests/kafka/libs.sh" "$cache/kafka")}"
# It is no setting of the program, which refuses it.
unset SOFTSTAKE_TEST_KAFKA_LIBS
mvn -q -B -f "$here/streams/pom.xml" -DbuildDirectory="$build" package \
  dependency:copy-dependencies -DincludeScope=runtime -DoutputDirectory="$build/jars" >&2
cp "$build/peer-streams-0.jar" "$build/jars/"
exec python3 -B "$here/compare.py" --work "$target/peers/work" --softstake "$softstake" --jars "$build/jars" \
  --kafka-libs "$libs" "$@"
