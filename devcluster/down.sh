#!/bin/bash
# What does stopping the cluster remove? Only what it made: processes by pid file, containers, mounts under our folders,
# network namespaces of our pods, kube-proxy's rules and ours. PURGE=1 also removes the data; caches and binaries always stay.
. "$(dirname "$0")/settings.sh"
. "$DEVCLUSTER/processes.sh"

remove_containers() {
  local signal id
  for signal in SIGTERM SIGKILL; do
    for id in $(image_tool tasks ls --quiet); do image_tool tasks kill --signal "$signal" "$id" || true; done
    sleep 1
  done
  for id in $(image_tool tasks ls --quiet); do image_tool tasks rm --force "$id" || true; done
  for id in $(image_tool containers ls --quiet); do image_tool containers rm "$id" || true; done
}

# The network namespaces of our pods, as containerd knows them; there may be others on this machine.
pod_network_namespaces() {
  local id
  for id in $(image_tool containers ls --quiet); do image_tool containers info "$id" | grep -o 'netns/cni-[0-9a-f-]*' || true; done \
    | sed 's,netns/,,' | sort -u
}

unmount_all() { awk -v root="$MIMO_CLUSTER_ROOT/" 'index($2, root) == 1 { print $2 }' /proc/mounts | sort -r | xargs -r umount --lazy; }

[ -d "$RUN" ] || { say "nothing to stop under $MIMO_CLUSTER_ROOT"; exit 0; }
[ "$(id -u)" -eq 0 ] || fail "root is needed to stop what root started; got user $(id -un)"
stop kubelet
stop kube-proxy
namespaces=
if is_alive containerd; then
  namespaces=$(pod_network_namespaces)
  remove_containers >/dev/null 2>&1
fi
for name in kube-scheduler kube-controller-manager kube-apiserver etcd containerd; do stop "$name"; done
unmount_all
for name in $namespaces; do ip netns del "$name" 2>/dev/null || true; done # most went with their container
rm -rf "$RUN/cni" # addresses given to pods that are gone
[ ! -x "$BIN/kube-proxy" ] || kube-proxy --cleanup >/dev/null 2>&1 || true
for chain in FORWARD OUTPUT; do iptables --wait 10 --delete "$chain" "${UNKNOWN_SERVICES[@]}" 2>/dev/null || true; done
if [ "${PURGE:-}" = 1 ]; then
  [ ! -e "$RUN/address-added" ] || ip addr del "$NODE_IP/32" dev lo
  ip link del "$BRIDGE" 2>/dev/null || true
  rm -rf --one-file-system "$RUN" "$DATA" "$LOGS" "$CONFIG" "$PKI" "$KUBECONFIGS"
  say "stopped; data removed; caches stay in $CACHE and $ENVIRONMENT"
else
  say "stopped; data stays in $DATA"
fi
