# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash
# What demo and check share. Source it from the top of the tree.

BUILD_PACKAGES="autoconf automake make gcc pkgconf libgrpc-dev libprotobuf-c-dev protobuf-c-compiler
 libp11-kit-dev libssl-dev libcyaml-dev libyaml-dev libsystemd-dev libmicrohttpd-dev libcmocka-dev"
DEMO_PACKAGES="softhsm2"
TOKEN_PACKAGES="opencryptoki libnss3 libnss3-tools p11-kit p11-kit-modules dbus dbus-daemon swtpm tpm2-abrmd
 libtss2-tcti-tabrmd0 libtss2-tcti-swtpm0 libtpm2-pkcs11-1 libtpm2-pkcs11-tools util-linux"
TEST_PACKAGES="softhsm2 opensc opensc-pkcs11 clang clang-format clang-tidy libclang-rt-14-dev cppcheck shellcheck
 python3 python3-grpcio python3-protobuf python3-cryptography openssl valgrind systemd procps mandoc prometheus git
 $TOKEN_PACKAGES"

say() {
    printf '== %s\n' "$*"
}

die() {
    printf '%s: %s\n' "${0##*/}" "$*" >&2
    exit 1
}

# Installs what is missing of the packages named. Needs root only when something is.
install_packages() {
    local missing=() package options=(-o Acquire::Retries=5 -o DPkg::Lock::Timeout=120)
    for package in "$@"; do
        dpkg-query -W -f='${db:Status-Status}' "$package" 2>/dev/null | grep -qx installed ||
            missing+=("$package")
    done
    [ ${#missing[@]} -gt 0 ] || return 0
    [ "$(id -u)" = 0 ] || die "run as root once, or install: ${missing[*]}"
    say "installing ${missing[*]}"
    export DEBIAN_FRONTEND=noninteractive
    apt-get "${options[@]}" update -qq || apt-get "${options[@]}" update -qq
    apt-get "${options[@]}" install -y -qq --no-install-recommends "${missing[@]}" >/dev/null
}

# configure_tree SOURCE [configure's arguments]: in the current directory.
configure_tree() {
    local source=$1
    shift
    [ -x "$source/configure" ] && [ "$source/configure" -nt "$source/configure.ac" ] &&
        [ "$source/configure" -nt "$source/Makefile.am" ] || "$source/autogen.sh" >autogen.log 2>&1 ||
        { cat autogen.log; die "autogen.sh failed"; }
    "$source/configure" --quiet "$@"
}

# What make said, without what it did.
show_errors() { # LOG
    sed -E '/^  [A-Z]+ +[^ ]+$/d' "$1" | tail -40
}

# Builds the plain tree in place, so that build/ has the three programs. Arguments are configure's,
# for a tree that was not configured yet.
build_here() {
    [ -f Makefile ] && [ Makefile -nt configure.ac ] || configure_tree . "$@"
    make -s --no-print-directory -j"$(nproc)" >build.log 2>&1 || { show_errors build.log; die "the build failed"; }
}

# build_copy NAME [configure's arguments]: builds a copy of the tree in build/NAME, for other
# compilers and sanitizers; only what changed is built again.
build_copy() {
    local name=$1 copy=build/$1
    shift
    mkdir -p "$copy"
    git ls-files -co --exclude-standard -z |
        while IFS= read -r -d '' file; do [ -e "$file" ] && printf '%s\0' "$file"; done |
        tar --null -T - -cf - | tar -xf - -C "$copy"
    (
        cd "$copy"
        [ -f Makefile ] && [ Makefile -nt configure.ac ] || configure_tree . "$@"
        make -s --no-print-directory -j"$(nproc)" >build.log 2>&1 || { show_errors build.log; die "the $name build failed"; }
    )
}
