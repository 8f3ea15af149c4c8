# Shared by the scripts beside it: finds the checkout, installs what is missing, builds.
set -euo pipefail
invoked_from=$PWD
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
cd "$root"

fail() { printf '%s: %s\n' "$(basename "$0")" "$*" >&2; exit 69; }

# install_missing LIST...: installs the Debian packages of the named lists that are not there yet.
install_missing() {
    local missing=() package
    while read -r package; do
        case "$package" in '' | '#'*) continue ;; esac
        dpkg-query -W -f='${Status}' "$package" 2>/dev/null | grep -q 'install ok installed' || missing+=("$package")
    done < <(cat "$@")
    [ ${#missing[@]} -eq 0 ] && return 0
    local as_root=()
    [ "$(id -u)" -eq 0 ] || as_root=(sudo)
    printf 'installing %s\n' "${missing[*]}" >&2
    "${as_root[@]}" apt-get update -qq >&2 || fail "apt-get update failed: check the package sources"
    DEBIAN_FRONTEND=noninteractive "${as_root[@]}" apt-get install -y -qq --no-install-recommends "${missing[@]}" >&2 ||
        fail "could not install ${missing[*]}: install them by hand and run this again"
}

find_swift() {
    if ! command -v swift >/dev/null; then
        for bin in /opt/swift/usr/bin /usr/share/swift/usr/bin "$HOME/.local/share/swiftly/bin"; do
            [ -x "$bin/swift" ] && PATH="$bin:$PATH" && return 0
        done
        fail "no Swift toolchain: install Swift 6.2 or later (https://www.swift.org/install/linux)"
    fi
}
