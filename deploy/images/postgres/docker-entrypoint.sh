#!/bin/bash
# Makes the database on an empty disk, then is the server. While it is being made, the server listens on its Unix socket alone, as in the
# official image: a health check must ask by TCP.
set -euo pipefail

if [ "$(id -u)" = 0 ]; then
  mkdir -p "$PGDATA"
  chown -R postgres:postgres "$PGDATA" /var/run/postgresql
  chmod 700 "$PGDATA"
  exec setpriv --reuid postgres --regid postgres --init-groups "$0" "$@"
fi

# NAME or, as a secret, the file that NAME_FILE names.
value() {
  local file=${1}_FILE
  if [ -n "${!file:-}" ]; then cat "${!file}"; else echo "${!1:-${2:-}}"; fi
}

if [ "$1" = postgres ] && [ ! -s "$PGDATA/PG_VERSION" ]; then
  user=$(value POSTGRES_USER postgres)
  password=$(value POSTGRES_PASSWORD)
  database=$(value POSTGRES_DB "$user")
  [ -n "$password" ] || { echo 'POSTGRES_PASSWORD must be given' >&2; exit 1; }
  initdb --username="$user" --pwfile=<(echo "$password") --auth-local=trust --auth-host=scram-sha-256
  echo 'host all all all scram-sha-256' >> "$PGDATA/pg_hba.conf"
  sed -i "s/^#\?listen_addresses.*/listen_addresses = '*'/" "$PGDATA/postgresql.conf"
  if [ "$database" != postgres ]; then
    pg_ctl -w start -o "-c listen_addresses=''"
    createdb --username="$user" "$database"
    pg_ctl -w -m fast stop
  fi
fi
exec "$@"
