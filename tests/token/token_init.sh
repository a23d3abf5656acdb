#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Run by a script in-*, beside its token: what `p11-kms init` makes of that.
#
#   token_init.sh TOKEN FILE RING.SCHEME...
#
# appends "TOKEN|RING.SCHEME|init|RESULT" to FILE for each: the scheme taken, what was tried before
# it and why not; or why there is no KEK.
set -eu
token=$1 results=$2
shift 2
pin_source=file:$TOKEN_DIR/pin
[ ! -e "$TOKEN_DIR/pin-source" ] || pin_source=$(cat "$TOKEN_DIR/pin-source")

configure() { # RING.SCHEME
    cat >"$TOKEN_DIR/config.yaml" <<EOF
apiVersion: p11-kms/v1
socket: unix://$TOKEN_DIR/kms.sock
adminSocket: unix://$TOKEN_DIR/admin.sock
stateDir: $TOKEN_DIR/state-$1
allowUids: [$(id -u)]
token: {module: "$(cat "$TOKEN_DIR/module")", uri: "$(cat "$TOKEN_DIR/uri")", pinSource: "$pin_source"}
ring: {scheme: $1, name: $1}
EOF
}

tell() { # STATUS JSON
    /usr/bin/python3 -c '
import json, sys
if sys.argv[1] != "0":
    print("refused: " + sys.stdin.read().strip().split("init: ", 1)[1])
else:
    report = json.loads(sys.argv[2])
    before = [trial["scheme"] + ": " + trial["why"] for trial in report["tried"] if trial["why"]]
    print(report["scheme"] + "".join("; not " + trial for trial in before))
' "$1" "$2" <"$TOKEN_DIR/output"
}

for scheme in "$@"; do
    configure "$scheme"
    status=0
    got=$(build/p11-kms init --json --config "$TOKEN_DIR/config.yaml" 2>"$TOKEN_DIR/output") || status=$?
    case $status in
    0 | 5) ;; # made one, or the token's fault
    *) cat "$TOKEN_DIR/output" >&2; exit 1 ;;
    esac
    printf '%s|%s|init|%s\n' "$token" "$scheme" "$(tell $status "$got")" >>"$results"
done
