{{/* Combinations of values that cannot work, and prerequisites that are missing. */}}
{{- define "mimo.checks" -}}
{{- include "mimo.checkPrerequisites" . -}}
{{- $store := .Values.objectStore -}}
{{- if eq $store.mode "external" -}}
  {{- if not $store.existingSecret -}}
    {{- fail (printf "objectStore.existingSecret is %q with objectStore.mode=external; wanted the name of a Secret with AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY of a user who may read and write bucket %q" $store.existingSecret $store.bucket) -}}
  {{- end -}}
  {{- if not $store.endpoint -}}
    {{- fail (printf "objectStore.endpoint is %q with objectStore.mode=external; wanted host or host:port of the S3 server, such as s3.eu-central-1.amazonaws.com" $store.endpoint) -}}
  {{- end -}}
{{- else if $store.endpoint -}}
  {{- fail (printf "objectStore.endpoint is %q with objectStore.mode=minio, which has its own; set objectStore.mode=external or leave the endpoint empty" $store.endpoint) -}}
{{- end -}}
{{- $mlflow := .Values.mlflow -}}
{{- if and $mlflow.enabled $mlflow.externalUri -}}
  {{- fail (printf "mlflow.externalUri is %q with mlflow.enabled=true; set mlflow.enabled=false to use a server of your own" $mlflow.externalUri) -}}
{{- end -}}
{{- if and (gt (int $mlflow.replicas) 1) (not $mlflow.backendStore.existingSecret) -}}
  {{- fail (printf "mlflow.replicas is %d with SQLite, which serves one process; set mlflow.backendStore.existingSecret to a Secret with the URI of a PostgreSQL database" (int $mlflow.replicas)) -}}
{{- end -}}
{{- if and (gt (int $mlflow.replicas) 1) $mlflow.persistence.enabled (ne $mlflow.persistence.accessMode "ReadWriteMany") -}}
  {{- fail (printf "mlflow.persistence.accessMode is %s with mlflow.replicas=%d; wanted ReadWriteMany, because all replicas serve the same artifacts" $mlflow.persistence.accessMode (int $mlflow.replicas)) -}}
{{- end -}}
{{- if .Values.ingress.enabled -}}
  {{- if not $mlflow.enabled -}}
    {{- fail "ingress.enabled is true with mlflow.enabled=false; the Ingress shows MLflow, so there is nothing to route to" -}}
  {{- end -}}
  {{- if not .Values.ingress.host -}}
    {{- fail (printf "ingress.host is %q with ingress.enabled=true; wanted the host name under which MLflow is reached" .Values.ingress.host) -}}
  {{- end -}}
{{- end -}}
{{- end }}

{{- define "mimo.checkPrerequisites" -}}
{{- if .Values.prerequisites.check -}}
  {{- if not (.Capabilities.APIVersions.Has "kubeflow.org/v1/PyTorchJob") -}}
    {{- fail "the cluster has no kubeflow.org/v1 PyTorchJob; install the training-operator first:\n  kubectl apply --server-side -k \"github.com/kubeflow/training-operator.git/manifests/overlays/standalone?ref=v1.9.4\"\n(prerequisites.check=false turns this check off, for helm template and GitOps)" -}}
  {{- end -}}
  {{- if not (.Capabilities.APIVersions.Has "ray.io/v1/RayJob") -}}
    {{- fail "the cluster has no ray.io/v1 RayJob; install KubeRay first:\n  kubectl apply --server-side -k \"github.com/ray-project/kuberay/ray-operator/config/default?ref=v1.6.2\"\n(prerequisites.check=false turns this check off, for helm template and GitOps)" -}}
  {{- end -}}
{{- end -}}
{{- end }}
