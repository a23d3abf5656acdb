# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=sh
# What the scripts in-* share: each runs a program beside a token of its own,
#
#   in-KIND PROGRAM [ARGUMENT...]
#
# in namespaces of its own, where /run is empty: any number at once, nothing of the host's is
# touched, and when the script ends or is killed all processes and files of the token end with it.
# The program finds $TOKEN_DIR, a directory with
#
#   module    one line: the PKCS#11 module's path       uri   one line: the token's PKCS#11 URI
#   pin       one line, mode 0600: the user PIN         env   NAME=VALUE lines: the environment that
#                                                             the module needs; it is set already
#   make-key ID LABEL aes|hmac   makes a key of 256 bits as an operator does, with the token's own
#                                tool; ID is the CKA_ID, as text
#   down      kills the token's service, or takes its store away     up   brings it back
#             (in-tpm: with the argument swtpm, the TPM alone)
#
# The token has label "test". The program's exit code is the script's; its standard input is empty.
# Exit 77: it cannot be made here (with CI=true that is a failure).
#
# A script in-* sources this, defines token_needs, token_create (in $TOKEN_DIR), token_make_key,
# token_down and token_up, and ends with: token_main "$@"
set -eu
PATH=$PATH:/usr/sbin:/sbin

token_skip() {
    echo "SKIP: $*" >&2
    [ "${CI-}" != true ] || exit 1
    exit 77
}

token_need_tools() {
    for tool in "$@"; do
        command -v "$tool" >/dev/null || token_skip "$tool is missing"
    done
}

# token_find PATH...: prints the first that is there.
token_find() {
    for path in "$@"; do
        [ ! -r "$path" ] || { printf '%s\n' "$path"; return; }
    done
    token_skip "${1##*/} is missing"
}

# token_say NAME TEXT: a file of one line.
token_say() {
    printf '%s\n' "$2" >"$TOKEN_DIR/$1"
}

token_read() {
    cat "$TOKEN_DIR/$1"
}

# token_export NAME=VALUE: for the program, and for who reads env.
token_export() {
    printf '%s\n' "$1" >>"$TOKEN_DIR/env"
    export "${1?}"
}

# token_await WHAT COMMAND...: what has nobody to tell us when it is up.
token_await() {
    what=$1 tries=0
    shift
    until "$@" >/dev/null 2>&1; do
        tries=$((tries + 1))
        [ $tries -lt 400 ] || { tail -n 20 "$TOKEN_DIR"/*.log >&2; echo "$what does not come" >&2; exit 1; }
        sleep 0.05
    done
}

# token_serve NAME COMMAND...: a service, in a process group of its own.
token_serve() {
    name=$1
    shift
    setsid "$@" >>"$TOKEN_DIR/$name.log" 2>&1 </dev/null &
    token_say "$name.pid" $!
}

token_is_gone() {
    ! kill -s 0 -- "-$1" 2>/dev/null
}

token_kill() {
    group=$(token_read "$1.pid")
    kill -s KILL -- "-$group" 2>/dev/null || true
    token_await "the end of $1" token_is_gone "$group"
}

# An operator's key, by a tool that takes any module: $TOKEN_TOOL_MODULE, or the token's.
token_tool_key() {
    kind=AES:32 usage=--usage-decrypt
    [ "$3" = aes ] || kind=GENERIC:32 usage=--usage-sign
    PIN=$(token_read pin) pkcs11-tool --module "${TOKEN_TOOL_MODULE:-$(token_read module)}" --token-label test --login \
        --pin env:PIN --keygen --key-type $kind $usage --private --sensitive --label "$2" \
        --id "$(printf %s "$1" | od -An -v -tx1 | tr -d ' \n')" >/dev/null
}

# --- the stages: outside, inside, and the commands in $TOKEN_DIR -------------------------------

token_alone() {
    token_need_tools unshare setpriv setsid
    # a process namespace, so that everything ends with the script
    options=-mipf
    [ "$(id -u)" = 0 ] || options=-Urmipf
    why=$(unshare $options --propagation private true 2>&1) || token_skip "no namespaces here: $why"
    # unshare itself blocks SIGTERM, and nothing of ours survives our SIGKILL
    TOKEN_STAGE=inside setpriv --pdeathsig KILL \
        unshare $options --propagation private --kill-child --mount-proc "$0" "$@" &
    inside=$!
    trap 'kill -s KILL $inside; exit 143' TERM INT HUP
    status=0
    wait $inside || status=$?
    exit $status
}

token_inside() {
    umask 077
    mount -t tmpfs tmpfs /run
    TOKEN_DIR=/run/token
    export TOKEN_DIR
    mkdir "$TOKEN_DIR"
    : >"$TOKEN_DIR/env"
    for stage in make-key down up; do
        printf '#!/bin/sh\nTOKEN_STAGE=%s exec "%s" "$@"\n' $stage "$(readlink -f "$0")" >"$TOKEN_DIR/$stage"
        chmod +x "$TOKEN_DIR/$stage"
    done
    token_say uri pkcs11:token=test
    token_create
    "$@"
}

token_main() {
    stage=${TOKEN_STAGE-}
    unset TOKEN_STAGE
    case $stage in
    '')
        token_needs
        token_alone "$@"
        ;;
    inside) token_inside "$@" ;;
    make-key) token_make_key "$@" ;;
    down) token_down "$@" ;;
    up) token_up "$@" ;;
    esac
}
