#!/bin/bash
# Which binaries does the cluster run? Builds them from Go modules, tier by tier; what is built already is taken from the cache.
# A module that cannot be had is named with its version and its tier skipped; a needed tier stops the build then.
. "$(dirname "$0")/settings.sh"

command -v go >/dev/null || fail "Go is needed to build Kubernetes; got none on PATH; wanted the version named in devcluster/gomods/*/go.mod"
export CGO_ENABLED=0 GOTOOLCHAIN=local GOFLAGS=-buildvcs=false

# version MODULE_FOLDER MODULE: the version that go.mod requires.
version() { awk -v module="$2" '$1 == module && $2 ~ /^v/ { print $2; exit } $1 == "require" && $2 == module { print $3; exit }' "$DEVCLUSTER/gomods/$1/go.mod"; }

# Without these Kubernetes calls itself v0.0.0-master, which breaks Helm's kubeVersion and capability checks.
kubernetes=$(version cluster k8s.io/kubernetes)
minor=${kubernetes#v1.}
linker=(-s -w)
for package in k8s.io/component-base/version k8s.io/client-go/pkg/version; do
  linker+=(-X "$package.gitVersion=$kubernetes" -X "$package.gitMajor=1" -X "$package.gitMinor=${minor%%.*}"
    -X "$package.gitTreeState=clean" -X "$package.buildDate=2026-01-01T00:00:00Z")
done
# Nobody debugs these binaries, and the compiler has memory: together a quarter less of CPU (etcd: 66 s instead of 90).
flags=(-trimpath -gcflags=all=-dwarf=false -ldflags "${linker[*]}")
export GOGC=off GOMEMLIMIT=2GiB

# skip TIER REASON: what needs this tier is left out, visibly: later steps and tests read this file.
skip() {
  mkdir -p "$SKIPPED" && printf '%s\n' "$2" >"$SKIPPED/$1"
  say "SKIPPED $1: $2"
}

# download FOLDER MODULE VERSION: prints the folder of its sources.
download() {
  local answer
  cd "$DEVCLUSTER/gomods/$1"
  answer=$(go mod download -json "$2@$3") || { sed -n 's/^\t"Error": /    /p' <<<"$answer" >&2; return 1; }
  sed -n 's/^\t"Dir": "\(.*\)",$/\1/p' <<<"$answer"
}

# compile FOLDER TARGET PACKAGE...: the binaries into TARGET; go.mod and go.sum are read only.
compile() {
  local source=$DEVCLUSTER/gomods/$1 target=$2
  shift 2
  (cd "$source" && go build -mod=readonly "${flags[@]}" -o "$target/" "$@")
}

# tier NAME needed|optional FOLDER MODULE PACKAGES [MANIFESTS]: one group of binaries that are there or not there together.
tier() {
  local name=$1 need=$2 folder=$3 module=$4 packages=$5 manifests=${6:-} wanted built source
  wanted=$(version "$folder" "$module")
  built=$CACHE/$name-$wanted-$(key "$(go env GOVERSION)" "${flags[@]}" "$packages" "$manifests" \
    "$(cat "$DEVCLUSTER/gomods/$folder"/go.{mod,sum} "$DEVCLUSTER/gomods/$folder"/*/*.go 2>/dev/null)")
  rm -f "$SKIPPED/$name"
  if [ ! -d "$built" ]; then
    rm -rf "$built.new" && mkdir -p "$built.new/bin"
    say "building $name ($module $wanted)"
    if ! source=$(download "$folder" "$module" "$wanted"); then
      skip "$name" "Go module $module $wanted cannot be had"
      [ "$need" = optional ] || fail "$name is needed for every cluster; see the messages above"
      return
    fi
    # shellcheck disable=SC2086  # packages is a list of words
    compile "$folder" "$built.new/bin" $packages || fail "$name ($module $wanted) cannot be built; see the messages above"
    # etcd's main package is not called etcd.
    [ "$name" != etcd ] || mv "$built.new/bin/server" "$built.new/bin/etcd"
    [ -z "$manifests" ] || { cp -r "$source/$manifests" "$built.new/manifests" && chmod -R u+w "$built.new/manifests"; }
    mv "$built.new" "$built"
  fi
  ln -sfn "$built/bin"/* "$BIN/"
  [ -z "$manifests" ] || { mkdir -p "$MIMO_CLUSTER_ROOT/manifests" && ln -sfn "$built/manifests" "$MIMO_CLUSTER_ROOT/manifests/$name"; }
  say "$name $wanted"
}

mkdir -p "$BIN" "$CACHE"
tier etcd needed cluster go.etcd.io/etcd/server/v3 go.etcd.io/etcd/server/v3
tier kubernetes needed cluster k8s.io/kubernetes \
  "k8s.io/kubernetes/cmd/kube-apiserver k8s.io/kubernetes/cmd/kube-controller-manager k8s.io/kubernetes/cmd/kube-scheduler k8s.io/kubernetes/cmd/kubelet k8s.io/kubernetes/cmd/kube-proxy"
tier coredns needed cluster github.com/coredns/coredns ./coredns
tier training-operator optional cluster github.com/kubeflow/training-operator github.com/kubeflow/training-operator/cmd/training-operator.v1 manifests
tier kuberay-operator optional kuberay github.com/ray-project/kuberay/ray-operator github.com/ray-project/kuberay/ray-operator config
tier minio optional cluster github.com/minio/minio github.com/minio/minio
