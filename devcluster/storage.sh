#!/bin/bash
# Which volumes can claims bind to? A pool of folders on the node's disk, writable for every user of a pod.
# A volume whose claim is gone is emptied and made available again: run `make cluster`, or this script alone.
. "$(dirname "$0")/settings.sh"

NUM_VOLUMES=${MIMO_CLUSTER_NUM_VOLUMES:-12}
SIZE=50Gi # what a claim may ask for; the disk itself is the only real limit

volume() { # volume NAME
  cat <<EOF
---
apiVersion: v1
kind: PersistentVolume
metadata: {name: $1, labels: {app.kubernetes.io/part-of: mimo-devcluster}}
spec:
  capacity: {storage: $SIZE}
  accessModes: [ReadWriteOnce, ReadWriteMany]
  persistentVolumeReclaimPolicy: Retain
  storageClassName: mimo-local
  hostPath: {path: $VOLUMES/$1, type: Directory}
EOF
}

make_folder() { mkdir -p "$VOLUMES/$1" && chmod 0777 "$VOLUMES/$1"; }

# A released volume keeps its claimRef, and would bind to nothing. Its data goes first, so that nobody sees it.
make_available() {
  rm -rf --one-file-system "${VOLUMES:?}/$1"
  make_folder "$1"
  kubectl patch pv "$1" --type=json --patch='[{"op": "remove", "path": "/spec/claimRef"}]' >/dev/null
  say "$1 is empty and available again"
}

kubectl apply --server-side -f "$DEVCLUSTER/manifests/storage-class.yaml" >/dev/null
names=()
for ((i = 0; i < NUM_VOLUMES; i++)); do names+=("mimo-volume-$i"); done
for name in "${names[@]}"; do make_folder "$name"; done
for name in "${names[@]}"; do volume "$name"; done | kubectl apply --server-side -f - >/dev/null
kubectl get pv -l app.kubernetes.io/part-of=mimo-devcluster -o jsonpath='{range .items[?(@.status.phase=="Released")]}{.metadata.name}{"\n"}{end}' \
  | while read -r name; do make_available "$name"; done
say "$NUM_VOLUMES volumes of class mimo-local"
