#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# The programs as an operator uses them, with each scheme: init, seal, open, tamper, restart, rotate,
# a host that is lost, and a ring that changes its scheme by rotating. Then ring.scheme: auto on
# tokens that cannot do one scheme or any.
set -euo pipefail
command -v pkcs11-tool >/dev/null || { echo "pkcs11-tool is missing"; exit 77; }
/usr/bin/python3 -c 'import cryptography' 2>/dev/null || { echo "python3-cryptography is missing"; exit 77; }
token_settings='generateTimeout: 30s, probeEvery: 1h'
# shellcheck source=tests/protocol/stand.sh
. "${srcdir:?set by make check}/tests/protocol/stand.sh"
fail() {
    echo "schemes: $*" >&2
    tail -n 20 "$dir/log" "$dir/output" >&2 2>/dev/null || true
    exit 1
}

p11-kms() {
    "$bin/p11-kms" "$@" --config "$work/config.yaml" 2>"$dir/output"
}
json() { # NAME, of a JSON object on standard input
    /usr/bin/python3 -c 'import json, sys; print(json.load(sys.stdin)[sys.argv[1]])' "$1"
}
serve() {
    stop
    "$bin/p11-kmsd" --config "$work/config.yaml" >>"$dir/log" 2>&1 &
    daemon=$!
    p11-kms status --wait 20s >/dev/null || fail "the daemon does not become healthy"
}
dek='thirty-two bytes of a secret DEK'
seal() { # NAME API
    printf %s "$dek" | p11-kms call encrypt --api "$2" --raw >"$work/$1" || fail "$1 is not sealed"
    p11-kms status --json | json key_id >"$work/$1.key_id"
}
opens() { # NAME API
    local got
    got=$(p11-kms call decrypt --api "$2" --raw --key-id "$(cat "$work/$1.key_id")" <"$work/$1") ||
        fail "$1 does not open"
    expect "$dek" "$got" "what was in $1"
}
number() { # SCHEME: its byte
    case $1 in aes-gcm) echo 01 ;; hmac-derive) echo 02 ;; aes-cbc-hmac) echo 03 ;; rsa-oaep-sign) echo 04 ;; esac
}
scheme_of() { # NAME: the scheme's byte
    od -An -tx1 -j1 -N1 "$work/$1" | tr -d ' '
}
# In the place of NAME, $work/bad is the caller's fault.
bad_is_refused() { # NAME WHY-IT-IS-BAD
    ! p11-kms call decrypt --raw --key-id "$(cat "$work/$1.key_id")" <"$work/bad" >/dev/null ||
        fail "$2, and it opens"
    grep -qE 'INVALID_ARGUMENT|NOT_FOUND' "$dir/output" || fail "$2: not the caller's fault"
}
# With that byte of it altered it is.
refused_at() { # NAME BYTE
    /usr/bin/python3 -c 'import sys; b = bytearray(open(sys.argv[1], "rb").read())
b[int(sys.argv[2])] ^= 1; open(sys.argv[3], "wb").write(b)' "$work/$1" "$2" "$work/bad"
    bad_is_refused "$1" "byte $2 of $1 was altered"
}
# Any byte of it is, and costs no health.
refused() { # NAME
    local size at
    size=$(stat -c %s "$work/$1")
    for at in 1 3 10 50 $((size - 30)) $((size - 1)); do
        refused_at "$1" "$at"
    done
    p11-kms status >/dev/null || fail "not healthy after altered ciphertexts"
}

# Sets $begun: all operations that the token was asked to begin meanwhile, in their order.
watched() { # COMMAND...
    : >"$work/calls"
    "$@"
    begun=$(sed -n 's/^C_\(Sign\|Encrypt\|Decrypt\)Init .*/\1/p' "$work/calls" | tr '[:upper:]\n' '[:lower:] ')
    rm "$work/calls"
}

