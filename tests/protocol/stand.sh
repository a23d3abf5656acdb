# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash
# To be sourced: a SoftHSM token behind faultp11 with a ring of no KEK, and a daemon, in a directory that is gone in
# the end. Whoever sources this has a function fail, and sets $token_settings.
top=$(cd "${srcdir:?set by make check}" && pwd)
bin=$PWD/build
dir=$(mktemp -d "${TMPDIR:-/tmp}/p11-kms-test.XXXXXX")
daemon=
stop() {
    [ -z "$daemon" ] || { kill "$daemon" 2>/dev/null && wait "$daemon" 2>/dev/null; } || true
    daemon=
}
trap 'stop; rm -rf "$dir"' EXIT

# Sets $work; the module's calls come into $work/calls.
fresh() { # NAME
    stop
    work=$dir/$1
    mkdir "$work"
    "$top/softhsm-fixtures/softhsm-token" "$work" k8s-kek
    export SOFTHSM2_CONF=$work/softhsm2.conf FAULTP11_SCRIPT=$work/script
    faults </dev/null
    configure "name: k8s"
}
faults() { # rules on standard input
    { printf 'module %s\nrecord %s/calls\n' "$(cat "$work/module")" "$work"; cat; } >"$work/script.new"
    mv "$work/script.new" "$work/script"
    : >"$work/calls"
}
configure() { # RING: words of its section; TOKEN: more of the token's
    cat >"$work/config.yaml" <<EOF
apiVersion: p11-kms/v1
socket: unix://$work/kms.sock
adminSocket: unix://$work/admin.sock
stateDir: $work/state
allowUids: [$(id -u)]
token: {module: "$bin/faultp11.so", uri: "pkcs11:token=k8s-kek", pinSource: "file:$work/pin", $token_settings${2:+, $2}}
ring: {$1}
EOF
}
tool() { # as another program sees the token, and changes it; what it says of errors comes into $dir/log
    PIN=$(cat "$work/pin") pkcs11-tool --module "$(cat "$work/module")" --token-label k8s-kek --login --pin env:PIN \
        "$@" 2>>"$dir/log"
}
expect() { # EXPECTED GOT WHAT
    [ "$1" = "$2" ] || fail "$3 is $2, not $1"
}
