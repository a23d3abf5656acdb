#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# What p11-kms doctor token says of each token that is here. docs/tokens/doctor must have that, but for what varies
# from run to run (speeds, serial numbers, slots, folders); --write puts it there.
set -eu
here=${srcdir:-.}/tests/token

# One file a row: NAME TOKEN RING, the ring's section of the configuration.
rows() {
    cat <<END
softhsm softhsm name: k8s
nss nss name: k8s
nss-external nss mode: external, select: "label:ours-*", waive: [local, usage]
opencryptoki opencryptoki name: k8s
tpm tpm name: k8s
tpm-external tpm mode: external, select: "label:ours-*", waive: [usage]
p11-kit p11-kit name: k8s
mock-own-iv mock name: k8s
mock-cloudhsm mock name: k8s
mock-iv-appended mock name: k8s
mock-no-gcm mock name: k8s
mock-few-sessions mock name: k8s
mock-finalize mock name: k8s
mock-new-process mock name: k8s
mock-read-only-user mock name: k8s
mock-protected-path mock name: k8s
mock-liar mock name: k8s
mock-same-mac mock name: k8s
mock-no-aad mock name: k8s
END
}

# --- beside the token: its report, as a person sees it ------------------------------------------

if [ "${1-}" = inside ]; then
    output=$2 measure=$3 ring=$4
    case $ring in
    *external*) "$TOKEN_DIR/make-key" ours-1 ours-1 hmac ;;
    esac
    cat >/run/config.yaml <<END
apiVersion: p11-kms/v1
stateDir: /run/state
token: {module: "$(cat "$TOKEN_DIR/module")", uri: "$(cat "$TOKEN_DIR/uri")", pinSource: "$(cat "$TOKEN_DIR/pin-source" 2>/dev/null || echo "file:$TOKEN_DIR/pin")"}
ring: {$ring}
END
    status=0
    build/p11-kms doctor token --measure "$measure" --config /run/config.yaml >"$output.new" 2>"$output.progress" || status=$?
    case $status in
    0 | 5) sed 's#^\(module: *\)/.*/#\1#' "$output.new" >"$output" ;; # folders differ from machine to machine
    *) cat "$output.new" "$output.progress" >&2; exit 1 ;;
    esac
    exit 0
fi

# --- all tokens -----------------------------------------------------------------------------

# What is the same in every run of the same versions.
steady() { # FILE
    sed -E -e 's/serial [^;]+;/serial ...;/' -e 's/^(slot: +).*/\1.../' \
        -e 's/^([a-z0-9-]+ +(generate|seal|open|seal\+open) +[0-9]+) .*/\1 .../' \
        -e 's/k8s\.[0-9a-f-]{32,}/k8s..../g' "$1"
}

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
trap 'exit 143' TERM INT HUP
pages=$here/../../docs/tokens/doctor
measure=20ms failed=0 skipped='' checked=0
[ "${1-}" != --write ] || measure=500ms
rows >"$folder/rows"

while read -r name token ring; do
    status=0
    P11KMS_MOCK=${name#mock-} "$here/in-$token" "$here/test_doctor.sh" inside "$folder/$name.txt" $measure "$ring" </dev/null || status=$?
    case $status in
    0) ;;
    77)
        skipped="$skipped $token"
        continue
        ;;
    *)
        echo "doctor fails on $name" >&2
        failed=1
        continue
        ;;
    esac
    checked=$((checked + 1))
    if [ "${1-}" = --write ]; then
        mkdir -p "$pages"
        cp "$folder/$name.txt" "$pages/$name.txt"
        continue
    fi
    steady "$folder/$name.txt" >"$folder/now"
    steady "$pages/$name.txt" >"$folder/then" || { failed=1; continue; }
    diff -u "$folder/then" "$folder/now" || {
        echo "$pages/$name.txt says otherwise: tests/token/test_doctor.sh --write" >&2
        failed=1
    }
done <"$folder/rows"

[ $failed = 0 ] || exit 1
[ -z "$skipped" ] || echo "SKIP: not here:$skipped"
[ $checked -gt 0 ] || exit 77
echo "doctor says of $checked rings what docs/tokens/doctor has"
