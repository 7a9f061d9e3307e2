{{/* operator.yaml: what the operator is told about its cluster (operators/mimo_pipeline/cluster_settings.py). */}}
{{- define "mimo.settings" -}}
{{- $workloads := .Values.workloads -}}
images:
  trainer:
    reference: {{ include "mimo.image" (dict "root" . "image" $workloads.trainerImage) | quote }}
    pullPolicy: {{ $workloads.trainerImage.pullPolicy }}
  rollout:
    reference: {{ include "mimo.image" (dict "root" . "image" $workloads.rolloutImage) | quote }}
    pullPolicy: {{ $workloads.rolloutImage.pullPolicy }}
  pullSecrets:
    {{- range .Values.global.imagePullSecrets }}
    - {{ .name }}
    {{- else }}
    []
    {{- end }}
serviceAccounts:
  trainer: {{ include "mimo.name" (dict "root" . "component" "trainer") }}
  rayHead: {{ include "mimo.name" (dict "root" . "component" "ray-head") }}
  rayWorker: {{ include "mimo.name" (dict "root" . "component" "ray-worker") }}
store:
  uri: {{ include "mimo.storeUri" . | quote }}
  endpoint: {{ include "mimo.storeEndpoint" . | quote }}
  region: {{ .Values.objectStore.region | quote }}
  secure: {{ and (eq .Values.objectStore.mode "external") .Values.objectStore.secure }}
  secret: {{ include "mimo.storeSecret" . }}
  caConfigMap: {{ .Values.objectStore.caConfigMap | quote }}
trackingUri: {{ include "mimo.trackingUri" . | quote }}
pods:
  {{- toYaml $workloads.pods | nindent 2 }}
runAsUser: {{ $workloads.runAsUser }}
lockMemory: {{ $workloads.lockMemory }}
{{- with $workloads.environment }}
environment:
  {{- toYaml . | nindent 2 }}
{{- end }}
rayVersion: {{ $workloads.rayVersion | quote }}
queueName: {{ $workloads.queueName | quote }}
nodeLostTimeoutS: {{ .Values.operator.nodeLostTimeoutS }}
resyncIntervalS: {{ .Values.operator.resyncIntervalS }}
leaseDurationS: {{ .Values.operator.leaseDurationS }}
gpuHourPrice: {{ .Values.monitoring.gpuHourPrice }}
{{- with .Values.operator.clusterLink }}
clusterLink: {{ . | quote }}
{{- end }}
{{- with .Values.kubeflow }}
{{- if .enabled }}
kubeflow:
  endpoint: {{ .endpoint | quote }}
  image: {{ include "mimo.image" (dict "root" $ "image" .image) | quote }}
  experiment: {{ .experiment | quote }}
  namespace: {{ .namespace | quote }}
  serviceAccount: {{ .serviceAccount | quote }}
  ui: {{ .ui | quote }}
  tokenFile: {{ ternary "/etc/mimo-kubeflow/token" "" (not (empty .tokenSecret)) | quote }}
{{- end }}
{{- end }}
pipelineNamespaces:
  {{- toYaml .Values.pipelineNamespaces | nindent 2 }}
{{- end }}
