#!/bin/bash
# Runs a class of Kafka's. The server logs what it does, the tools only what is wrong.
set -eu
level=warn
[ "$1" != kafka.Kafka ] || level=info
# Not quoted: each of these may hold several options.
exec java ${KAFKA_HEAP_OPTS:--Xmx256M} ${KAFKA_JVM_PERFORMANCE_OPTS:-} ${KAFKA_OPTS:-} \
  -Dorg.slf4j.simpleLogger.defaultLogLevel=$level -Dorg.slf4j.simpleLogger.showDateTime=true \
  "-Dorg.slf4j.simpleLogger.dateTimeFormat=yyyy-MM-dd'T'HH:mm:ss.SSSZ" \
  -cp '/opt/kafka/libs/*' "$@"
