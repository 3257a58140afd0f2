# SPDX-License-Identifier: MIT
# shellcheck shell=bash
# Debian 12 containers for the system tests: make a root, run a command in it, boot it. To be sourced by bash.
#
# Roots come from archives that are made once a month, or when their packages or sources change, and kept in
# $DISPATCHD_TEST_CACHE (default: the user's cache directory). They use the host's own package sources where the
# host is Debian 12, else those of mmdebstrap.

container_cache=${DISPATCHD_TEST_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/dispatchd-test}

# Why no container can run here; prints nothing if one can.
container_obstacle()
{
    local tool

    ((EUID == 0)) || { echo "not root"; return; }
    for tool in mmdebstrap systemd-nspawn; do
        command -v $tool >/dev/null || { echo "$tool is not installed"; return; }
    done
}

# The host's Debian sources, one file a line.
container_sources()
{
    local file

    grep -qx 'VERSION_CODENAME=bookworm' /etc/os-release || return 0
    for file in /etc/apt/sources.list /etc/apt/sources.list.d/debian.sources; do
        if grep -qs '^[^#]' "$file"; then
            echo "$file"
        fi
    done
}

# container_archive NAME PACKAGE...: path of the archive of a root with these packages beside apt's.
container_archive()
{
    local name=$1 sources digest archive partial
    shift
    mapfile -t sources < <(container_sources)
    digest=$({ date +%Y-%m; echo "$@"; cat /dev/null "${sources[@]}"; } | sha256sum | cut -c1-16)
    archive=$container_cache/$name-$digest.tar
    if [[ ! -e $archive ]]; then
        mkdir -p "$container_cache"
        rm -f "$container_cache/$name"-*.tar
        partial=$(mktemp "$container_cache/partial-XXXXXX.tar")
        # How this host reaches its sources (proxy, validity) holds for the container too.
        apt-config dump --no-empty | grep '^Acquire::' >"$partial.apt"
        if ! mmdebstrap --quiet --variant=apt --include="$(IFS=,; echo "$*")" --aptopt="$partial.apt" \
            bookworm "$partial" "${sources[@]}" >&2; then
            rm -f "$partial" "$partial.apt"
            return 1
        fi
        rm -f "$partial.apt"
        mv "$partial" "$archive"
    fi
    echo "$archive"
}

# container_create NAME PACKAGE...: a fresh root in a new directory, whose path is printed. The caller removes it.
container_create()
{
    local archive root

    archive=$(container_archive "$@") || return
    root=$(mktemp -d "${TMPDIR:-/var/tmp}/dispatchd-$1-XXXXXX") || return
    chmod 755 "$root"
    tar -C "$root" -xf "$archive" && echo "$root"
}

# container_run ROOT OPTION... -- COMMAND...: run a command in the root, on the host's network.
# The exit status is the command's.
container_run()
{
    local root=$1 options=() variable
    shift
    for variable in http_proxy https_proxy no_proxy; do
        [[ -z ${!variable:-} ]] || options+=("--setenv=$variable=${!variable}")
    done
    while [[ $1 != -- ]]; do
        options+=("$1")
        shift
    done
    shift
    systemd-nspawn -q -D "$root" --register=no --keep-unit --as-pid2 --pipe "${options[@]}" "$@" </dev/null \
        2> >(grep -v 'Attempted to remove disk file system' >&2)
}

# container_boot ROOT SECONDS SCRIPT...: boot systemd in the root, without a network but its own loopback, run the
# script as root once the system is up, shut down. The exit status is the script's, 124 if it took too long; its
# output is in ROOT/var/log/container-script, that of the boot in ROOT/var/log/container-boot.
container_boot()
{
    local root=$1 seconds=$2
    shift 2
    mkdir -p "$root/etc/systemd/system"
    cat >"$root/etc/systemd/system/container-script.service" <<UNIT
[Unit]
Description=Script of the system test
After=multi-user.target
SuccessAction=exit
FailureAction=exit
[Service]
Type=oneshot
ExecStart=$*
StandardOutput=truncate:/var/log/container-script
StandardError=inherit
UNIT
    timeout -k 30 "$seconds" systemd-nspawn -q -D "$root" --register=no --keep-unit --private-network -b \
        systemd.unit=multi-user.target systemd.wants=container-script.service \
        </dev/null >"$root/var/log/container-boot" 2>&1
}
