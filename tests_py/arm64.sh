#!/usr/bin/env bash
# Runs Python tests on arm64, under qemu-user, with the wheel of `make wheels`, in a Debian whose
# packages are unpacked and not configured: that needs no emulation. Needs root, debootstrap, and
# qemu-user-static with its binary format registered.
#
#     tests_py/arm64.sh PYTHON [pytest's arguments]
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
python=$1
shift
root=$PWD/build/bare/arm64
wheels=(wheelhouse/golock-*-cp313-cp313-*_aarch64.whl)

if [[ ! -e $root/made ]]; then
    rm -rf "$root"
    mkdir -p build/bare
    debootstrap --arch=arm64 --foreign --variant=minbase \
        --include=python3,libpython3-stdlib,ca-certificates trixie "$root" \
        http://deb.debian.org/debian >build/bare/arm64.log
    for package in "$root"/var/cache/apt/archives/*.deb; do
        dpkg-deb --extract "$package" "$root"
    done
    touch "$root/made"
fi
if [[ ! -e /proc/sys/fs/binfmt_misc/register ]]; then
    mount -t binfmt_misc binfmt_misc /proc/sys/fs/binfmt_misc
fi
[[ -e /proc/sys/fs/binfmt_misc/qemu-aarch64 ]] || update-binfmts --enable qemu-aarch64

rm -rf "$root/site" "$root/try"
"$python" -m pip install --quiet --target "$root/site" --python-version 3.13 --only-binary :all: \
    --platform manylinux2014_aarch64 --platform manylinux_2_28_aarch64 \
    -r tests_py/requirements.txt "${wheels[0]}"
mkdir "$root/try"
cp -r tests_py pyproject.toml "$root/try"

for place in proc dev; do
    mountpoint -q "$root/$place" || mount --bind "/$place" "$root/$place"
done
trap 'umount --lazy "$root/proc" "$root/dev"' EXIT
chroot "$root" env -i PATH=/usr/bin HOME=/root PYTHONPATH=/site LANG=C.UTF-8 \
    KERNEL_MACHINE="$(uname -m)" sh -c \
    'cd /try && exec python3 -m pytest -p no:cacheprovider "$@"' pytest "$@"
