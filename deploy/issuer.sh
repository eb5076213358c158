#!/bin/sh
# An identity provider to try `softstake serve` with: keys, a certificate, and tokens. It needs openssl.
#
#   issuer.sh keys                    makes what is missing, and a new certificate if the old one ends within 30 days
#   issuer.sh token ROLE [ACCOUNT]    prints a token that is valid for a day; a customer's token is for ACCOUNT
#
#   ISSUER_PRIVATE    the folder of the key that signs tokens. Who reads it can see everything
#   ISSUER_PUBLIC     the folder for `softstake serve`: the public key of tokens, its certificate and the key of that
#   ISSUER_MONITOR    optional: the folder for the token that `softstake serve` shows to the instances of `softstake run`
#   ISSUER_NAMES      what the certificate is for; default: DNS:localhost,IP:127.0.0.1
set -eu
: "${ISSUER_PRIVATE:?}"
umask 077
fail() { echo "$*" >&2; exit 2; }
base64url() { openssl base64 -A | tr '+/' '-_' | tr -d '='; }

keys() {
  : "${ISSUER_PUBLIC:?}"
  # A file gets its name when it is whole, so a kill leaves no half of a key.
  if [ ! -s "$ISSUER_PRIVATE/token.key" ]; then
    openssl genpkey -algorithm ed25519 -out "$ISSUER_PRIVATE/token.new"
    mv "$ISSUER_PRIVATE/token.new" "$ISSUER_PRIVATE/token.key"
  fi
  openssl pkey -in "$ISSUER_PRIVATE/token.key" -pubout -out "$ISSUER_PUBLIC/token.new"
  mv "$ISSUER_PUBLIC/token.new" "$ISSUER_PUBLIC/token.pem"
  if ! openssl x509 -in "$ISSUER_PUBLIC/server.pem" -noout -checkend 2592000 >/dev/null 2>&1; then
    scratch=$(mktemp -d)
    cat >"$scratch/request" <<CONFIG
[req]
prompt = no
distinguished_name = name
x509_extensions = extensions
[name]
CN = softstake serve, made by issuer.sh
[extensions]
basicConstraints = critical, CA:FALSE
keyUsage = critical, digitalSignature
extendedKeyUsage = serverAuth
subjectAltName = ${ISSUER_NAMES:-DNS:localhost,IP:127.0.0.1}
CONFIG
    openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -noenc -days 365 -config "$scratch/request" \
      -keyout "$ISSUER_PUBLIC/server.key.new" -out "$scratch/server.pem" 2>/dev/null
    mv "$ISSUER_PUBLIC/server.key.new" "$ISSUER_PUBLIC/server.key"
    cat "$scratch/server.pem" >"$ISSUER_PUBLIC/server.pem.new"
    mv "$ISSUER_PUBLIC/server.pem.new" "$ISSUER_PUBLIC/server.pem"
    rm -r "$scratch"
  fi
  if [ -n "${ISSUER_MONITOR:-}" ] && [ ! -s "$ISSUER_MONITOR/monitor-token" ]; then
    openssl rand -hex 32 >"$ISSUER_MONITOR/monitor-token.new"
    mv "$ISSUER_MONITOR/monitor-token.new" "$ISSUER_MONITOR/monitor-token"
  fi
  openssl x509 -in "$ISSUER_PUBLIC/server.pem" -noout -fingerprint -sha256 -enddate
}

token() {
  role=${1:-} account=${2:-}
  case $role in
    customer) [ -n "$account" ] || fail 'a token of a customer is for an account: issuer.sh token customer ACCOUNT' ;;
    support | operator | finance | treasury | auditor) [ -z "$account" ] || fail "only a customer's token is for an account" ;;
    *) fail "there is no role '$role': customer, support, operator, finance, treasury or auditor" ;;
  esac
  # So nothing in it has to be escaped in JSON.
  case $account in *[!A-Za-z0-9._:/-]*) fail 'only letters, digits and . _ : / - may be in an account here' ;; esac
  [ -s "$ISSUER_PRIVATE/token.key" ] || fail 'there is no key yet: issuer.sh keys'
  now=$(date +%s)
  head=$(printf '{"alg":"EdDSA","typ":"JWT"}' | base64url)
  claims=$(printf '{"iss":"issuer.sh","aud":"softstake","sub":"%s","exp":%s,"scope":"softstake.%s"%s}' \
    "${account:-$role}" $((now + 86400)) "$role" "${account:+,\"account\":\"$account\"}" | base64url)
  scratch=$(mktemp)
  printf '%s.%s' "$head" "$claims" >"$scratch"
  signature=$(openssl pkeyutl -sign -rawin -inkey "$ISSUER_PRIVATE/token.key" -in "$scratch" | base64url)
  rm "$scratch"
  printf '%s.%s.%s\n' "$head" "$claims" "$signature"
}

case ${1:-} in
  keys) keys ;;
  token) shift && token "$@" ;;
  *) fail 'usage: issuer.sh keys, or issuer.sh token ROLE [ACCOUNT]' ;;
esac
