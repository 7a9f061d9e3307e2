{{/* Peers and flows that several NetworkPolicies share. */}}

{{- define "mimo.dnsEgress" -}}
- to:
    - namespaceSelector:
        matchLabels:
          kubernetes.io/metadata.name: kube-system
    # The cache of the node, where there is one.
    - ipBlock:
        cidr: 169.254.20.10/32
  ports:
    - {protocol: UDP, port: 53}
    - {protocol: TCP, port: 53}
{{- end }}

{{- define "mimo.apiServerEgress" -}}
- to:
    {{- range .Values.networkPolicies.apiServer.cidrs }}
    - ipBlock:
        cidr: {{ . }}
    {{- end }}
  ports:
    {{- range .Values.networkPolicies.apiServer.ports }}
    - {protocol: TCP, port: {{ . }}}
    {{- end }}
{{- end }}

{{/* The artifact store, as seen from any namespace. */}}
{{- define "mimo.storeEgress" -}}
{{- if eq .Values.objectStore.mode "minio" }}
- to:
    - namespaceSelector:
        matchLabels:
          kubernetes.io/metadata.name: {{ .Release.Namespace }}
      podSelector:
        matchLabels:
          {{- include "mimo.selectorLabels" (dict "root" . "component" "minio") | nindent 10 }}
  ports:
    - {protocol: TCP, port: 9000}
{{- else }}
- to:
    {{- include "mimo.externalPeers" . | nindent 4 }}
  ports:
    - {protocol: TCP, port: {{ regexFind ":[0-9]+$" .Values.objectStore.endpoint | trimPrefix ":" | default (ternary "443" "80" .Values.objectStore.secure) }}}
{{- end }}
{{- end }}

{{/* The tracking server; nothing when metrics are only journalled. */}}
{{- define "mimo.trackingEgress" -}}
{{- if .Values.mlflow.enabled }}
- to:
    - namespaceSelector:
        matchLabels:
          kubernetes.io/metadata.name: {{ .Release.Namespace }}
      podSelector:
        matchLabels:
          {{- include "mimo.selectorLabels" (dict "root" . "component" "mlflow") | nindent 10 }}
  ports:
    - {protocol: TCP, port: 5000}
{{- else if .Values.mlflow.externalUri }}
{{- $url := urlParse .Values.mlflow.externalUri }}
- to:
    {{- include "mimo.externalPeers" . | nindent 4 }}
  ports:
    - {protocol: TCP, port: {{ regexFind ":[0-9]+$" $url.host | trimPrefix ":" | default (ternary "443" "80" (eq $url.scheme "https")) }}}
{{- end }}
{{- end }}

{{/* The API server of Kubeflow Pipelines: in the namespace that its name says, or outside of the cluster. */}}
{{- define "mimo.kubeflowEgress" -}}
{{- if .Values.kubeflow.enabled }}
{{- $url := urlParse .Values.kubeflow.endpoint }}
{{- $inside := regexFind "^[^.:]+[.][^.:]+[.]svc" $url.host }}
- to:
    {{- if $inside }}
    - {{- include "mimo.namespacePeer" (dict "names" (list (index (splitList "." $inside) 1))) | nindent 6 }}
    {{- else }}
    {{- include "mimo.externalPeers" . | nindent 4 }}
    {{- end }}
  ports:
    - {protocol: TCP, port: {{ regexFind ":[0-9]+$" $url.host | trimPrefix ":" | default (ternary "443" "80" (eq $url.scheme "https")) }}}
{{- end }}
{{- end }}

{{/* What lies outside the release. */}}
{{- define "mimo.externalPeers" -}}
{{- range .Values.networkPolicies.externalCidrs }}
- ipBlock:
    cidr: {{ . }}
{{- end }}
{{- end }}

{{/* dict "names" list of namespaces */}}
{{- define "mimo.namespacePeer" -}}
namespaceSelector:
  matchExpressions:
    - key: kubernetes.io/metadata.name
      operator: In
      values:
        {{- toYaml .names | nindent 8 }}
{{- end }}

{{/* All pods that the operator makes, in the namespaces where pipelines run. */}}
{{- define "mimo.stagePeer" -}}
{{ include "mimo.namespacePeer" (dict "names" (include "mimo.namespaces" . | fromJson).namespaces) }}
podSelector:
  matchExpressions:
    - {key: mimo.dev/component, operator: Exists}
{{- end }}

{{/* dict "components" list: pods of stages, by what they are for. */}}
{{- define "mimo.stageSelector" -}}
matchExpressions:
  - key: mimo.dev/component
    operator: In
    values:
      {{- toYaml .components | nindent 6 }}
{{- end }}
