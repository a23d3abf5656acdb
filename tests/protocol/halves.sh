#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# KEKs of two objects. One of which the first alone is left (a restore that forgot the other) is a loss, and nothing is
# made in its place, also by a host that never knew it. And whatever fails while one is made, two objects never share a
# CKA_ID, and no half is left.
set -euo pipefail
command -v pkcs11-tool >/dev/null || { echo "pkcs11-tool is missing"; exit 77; }
token_settings='generateTimeout: 30s, probeEvery: 1h'
# shellcheck source=tests/protocol/stand.sh
. "${srcdir:?set by make check}/tests/protocol/stand.sh"
fail() {
    echo "halves: $*" >&2
    tail -n 20 "$dir/log" "$dir/output" >&2 2>/dev/null || true
    exit 1
}

p11-kms() {
    "$bin/p11-kms" "$@" --config "$work/config.yaml" 2>"$dir/output"
}
json() { # NAME, of a JSON object on standard input
    /usr/bin/python3 -c 'import json, sys; print(json.load(sys.stdin)[sys.argv[1]])' "$1"
}
said() { # WORDS: in what p11-kms said last
    grep -qF -- "$1" "$dir/output" || fail "nothing says: $1"
}
ids() { # TYPE: the CKA_IDs, a line each
    tool --list-objects --type "$1" | sed -n 's/^  ID: *//p' | sort
}
objects() { # all that is on the token, public halves too
    find "$work/tokens" -name '*.object' ! -name token.object | wc -l
}
hex() { # KEY_ID: the CKA_ID as pkcs11-tool has it
    tr -d - <<<"${1#*.}"
}

# --- a KEK of which an object is gone -------------------------------------------------------

# And the state directory: this host knows nothing any more.
lose() { # BEGINNING-OF-LABEL TYPE
    local label
    label=$(tool --list-objects --type "$2" | sed -n 's/^  label: *//p' | grep "^$1/") || fail "no $1 to lose"
    tool --delete-object --type "$2" --label "$label" >>"$dir/log" || fail "no $label to delete"
    rm -rf "$work/state"
}
refused() { # KEY_ID ROLE
    local before status=0
    before=$(objects)
    p11-kms init >/dev/null || status=$?
    expect 6 "$status" "init's exit code with half a KEK"
    said "KEK $1 on the token lacks its $2 object"
    expect "$before" "$(objects)" "the number of objects after an init that refused"
    ! compgen -G "$work/state/ring-k8s.active" >/dev/null || fail "init remembers a KEK that it refused"
}
halved() { # SCHEME ROLE TYPE
    local old new
    fresh "halved-$1"
    configure "scheme: $1, activationDelay: 0s"
    old=$(p11-kms init --json | json key_id)
    "$bin/p11-kmsd" --config "$work/config.yaml" >>"$dir/log" 2>&1 &
    daemon=$!
    p11-kms status --wait 20s >/dev/null || fail "the daemon does not become healthy"
    p11-kms keys rotate --wait 60s >/dev/null || fail "it does not rotate"
    new=$(p11-kms status --json | json key_id)
    stop
    lose "p11-kms/k8s/1/$1/$2" "$3"
    expect existing "$(p11-kms init --json | json result)" "the result where a whole KEK is active"
    lose "p11-kms/k8s/2/$1/$2" "$3"
    refused "$new" "$2"
    said "the newest of 2 such KEKs"
    tool --delete-object --type "$3" --id "$(hex "$new")" >>"$dir/log" || fail "what is left of $new is not found"
    refused "$old" "$2"
    tool --delete-object --type "$3" --id "$(hex "$old")" >>"$dir/log" || fail "what is left of $old is not found"
    expect created "$(p11-kms init --json | json result)" "the result where nothing is left of any"
    echo "$1 without its $2 object: refused and named"
}
halved aes-cbc-hmac mac secrkey
halved rsa-oaep-sign sign privkey

# --- a call that fails, and has made the key all the same -----------------------------------

count() { # FUNCTION: its calls so far
    grep -c "^$1 " "$work/calls"
}
# The KEK's own keys are those that init makes last: sets $last.
count_calls() { # SCHEME FUNCTION
    fresh "$1-counted"
    configure "scheme: $1"
    p11-kms init >/dev/null || fail "init fails"
    last=$(count "$2")
    cp "$work/calls" "$dir/counted"
}
made() { # SCHEME TYPE; rules on standard input
    fresh "$1-$((++runs))"
    faults
    configure "scheme: $1"
    p11-kms init >/dev/null || fail "init fails"
    expect 2 "$(ids "$2" | wc -l)" "the number of the KEK's objects"
    expect 2 "$(ids "$2" | uniq | wc -l)" "the number of their CKA_IDs"
}
not_made() { # SCHEME; rules on standard input
    fresh "$1-$((++runs))"
    faults
    configure "scheme: $1"
    ! p11-kms init >/dev/null || fail "init says that it made a KEK"
    expect 0 "$(objects)" "the number of objects left of a KEK that was not made"
}
runs=0
count_calls rsa-oaep-sign C_GenerateKeyPair
sign=$((last - 1)) unwrap=$last
made rsa-oaep-sign privkey <<<"on C_GenerateKeyPair call $sign return CKR_GENERAL_ERROR after"
made rsa-oaep-sign privkey <<<"on C_GenerateKeyPair call $unwrap return CKR_GENERAL_ERROR after"
made rsa-oaep-sign privkey <<<"on C_GenerateKeyPair call $sign return CKR_DEVICE_MEMORY after" # RSA signs then
not_made rsa-oaep-sign <<<"on C_GenerateKeyPair from $unwrap return CKR_GENERAL_ERROR after"
count_calls aes-cbc-hmac C_GenerateKey
not_made aes-cbc-hmac <<<"on C_GenerateKey from $last return CKR_DEVICE_MEMORY after"
not_made aes-cbc-hmac <<<"on C_GenerateKey from $((last - 1)) return CKR_DEVICE_MEMORY after"

# Where nobody can tell whether the first object was made, the other stays with it: whole, the KEK can be completed.
searches=$(awk '/^C_GenerateKey / { before = n } /^C_FindObjectsInit / { n++ } END { print before }' "$dir/counted")
fresh untold
faults <<EOT
on C_GenerateKey from $last return CKR_DEVICE_MEMORY after
on C_FindObjectsInit call $((searches + 1)) return CKR_DEVICE_ERROR
EOT
configure 'scheme: aes-cbc-hmac'
! p11-kms init >/dev/null || fail "init does not fail"
expect 2 "$(ids secrkey | uniq | wc -l)" "the number of objects where the search failed"
faults </dev/null
expect completed "$(p11-kms init --json | json result)" "the result of the next init"
echo "keys that were made by calls that failed: never two of a CKA_ID, never a half"
