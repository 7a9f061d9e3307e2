{{/* Names and labels of every object. Contexts: the root, or dict "root" $ "component" "minio". */}}

{{/* <release>-<component>, at most 63 characters: the release is cut, the component stays. */}}
{{- define "mimo.name" -}}
{{- $base := default .root.Release.Name .root.Values.fullnameOverride -}}
{{- $length := int (sub 62 (len .component)) -}}
{{- printf "%s-%s" ($base | trunc $length | trimSuffix "-") .component -}}
{{- end }}

{{/* What a selector may hold: these never change while a release lives. */}}
{{- define "mimo.selectorLabels" -}}
app.kubernetes.io/name: mimo-pipeline
app.kubernetes.io/instance: {{ .root.Release.Name }}
app.kubernetes.io/component: {{ .component }}
{{- end }}

{{- define "mimo.labels" -}}
{{ include "mimo.selectorLabels" . }}
app.kubernetes.io/version: {{ .root.Chart.AppVersion | quote }}
app.kubernetes.io/part-of: mimo-pipeline
app.kubernetes.io/managed-by: {{ .root.Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .root.Chart.Name .root.Chart.Version | replace "+" "_" | trunc 63 | trimSuffix "-" }}
{{- with .root.Values.commonLabels }}
{{ toYaml . }}
{{- end }}
{{- end }}

{{/* JSON list {"namespaces": [...]}: where pipelines run. */}}
{{- define "mimo.namespaces" -}}
{{- $namespaces := .Values.pipelineNamespaces | default (list .Release.Namespace) -}}
{{- dict "namespaces" ($namespaces | uniq) | toJson -}}
{{- end }}

{{/* One account per kind of process. */}}
{{- define "mimo.account" -}}
{{- include "mimo.name" . -}}
{{- end }}

{{- define "mimo.storeSecret" -}}
{{- .Values.objectStore.existingSecret | default (include "mimo.name" (dict "root" . "component" "store")) -}}
{{- end }}

{{- define "mimo.rootSecret" -}}
{{- .Values.minio.existingSecret | default (include "mimo.name" (dict "root" . "component" "minio-root")) -}}
{{- end }}

{{/* host:port of the store, reachable from every namespace. */}}
{{- define "mimo.storeEndpoint" -}}
{{- if eq .Values.objectStore.mode "minio" -}}
{{- printf "%s.%s.svc:9000" (include "mimo.name" (dict "root" . "component" "minio")) .Release.Namespace -}}
{{- else -}}
{{- .Values.objectStore.endpoint -}}
{{- end -}}
{{- end }}

{{- define "mimo.storeUri" -}}
{{- printf "s3://%s/%s" .Values.objectStore.bucket .Values.objectStore.prefix | trimSuffix "/" -}}
{{- end }}

{{- define "mimo.trackingUri" -}}
{{- if .Values.mlflow.enabled -}}
{{- printf "http://%s.%s.svc:5000" (include "mimo.name" (dict "root" . "component" "mlflow")) .Release.Namespace -}}
{{- else -}}
{{- .Values.mlflow.externalUri -}}
{{- end -}}
{{- end }}

{{/* Host headers that MLflow answers: it compares them with their port. */}}
{{- define "mimo.mlflowHosts" -}}
{{- $name := include "mimo.name" (dict "root" . "component" "mlflow") -}}
{{- $namespace := .Release.Namespace -}}
{{- $hosts := list (printf "%s:5000" $name) (printf "%s.%s:5000" $name $namespace) (printf "%s.%s.svc:5000" $name $namespace) (printf "%s.%s.svc.cluster.local:5000" $name $namespace) "localhost:*" "127.0.0.1:*" -}}
{{- if .Values.ingress.enabled -}}
{{- $hosts = concat $hosts (list .Values.ingress.host) -}}
{{- end -}}
{{- concat $hosts .Values.mlflow.extraAllowedHosts | join "," -}}
{{- end }}
