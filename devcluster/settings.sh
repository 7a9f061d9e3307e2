# shellcheck shell=bash disable=SC2034
# Where the development cluster keeps its files, and which names and addresses it uses. Sourced by every script here.
set -euo pipefail

MIMO_CLUSTER_ROOT=${MIMO_CLUSTER_ROOT:-/var/lib/mimo-devcluster}
DEVCLUSTER=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
PROJECT=$(dirname "$DEVCLUSTER")

BIN=$MIMO_CLUSTER_ROOT/bin                # links to the binaries in use
CACHE=$MIMO_CLUSTER_ROOT/cache            # what was built, keyed by versions and flags; survives `make cluster-down`
DATA=$MIMO_CLUSTER_ROOT/data              # etcd, containerd, volumes; removed by `make cluster-down PURGE=1`
RUN=$MIMO_CLUSTER_ROOT/run                # pids, sockets, kubelet; of the running cluster
LOGS=$MIMO_CLUSTER_ROOT/logs
CONFIG=$MIMO_CLUSTER_ROOT/config
PKI=$MIMO_CLUSTER_ROOT/pki
KUBECONFIGS=$MIMO_CLUSTER_ROOT/kubeconfig
SKIPPED=$MIMO_CLUSTER_ROOT/skipped        # one file per tier that could not be built: the module, its version, the reason
ENVIRONMENT=$MIMO_CLUSTER_ROOT/env        # interpreter and virtual environment, mounted into pods at this same path
VOLUMES=$DATA/volumes

NODE_NAME=mimo-dev
NODE_IP=10.250.0.1                        # on lo: the kubelet refuses a loopback address as its node address
API_PORT=6443
SERVICE_CIDR=10.96.0.0/16
API_SERVICE_IP=10.96.0.1
DNS_IP=10.96.0.10
POD_CIDR=10.244.0.0/24
BRIDGE=mimo-cni0
UNKNOWN_SERVICES=(--destination "$SERVICE_CIDR" --match comment --comment mimo-devcluster --jump REJECT) # a rule of iptables
CONTAINERD_SOCKET=$RUN/containerd.sock
IMAGE_PREFIX=registry.local
PAUSE_IMAGE=$IMAGE_PREFIX/pause:dev
BASE_IMAGE=$IMAGE_PREFIX/base:dev

KUBECONFIG=$KUBECONFIGS/admin.conf
export MIMO_CLUSTER_ROOT KUBECONFIG PATH=$BIN:$PATH

# Folders must be passable for the users of pods, whatever the umask is; secrets get 0600 where they are written.
umask 022

say() { printf '%s\n' "    $*"; }
fail() { printf '%s\n' "devcluster: $*" >&2; exit 1; }

# key TEXT...: 16 hexadecimal digits that stand for all the arguments.
key() { printf '%s\0' "$@" | sha256sum | cut -c1-16; }

# image_tool ARGS...: containerd's client on our socket, in the namespace the kubelet uses.
image_tool() { ctr --address "$CONTAINERD_SOCKET" --namespace k8s.io "$@"; }
