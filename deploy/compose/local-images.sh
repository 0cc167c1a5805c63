#!/bin/bash
# local-images.sh - makes the images that docker-compose.yml would pull, where no registry can be
# reached: from Debian's packages, and Consul from its Go module.
#
#   deploy/compose/local-images.sh                  Debian, Consul and PostgreSQL
#   deploy/compose/local-images.sh --all            … and weir and the Flask service on top of them
#   deploy/compose/local-images.sh --binary build/release/weir --all
#                                                   … with a weir that is built already, on this Debian
#   deploy/compose/local-images.sh prometheus       one, or several, of those and prometheus
#
# What is there already and unchanged stays as it is (docker rmi weir-local/debian:12 for a fresh one). Says on
# standard output which variables to set, so that this is enough:
#
#   eval "$(deploy/compose/local-images.sh)"
#
# Needs docker, mmdebstrap, for --binary busybox, and, where no Consul is cached, Go: see scripts/consul. As root or in the group `docker`.
set -euo pipefail
cd "$(dirname "$0")/../.."

PREFIX=${LOCAL_IMAGES:-weir-local}
BASE=$PREFIX/debian:12
export DOCKER_BUILDKIT=0 # which asks a registry for bases that are here

binary=
if [ "${1:-}" = --binary ] && [ $# -ge 2 ]; then
    binary=$2
    shift 2
fi
case ${1:-} in
"") wanted="debian consul postgres" ;;
--all) wanted="debian consul postgres weir flask" ;;
-*)
    sed -n '2,/^set/s/^# \{0,1\}//p' "$0" >&2
    exit 2
    ;;
*) wanted="debian $*" ;;
esac

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
trap 'exit 1' INT TERM

say()
{
    echo "local-images.sh: $*" >&2
}

# build <image> <what follows `docker build`>: at once, where nothing has changed.
build()
{
    local image=$1
    shift
    say "building $image"
    if ! docker build -t "$image" --build-arg "BASE_IMAGE=$BASE" "$@" >"$work/log" 2>&1; then
        tail -n 30 "$work/log" >&2
        say "$image can't be built"
        exit 1
    fi
}

debian()
{
    if docker image inspect "$BASE" >/dev/null 2>&1; then
        return
    fi
    say "making $BASE from this machine's Debian sources (half a minute)"
    local sources=() file
    for file in /etc/apt/sources.list /etc/apt/sources.list.d/*.list \
        /etc/apt/sources.list.d/*.sources; do
        # Debian's own, and no other repository that this machine happens to use.
        if [ -f "$file" ] && grep -q bookworm "$file" && grep -qi debian "$file"; then
            sources+=("$file")
        fi
    done
    mmdebstrap --quiet --variant=minbase --include=ca-certificates --dpkgopt=force-unsafe-io \
        --dpkgopt='path-exclude=/usr/share/man/*' --dpkgopt='path-exclude=/usr/share/locale/*' \
        --customize-hook='rm -rf "$1"/var/cache/apt/* "$1"/var/log/*' \
        bookworm "$work/base.tar" ${sources[@]+"${sources[@]}"}
    docker import "$work/base.tar" "$BASE" >/dev/null
    rm "$work/base.tar"
}

consul()
{
    mkdir "$work/consul"
    cp "$(scripts/consul)" "$work/consul/consul"
    cp -p deploy/consul/Dockerfile "$work/consul/"
    build "$PREFIX/consul:latest" "$work/consul"
    echo "export CONSUL_IMAGE=$PREFIX/consul:latest"
}

postgres()
{
    build "$PREFIX/postgres:15" deploy/compose/postgres
    echo "export POSTGRES_IMAGE=$PREFIX/postgres:15"
}

prometheus()
{
    build "$PREFIX/prometheus:latest" deploy/compose/prometheus
    echo "export PROMETHEUS_IMAGE=$PREFIX/prometheus:latest"
}

weir()
{
    if [ -z "$binary" ]; then
        build "$PREFIX/weir:latest" -f deploy/Dockerfile .
    else
        # The same image from the same files, less the compiling: what this machine has is collected here.
        mkdir "$work/weir"
        deploy/image/collect "$work/weir/image" "$binary"
        sed '/^FROM .* AS build$/,/^$/d; s|^COPY --from=build /image |COPY image |' deploy/Dockerfile >"$work/weir/Dockerfile"
        build "$PREFIX/weir:latest" "$work/weir"
    fi
    echo "export WEIR_IMAGE=$PREFIX/weir:latest"
}

flask()
{
    build "$PREFIX/flask-service:latest" demo/flask-service
    echo "export FLASK_IMAGE=$PREFIX/flask-service:latest"
}

for name in $wanted; do
    case $name in
    debian | consul | postgres | prometheus | weir | flask) ;;
    *)
        say "$name: there is debian, consul, postgres, prometheus, weir and flask"
        exit 2
        ;;
    esac
done
echo "export BASE_IMAGE=$BASE"
for name in $wanted; do
    "$name"
done
