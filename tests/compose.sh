#!/usr/bin/env bash
# Runs docker-compose.yml from an empty disk until the payouts are in PostgreSQL. Then it kills and restarts each container,
# idle and while a day is settled. No payout may change, be lost or be paid twice, and the read side must show one account
# what was credited to it. The first deviation ends it with status 1.
#
#   SOFTSTAKE_BIN, PAYOUT_BIN    programs to use; otherwise they are compiled in a container, which takes long
#   COMPOSE                      Compose v2, if it is not a plugin of docker
#   KEEP=1                       leaves everything running at the end
set -euo pipefail
cd "$(dirname "$0")/.."

DAYS=3
ASSETS=4 # of `softstake gen`, unless told otherwise
PATIENCE_S=300

project=softstake-test-$$
work=$(mktemp -d)
daemon=
publishing=
began=$SECONDS

say() { printf '%4d s  %s\n' $((SECONDS - began)) "$*"; }
fail() {
  say "FAILED: $*"
  for service in kafka topics payout-topic generator softstake-1 softstake-2 postgres payout issuer serve prometheus; do
    echo "--- the end of what $service said"
    compose logs --no-log-prefix --tail 15 "$service" 2>&1 | cut -c1-400 || true
  done
  compose ps --all || true
  exit 1
}

if docker compose version >/dev/null 2>&1; then
  compose() { docker compose --project-name "$project" "$@"; }
else
  compose() { "${COMPOSE:?no Compose v2: it is no plugin of docker, and COMPOSE does not name one}" --project-name "$project" "$@"; }
fi

clean() {
  [ -z "$publishing" ] || kill "$publishing" 2>/dev/null || true
  if [ -n "${KEEP:-}" ]; then
    echo "left running: project $project, image tag $IMAGE_TAG, ports $KAFKA_PORT and $SERVE_PORT"
    return
  fi
  compose down --volumes --timeout 5 >/dev/null 2>&1 || true
  docker volume rm "$project-reference" >/dev/null 2>&1 || true
  docker image rm "softstake:$project" "softstake-payout-consumer:$project" "softstake-programs:$project" >/dev/null 2>&1 || true
  [ -z "$daemon" ] || kill "$daemon"
  rm -rf "$work"
}
trap clean EXIT

# wait_for WHAT COMMAND...: waits until the command succeeds.
wait_for() {
  local what=$1 until=$((SECONDS + PATIENCE_S))
  shift
  until "$@" >/dev/null 2>&1; do
    [ $SECONDS -lt $until ] || fail "still waiting after $PATIENCE_S s: $what"
    sleep 1
  done
}

container() { echo "$project-$1-1"; }
state() { docker inspect --format '{{.State.Status}}{{with .State.Health}} {{.Status}}{{end}}' "$(container "$1")"; }
is_up() { [[ $(state "$1") =~ ^running( healthy)?$ ]]; }
# Whether a service ended with success.
is_done() { [ "$(docker inspect --format '{{.State.Status}} {{.State.ExitCode}}' "$(container "$1")")" = 'exited 0' ]; }

kill_it() {
  is_up "$1" || fail "$1 is not up before it is killed: $(state "$1")"
  docker kill "$(container "$1")" >/dev/null
  ! is_up "$1" || fail "$1 survived"
}
start_it() {
  docker start "$(container "$1")" >/dev/null
  wait_for "the health of $1" is_up "$1"
}

