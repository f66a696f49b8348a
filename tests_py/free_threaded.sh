#!/usr/bin/env bash
# Builds a free-threaded CPython, 3.13 unless VERSION says 3.14 or 3.15, from Debian's source
# package, once:
#
#     free_threaded.sh plain FOLDER [VERSION]    FOLDER/plain/bin/python3.13t
#     free_threaded.sh tsan FOLDER [VERSION]     FOLDER/tsan/bin/python3.13t, under ThreadSanitizer
#
# The source comes from the Debian archive that apt is configured for; apt's own configuration stays
# unchanged. Debian's patches are left out, because they move files to Debian's places.
set -euo pipefail

kind=$1
version=${3:-3.13}
package=python$version
if [[ $version == 3.13 ]]; then suite=trixie; else suite=sid; fi
mkdir -p "$2"
folder=$(cd "$2" && pwd)

missing() {
    echo "the free-threaded interpreter cannot be built: $1" >&2
    exit 1
}

need() {
    command -v "$1" >/dev/null || missing "there is no $1 ($2)"
}

# Prints the URI and the keyring of the Debian archive, as apt knows them.
archive() {
    local format='$(ORIGIN)|$(REPO_URI)|$(SIGNED_BY)'
    apt-get indextargets --format "$format" 'Created-By: Packages' 2>/dev/null |
        awk -F'|' '$1 == "Debian" && $2 !~ /security/ {
            print $2, $3 ~ /^\// ? $3 : "/usr/share/keyrings/debian-archive-keyring.gpg"; exit }'
}

fetch_source() {
    need apt-get "the source comes from a Debian archive"
    need dpkg-source "Debian: apt-get install dpkg-dev"
    local uri keyring apt=$folder/apt
    read -r uri keyring < <(archive) || missing "apt has no Debian archive (try apt-get update)"
    rm -rf "$apt" "$folder/source.new"
    mkdir -p "$apt/lists/partial" "$apt/cache/archives/partial"
    echo "deb-src [signed-by=$keyring] $uri $suite main" >"$apt/sources.list"
    local options=(-qq
        -o "Dir::Etc::sourcelist=$apt/sources.list" -o Dir::Etc::sourceparts=/dev/null
        -o "Dir::State::lists=$apt/lists" -o "Dir::Cache=$apt/cache" -o APT::Sandbox::User=)
    (
        cd "$apt"
        apt-get "${options[@]}" update
        apt-get "${options[@]}" source --download-only "$package"
        dpkg-source --no-check --no-copy --skip-patches \
            --extract "$package"_*.dsc "$folder/source.new"
    ) || missing "$package of $suite cannot be downloaded from $uri"
    mv "$folder/source.new" "$folder/source"
    rm -rf "$apt"
}

case $kind in
plain) options=(--disable-gil) ;;
tsan) options=(--disable-gil --with-thread-sanitizer) ;;
*) missing "plain or tsan, not $kind" ;;
esac

python=$folder/$kind/bin/python${version}t
built=$folder/$kind/built
if [[ ! -e $built ]]; then
    need "${CC:-gcc}" "Debian: apt-get install gcc libc6-dev"
    need make "Debian: apt-get install make"
    [[ -d $folder/source ]] || fetch_source
    log=$folder/$kind.log
    echo "building $python (about 4 minutes; log: $log)"
    rm -rf "$folder/$kind.build" "$folder/$kind"
    mkdir "$folder/$kind.build"
    (
        cd "$folder/$kind.build"
        # Address randomization of recent kernels is more than older sanitizers support.
        run() { if [[ $kind == tsan ]]; then setarch --addr-no-randomize "$@"; else "$@"; fi; }
        export TSAN_OPTIONS=report_bugs=0
        run "$folder/source/configure" --prefix="$folder/$kind" "${options[@]}"
        run make -j2
        run make install COMPILEALL_OPTS=-r0 # modules are compiled when imported
    ) >"$log" 2>&1 || {
        tail -n 20 "$log" >&2
        rm -rf "$folder/$kind"
        missing "see $log"
    }
    rm -rf "$folder/$kind.build"
    touch "$built"
fi
echo "$python"
