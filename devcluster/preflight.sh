#!/bin/bash
# Can this machine run the development cluster at all? Prints what is missing, all of it, and ends with 1 then.
set -uo pipefail

missing=()
[ "$(uname -s)" = Linux ] || missing+=("Linux: this is $(uname -s)")
[ "$(id -u)" -eq 0 ] || missing+=("root, for the kubelet and containerd: this is $(id -un)")
command -v apt-get >/dev/null || missing+=("a Debian or Ubuntu with apt-get, for containerd and runc")
unshare --mount --net --pid --fork true 2>/dev/null || missing+=("new mount, network and pid namespaces: unshare was refused")
command -v go >/dev/null || missing+=("Go on PATH, the version named in devcluster/gomods/*/go.mod")
cgroup=/sys/fs/cgroup
[ -e $cgroup/cgroup.controllers ] || cgroup=/sys/fs/cgroup/pids
if mkdir $cgroup/mimo-preflight 2>/dev/null; then rmdir $cgroup/mimo-preflight; else missing+=("writable cgroups: $cgroup is read-only"); fi
[ -w /proc/sys/net/ipv4/ip_forward ] || missing+=("a writable net.ipv4.ip_forward, for the pods' network")

[ ${#missing[@]} -eq 0 ] && exit 0
printf 'needs %s\n' "${missing[@]}"
exit 1
