#!/usr/bin/env bash
# Unpacks Debian's packages of a server into a folder, where they harm nobody:
#
#     debian.sh FOLDER PACKAGE...    FOLDER/usr/bin has the programs
set -euo pipefail

rm -rf "$1"
mkdir -p "$1"
cd "$1"
shift
apt-get -qq download "$@" || { apt-get -qq update && apt-get -qq download "$@"; }
for package in *.deb; do
    dpkg-deb --extract "$package" .
    rm "$package"
done
