#!/usr/bin/env bash
# Checks the files of a deployment: alerts, dashboards, the chart, the units, the workflows. The first fault ends it with status 1.
#
#   HELM, KUBECONFORM, ACTIONLINT    the programs
#   SCHEMAS                          the folder that deploy/helm/schemas.sh makes
#   SOFTSTAKE_BIN                    optional: a program that checks the settings that the chart writes
set -euo pipefail
cd "$(dirname "$0")/.."
: "${HELM:?}" "${KUBECONFORM:?}" "${ACTIONLINT:?}" "${SCHEMAS:?}"
chart=deploy/helm/softstake
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

say() { printf '== %s\n' "$*"; }
fail() { printf 'FAILED: %s\n' "$*" >&2; exit 1; }

say 'alerts'
promtool check rules deploy/prometheus/rules.yml
promtool check config --syntax-only deploy/prometheus/prometheus.yml
promtool test rules deploy/prometheus/rules_test.yml
for alert in $(sed -n 's/^ *- alert: //p' deploy/prometheus/rules.yml); do
  grep -q "alertname=\"$alert\"" deploy/prometheus/rules_test.yml || fail "no test lets $alert fire"
done

say 'dashboards'
# Their queries are checked as rules that record them.
python3 - deploy/grafana/*.json >"$work/queries.json" <<'PYTHON'
import json
import sys

rules, uids = [], set()
for path in sys.argv[1:]:
    with open(path, encoding="utf-8") as file:
        dashboard = json.load(file)
    assert dashboard["uid"] not in uids, f"{path}: the uid {dashboard['uid']} is taken"
    uids.add(dashboard["uid"])
    ids = [panel["id"] for panel in dashboard["panels"]]
    assert len(ids) == len(set(ids)), f"{path}: two panels have one id"
    for panel in dashboard["panels"]:
        for target in panel.get("targets", []):
            assert target["datasource"]["uid"] == "${datasource}", f"{path}: {panel['title']} names a data source"
            query = target["expr"].replace("$__rate_interval", "5m")
            rules.append({"record": f"query:{len(rules)}", "expr": query})
assert rules, "there are no queries"
print(json.dumps({"groups": [{"name": "queries", "rules": rules}]}))
PYTHON
promtool check rules "$work/queries.json"

say 'the chart'
cmp deploy/prometheus/rules.yml "$chart/files/rules.yml" || fail "copy the rules: cp deploy/prometheus/rules.yml $chart/files/rules.yml"
for values in "$chart"/ci/*.yaml; do
  "$HELM" lint --strict --quiet "$chart" --values "$values"
  for version in "$SCHEMAS"/v*; do
    version=${version##*/v}
    "$HELM" template rewards "$chart" --namespace earn --kube-version "$version" --values "$values" >"$work/rendered.yaml"
    "$KUBECONFORM" -strict -summary -kubernetes-version "$version" \
      -schema-location "$SCHEMAS/{{ .NormalizedKubernetesVersion }}/{{ .ResourceKind }}{{ .KindSuffix }}.json" \
      -schema-location "$SCHEMAS/operator/{{ .ResourceKind }}_{{ .ResourceAPIVersion }}.json" "$work/rendered.yaml"
  done
  configmaps=(configmap)
  ! grep -q '^serve:' "$values" || configmaps+=(serve-configmap)
  for configmap in "${configmaps[@]}"; do
    "$HELM" template rewards "$chart" --values "$values" --show-only "templates/$configmap.yaml" >"$work/configmap.yaml"
    sed '1,/softstake.toml: |/d; s/^    //' "$work/configmap.yaml" >"$work/softstake.toml"
    python3 -c 'import sys, tomllib; tomllib.load(open(sys.argv[1], "rb"))' "$work/softstake.toml"
    if [ -n "${SOFTSTAKE_BIN:-}" ]; then
      # The Secrets are not here, so their files are not named.
      sed -i '/"\/run\/secrets\//d' "$work/softstake.toml"
      env -u SOFTSTAKE_BIN "$SOFTSTAKE_BIN" check --config "$work/softstake.toml" >/dev/null
    fi
  done
done
"$HELM" template rewards "$chart" --values "$chart/ci/full.yaml" --show-only templates/prometheusrule.yaml |
  sed '1,/^spec:/d; s/^  //' >"$work/rules.yml"
