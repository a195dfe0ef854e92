#!/usr/bin/env bash
# Builds the real Kubernetes control plane and helm that the tests use, from Go modules at the versions that tools/*/go.sum pins.
# build.sh OUTDIR [SET ...]     the sets are the folders of tools/; without any, all of them. Nothing changed: about 2 s.
# One go.mod per set, no go.work: a shared one would raise the versions of each above those of its own release.
set -euo pipefail
out=$(mkdir -p "${1:?usage: build.sh OUTDIR [SET ...]}" && cd "$1" && pwd)
shift
cd "$(dirname "$0")/tools"
[ $# -gt 0 ] || set -- etcd k8s helm

export CGO_ENABLED=0 GOFLAGS="-mod=readonly -buildvcs=false" GOWORK=off
for set in "$@"; do
  case $set in
    etcd) # the module path would name the binary `server`
      go build -C etcd -ldflags "-s -w" -o "$out/etcd" go.etcd.io/etcd/server/v3 ;;
    k8s) # unstamped, the binaries call themselves v0.0.0-master, and clients misjudge what they can do
      version=$(go list -C k8s -m -f '{{.Version}}' k8s.io/kubernetes)
      IFS=. read -r major minor _ <<<"${version#v}"
      stamp="-X k8s.io/component-base/version.gitVersion=$version -X k8s.io/client-go/pkg/version.gitVersion=$version"
      stamp="$stamp -X k8s.io/component-base/version.gitMajor=$major -X k8s.io/component-base/version.gitMinor=$minor"
      go build -C k8s -ldflags "-s -w $stamp" -o "$out/" tool ;;
    helm) go build -C helm -ldflags "-s -w" -o "$out/" tool ;;
    *) echo "build.sh: unknown set '$set'; one of: etcd k8s helm" >&2; exit 2 ;;
  esac
done
