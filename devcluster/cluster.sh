#!/bin/bash
# Which steps make a cluster? usage: cluster.sh build   what needs no running cluster: packages, binaries, images, environment
#                                    cluster.sh up      the rest; `make cluster` does both
. "$(dirname "$0")/settings.sh"
. "$DEVCLUSTER/steps.sh"

build() {
  step "what the machine allows" "$DEVCLUSTER/preflight.sh"
  step "Debian packages" "$DEVCLUSTER/packages.sh"
  step "kubectl and helm" "$DEVCLUSTER/tools.sh"
  step "Go builds" "$DEVCLUSTER/build.sh"
  step "system images" "$DEVCLUSTER/images.sh" system
  step "mounted environment" "$DEVCLUSTER/environment.sh"
}

up() {
  step "processes and node" "$DEVCLUSTER/up.sh"
  step "DNS" "$DEVCLUSTER/addons.sh" dns
  step "volumes" "$DEVCLUSTER/storage.sh"
  step "training-operator" "$DEVCLUSTER/addons.sh" training-operator
  step "KubeRay" "$DEVCLUSTER/addons.sh" kuberay
  step "smoke check" "$DEVCLUSTER/smoke.sh"
}

began=$EPOCHREALTIME
for phase in "$@"; do "$phase"; done
printf 'done in %s s\n' "$(seconds_since "$began")"
for file in "$SKIPPED"/*; do [ ! -f "$file" ] || printf 'SKIPPED %s: %s\n' "$(basename "$file")" "$(cat "$file")"; done
# shellcheck disable=SC2016  # the shell that runs the line expands it
[ "${*: -1}" != up ] || printf 'export KUBECONFIG=%s PATH=%s:$PATH\n' "$KUBECONFIG" "$BIN"