promtool check rules "$work/rules.yml"
refused() { ! "$HELM" template rewards "$chart" "$@" >/dev/null 2>&1 || fail "the chart takes: $*"; }
refused
refused --values "$chart/ci/minimal.yaml" --set replica=3
refused --values "$chart/ci/minimal.yaml" --set partitions=12
refused --values "$chart/ci/minimal.yaml" --set-string 'kafka.properties.sasl\.password=secret'
refused --values "$chart/ci/minimal.yaml" --set snapshots.place=s3://user:password@bucket
# The read side shows customers' data: without keys, without TLS and without an audit log there is none.
refused --values "$chart/ci/minimal.yaml" --set serve.enabled=true
refused --values "$chart/ci/serve.yaml" --set serve.tokens.keysSecret=
refused --values "$chart/ci/serve.yaml" --set serve.tokens.jwksUrl=https://issuer.example/keys
refused --values "$chart/ci/serve.yaml" --set serve.tokens.keysSecret= --set serve.tokens.jwksUrl=http://issuer.example/keys
refused --values "$chart/ci/serve.yaml" --set serve.tls.secret=
refused --values "$chart/ci/serve.yaml" --set serve.behindProxy=nginx
refused --values "$chart/ci/serve.yaml" --set serve.auditLog.claim=
refused --values "$chart/ci/serve.yaml" --set serve.auditLog.sidecar=true
refused --values "$chart/ci/serve.yaml" --set serve.ingress.enabled=true
refused --values "$chart/ci/serve.yaml" --set-string 'serve.kafka.properties.sasl\.password=secret'
# The instances tell the read side nothing without a token.
refused --values "$chart/ci/serve.yaml" --set monitoring.tokenSecret= --set serve.processors=rewards-softstake:9464
refused --values "$chart/ci/serve.yaml" --set 'serve.processors=a:9464 b:9464'
refused --values "$chart/ci/minimal.yaml" --set serve.ingress.enabled=true --set serve.ingress.host=rewards.example
# rendered TEMPLATE VALUES...: what the chart makes of these values.
rendered() {
  local template=$1
  shift
  "$HELM" template rewards "$chart" --show-only "templates/$template.yaml" "$@"
}
# asked ADDRESSES VALUES...: the read side asks the instances at these addresses; none if it is empty.
asked() {
  local wanted=$1 found
  shift
  found=$(rendered serve-configmap "$@" | sed -n 's/^ *processors = "\(.*\)"$/\1/p')
  [ "$found" = "$wanted" ] || fail "the read side asks '$found', not '$wanted', with: $*"
}
pod=rewards-softstake
asked "$pod-0.$pod:9464,$pod-1.$pod:9464,$pod-2.$pod:9464" --values "$chart/ci/serve.yaml" --set replicas=3
asked "$pod:9000" --values "$chart/ci/serve.yaml" --set replicas=0 --set monitoring.port=9000
asked "$pod:9464" --values "$chart/ci/serve.yaml" --set "serve.processors=$pod:9464"
asked '' --values "$chart/ci/serve.yaml" --set monitoring.tokenSecret=
# Both policies let it through: the one of the read side, and that of the instances, where only Prometheus is named.
rendered serve-networkpolicy --values "$chart/ci/serve.yaml" | grep -q 'component: instance' || fail 'the read side does not reach the instances'
rendered networkpolicy --values "$chart/ci/full.yaml" | grep -q 'component: serve' || fail 'the instances do not let the read side in'
for port in 9464 443; do
  rendered serve-networkpolicy --values "$chart/ci/full.yaml" | grep -q "port: $port }" || fail "the read side does not reach port $port"
done
pages=$(sed -n 's|^ *("\(/[a-z]*\)", .*|\1|p' src/serve/pages/files.rs | sort)
[ -n "$pages" ] || fail 'the pages of the program are not found'
paths=$("$HELM" template rewards "$chart" --values "$chart/ci/full.yaml" --show-only templates/serve-ingress.yaml | sed -n 's/^ *- path: //p' | sort)
[ "$paths" = "$(printf '%s\n' "$pages" /assets/ /v1/ | sort)" ] || fail "the Ingress has other paths than the pages of the program: $paths"

say 'the units'
for unit in softstake softstake-serve; do
  # The program and its manual need not be installed here.
  sed 's#^ExecStart=/usr/bin/softstake #ExecStart=/bin/true #' "deploy/$unit.service" >"$work/$unit.service"
  systemd-analyze verify --man=no "$work/$unit.service"
  systemd-analyze security --offline=true --no-pager --threshold=15 "$work/$unit.service" | tail -1
done

say 'workflows'
"$ACTIONLINT" -color=false .github/workflows/*.yml
say 'all is right'