sql() {
  docker exec -i --env PGPASSWORD=payout "$(container postgres)" \
    psql --host 127.0.0.1 --username payout --dbname payout --no-psqlrc --quiet --no-align --tuples-only --set ON_ERROR_STOP=1 "$@"
}
# Every credit of the days before $1, sorted.
credits() {
  sql --command "SELECT c.distribution, c.account, c.amount FROM credits c JOIN distributions d ON d.id = c.distribution
                 WHERE d.epoch < $1 ORDER BY c.distribution COLLATE \"C\""
}
all_paid() { [ "$(sql --command "SELECT count(*) FROM seals WHERE status = 'paid' AND epoch < $1")" = $(($1 * ASSETS)) ]; }
held() { sql --command "SELECT asset, epoch, reason FROM seals WHERE status = 'held' UNION ALL SELECT asset, epoch, what FROM conflicts"; }
totals() {
  sql --command "SELECT count(*) || ' payouts in ' || (SELECT count(*) FROM seals) || ' epochs; ' || (SELECT string_agg(total, ', ') FROM
                 (SELECT trim_scale(sum(amount)) || ' ' || reward_asset AS total FROM credits GROUP BY reward_asset ORDER BY reward_asset) t) FROM credits"
}

# settled DAYS: waits for all payouts of this many days.
settled() {
  wait_for "the payouts of $1 days" all_paid "$1"
  [ -z "$(held)" ] || fail "the payout consumer objects: $(held)"
}

# same WHEN: fails if the credits of earlier days have changed.
same() {
  credits "$days" >"$work/credits.now"
  cmp -s "$work/credits" "$work/credits.now" || {
    diff "$work/credits" "$work/credits.now" | head -20
    fail "$1: the payouts have changed"
  }
}
save_credits() { credits "$days" >"$work/credits"; }

# publish DAYS: tries until it succeeds. An attempt fails if the broker is killed meanwhile.
publish() {
  local until=$((SECONDS + PATIENCE_S))
  until compose run --rm --no-deps --env DAYS="$1" generator; do
    [ $SECONDS -lt $until ] || return 1
    sleep 1
  done >>"$work/publish.log" 2>&1
}

# as ROLE [ACCOUNT]: a token.
as() { compose run --rm --no-deps -T issuer token "$@" 2>/dev/null; }
# ask TOKEN PATH: what the read side answers on the port of this machine, with status 200 and the certificate of this project.
ask() {
  curl --silent --show-error --fail --max-time 30 --cacert "$work/server.pem" --header "Authorization: Bearer $1" "https://localhost:$SERVE_PORT$2"
}
# processor WHICH...: whether the read side shows these instances, no others, and that each answers.
processor() {
  ask "$(as operator)" /v1/processor >"$work/processor.json" || return 1
  python3 -c '
import json, sys
instances = json.load(open(sys.argv[1]))["instances"]
answered = sorted(one["name"] for one in instances if one["unreachable_because"] is None)
assert answered == sorted(sys.argv[2:]) and len(instances) == len(answered), instances
' "$work/processor.json" "$@"
}
# Whether an instance tells the read side what $account has accrued: it takes the token.
accrues() { ask "$customer" "/v1/accounts/$account/accrued" >"$work/accrued.json"; }
# Whether the read side shows these kinds of reconciliations, and that each agrees.
reconciled() {
  ask "$(as auditor)" /v1/reconciliations >"$work/reconciliations.json" || return 1
  python3 -c '
import json, sys
results = json.load(open(sys.argv[1]))
assert not results["unreadable"] and all(one["agrees"] for one in results["items"]), results
assert sorted(one["kind"] for one in results["items"]) == sorted(sys.argv[2:]), results
' "$work/reconciliations.json" "$@"
}
# The status of its answer.
ask_status() {
  curl --silent --max-time 30 --cacert "$work/server.pem" --header "Authorization: Bearer $1" --output "$work/refused" --write-out '%{http_code}' \
    "https://localhost:$SERVE_PORT$2" || true
}
# What the account of $account was paid and credited, as the read side tells it: id, amount, credited amount.
served() {
  ask "$customer" "/v1/accounts/$account/distributions?format=csv" >"$work/served.csv" || return 1
  python3 -c '
import csv, sys
for row in csv.DictReader(open(sys.argv[1], newline="")):
    assert row["sealed"] == "true", row
    print(row["id"], row["amount"], row["credited_amount"], sep="|")
' "$work/served.csv" | LC_ALL=C sort
}
# It is exactly what the payout consumer has credited to that account.
shows_the_credits() {
  served >"$work/served" || return 1
  sql --command "SELECT distribution, amount, amount FROM credits WHERE account = '$account' ORDER BY distribution COLLATE \"C\"" >"$work/credited" || return 1
  [ -s "$work/credited" ] && cmp -s "$work/served" "$work/credited"
}
# shown WHEN: waits until the read side shows all credits.
shown() { wait_for "$1, the read side shows the credits of $account" shows_the_credits; }

