#!/bin/bash
# How does a namespace get the mounted environment? A read-only volume and the claim `mimo-environment` bound to it.
# Pod Security forbids hostPath volumes in pods from level baseline up; a claim on such a volume is allowed.
# usage: environment-pvc.sh NAMESPACE
. "$(dirname "$0")/settings.sh"

namespace=${1:?usage: environment-pvc.sh NAMESPACE}
kubectl get namespace "$namespace" >/dev/null || fail "namespace $namespace is not there; create it first: kubectl create namespace $namespace"
# The volume of an earlier namespace of this name is bound to a claim that is gone: it is made again.
phase=$(kubectl get pv "mimo-environment-$namespace" --ignore-not-found -o jsonpath='{.status.phase}')
[ "$phase" != Released ] || kubectl delete pv "mimo-environment-$namespace" --wait >/dev/null
kubectl apply --server-side -f - >/dev/null <<EOF
apiVersion: v1
kind: PersistentVolume
metadata: {name: mimo-environment-$namespace}
spec:
  capacity: {storage: 1Gi}
  accessModes: [ReadOnlyMany]
  persistentVolumeReclaimPolicy: Retain
  storageClassName: ""
  claimRef: {namespace: $namespace, name: mimo-environment}
  hostPath: {path: $ENVIRONMENT, type: Directory}
---
apiVersion: v1
kind: PersistentVolumeClaim
metadata: {name: mimo-environment, namespace: $namespace}
spec:
  accessModes: [ReadOnlyMany]
  storageClassName: ""
  volumeName: mimo-environment-$namespace
  resources: {requests: {storage: 1Gi}}
EOF
kubectl -n "$namespace" wait --for=jsonpath='{.status.phase}'=Bound pvc/mimo-environment --timeout=60s >/dev/null
