#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# p11-kms doctor token as an operator runs it: on a token that works, before and after init and beside a
# daemon, and on one that fails in each way that a token can. No key may be left, no object made with
# --no-keys, no refused PIN tried twice, and every run must end.
set -euo pipefail
token_settings='probeEvery: 1h'
# shellcheck source=tests/protocol/stand.sh
. "${srcdir:?set by make check}/tests/protocol/stand.sh"
fail() {
    echo "doctor: $*" >&2
    head -c 3000 "$dir/out" >&2
    tail -n 40 "$dir/err" "$dir/log" >&2 2>/dev/null || true
    exit 1
}

p11-kms() {
    "$bin/p11-kms" "$@" --config "$work/config.yaml"
}
doctor() { # EXPECTED-EXIT-CODE OPTION...
    local expected=$1 status=0
    shift
    # far above what a run may take here: a doctor that hangs is a failure, not a test that never ends
    timeout 120 "$bin/p11-kms" doctor token --measure 20ms "$@" --config "$work/config.yaml" \
        >"$dir/out" 2>"$dir/err" || status=$?
    [ "$status" = "$expected" ] || fail "exit code $status, not $expected, of doctor token $*"
    ! grep -qF -- "$(cat "$work/pin")" "$dir/out" "$dir/err" || fail "the PIN is in what doctor said"
}
says() { # WORD...: in the report
    local word
    for word in "$@"; do
        grep -qF -- "$word" "$dir/out" || fail "the report does not say: $word"
    done
}
says_not() { # WORD
    ! grep -qF -- "$1" "$dir/out" || fail "the report says: $1"
}
json() { # EXPRESSION over d, the parsed report; prints it
    /usr/bin/python3 -c 'import json, sys; d = json.load(open(sys.argv[1])); s = {x["name"]: x for x in d["schemes"]}; print(eval(sys.argv[2]))' \
        "$dir/out" "$1"
}
is() { # EXPECTED EXPRESSION
    expect "$1" "$(json "$2")" "$2"
}
calls() { # FUNCTION: how many since faults
    grep -c "^$1 " "$work/calls" || true
}
objects() {
    find "$work/tokens" -name '*.object' ! -name token.object | wc -l
}
nothing_left() {
    expect 0 "$(objects)" "the number of objects left on the token"
    is '' 'd["left"]'
}

# --- a token that works --------------------------------------------------------------------

fresh works
"$bin/p11-kms" doctor >"$dir/out"
says 'p11-kms doctor token'
doctor 0
says "module:     $bin/faultp11.so" 'Cryptoki 2.40' 'token:      k8s-kek (SoftHSM project' 'login required' \
    'the PIN is right' 'k8s, managed: 0 KEKs; ring k8s has no KEK on this token yet' 'none runs' 'CKM_AES_GCM' 'encrypt, decrypt' 'aes-gcm         works' \
    'hmac-derive     works' 'seal          4' 'aes-gcm is used: ring.scheme is auto, which takes the first that passes'
says_not $'\033'
grep -q 'measuring with 4 lanes' "$dir/err" || fail "no progress on standard error"
expect 0 "$(objects)" "the number of objects left on the token"
doctor 0 --json
[ ! -s "$dir/err" ] || fail "progress with --json"
is "(True, 'aes-gcm', 'aes-gcm', True)" '(d["ok"], d["best"], d["used"], d["keys_made"])'
is "['aes-gcm', 'hmac-derive']" '[n for n in s if n in ("aes-gcm", "hmac-derive") and s[n]["result"] == "works"]'
is "[('generate', 1), ('seal', 1), ('open', 1), ('seal', 4), ('open', 4)]" \
    '[(v["of"], v["lanes"]) for v in s["aes-gcm"]["speeds"]]'
is True 'all(v["count"] > 0 and v["seconds"] > 0 and abs(v["count"] / v["seconds"] - v["per_second"]) < 1 + v["per_second"] / 100 for n in s for v in s[n]["speeds"])'
is True 'all(v["seconds"] < 5 and (v["of"] != "generate" or v["count"] <= 8) for v in s["aes-gcm"]["speeds"])'
is "(True, 16, 32, ['encrypt', 'decrypt'])" \
    '[(m["listed"], m["least"], m["most"], m["uses"]) for m in d["mechanisms"] if m["name"] == "CKM_AES_GCM"][0]'