# Prometheus has this answer, one sample without labels, to a query.
prometheus_says() {
  [[ $(docker exec "$(container prometheus)" promtool query instant http://localhost:9090 "$2") = "{} => $1 @"* ]]
}
both_are_scraped() { prometheus_says 2 'count(up{job="softstake"} == 1)' && prometheus_says 2 'sum(softstake_ready{job="softstake"})'; }
serve_is_scraped() { prometheus_says 1 'sum(softstake_view_ready{job="softstake-serve"})'; }

# ---- images and programs

if ! docker info >/dev/null 2>&1; then
  [ "$(id -u)" = 0 ] || fail 'no Docker daemon answers, and starting one takes root'
  say 'starting a Docker daemon'
  dockerd >"$work/dockerd.log" 2>&1 &
  daemon=$!
  wait_for 'the Docker daemon' docker info
fi

images=(debian kafka postgres prometheus)
[ -n "${SOFTSTAKE_BIN:-}" ] || images+=(rust)
deploy/images/make.sh "${images[@]}"

export IMAGE_TAG=$project
# Not the usual ports, which may be in use.
export KAFKA_PORT=${KAFKA_PORT:-$((30000 + $$ % 10000))}
export SERVE_PORT=${SERVE_PORT:-$((50000 + $$ % 10000))}
export PROMETHEUS_PORT=${PROMETHEUS_PORT:-$((40000 + $$ % 10000))}
if [ -n "${SOFTSTAKE_BIN:-}" ]; then
  mkdir "$work/out"
  strip -o "$work/out/softstake" "$SOFTSTAKE_BIN"
  strip -o "$work/out/payout_consumer" "${PAYOUT_BIN:?is needed with SOFTSTAKE_BIN}"
  tar -c -C "$work" out | docker import - "softstake-programs:$project" >/dev/null
  export IMAGE_BINARIES=softstake-programs:$project
fi
say 'building the images'
compose build --quiet 2>"$work/build.log" || { tail -20 "$work/build.log"; fail 'the images do not build'; }
docker images --format '{{.Repository}}:{{.Tag}} {{.Size}}' | grep ":$project " | sed 's/^/        /'

# ---- from an empty disk

days=$DAYS
export DAYS
say 'docker compose up, from an empty disk'
compose up --detach --quiet-pull 2>"$work/up.log" || { cat "$work/up.log"; fail 'it does not come up'; }
for service in topics payout-topic generator issuer; do wait_for "the end of $service" is_done "$service"; done
say 'topics are created, events are published'
settled "$days"
say "paid: $(totals)"
save_credits

# ---- the read side

wait_for 'the health of serve' is_up serve
compose exec -T serve cat /etc/softstake/server.pem >"$work/server.pem"
account=$(sql --command 'SELECT account FROM credits GROUP BY account ORDER BY count(*) DESC, account LIMIT 1')
customer=$(as customer "$account")
shown 'after the first days'
[ "$(ask_status "$customer" "/v1/accounts/$account/summary")" = 200 ] || fail "the customer does not see the own summary: $(cat "$work/refused")"
[ "$(ask_status "$customer" "/v1/accounts/${account}x/summary")" = 403 ] || fail "the customer sees another account: $(cat "$work/refused")"
[ "$(ask_status "$(as operator)" "/v1/accounts/$account/summary")" = 403 ] || fail "the operator sees an account: $(cat "$work/refused")"
[ "$(ask_status nonsense /v1/session)" = 401 ] || fail "no token is needed: $(cat "$work/refused")"
compose exec -T serve grep --quiet "\"account\":\"$account\",\"allowed\":true" /var/lib/softstake/reads.jsonl || fail 'the audit log lacks a read'
! compose exec -T serve ls /var/lib/softstake/token.key >/dev/null 2>&1 || fail 'the read side has the key that signs tokens'
wait_for 'both instances, as the read side shows them' processor softstake-1 softstake-2
wait_for "what $account has accrued" accrues
! compose exec -T softstake-1 ls /etc/softstake/server.key >/dev/null 2>&1 || fail 'an instance has the key of the read side'
say "over HTTPS, $account sees its $(wc -l <"$work/served") payouts, all as credited; others are refused"

# ---- monitoring

for service in softstake-1 softstake-2 prometheus; do wait_for "the health of $service" is_up "$service"; done
wait_for 'both instances are scraped and ready' both_are_scraped
wait_for 'the read side is scraped and ready' serve_is_scraped
rules=$(grep -cE '^ *- (alert|record): ' deploy/prometheus/rules.yml)
wait_for "all $rules rules are loaded" prometheus_says "$rules" 'sum(prometheus_rule_group_rules)'
wait_for 'the recorded number of instances is 2' prometheus_says 2 'sum(softstake:instances:count)'
wait_for 'all seals are counted' prometheus_says "$((days * ASSETS))" 'sum(softstake_seals_total)'
say "Prometheus has loaded $rules rules and scrapes both instances and the read side; Grafana is not tested, because no package has it"

# ---- kills of idle containers

cp "$work/served" "$work/served.before"
for service in kafka softstake-1 softstake-2 postgres payout serve; do
  wait_for "the health of $service before it is killed" is_up "$service"
  kill_it "$service"
  sleep 3
  start_it "$service"
  same "after the return of $service"
  shown "after the return of $service"
  cmp -s "$work/served" "$work/served.before" || fail "after the return of $service, the read side answers something else"
  say "$service was killed while idle and is back; the payouts are the same"
done
for service in topics payout-topic generator issuer; do
  docker start "$(container "$service")" >/dev/null
  wait_for "the end of $service" is_done "$service"
  same "after a second run of $service"
  say "$service has run again; the payouts are the same"
done

# ---- kills at work

for service in kafka softstake-1 softstake-2 postgres payout serve; do
  wait_for "the health of $service before it is killed" is_up "$service"
  publish $((days + 1)) &
  publishing=$!
  sleep "$((RANDOM % 4)).$((RANDOM % 10))"
  kill_it "$service"
  sleep 3
  start_it "$service"
  wait "$publishing" || fail "day $days is not published"
  settled $((days + 1))
  same "after the return of $service"
  shown "after the return of $service"
  days=$((days + 1))
  save_credits
  say "$service was killed while day $days was settled and is back; $(totals)"
done

# One instance is down: the other one does its work.
kill_it softstake-1
publish $((days + 1)) || fail "day $days is not published"
settled $((days + 1))
days=$((days + 1))
save_credits
say "day $days was settled by softstake-2 alone"
start_it softstake-1
wait_for 'both instances are scraped and ready again' both_are_scraped

# As in a power failure.
publish $((days + 1)) &
publishing=$!
sleep 2
wait_for 'the health of serve' is_up serve
docker kill "$(container kafka)" "$(container softstake-1)" "$(container softstake-2)" "$(container postgres)" "$(container payout)" \
  "$(container serve)" >/dev/null
sleep 1
for service in kafka postgres softstake-1 softstake-2 payout serve; do start_it "$service"; done
wait "$publishing" || fail "day $days is not published"
settled $((days + 1))
same 'after all were killed'
shown 'after all were killed'
days=$((days + 1))
save_credits
say "all were killed at once while day $days was settled and are back; $(totals)"

# ---- the database against the published records, and against a run on a directory bus

# The committed records of a topic.
published() {
  docker exec --env KAFKA_HEAP_OPTS=-Xmx256m "$(container kafka)" /opt/kafka/bin/kafka-console-consumer.sh --bootstrap-server kafka:9092 \
    --topic "$1" --from-beginning --timeout-ms 10000 --consumer-property isolation.level=read_committed 2>/dev/null
}
published softstake.distributions >"$work/distributions" || true
published softstake.epochs >"$work/epochs" || true

# judge MESSAGE: compares files of records with the database; fails with the message if they differ.
judge() {
  local said
  said=$({
    echo 'CREATE TEMP TABLE d (record jsonb); CREATE TEMP TABLE s (record jsonb);'
    # JSON never contains the delimiter and the quote unescaped, so each line is one field.
    printf "COPY d FROM STDIN (FORMAT csv, DELIMITER E'\\\\x01', QUOTE E'\\\\x02');\n"; cat "$work/distributions"; echo '\.'
    printf "COPY s FROM STDIN (FORMAT csv, DELIMITER E'\\\\x01', QUOTE E'\\\\x02');\n"; cat "$work/epochs"; echo '\.'
    cat <<'SQL'
CREATE TEMP VIEW dist AS SELECT record->>'id' AS id, record->'data'->>'account' AS account, record->'data'->>'asset' AS asset,
  record->'data'->>'reward_asset' AS reward_asset, (record->'data'->>'epoch')::bigint AS epoch,
  (record->'data'->>'amount')::numeric AS amount FROM d;
CREATE TEMP VIEW seal AS SELECT record->'data'->>'asset' AS asset, (record->'data'->>'epoch')::bigint AS epoch,
  (record->'data'->>'distributions')::bigint AS distributions, (record->'data'->>'distributed')::numeric AS distributed,
  record->'data'->>'root' AS root FROM s;
SELECT 'more than one distribution ' || id FROM dist GROUP BY id HAVING count(*) > 1;
SELECT 'more than one seal ' || asset || ' ' || epoch FROM seal GROUP BY asset, epoch HAVING count(*) > 1;
SELECT 'paid, but not published: ' || distribution || ' ' || amount FROM
  (SELECT distribution, account, reward_asset, amount::numeric FROM credits EXCEPT SELECT id, account, reward_asset, amount FROM dist) x;
SELECT 'published, but not paid: ' || id || ' ' || amount FROM
  (SELECT id, account, reward_asset, amount FROM dist EXCEPT SELECT distribution, account, reward_asset, amount::numeric FROM credits) x;
SELECT 'a balance is not the sum of its credits: ' || reward_asset || ' ' || account FROM balances b
  FULL JOIN (SELECT reward_asset, account, sum(amount::numeric) AS credited FROM credits GROUP BY reward_asset, account) c
  USING (reward_asset, account)
  WHERE b.balance::numeric IS DISTINCT FROM c.credited;
SELECT 'not what the seal says: ' || asset || ' ' || epoch FROM seal
  LEFT JOIN (SELECT asset, epoch, count(*) AS n, sum(amount) AS total FROM dist GROUP BY asset, epoch) x USING (asset, epoch)
  WHERE distributions <> coalesce(n, 0) OR distributed <> coalesce(total, 0);
SELECT 'another seal than the one that was paid: ' || asset || ' ' || epoch FROM
  (SELECT asset, epoch, root FROM seal EXCEPT SELECT asset, epoch, root FROM seals) x;
SQL
  } | sql --file -)
  [ -z "$said" ] || { head -20 <<<"$said"; fail "$1"; }
  [ "$(wc -l <"$work/epochs")" = $((days * ASSETS)) ] || fail "$1: $(wc -l <"$work/epochs") seals instead of $((days * ASSETS))"
}
judge 'the database and the topics differ'
say "$(wc -l <"$work/distributions") distributions on the topic, $(wc -l <"$work/epochs") seals: all paid, each once, nothing else"

# Every execution is on its topic, once.
all_executed() { [ "$(sql --command 'SELECT count(*) FROM outbox')" = 0 ]; }
wait_for 'the executions of all payouts' all_executed
# On stderr is its progress, if it takes long.
executions=$(compose exec -T softstake-1 softstake reconcile payouts 2>"$work/reconcile.log") && [[ $executions = 'RIGHT: all '* ]] &&
  [[ $executions = *$'\n0 acknowledgements were repeated'* ]] || fail "the executions differ from the payouts: $(cat "$work/reconcile.log") $executions"
say "${executions%%$'\n'*}"

# The same comparison and that of the records, for the audit page.
for what in records payouts; do
  compose run --rm --no-deps -T --env WHAT="$what" reconcile >"$work/reconcile.log" 2>&1 || fail "the $what differ: $(cat "$work/reconcile.log")"
done
reconciled records payouts || fail "the audit page shows something else: $(cat "$work/reconciliations.json")"
say 'the audit page shows both reconciliations, and that they agree'

# A view from nothing answers the same.
shown 'at the end'
cp "$work/served" "$work/served.before"
compose stop serve 2>/dev/null
compose run --rm --no-deps -T --entrypoint /bin/rm serve -r /var/lib/softstake/view >/dev/null 2>&1 || fail 'the view cannot be deleted'
start_it serve
shown 'with a new view'
cmp -s "$work/served" "$work/served.before" || fail 'a new view answers something else'
say 'the view was deleted and built again; its answers are the same'

# The same days on a directory bus, by one process without kills.
docker run --rm --volume "$project-reference:/var/lib/softstake" --entrypoint /bin/sh "softstake:$project" -euc "
  gen() { softstake gen --bus dir:bus --epochs 30 --events ${EVENTS:-300000} --accounts ${ACCOUNTS:-1000} --partitions ${SOURCE_PARTITIONS:-2} \"\$@\"; }
  gen --stages 0..$DAYS
  softstake run --bus dir:bus --state state --until-idle
  for day in \$(seq $DAYS $((days - 1))); do
    gen --stage \$day
    softstake run --bus dir:bus --state state --until-idle
  done" >"$work/reference.log" 2>&1 || { tail "$work/reference.log"; fail 'the reference run'; }
reference() {
  docker run --rm --volume "$project-reference:/var/lib/softstake" --entrypoint /bin/sh "softstake:$project" -c "cat bus/$1/*.jsonl"
}
reference softstake.distributions >"$work/distributions"
reference softstake.epochs >"$work/epochs"
judge 'the payouts are not those of the same days on a directory bus'
say 'the payouts and roots are exactly those of the same days on a directory bus'

# ---- restarts of processes that end by themselves

if [ "$(id -u)" = 0 ]; then
  for service in kafka softstake-1 softstake-2 postgres payout serve; do
    process=$(docker inspect --format '{{.State.Pid}}' "$(container "$service")")
    kill -KILL "$process" 2>/dev/null || { say 'the processes of the containers are not visible here, so restarts are not tested'; break; }
    # In this order: before the end is noticed, the health is still that of the process that was killed.
    restarted() { [ "$(docker inspect --format '{{.State.Pid}}' "$(container "$service")")" != "$process" ] && is_up "$service"; }
    wait_for "the restart of $service" restarted
    same "after the restart of $service"
  done
  say 'all have ended and were restarted; the payouts are the same'
fi

# On SIGTERM all stop in time and with success.
compose stop 2>/dev/null
for service in softstake-1 softstake-2 serve; do is_done "$service" || fail "$service was stopped: $(docker inspect --format '{{.State.ExitCode}}' "$(container "$service")")"; done
say 'all have stopped'
