#!/bin/bash
# Which images does the cluster have, and how do they get into containerd without a registry?
# usage: images.sh system    pause, base and one image per Go binary, packed from folders
#        images.sh project   images/*/Dockerfile by buildah, on the base image, as registry.local/mimo-NAME:dev
#        images.sh import    what the two built and containerd does not have yet
. "$(dirname "$0")/settings.sh"

ARCHIVES=$CACHE/images
PYTHON=${PYTHON:-python3}
# Stands in for python:3.11-slim-bookworm: Debian 12 with its Python 3.11, the shared libraries that a
# copied interpreter and the wheels of the lock file load, and what Ray's containers call (bash, wget, ps).
BASE_PACKAGES=(bash ca-certificates procps wget libgomp1 python3 python3-venv python3-pip python-is-python3 zlib1g libbz2-1.0
  libexpat1 libffi8 libgssapi-krb5-2 liblzma5 libncursesw6 libnsl2 libreadline8 libsqlite3-0 libssl3 libtirpc3 libuuid1)

PACKER=$(sha256sum <"$DEVCLUSTER/pack_image.py")

# packed NAME KEY: is the archive of this content there? Older ones of that name are removed when it is not.
packed() {
  archive=$ARCHIVES/$1-$2.tar
  [ -f "$archive" ] && return
  rm -f "$ARCHIVES/$1"-????????????????.tar
  return 1
}

# pack NAME FOLDER [OPTIONS]: the folder becomes the archive that packed() named.
pack() {
  local name=$1 folder=$2
  shift 2
  "$PYTHON" "$DEVCLUSTER/pack_image.py" "$IMAGE_PREFIX/$name:dev" "$folder" "$archive.new" "$@"
  mv "$archive.new" "$archive"
  say "packed $name, $(du -h "$archive" | cut -f1)"
}

pause_image() {
  packed pause "$(key "$PACKER" "$(cat "$DEVCLUSTER/pause.c")")" && return
  gcc -Os -static -s -Wall -Werror -o "$work/pause" "$DEVCLUSTER/pause.c"
  mkdir "$work/root" && mv "$work/pause" "$work/root/"
  pack pause "$work/root" --entrypoint /pause --user 65532:65532
  rm -rf "$work/root"
}

# The address is the one this machine installs its own packages from.
# shellcheck disable=SC2016  # apt fills in the field
debian_mirror() { apt-get indextargets --format '$(REPO_URI)' 'Created-By: Packages' | grep -m1 '/debian/'; }

base_image() {
  local root=$work/root
  packed base "$(key "$PACKER" "${BASE_PACKAGES[*]}" "$(declare -f base_image)")" && return
  debootstrap --variant=minbase --include="$(IFS=,; echo "${BASE_PACKAGES[*]}")" bookworm "$root" "$(debian_mirror)" >"$work/debootstrap.log" \
    || { tail -5 "$work/debootstrap.log" >&2; fail "debootstrap could not make the base image"; }
  rm -rf "$root"/var/cache/apt/archives/*.deb "$root"/var/lib/apt/lists/* "$root"/usr/share/{doc,man,locale,info}/* "${root:?}"/dev/*
  rm -f "$root"/usr/lib/python3*/EXTERNALLY-MANAGED # like the official image: pip may install
  pack base "$root"
  rm -rf "$root"
}

# binary_image NAME BINARY: nothing but a static binary, certificates, a user and a /tmp.
binary_image() {
  local name=$1 binary root=$work/root
  if [ ! -e "$BIN/$2" ]; then say "SKIPPED image $name: binary $2 was not built"; return; fi
  binary=$(readlink -f "$BIN/$2")
  packed "$name" "$(key "$PACKER" "$binary" "$(declare -f binary_image)")" && return
  mkdir -p "$root"/{etc/ssl/certs,tmp,data} && chmod 1777 "$root/tmp" "$root/data"
  cp "$binary" "$root/$2"
  cp /etc/ssl/certs/ca-certificates.crt "$root/etc/ssl/certs/"
  printf 'root:x:0:0:root:/:/\nnonroot:x:65532:65532:nonroot:/:/\n' >"$root/etc/passwd"
  pack "$name" "$root" --entrypoint "/$2" --user 65532:65532
  rm -rf "$root"
}

# --- the project's own images
STORE=(buildah --root "$CACHE/buildah" --runroot "$RUN/buildah" --storage-driver "${MIMO_CLUSTER_STORAGE_DRIVER:-overlay}")

# Everything a Dockerfile of ours can copy, as git sees it: changed and new files count, ignored ones do not.
source_key() {
  local files
  files=$(cd "$PROJECT" && git ls-files --cached --others --exclude-standard -- mimo_vl jobs operators requirements pyproject.toml README.md LICENSE "images/$1" .dockerignore)
  (cd "$PROJECT" && printf '%s\n' "$files" | while read -r file; do [ ! -f "$file" ] || sha256sum "$file"; done) | sha256sum
}

project_image() {
  local name=$1 base
  base=$(echo "$ARCHIVES"/base-????????????????.tar)
  packed "mimo-$name" "$(key "$base" "$(source_key "$name")" "$(declare -f project_image)")" && { say "mimo-$name: unchanged"; return; }
  "${STORE[@]}" images --quiet "$BASE_IMAGE" >/dev/null 2>&1 || "${STORE[@]}" pull --quiet "oci-archive:$base" >/dev/null
  # The build runs on this machine's network and trusts the certificates that this machine trusts.
  local certificates=/etc/ssl/certs/ca-certificates.crt
  "${STORE[@]}" bud --quiet --layers --isolation chroot --network host --pull-never --format oci \
    --volume "$certificates:$certificates:ro" --build-arg "BASE=$BASE_IMAGE" \
    --tag "$IMAGE_PREFIX/mimo-$name:dev" --file "$PROJECT/images/$name/Dockerfile" "$PROJECT" >"$LOGS/image-$name.log" 2>&1 \
    || { tail -20 "$LOGS/image-$name.log" >&2; fail "image $name could not be built; the whole log: $LOGS/image-$name.log"; }
  "${STORE[@]}" push --quiet "$IMAGE_PREFIX/mimo-$name:dev" "oci-archive:$archive.new:$IMAGE_PREFIX/mimo-$name:dev"
  mv "$archive.new" "$archive"
  say "built mimo-$name, $(du -h "$archive" | cut -f1)"
}

# import_archives: containerd's image label is a file beside its data, so that a purge forgets both.
import_archives() {
  local stamps=$DATA/imported image
  mkdir -p "$stamps"
  for image in "$ARCHIVES"/*-????????????????.tar; do
    [ -f "$image" ] || continue
    [ -f "$stamps/$(basename "$image")" ] && continue
    image_tool images import "$image" >/dev/null
    touch "$stamps/$(basename "$image")"
    say "imported $(basename "$image")"
  done
}

mkdir -p "$ARCHIVES" "$LOGS" "$RUN"
work=$(mktemp -d -p "$CACHE")
trap 'rm -rf --one-file-system "$work"' EXIT
case ${1:-} in
  system)
    pause_image
    base_image
    binary_image coredns coredns
    binary_image training-operator training-operator.v1
    binary_image kuberay-operator ray-operator
    binary_image minio minio
    ;;
  project)
    shift
    [ $# -gt 0 ] || for file in "$PROJECT"/images/*/Dockerfile; do [ ! -f "$file" ] || set -- "$@" "$(basename "$(dirname "$file")")"; done
    for name in "$@"; do project_image "$name"; done
    ;;
  import) import_archives ;;
  *) fail "usage: images.sh system | project [NAME...] | import" ;;
esac