is True '"login-required" in d["token"]["flags"] and d["token"]["max_sessions"] == 0 and d["daemon"] is None'
nothing_left
echo "a new token: both say what it is and what it can, and nothing stays on it"

doctor 0 --scheme hmac-derive --json
is "['hmac-derive']" 'list(s)'
is hmac-derive 'd["used"]'
doctor 2 --scheme hmac-deriv
grep -q 'no such scheme' "$dir/err" || fail "no word about the scheme"
doctor 2 --timeout never
doctor 2 --measure 11s

# --- without a key, before and after init --------------------------------------------------

makes_nothing() {
    expect 0 "$(($(calls C_GenerateKey) + $(calls C_GenerateKeyPair) + $(calls C_CreateObject) + $(calls C_SetAttributeValue) + $(calls C_DestroyObject)))" \
        "the number of objects made or changed"
}
faults <<<'on C_OpenSession every of p11-kms-maker crash' # sessions that can write are an agent's that makes keys
doctor 0 --no-keys
says 'no key was made' 'may work: a guess' 'aes-gcm (a guess: no key was made) is used'
says_not 'speed'
makes_nothing
faults </dev/null
p11-kms init >/dev/null 2>&1 || fail "init"
faults </dev/null
doctor 0 --no-keys --json
is "works-with-kek may-work" '" ".join(s[n]["result"] for n in ("aes-gcm", "hmac-derive"))'
is "[('seal+open', 1), ('seal+open', 4)]" '[(v["of"], v["lanes"]) for n in s for v in s[n]["speeds"]]'
is True 's["aes-gcm"]["keks"] == 1 and d["ring"]["keks"] == 1 and d["ring"]["active"] in s["aes-gcm"]["why"]'
makes_nothing
doctor 0
says 'k8s, managed: 1 KEK; k8s.' 'the ring has 1 KEK of it' 'a ring that has a KEK keeps its scheme'
p11-kms init --json >"$dir/out" 2>/dev/null || fail "init finds its KEK no more"
echo "--no-keys makes nothing; after init it tells the ring's KEK"

# --- beside a daemon -----------------------------------------------------------------------

"$bin/p11-kmsd" --config "$work/config.yaml" >>"$dir/log" 2>&1 &
daemon=$!
p11-kms status --wait 20s >/dev/null || fail "the daemon does not become healthy"
agents() {
    pgrep -x p11-kms-agent -P "$daemon" | tr '\n' ' '
}
before=$(agents)
doctor 0 --json
is "$daemon" 'd["daemon"]'
is '{1}' '{v["lanes"] for n in s for v in s[n]["speeds"]}'
doctor 0
says "p11-kmsd runs (pid $daemon), with 4 lanes and 5 sessions of its own; measured with one lane alone"
p11-kms status >/dev/null || fail "the daemon is not healthy after doctor"
expect "$before" "$(agents)" "the daemon's agent"
stop
echo "a daemon is seen, not disturbed, and has all lanes but one to itself"

# --- a ring of another scheme, and one that is external ------------------------------------

configure "scheme: hmac-derive"
doctor 0 --json
is hmac-derive 'd["used"]'
is aes-gcm 'd["best"]'
doctor 0
says 'hmac-derive is used: ring.scheme names it'
configure 'mode: external, select: "label:*", waive: [usage]'
faults </dev/null
doctor 0
says 'external: 1 key;' 'seals and opens' "aes-gcm is used: the type of the ring's keys says it"
makes_nothing
configure 'mode: external, select: "label:nothing-*"'
doctor 5
says 'ring.select finds no key'

# --- what it does not start with -----------------------------------------------------------

