#!/bin/bash
# Does the cluster do what the platform needs? A pod under `restricted` Pod Security, as user 1000, asks the cluster's DNS
# and imports torch and the project from the mounted environment.
. "$(dirname "$0")/settings.sh"

namespace=mimo-smoke
clean_up() { kubectl delete "namespace/$namespace" "pv/mimo-environment-$namespace" --ignore-not-found --wait=false >/dev/null 2>&1 || true; }

clean_up # what an interrupted check left
kubectl wait --for=delete "namespace/$namespace" "pv/mimo-environment-$namespace" --timeout=60s >/dev/null 2>&1 || true
kubectl create namespace "$namespace" >/dev/null
trap clean_up EXIT
kubectl label namespace "$namespace" pod-security.kubernetes.io/enforce=restricted >/dev/null
"$DEVCLUSTER/environment-pvc.sh" "$namespace"
kubectl -n "$namespace" create -f - >/dev/null <<EOF
apiVersion: v1
kind: Pod
metadata: {name: smoke}
spec:
  restartPolicy: Never
  automountServiceAccountToken: false
  securityContext: {runAsNonRoot: true, runAsUser: 1000, runAsGroup: 1000, seccompProfile: {type: RuntimeDefault}}
  containers:
  - name: smoke
    image: $BASE_IMAGE
    imagePullPolicy: Never
    command: [bash, -ec]
    args:
    - |
      getent ahostsv4 kubernetes.default.svc.cluster.local | head -1
      python -c "import torch, mimo_vl, operators.mimo_pipeline; print('torch', torch.__version__, mimo_vl.__file__)"
    env:
    - {name: PATH, value: "$ENVIRONMENT/venv/bin:/usr/local/bin:/usr/bin:/bin"}
    - {name: HOME, value: /tmp}
    - {name: TMPDIR, value: /tmp}
    resources: {requests: {cpu: 20m, memory: 256Mi}}
    securityContext: {allowPrivilegeEscalation: false, readOnlyRootFilesystem: true, capabilities: {drop: [ALL]}}
    volumeMounts:
    - {name: environment, mountPath: $ENVIRONMENT, readOnly: true}
    - {name: scratch, mountPath: /tmp}
  volumes:
  - {name: environment, persistentVolumeClaim: {claimName: mimo-environment, readOnly: true}}
  - {name: scratch, emptyDir: {}}
EOF
# Ends early on failure too: a terminated container is not ready, and its reason is in the log.
kubectl -n "$namespace" wait --for=jsonpath='{.status.containerStatuses[0].state.terminated}' pod/smoke --timeout=240s >/dev/null \
  || { kubectl -n "$namespace" describe pod smoke | tail -20 >&2; fail "the smoke pod did not end"; }
kubectl -n "$namespace" logs smoke | sed 's/^/    /'
code=$(kubectl -n "$namespace" get pod smoke -o jsonpath='{.status.containerStatuses[0].state.terminated.exitCode}')
[ "$code" = 0 ] || fail "the smoke pod ended with exit code $code"
