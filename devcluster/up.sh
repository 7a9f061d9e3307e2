#!/bin/bash
# How do the processes of the cluster start? What runs already is left alone; ends when the node is Ready.
. "$(dirname "$0")/settings.sh"
. "$DEVCLUSTER/steps.sh"
. "$DEVCLUSTER/processes.sh"

[ "$(id -u)" -eq 0 ] || fail "the kubelet and containerd need root; got user $(id -un)"
mkdir -p "$RUN" "$LOGS" "$DATA" "$VOLUMES"
began=$(date -u +%FT%T)

host_settings() {
  sysctl -qw net.ipv4.ip_forward=1
  sysctl -qw net.bridge.bridge-nf-call-iptables=1 2>/dev/null || { modprobe br_netfilter && sysctl -qw net.bridge.bridge-nf-call-iptables=1; }
  ip -4 addr show dev lo | grep -q " $NODE_IP/32" || { ip addr add "$NODE_IP/32" dev lo && touch "$RUN/address-added"; }
}

# A Service that kube-proxy does not know yet refuses; else the packets leave this machine, for whoever answers out there.
refuse_unknown_services() {
  local chain
  for chain in FORWARD OUTPUT; do
    iptables --wait 10 --check "$chain" "${UNKNOWN_SERVICES[@]}" 2>/dev/null || iptables --wait 10 --insert "$chain" "${UNKNOWN_SERVICES[@]}"
  done
}

start_store_and_api() {
  local etcd=http://127.0.0.1:2379 peer=http://127.0.0.1:2380
  # --unsafe-no-fsync: the data of a development cluster may be lost with the machine.
  start etcd --name="$NODE_NAME" --data-dir="$DATA/etcd" --unsafe-no-fsync --log-level=warn \
    --listen-client-urls=$etcd --advertise-client-urls=$etcd \
    --listen-peer-urls=$peer --initial-advertise-peer-urls=$peer --initial-cluster="$NODE_NAME=$peer"
  start kube-apiserver --etcd-servers=$etcd --bind-address="$NODE_IP" --secure-port="$API_PORT" --advertise-address="$NODE_IP" \
    --allow-privileged=true --authorization-mode=Node,RBAC --enable-admission-plugins=NodeRestriction \
    --client-ca-file="$PKI/ca.crt" --tls-cert-file="$PKI/apiserver.crt" --tls-private-key-file="$PKI/apiserver.key" \
    --kubelet-certificate-authority="$PKI/ca.crt" --kubelet-preferred-address-types=InternalIP \
    --kubelet-client-certificate="$PKI/apiserver-kubelet-client.crt" --kubelet-client-key="$PKI/apiserver-kubelet-client.key" \
    --service-account-issuer=https://kubernetes.default.svc.cluster.local --service-cluster-ip-range="$SERVICE_CIDR" \
    --service-account-key-file="$PKI/sa.pub" --service-account-signing-key-file="$PKI/sa.key" \
    --requestheader-client-ca-file="$PKI/front-proxy-ca.crt" --requestheader-allowed-names=front-proxy-client \
    --requestheader-extra-headers-prefix=X-Remote-Extra- --requestheader-group-headers=X-Remote-Group \
    --requestheader-username-headers=X-Remote-User \
    --proxy-client-cert-file="$PKI/front-proxy-client.crt" --proxy-client-key-file="$PKI/front-proxy-client.key"
}

start_controllers() {
  local name
  local -A own=(
    [kube-controller-manager]="--use-service-account-credentials=true --root-ca-file=$PKI/ca.crt --service-account-private-key-file=$PKI/sa.key
      --cluster-signing-cert-file=$PKI/ca.crt --cluster-signing-key-file=$PKI/ca.key --service-cluster-ip-range=$SERVICE_CIDR"
    [kube-scheduler]="")
  for name in "${!own[@]}"; do
    # shellcheck disable=SC2086  # a list of flags without blanks in them
    start "$name" --kubeconfig="$KUBECONFIGS/$name.conf" --authentication-kubeconfig="$KUBECONFIGS/$name.conf" \
      --authorization-kubeconfig="$KUBECONFIGS/$name.conf" --leader-elect=false --bind-address=127.0.0.1 ${own[$name]}
  done
}

# A restarted cluster still shows the Ready of its last run: only a lease renewed since this start proves the kubelet.
node_is_ready() {
  local renewed
  [ "$(kubectl get node "$NODE_NAME" -o jsonpath='{.status.conditions[?(@.type=="Ready")].status}')" = True ] || return 1
  [ -z "$kubelet_was_alive" ] || return 0
  renewed=$(kubectl -n kube-node-lease get lease "$NODE_NAME" -o jsonpath='{.spec.renewTime}') || return 1
  [[ "$renewed" > "$began" ]]
}

case ${1:-all} in
  all)
    host_settings
    refuse_unknown_services
    "$DEVCLUSTER/certificates.sh"
    "$DEVCLUSTER/configuration.sh"
    start containerd --config "$CONFIG/containerd.toml"
    start_store_and_api
    wait_until 60 "containerd answers" image_tool version
    "$DEVCLUSTER/images.sh" import
    wait_until 180 "the API server is ready (see $LOGS/kube-apiserver.log)" kubectl get --raw /readyz
    start_controllers
    kubelet_was_alive=
    if is_alive kubelet; then kubelet_was_alive=yes; fi
    start kubelet --config="$CONFIG/kubelet.yaml" --kubeconfig="$KUBECONFIGS/kubelet.conf" \
      --hostname-override="$NODE_NAME" --node-ip="$NODE_IP" --root-dir="$RUN/kubelet"
    start kube-proxy --config="$CONFIG/kube-proxy.yaml"
    wait_until 180 "the node is Ready (see $LOGS/kubelet.log)" node_is_ready
    wait_until 60 "the default ServiceAccount is there" kubectl -n default get serviceaccount default
    ;;
  api) start_store_and_api ;; # after a test killed etcd or the API server
  *) fail "usage: up.sh [all | api]" ;;
esac