fresh broken
sed -i 's/^token:.*/token: {modul: x}/' "$work/config.yaml"
doctor 3
configure "name: k8s"
sed -i 's#faultp11.so#nothing.so#' "$work/config.yaml"
doctor 5
says 'nothing.so is not there' 'the token cannot be used'
configure "name: k8s"
sed -i 's/token=k8s-kek/token=other/' "$work/config.yaml"
doctor 5
says 'library:    Implementation of PKCS11' 'no token matches pkcs11:token=other; there are:' "'k8s-kek'"
configure "name: k8s"
faults <<<'on C_GetTokenInfo every flags -token-initialized'
doctor 5 --json
is True '"never initialised" in d["token"]["why"] and d["module"]["known"] and not d["ok"]'
faults <<<'on C_Initialize every crash'
doctor 5
says 'the token agent ended while it loaded the module'
faults <<<'on C_OpenSession every return CKR_TOKEN_WRITE_PROTECTED'
doctor 5
says 'CKR_TOKEN_WRITE_PROTECTED'
echo "no configuration, module or token: the reason, and all that is known nevertheless"

# --- PINs ----------------------------------------------------------------------------------

fresh pin
good=$(cat "$work/pin")
printf '%s\n' 7531975 >"$work/pin"
faults </dev/null
doctor 5
says 'the token refused the PIN; it is not tried again' 'CKM_AES_GCM'
expect 1 "$(calls C_Login)" "the number of logins with a wrong PIN"
faults </dev/null
doctor 5
doctor 5 --no-keys
says 'the token refused the PIN; it is not tried again'
expect 0 "$(calls C_Login)" "the number of logins with a PIN that was refused"
printf '%s\n' "$good" >"$work/pin"
doctor 0 --scheme aes-gcm
fresh locked
faults <<<'on C_GetTokenInfo every flags +user-pin-locked'
doctor 5
says 'user PIN LOCKED' 'is locked: unlock it with the SO PIN'
expect 0 "$(calls C_Login)" "the number of logins at a locked token"
faults <<<'on C_GetTokenInfo every flags +user-pin-final-try'
doctor 5
says 'the next wrong PIN locks it'
expect 0 "$(calls C_Login)" "the number of logins before the last try"
echo "a refused PIN is tried once, one that could lock the token never"

# --- tokens that hang, crash, or cannot ----------------------------------------------------

fresh sick
faults <<<'on C_Initialize every hang'
doctor 5 --timeout 1s
says 'it hangs'
faults <<<'on C_GetTokenInfo every hang'
doctor 5 --timeout 1s
says 'the token hangs: no answer within 1 s'
faults <<<'on C_Encrypt every hang'
doctor 0 --timeout 4s --json # a pair of RSA keys takes a while, and one that is made as its agent is killed stays
is "fails works" '" ".join(s[n]["result"] for n in ("aes-gcm", "hmac-derive"))'
is True '"it hangs: no answer to the self-test within 4 s" in s["aes-gcm"]["why"]'
is hmac-derive 'd["used"]'
nothing_left
faults <<<'on C_Encrypt every crash'
doctor 0 --json
is "fails hmac-derive" 's["aes-gcm"]["result"] + " " + d["used"]'
nothing_left
for call in C_SignInit C_DecryptInit C_SetAttributeValue; do # the keys of each scheme are there by then
    faults <<<"on $call every crash"
    doctor "$([ $call = C_SetAttributeValue ] && echo 5 || echo 0)" --json
    is True 'all(s[n]["result"] == "works" or "agent failed" in s[n]["why"] for n in s) and any("agent failed" in s[n]["why"] for n in s)'
    nothing_left