# The token is not asked to decrypt anything for an altered ciphertext where a MAC or a signature is over it. A MAC is
# computed twice more, lest the token be at fault; a signature is verified in the agent.
undecrypted() { # SCHEME NAME
    local size at wanted
    case $1 in
    aes-cbc-hmac) wanted='sign sign sign ' ;;
    rsa-oaep-sign) wanted='' ;;
    *) return 0 ;;
    esac
    size=$(stat -c %s "$work/$2")
    for at in 50 $((size - 81)) $((size - 40)) $((size - 1)); do
        watched refused_at "$2" "$at"
        expect "$wanted" "$begun" "what byte $at of $2 had the token do"
    done
}

# --- who knows the public half of unwrap, which is everybody --------------------------------

# As docs/envelope.md has it, for the KEK of NAME: an envelope of the DEK but for its signature, the hash of what is
# signed, and the signatures of nobody and of a stranger.
forge() { # NAME
    tool --read-object --type pubkey --id "$(sed 's/^k8s\.//; s/-//g' "$work/$1.key_id")" \
        --output-file "$work/public" >>"$dir/log" || fail "no public half of $1's KEK"
    (cd "$work" && DEK=$dek /usr/bin/python3 - "$1") <<'EOF'
import hashlib, os, pathlib, sys
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, padding, utils
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
like = pathlib.Path(sys.argv[1]).read_bytes()
header, number = like[:4 + like[3]], like[4 + like[3]]
public = serialization.load_der_public_key(pathlib.Path("public").read_bytes())
sha, key = {1: hashes.SHA1(), 2: hashes.SHA256()}[number], os.urandom(32)
wrapped = public.encrypt(key, padding.OAEP(padding.MGF1(sha), sha, None))
sealed = AESGCM(key).encrypt(bytes(12), os.environb[b"DEK"], b"p11-kms/envelope/v1\0" + header)
fields = bytes([number]) + len(wrapped).to_bytes(2, "big") + wrapped + sealed
signed = b"p11-kms/rsa-oaep-sign/v1\0" + header + fields
stranger = ec.generate_private_key(ec.SECP256R1())
r, s = utils.decode_dss_signature(stranger.sign(signed, ec.ECDSA(hashes.SHA256())))
pathlib.Path("unsigned").write_bytes(header + fields)
pathlib.Path("hash").write_bytes(hashlib.sha256(signed).digest())
pathlib.Path("nobody").write_bytes(os.urandom(64))
pathlib.Path("stranger").write_bytes(r.to_bytes(32, "big") + s.to_bytes(32, "big"))
EOF
}
# Nothing but the signature is wrong with it: with the KEK's own, which takes the PIN, it opens.
forgeries_are_refused() { # NAME
    local who id
    forge "$1"
    for who in nobody stranger; do
        cat "$work/unsigned" "$work/$who" >"$work/bad"
        watched bad_is_refused "$1" "forged, and signed by $who"
        grep -q INVALID_ARGUMENT "$dir/output" || fail "signed by $who: not told as INVALID_ARGUMENT"
        expect '' "$begun" "what an envelope signed by $who had the token do"
    done
    id=$(tool --list-objects --type privkey |
        sed -n '\#^  label: *p11-kms/k8s/1/rsa-oaep-sign/sign/#,/^  ID: /s/^  ID: *//p') # --sign takes no label
    tool --sign --mechanism ECDSA --id "$id" --input-file "$work/hash" --output-file "$work/own" >>"$dir/log" ||
        fail "the KEK's key $id does not sign"
    cat "$work/unsigned" "$work/own" >"$work/forged"
    cp "$work/$1.key_id" "$work/forged.key_id"
    opens forged v2
}

