#!/usr/bin/env bash
# Checks the files of a deployment: alerts, dashboards, the chart, the unit, the workflows. The first fault ends it with status 1.
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
  "$HELM" template rewards "$chart" --values "$values" --show-only templates/configmap.yaml | sed '1,/softstake.toml: |/d; s/^    //' >"$work/softstake.toml"
  python3 -c 'import sys, tomllib; tomllib.load(open(sys.argv[1], "rb"))' "$work/softstake.toml"
  if [ -n "${SOFTSTAKE_BIN:-}" ]; then
    # The Secrets are not here, so their files are not named.
    sed -i '/"\/run\/secrets\//d' "$work/softstake.toml"
    env -u SOFTSTAKE_BIN "$SOFTSTAKE_BIN" check --config "$work/softstake.toml" >/dev/null
  fi
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

say 'the unit'
# The program and its manual need not be installed here.
sed 's#^ExecStart=/usr/bin/softstake #ExecStart=/bin/true #' deploy/softstake.service >"$work/softstake.service"
systemd-analyze verify --man=no "$work/softstake.service"
systemd-analyze security --offline=true --no-pager --threshold=15 "$work/softstake.service" | tail -1

say 'workflows'
"$ACTIONLINT" -color=false .github/workflows/*.yml
say 'all is right'