done
faults <<<'on C_Encrypt every of p11-kms-try hang' # the self-test passes, and what measures hangs
doctor 5 --timeout 4s --json --scheme aes-gcm
is fails 's["aes-gcm"]["result"]'
is True '"sessions like the daemon" in s["aes-gcm"]["why"]'
is "['generate']" '[v["of"] for v in s["aes-gcm"]["speeds"]]'
nothing_left
faults <<<'on C_OpenSession from 5 of p11-kms-try return CKR_SESSION_COUNT'
doctor 5 --json --scheme aes-gcm
is True '"works with one lane, and not with token.sessions 4" in d["verdict"] and s["aes-gcm"]["too_many_lanes"] and not d["ask"]'
is "(True, {1})" '("CKR_SESSION_COUNT" in s["aes-gcm"]["speed_why"], {v["lanes"] for v in s["aes-gcm"]["speeds"]})'
nothing_left
faults <<<'on C_OpenSession every of p11-kms-try return CKR_SESSION_PARALLEL_NOT_SUPPORTED' # no read-only ones
doctor 5 --json
is "{'fails'}" '{s[n]["result"] for n in s}'
is True '"CKR_SESSION_PARALLEL_NOT_SUPPORTED" in s["aes-gcm"]["why"]'
nothing_left
faults <<<'on C_DestroyObject every return CKR_ACTION_PROHIBITED'
doctor 5 --json --scheme aes-gcm
is True '"p11-kms-selftest/" in d["left"] and "CKR_ACTION_PROHIBITED" in d["left"]'
is True '"not all was tried" in d["verdict"] and not d["ask"]'
fresh away # it goes while it is examined, and does not come back
faults <<END
on C_Encrypt every return CKR_DEVICE_ERROR
on C_Initialize from 3 return CKR_DEVICE_ERROR
END
doctor 5 --json
is True '"not all was tried, for the token fails: " in d["verdict"] and "did not start: CKR_DEVICE_ERROR" in d["verdict"] and not d["ask"]'
is "['aes-gcm']" '[n for n in s if s[n]["result"] != "not-tried"]'
echo "a token that hangs or crashes: bounded, told, and nothing left that could be removed"

fresh nothing
faults <<END
on C_GenerateKey every return CKR_FUNCTION_NOT_SUPPORTED
on C_GenerateKeyPair every return CKR_FUNCTION_NOT_SUPPORTED
END
doctor 5
says 'the token passes for no scheme' 'What to ask the vendor' 'aes-gcm, hmac-derive, aes-cbc-hmac: the token lists all that is needed, and fails: C_GenerateKey: CKR_FUNCTION_NOT_SUPPORTED' \
    'CKA_ID of 16 bytes' 'docs/external-keys.md'
doctor 5 --json
is "(False, None, None)" '(d["ok"], d["best"], d["used"])'
is True 'len(d["ask"]) >= 4'
nothing_left
faults <<<'on C_GetMechanismList every nothing'
doctor 5 --no-keys
says 'CKM_AES_GCM that can encrypt and decrypt: the token does not list it' 'may not work'
echo "a token with nothing that works: what to ask its vendor"

# --- Ctrl-C --------------------------------------------------------------------------------

fresh stopped
faults <<<"on C_Encrypt every hang"
setsid "$bin/p11-kms" doctor token --json --measure 20ms --config "$work/config.yaml" >"$dir/out" 2>"$dir/err" &
pid=$!
until [ "$(calls C_Encrypt)" -gt 0 ]; do
    kill -0 "$pid" || fail "it ended before it was stopped"
    sleep 0.05 # lint: polls a condition
done
faults </dev/null # the token is well from here on
kill -INT -- "-$pid"
status=0
wait "$pid" || status=$?
expect 1 "$status" "the exit code after Ctrl-C"
is 'interrupted: not all was tried' 'd["verdict"]'
nothing_left
echo "Ctrl-C: what was made is removed"

# What init says of a token whose keys work where one may write alone: no daemon could serve with that KEK.
fresh unserved
faults <<<'on C_OpenSession every of p11-kms-agent return CKR_SESSION_PARALLEL_NOT_SUPPORTED'
status=0
p11-kms init >"$dir/out" 2>"$dir/err" || status=$?
[ "$status" != 0 ] || fail "init makes a KEK that nobody can use"
grep -qF CKR_SESSION_PARALLEL_NOT_SUPPORTED "$dir/err" || fail "init does not say why the KEK cannot be used"
[ ! -e "$work/state/ring-k8s.active" ] || fail "init remembers a KEK that it has not activated"
faults </dev/null
expect completed "$(p11-kms init --json | /usr/bin/python3 -c 'import json, sys; print(json.load(sys.stdin)["result"])')" \
    "the result of an init on the mended token"
echo "a token without sessions that may only read: init activates nothing"