# COMMAND fails where FUNCTION's answer is spoilt once. A probe may take the fault, as of a new agent: then once more.
fails_once_spoilt() { # FUNCTION COMMAND...
    local function=$1 status _
    shift
    faults <<<"on $function once $work/now flip"
    for _ in 1 2 3 4 5; do
        : >"$work/now"
        status=0
        "$@" || status=$?
        [ ! -e "$work/now" ] || fail "$function was not called"
        [ $status = 0 ] || return 0
    done
    fail "what $function spoilt was answered"
}
seals_dek() {
    printf %s "$dek" | p11-kms call encrypt --raw >/dev/null
}
# What is answered is right at least.
opens_first() {
    local got
    got=$(p11-kms call decrypt --raw --key-id "$(cat "$work/first.key_id")" <"$work/first") || return 1
    expect "$dek" "$got" "what was in first"
}

# A token that computes wrongly once: what it seals is not answered, what it opens is opened again.
sick_once() { # SCHEME [FUNCTION]: of those that it uses
    local seals=C_Encrypt opens=C_Decrypt wrongly='return CKR_ENCRYPTED_DATA_INVALID'
    case "$1 ${2-}" in
    'hmac-derive ' | *C_Sign) seals=C_Sign opens=C_Sign wrongly=flip ;;
    'rsa-oaep-sign ') seals=C_Sign ;;
    esac
    faults <<<"on $opens once $work/now $wrongly"
    : >"$work/now"
    opens first v2
    [ ! -e "$work/now" ] || fail "$opens was not called"
    fails_once_spoilt "$seals" seals_dek
    faults </dev/null
    p11-kms status --wait 20s >/dev/null || fail "the daemon stays sick"
}

# A token that opens to something else once: that is answered to nobody, and is no fault of the ciphertext.
lies_once() { # SCHEME
    case $1 in aes-gcm | aes-cbc-hmac) ;; *) return 0 ;; esac # the others have a tag or a signature of their own
    fails_once_spoilt C_Decrypt opens_first
    grep -q UNAVAILABLE "$dir/output" || fail "what C_Decrypt spoilt: not told as an outage"
    faults </dev/null
    p11-kms status --wait 20s >/dev/null || fail "the daemon stays sick"
    opens first v2
}

# --- each scheme, from init to a lost host, and on to another scheme -----------------------

walk() { # SCHEME OTHER
    fresh "$1"
    configure "scheme: $1, activationDelay: 0s"
    expect "$1" "$(p11-kms init --json | json scheme)" "the scheme that init made"
    expect existing "$(p11-kms init --json | json result)" "the result of a second init"
    serve
    seal first v2
    seal ping v1beta1
    expect "$(number "$1")" "$(scheme_of first)" "the scheme's byte"
    opens first v2
    opens ping v1beta1
    refused first
    undecrypted "$1" first
    [ "$1" != rsa-oaep-sign ] || forgeries_are_refused first
    sick_once "$1"
    lies_once "$1"
    [ "$1" != aes-cbc-hmac ] || sick_once "$1" C_Sign
    configure "scheme: auto, activationDelay: 0s" # which keeps it
    serve
    opens first v2
    p11-kms keys rotate --wait 60s >/dev/null || fail "it does not rotate"
    seal second v2
    expect "$(number "$1")" "$(scheme_of second)" "the scheme's byte after a rotation"
    ! cmp -s "$work/first.key_id" "$work/second.key_id" || fail "the key_id did not change"
    rm -rf "$work/state" # the host is lost; token and PIN are not
    serve
    opens first v2
    opens second v2
    opens ping v1beta1
    configure "scheme: $2, activationDelay: 0s"
    serve
    p11-kms keys rotate --wait 60s >/dev/null || fail "it does not rotate to $2"
    seal third v2
    expect "$(number "$2")" "$(scheme_of third)" "the scheme's byte after changing to $2"
    opens first v2
    opens second v2
    opens third v2
    refused third
    echo "$1, then $2: all open, what was altered is refused"
}
walk aes-gcm hmac-derive
walk hmac-derive aes-cbc-hmac
walk aes-cbc-hmac rsa-oaep-sign
walk rsa-oaep-sign aes-gcm

# --- keys of an operator's own: their type says the scheme ----------------------------------

