#!/usr/bin/env bash
# Unpacks Debian's chromium and the libraries that this machine lacks into a folder, where they harm
# nobody:
#
#     chromium.sh FOLDER    FOLDER/chromium starts the browser
set -euo pipefail

rm -rf "$1"
mkdir -p "$1"
cd "$1"

download() {
    local plan packages
    plan=$(apt-get -qq --simulate --no-install-recommends install chromium)
    mapfile -t packages < <(awk '$1 == "Inst" {print $2}' <<<"$plan")
    apt-get -qq download "${packages[@]}"
}

download || { apt-get -qq update && download; }
for package in *.deb; do
    dpkg-deb --extract "$package" .
    rm "$package"
done
libraries=$(find "$PWD" -name '*.so*' -printf '%h\n' | sort -u | paste -sd:)
printf '#!/bin/sh\nLD_LIBRARY_PATH=%s exec %s "$@"\n' \
    "'$libraries'" "'$PWD/usr/lib/chromium/chromium'" >chromium
chmod +x chromium
