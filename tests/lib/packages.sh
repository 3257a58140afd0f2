# SPDX-License-Identifier: MIT
# shellcheck shell=bash
# Reads packages.txt and installs what is missing. To be sourced by bash.

packages_file=$(realpath "$(dirname "${BASH_SOURCE[0]}")")/packages.txt

# packages ROLE...: the packages of these roles, one a line.
packages()
{
    awk -v roles=" $* " '!/^#/ && NF == 2 && index(roles, " " $1 " ") { print $2 }' "$packages_file"
}

# packages_missing ROLE...: those that dpkg does not know as installed.
packages_missing()
{
    local package

    for package in $(packages "$@"); do
        dpkg-query -W -f='${db:Status-Status}\n' "$package" 2>/dev/null | grep -qx installed ||
            echo "$package"
    done
}

# packages_install ROLE...: install the missing ones, as root or through sudo.
# Prints one line with the time that it took, or says what to install by hand and returns 1.
packages_install()
{
    local missing as_root=() log started=$SECONDS

    mapfile -t missing < <(packages_missing "$@")
    ((${#missing[@]})) || return 0
    if ((EUID != 0)); then
        if ! sudo -v; then
            echo "Missing packages; please install them first:" >&2
            echo "  sudo apt-get install ${missing[*]}" >&2
            return 1
        fi
        as_root=(sudo)
    fi
    echo "Installing ${#missing[@]} missing packages: ${missing[*]}"
    log=$(mktemp)
    if ! { "${as_root[@]}" apt-get -q update &&
           "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive \
               apt-get -q -y install --no-install-recommends "${missing[@]}"; } >"$log" 2>&1; then
        tail -n 20 "$log" >&2
        echo "apt-get failed; its whole output is in $log" >&2
        return 1
    fi
    rm -f "$log"
    echo "Packages: downloaded and installed in $((SECONDS - started)) s"
}
