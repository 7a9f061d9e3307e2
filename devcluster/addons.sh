#!/bin/bash
# Which pods make the empty cluster one that the platform can use? usage: addons.sh dns | training-operator | kuberay
# Server-side apply everywhere: upstream's CRDs exceed the limit of the annotation that client-side apply writes.
. "$(dirname "$0")/settings.sh"

apply() { kubectl apply --server-side --force-conflicts "$@" >/dev/null; }

ready() { kubectl -n "$1" rollout status "deployment/$2" --timeout=240s >/dev/null || fail "$2 is not ready: $(kubectl -n "$1" get pods -o wide)"; }

# operator TIER MANIFESTS NAMESPACE DEPLOYMENT: upstream's manifests with our patches over them.
operator() {
  local tier=$1 folder=$RUN/manifests/$2
  if [ -f "$SKIPPED/$tier" ]; then say "SKIPPED $tier: $(cat "$SKIPPED/$tier")"; return; fi
  rm -rf "$folder" && mkdir -p "$folder"
  cp -r "$DEVCLUSTER/manifests/$2/." "$folder"
  cp -rL "$MIMO_CLUSTER_ROOT/manifests/$tier" "$folder/upstream"
  apply -k "$folder"
  ready "$3" "$4"
}

case ${1:-} in
  dns)
    sed "s/\${DNS_IP}/$DNS_IP/" "$DEVCLUSTER/manifests/coredns.yaml" | apply -f -
    ready kube-system coredns
    ;;
  training-operator) operator training-operator training-operator kubeflow training-operator ;;
  kuberay) operator kuberay-operator kuberay ray-system kuberay-operator ;;
  *) fail "usage: addons.sh dns | training-operator | kuberay" ;;
esac
