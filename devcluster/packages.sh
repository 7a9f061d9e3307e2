#!/bin/bash
# Which Debian packages does the cluster need? Installs the missing ones.
. "$(dirname "$0")/settings.sh"

PACKAGES=(containerd runc containernetworking-plugins iptables conntrack iproute2 debootstrap socat ethtool buildah patchelf openssl gcc libc6-dev)

missing=()
for package in "${PACKAGES[@]}"; do
  dpkg-query --show --showformat='${db:Status-Status}' "$package" 2>/dev/null | grep -qx installed || missing+=("$package")
done
[ ${#missing[@]} -eq 0 ] && { say "all present"; exit 0; }
[ "$(id -u)" -eq 0 ] || fail "root is needed to install: ${missing[*]}"
say "installing ${missing[*]}"
export DEBIAN_FRONTEND=noninteractive
apt-get update -qq
# Nothing is started by a package: containerd runs with our configuration only.
policy=/usr/sbin/policy-rc.d
[ -e "$policy" ] || { printf '#!/bin/sh\nexit 101\n' >"$policy"; chmod 755 "$policy"; trap 'rm -f "$policy"' EXIT; }
apt-get install -qq -y --no-install-recommends "${missing[@]}" >/dev/null
