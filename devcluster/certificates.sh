#!/bin/bash
# Which keys and certificates do the components need, and which kubeconfig does each get? Keeps what exists.
. "$(dirname "$0")/settings.sh"

KEY_TYPE=(-newkey ec -pkeyopt ec_paramgen_curve:P-256 -noenc)
DAYS=3650

authority() { # authority FILE COMMON_NAME
  [ -f "$1.crt" ] && return
  openssl req -x509 "${KEY_TYPE[@]}" -keyout "$1.key" -out "$1.crt" -days "$DAYS" -subj "/CN=$2" \
    -addext basicConstraints=critical,CA:TRUE -addext keyUsage=critical,digitalSignature,keyCertSign,cRLSign
}

certificate() { # certificate AUTHORITY FILE SUBJECT serverAuth|clientAuth [ALTERNATIVE_NAMES]
  [ -f "$2.crt" ] && return
  openssl req "${KEY_TYPE[@]}" -keyout "$2.key" -out "$2.csr" -subj "$3"
  {
    echo "keyUsage=critical,digitalSignature,keyEncipherment"
    echo "extendedKeyUsage=$4"
    echo "basicConstraints=critical,CA:FALSE"
    [ -z "${5:-}" ] || echo "subjectAltName=$5"
  } >"$2.ext"
  openssl x509 -req -in "$2.csr" -CA "$1.crt" -CAkey "$1.key" -CAcreateserial -days "$DAYS" -extfile "$2.ext" -out "$2.crt"
  rm "$2.csr" "$2.ext"
}

service_account_keys() {
  [ -f sa.pub ] && return
  openssl genrsa -out sa.key 2048
  openssl rsa -in sa.key -pubout -out sa.pub
}

kubeconfig() { # kubeconfig USER
  local file=$KUBECONFIGS/$1.conf
  [ -f "$file" ] && return
  cat >"$file" <<EOF
apiVersion: v1
kind: Config
current-context: mimo-dev
clusters:
- name: mimo-dev
  cluster: {server: "https://$NODE_IP:$API_PORT", certificate-authority-data: $(base64 -w0 ca.crt)}
users:
- name: $1
  user: {client-certificate-data: $(base64 -w0 "$1.crt"), client-key-data: $(base64 -w0 "$1.key")}
contexts:
- name: mimo-dev
  context: {cluster: mimo-dev, user: $1}
EOF
}

make_all() {
  authority ca mimo-dev-ca
  authority front-proxy-ca mimo-dev-front-proxy-ca
  service_account_keys
  local in_cluster=DNS:kubernetes,DNS:kubernetes.default,DNS:kubernetes.default.svc,DNS:kubernetes.default.svc.cluster.local
  certificate ca apiserver /CN=kube-apiserver serverAuth "$in_cluster,DNS:localhost,IP:127.0.0.1,IP:$NODE_IP,IP:$API_SERVICE_IP"
  certificate ca apiserver-kubelet-client /O=system:masters/CN=kube-apiserver-kubelet-client clientAuth
  certificate ca kubelet-serving "/O=system:nodes/CN=system:node:$NODE_NAME" serverAuth "DNS:$NODE_NAME,IP:$NODE_IP"
  certificate front-proxy-ca front-proxy-client /CN=front-proxy-client clientAuth
  certificate ca admin /O=system:masters/CN=admin clientAuth
  certificate ca kubelet "/O=system:nodes/CN=system:node:$NODE_NAME" clientAuth
  local user
  for user in kube-controller-manager kube-scheduler kube-proxy; do certificate ca "$user" "/CN=system:$user" clientAuth; done
  for user in admin kubelet kube-controller-manager kube-scheduler kube-proxy; do kubeconfig "$user"; done
}

mkdir -p "$PKI" "$KUBECONFIGS"
cd "$PKI"
umask 077
make_all 2>openssl.log || { tail -5 openssl.log >&2; fail "openssl failed; the whole log: $PKI/openssl.log"; }
