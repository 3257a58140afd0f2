#!/bin/bash
# SPDX-License-Identifier: MIT
# The installed system under systemd as PID 1: first_boot.py and second_boot.py run in two boots of one container.
set -u
source_dir=${SOURCE_DIR:-$(realpath "$(dirname "$0")/../..")}
build_dir=${BUILD_DIR:-$PWD}
. "$source_dir/tests/lib/packages.sh"
. "$source_dir/tests/system/container.sh"

obstacle=$(container_obstacle)
[[ -z $obstacle ]] || { echo "1..0 # SKIP $obstacle"; exit 0; }

# shellcheck disable=SC2046
root=$(container_create booted $(packages run booted)) || { echo "Bail out! no container root"; exit 1; }
trap 'rm -rf "$root"' EXIT

install_all()
{
    make -C "$build_dir" install DESTDIR="$root" &&
        "$build_dir/libtool" --mode=install install "$build_dir/examples/httpd/httpd" "$root/opt/httpd" &&
        install -m 644 "$build_dir"/examples/programs/*.bpf.o "$root/opt/" &&
        install -m 644 "$source_dir"/tests/system/*.py "$source_dir/tests/e2e/tap.py" "$root/opt/" &&
        container_run "$root" -- ldconfig
}
install_all >"$root/install.log" 2>&1 || { cat "$root/install.log"; echo "Bail out! make install failed"; exit 1; }

# One plan for both: the scripts' results, unnumbered, and one of our own for each boot.
results=0
for boot in first second; do
    container_boot "$root" 300 /usr/bin/python3 "/opt/${boot}_boot.py"
    status=$?
    sed -nE '/^1\.\./d; s/^((not )?ok) [0-9]+/\1/; p' "$root/var/log/container-script"
    results=$((results + $(grep -cE '^(not )?ok ' "$root/var/log/container-script") + 1))
    if ((status)); then
        echo "not ok - $boot boot: status $status"
        [[ -s $root/var/log/container-script ]] || sed 's/^/# /' "$root/var/log/container-boot"
    else
        echo "ok - $boot boot"
    fi
done
echo "1..$results"
