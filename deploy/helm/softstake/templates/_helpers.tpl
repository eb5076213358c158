{{- define "softstake.fullname" -}}
{{- if .Values.fullnameOverride -}}
{{- .Values.fullnameOverride | trunc 40 | trimSuffix "-" -}}
{{- else -}}
{{- $name := default .Chart.Name .Values.nameOverride -}}
{{- if contains $name .Release.Name -}}
{{- .Release.Name | trunc 40 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-%s" .Release.Name $name | trunc 40 | trimSuffix "-" -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{- define "softstake.selector" -}}
app.kubernetes.io/name: {{ default .Chart.Name .Values.nameOverride }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end -}}

{{- define "softstake.labels" -}}
{{ include "softstake.selector" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" }}
{{- end -}}

{{- define "softstake.serviceAccount" -}}
{{- if .Values.serviceAccount.create -}}
{{- default (include "softstake.fullname" .) .Values.serviceAccount.name -}}
{{- else -}}
{{- default "default" .Values.serviceAccount.name -}}
{{- end -}}
{{- end -}}

{{- define "softstake.image" -}}
{{- $tag := default .Chart.AppVersion .Values.image.tag -}}
{{- if .Values.image.digest -}}
{{ .Values.image.repository }}@{{ .Values.image.digest }}
{{- else -}}
{{ .Values.image.repository }}:{{ $tag }}
{{- end -}}
{{- end -}}

{{/* The tables of Kafka in a configuration file: of `kafka`, with these properties and files. */}}
{{- define "softstake.tomlKafka" -}}
[kafka]
brokers = {{ required "kafka.brokers is missing: name some brokers as host:port, separated by commas" .kafka.brokers | toJson }}
deployment = {{ .kafka.deployment | toJson }}

[kafka.properties]
{{- range $property, $value := .properties }}
{{- /* A large number would be written with an exponent. */}}
{{ $property | toJson }} = {{ ternary (int64 $value) $value (kindIs "float64" $value) | toString | toJson }}
{{- end }}

[kafka.files]
{{- range .files }}
{{ .property | toJson }} = {{ printf "/run/secrets/softstake/%s" .property | toJson }}
{{- end }}
{{- end -}}

{{/* The ports of the brokers, as rules of a NetworkPolicy. */}}
{{- define "softstake.kafkaPorts" -}}
{{- $ports := list }}
{{- range splitList "," .Values.kafka.brokers }}
{{- $ports = append $ports (regexFind "[0-9]+$" (trim .) | default "9092" | int) }}
{{- end }}
{{- range .Values.networkPolicy.kafkaPorts }}
{{- $ports = append $ports (int .) }}
{{- end }}
{{- range $ports | uniq }}
- { protocol: TCP, port: {{ . }} }
{{- end }}
{{- end -}}

{{/* The configuration file. toJson writes strings as TOML does. */}}
{{- define "softstake.toml" -}}
bus = "kafka"
cache_mb = {{ int .Values.cacheMb }}
{{- if .Values.partitions }}
partitions = {{ int .Values.partitions }}
{{- end }}
{{- if .Values.threads }}
threads = {{ int .Values.threads }}
{{- end }}
{{- if .Values.dedupDays }}
dedup_days = {{ int .Values.dedupDays }}
{{- end }}

{{ include "softstake.tomlKafka" (dict "kafka" .Values.kafka "properties" .Values.kafka.properties "files" .Values.kafka.files) }}
{{- if .Values.snapshots.place }}

[snapshots]
place = {{ .Values.snapshots.place | toJson }}
every_seconds = {{ int .Values.snapshots.everySeconds }}
keep = {{ int .Values.snapshots.keep }}
{{- end }}

[monitor]
listen = "0.0.0.0:{{ int .Values.monitoring.port }}"
{{- if .Values.monitoring.tokenSecret }}
token_file = "/run/secrets/softstake-monitor/token"
{{- end }}

[log]
format = {{ .Values.log.format | toJson }}
level = {{ .Values.log.level | toJson }}
{{- end -}}

{{/* What pods of the instances and of the Job have in common. */}}
{{- define "softstake.podSecurity" -}}
runAsNonRoot: true
runAsUser: 10001
runAsGroup: 10001
fsGroup: 10001
fsGroupChangePolicy: OnRootMismatch
seccompProfile: { type: RuntimeDefault }
{{- end -}}

{{- define "softstake.containerSecurity" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
capabilities: { drop: [ALL] }
{{- end -}}

{{- define "softstake.volumes" -}}
- name: configuration
  configMap:
    name: {{ include "softstake.fullname" . }}
- name: tmp
  emptyDir: {}
{{- if .Values.kafka.files }}
- name: secrets
  projected:
    defaultMode: 0440
    sources:
      {{- range .Values.kafka.files }}
      - secret:
          name: {{ .secret }}
          items:
            - { key: {{ .key | quote }}, path: {{ .property | quote }} }
      {{- end }}
{{- end }}
{{- end -}}

{{- define "softstake.mounts" -}}
- name: configuration
  mountPath: /etc/softstake
  readOnly: true
- name: tmp
  mountPath: /tmp
{{- if .Values.kafka.files }}
- name: secrets
  mountPath: /run/secrets/softstake
  readOnly: true
{{- end }}
{{- end -}}

{{/* The read side. */}}
{{- define "softstake.serveName" -}}
{{ include "softstake.fullname" . }}-serve
{{- end -}}

{{- define "softstake.serveScheme" -}}
{{ ternary "HTTPS" "HTTP" (ne .Values.serve.tls.secret "") }}
{{- end -}}

{{/* The files of its user on the brokers. */}}
{{- define "softstake.serveFiles" -}}
{{ default .Values.kafka.files .Values.serve.kafka.files | toJson }}
{{- end -}}

{{/* The instances that the read side asks. Each pod has a name, so that one that is away is told as such, and does not just disappear. */}}
{{- define "softstake.processors" -}}
{{- $name := include "softstake.fullname" . -}}
{{- $port := int .Values.monitoring.port -}}
{{- if .Values.serve.processors -}}
{{ .Values.serve.processors }}
{{- else if .Values.replicas -}}
{{- $addresses := list -}}
{{- range $pod := until (int .Values.replicas) -}}
{{- $addresses = append $addresses (printf "%s-%d.%s:%d" $name $pod $name $port) -}}
{{- end -}}
{{ join "," $addresses }}
{{- else -}}
{{ $name }}:{{ $port }}
{{- end -}}
{{- end -}}

{{/* The ports of serve.processors, as rules of a NetworkPolicy. */}}
{{- define "softstake.processorPorts" -}}
{{- $ports := list }}
{{- range splitList "," .Values.serve.processors }}
{{- $address := trim . }}
{{- $url := urlParse (ternary $address (printf "http://%s" $address) (contains "://" $address)) }}
{{- $usual := ternary "443" "80" (eq $url.scheme "https") }}
{{- $ports = append $ports (regexFind ":[0-9]+$" $url.host | trimPrefix ":" | default $usual | int) }}
{{- end }}
{{- range $ports | uniq }}
- { protocol: TCP, port: {{ . }} }
{{- end }}
{{- end -}}

{{- define "softstake.monitorToken" -}}
- name: monitor-token
  secret:
    secretName: {{ .Values.monitoring.tokenSecret }}
    defaultMode: 0440
    items:
      - { key: {{ .Values.monitoring.tokenKey | quote }}, path: token }
{{- end -}}

{{- define "softstake.serveToml" -}}
{{- $serve := .Values.serve -}}
bus = "kafka"
{{- if $serve.threads }}
threads = {{ int $serve.threads }}
{{- end }}

{{ include "softstake.tomlKafka" (dict "kafka" .Values.kafka "properties" (merge (dict) $serve.kafka.properties .Values.kafka.properties) "files" (include "softstake.serveFiles" . | fromJsonArray)) }}

[serve]
listen = "0.0.0.0:{{ int $serve.port }}"
view = "/var/lib/softstake/view"
{{- if $serve.tls.secret }}
tls_certificate = "/run/secrets/softstake-tls/tls.crt"
tls_key = "/run/secrets/softstake-tls/tls.key"
{{- else }}
behind_proxy = {{ $serve.behindProxy | toJson }}
{{- end }}
{{- if $serve.tokens.keysSecret }}
token_keys = "/run/secrets/softstake-tokens/keys"
{{- else }}
token_jwks_url = {{ $serve.tokens.jwksUrl | toJson }}
{{- end }}
{{- with $serve.tokens.issuer }}
token_issuer = {{ . | toJson }}
{{- end }}
{{- with $serve.tokens.audience }}
token_audience = {{ . | toJson }}
{{- end }}
requests_per_minute = {{ int $serve.requestsPerMinute }}
refusals_per_minute = {{ int $serve.refusalsPerMinute }}
connections = {{ int $serve.connections }}
{{- with $serve.executions }}
executions = {{ . | toJson }}
{{- end }}
{{- if .Values.monitoring.tokenSecret }}
processors = {{ include "softstake.processors" . | toJson }}
processors_token_file = "/run/secrets/softstake-monitor/token"
{{- end }}
{{- if $serve.reconcileResults.claim }}
reconcile_results = "/var/lib/softstake-reconciliations"
{{- end }}

[log]
format = {{ .Values.log.format | toJson }}
level = {{ .Values.log.level | toJson }}
{{- end -}}