adopted() { # SCHEME TYPE
    fresh "external-$1"
    configure 'mode: external, select: "label:ours-*", waive: [usage]'
    PIN=$(cat "$work/pin") pkcs11-tool --module "$(cat "$work/module")" --token-label k8s-kek --login --pin env:PIN \
        --keygen --key-type "$2" --sensitive --private --label ours-1 --id 0a01 >"$dir/output" 2>&1 ||
        fail "pkcs11-tool makes no $2"
    p11-kms init >/dev/null || fail "no $2 key is usable"
    "$bin/p11-kmsd" --config "$work/config.yaml" >>"$dir/log" 2>&1 &
    daemon=$!
    p11-kms status --wait 1s >/dev/null || true # it serves, and seals nothing yet
    p11-kms keys adopt k8s.0a01 >/dev/null || fail "a $2 key is not adopted"
    serve
    seal it v2
    expect "$(number "$1")" "$(scheme_of it)" "the byte of a $2 key's scheme"
    opens it v2
    refused it
    echo "$2, adopted: $1"
}
adopted aes-gcm AES:32
adopted hmac-derive GENERIC:32

# --- scheme: auto --------------------------------------------------------------------------

chosen() { # NAME EXPECTED WORD; rules on standard input
    fresh "$1"
    faults
    configure "scheme: auto"
    local got
    got=$(p11-kms init --json) || fail "init fails with $1"
    expect "$2" "$(json scheme <<<"$got")" "the scheme chosen with $1"
    grep -qF -- "$3" <<<"$(json tried <<<"$got")" || fail "with $1 init does not say $3: $got"
    serve
    seal it v2
    opens it v2
    echo "auto, $1: $2"
}
chosen all aes-gcm "'passes': True" </dev/null
chosen no-gcm hmac-derive CKR_MECHANISM_INVALID <<<'on C_EncryptInit every return CKR_MECHANISM_INVALID'
chosen says-general-error hmac-derive CKR_GENERAL_ERROR <<<'on C_EncryptInit every return CKR_GENERAL_ERROR'
chosen crashes-with-gcm hmac-derive 'agent' <<<'on C_EncryptInit every crash'
chosen decrypts-nothing hmac-derive 'gave another length' <<<'on C_Decrypt every nothing'
: >"$dir/moment"
chosen away-for-a-moment aes-gcm "'passes': True" <<<"on C_EncryptInit once $dir/moment return CKR_DEVICE_ERROR"
[ ! -e "$dir/moment" ] || fail "the token was not away for a moment"
chosen as-on-a-tpm rsa-oaep-sign CKR_FUNCTION_NOT_SUPPORTED <<<'on C_GenerateKey every return CKR_FUNCTION_NOT_SUPPORTED'
chosen no-hmac aes-gcm "'passes': True" <<<'on C_SignInit every return CKR_MECHANISM_INVALID'

none() { # NAME WORD...; rules on standard input
    fresh "$1"
    faults
    configure "scheme: auto"
    local word status=0
    p11-kms init >/dev/null || status=$?
    expect 5 "$status" "init's exit code with $1"
    for word in "${@:2}"; do
        grep -qF -- "$word" "$dir/output" || fail "with $1 init does not say $word"
    done
    faults </dev/null
    local objects
    objects=$(find "$work/tokens" -name '*.object' ! -name token.object | wc -l)
    expect 0 "$objects" "the number of keys left on a token with $1"
    echo "auto, $1: refused, and nothing left behind"
}
none neither 'passes for no scheme: aes-gcm: ' CKR_MECHANISM_INVALID '; hmac-derive: ' <<EOF
on C_EncryptInit every return CKR_MECHANISM_INVALID
on C_SignInit every return CKR_FUNCTION_NOT_SUPPORTED
EOF
none signs-nothing 'C_Sign gave no MAC' <<EOF
on C_EncryptInit every return CKR_MECHANISM_INVALID
on C_Sign every nothing
EOF
none away 'CKR_DEVICE_REMOVED' <<<'on C_OpenSession every return CKR_DEVICE_REMOVED'
