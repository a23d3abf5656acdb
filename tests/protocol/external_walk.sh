#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# docs/external-keys.md, followed literally: its sh blocks are run line by line on SoftHSM, its yaml
# blocks become the configuration, and "# exits N" is what a command must exit with. After that, what
# the page claims is looked at.
set -euo pipefail
top=$(cd "${srcdir:?set by make check}" && pwd)
bin=$PWD/build
command -v pkcs11-tool >/dev/null || { echo "pkcs11-tool is missing"; exit 77; }
dir=$(mktemp -d "${TMPDIR:-/tmp}/p11-kms-test.XXXXXX")
daemon=
finish() {
    [ -z "$daemon" ] || kill "$daemon" 2>/dev/null || true
    wait 2>/dev/null || true
    rm -rf "$dir"
}
trap finish EXIT
fail() {
    echo "external_walk: $*" >&2
    tail -n 20 "$dir/log" "$dir/output" >&2 2>/dev/null || true
    exit 1
}
"$top/softhsm-fixtures/softhsm-token" "$dir" k8s-kek
export SOFTHSM2_CONF=$dir/softhsm2.conf TOKEN=k8s-kek MODULE PIN
MODULE=$(cat "$dir/module") PIN=$(cat "$dir/pin")

# The page's commands, for this test's daemon.
configure() { # the page's ring section on standard input
    cat >"$dir/config.yaml" <<EOF
apiVersion: p11-kms/v1
socket: unix://$dir/kms.sock
adminSocket: unix://$dir/admin.sock
stateDir: $dir/state
allowUids: [$(id -u)]
token: {module: "$MODULE", uri: "pkcs11:token=k8s-kek", pinSource: "file:$dir/pin"}
$(cat)
EOF
}
p11-kms() {
    "$bin/p11-kms" --config "$dir/config.yaml" "$@"
}
systemctl() { # restart p11-kms | reload p11-kms
    [ "$1" = restart ] || { kill -HUP "$daemon" && return; }
    [ -z "$daemon" ] || { kill "$daemon" && wait "$daemon"; }
    "$bin/p11-kmsd" --config "$dir/config.yaml" >>"$dir/log" 2>&1 &
    daemon=$!
}

ran=0
run() { # COMMAND, with its "# exits N"
    local command=${1%%# exits *} expected=0 status=0
    [ "$command" = "$1" ] || expected=${1##*# exits }
    echo "\$ $1"
    eval "$command" >>"$dir/output" 2>&1 || status=$?
    [ "$status" = "$expected" ] || fail "exit code $status, not $expected: $command"
    ran=$((ran + 1))
}
said() { # PATTERN: in what the commands printed since the last call
    grep -qE -- "$1" "$dir/output" || fail "nothing says: $1"
}

cd "$dir"
block='' line='' command=''
while IFS= read -r line; do
    case $block:$line in
        ':```sh' | ':```yaml') block=${line#\`\`\`} yaml='' ;;
        ':```') block=text ;;
        'yaml:```') block='' && configure <<<"$yaml" ;;
        *':```') block='' ;;
        yaml:*) yaml+=$line$'\n' ;;
        sh:*\\) command+=${line%\\} ;;
        sh:*) run "$command$line" && command='' ;;
    esac
done <"$top/docs/external-keys.md"
[ "$ran" -ge 20 ] || fail "only $ran commands were found"

said 'is refused: the token reports SIGN,VERIFY,WRAP,UNWRAP'
said 'waived: +SIGN,VERIFY,WRAP,UNWRAP'
said 'has no key adopted on this host yet: run .p11-kms keys adopt k8s.0a01'
said 'KEK k8s.0a01 is adopted \(waived: SIGN,VERIFY,WRAP,UNWRAP\) and seals on this host'
said 'EXTRACTABLE,NEVER_EXTRACTABLE cannot be waived'
said 'SENSITIVE,ALWAYS_SENSITIVE cannot be waived'
said 'KEK k8s.0a02 is adopted'
said 'k8s.0a01 was adopted here before KEK k8s.0a02 and is superseded'
said 'ring k8s is external'
[ "$(grep -o 'a data encryption key' "$dir/output" | wc -l)" = 3 ] || fail "not all were opened"
grep -aq 'k8s\.0a01' "$dir/old" || fail "the first was not sealed with k8s.0a01"
grep -aq 'k8s\.0a02' "$dir/new" || fail "the second was not sealed with k8s.0a02"
grep -q 'k8s.0bad01 .*is refused' "$dir/log" || fail "the log says nothing of the refused key"

# What was adopted outlives the daemon, and the token has what the operator made and nothing else.
: >"$dir/output"
systemctl restart p11-kms
run 'p11-kms status --wait 20s'
run 'p11-kms call decrypt --raw --key-id k8s.0a01 <old'
run 'p11-kms keys list'
said 'k8s\.0a01 +1 +deactivated'
said 'k8s\.0a02 +2 +active'
said 'k8s\.0bad01 +0 +pre-active'

# A key that is adopted and waits for ring.active, until that is changed; and there is no way back.
pin() { # KEY_ID
    configure <<<"ring: {mode: external, select: \"label:k8s-kek-*\", waive: [usage], active: $1}"
}
await() { # PATTERN COMMAND...: until p11-kms COMMAND says so
    local pattern=$1 tries=0
    shift
    until { p11-kms "$@" >"$dir/output" 2>&1 || true; } && grep -qE -- "$pattern" "$dir/output"; do
        [ $((tries += 1)) -lt 200 ] || fail "p11-kms $* never says: $pattern"
        sleep 0.1
    done
}
pin k8s.0a02
run 'systemctl restart p11-kms'
run 'p11-kms status --wait 20s'
# shellcheck disable=SC2016 # run evaluates it
run 'pkcs11-tool --module "$MODULE" --token-label "$TOKEN" --login --pin env:PIN --keygen \
    --key-type AES:32 --sensitive --private --label k8s-kek-3 --id 0a03'
run 'p11-kms keys adopt k8s.0a03'
said 'does not seal yet: ring.active names KEK k8s.0a02'
await 'k8s\.0a03 +3 +pre-active' keys list
pin k8s.0a03
run 'systemctl reload p11-kms'
await 'k8s\.0a03 +3 +active' keys list
said 'k8s\.0a02 +2 +deactivated'
pin k8s.0a01
run 'systemctl reload p11-kms'
await 'ring\.active names KEK k8s\.0a01, which KEK k8s\.0a03 superseded' status
objects=$(pkcs11-tool --module "$MODULE" --token-label "$TOKEN" --login --pin env:PIN \
    --list-objects 2>/dev/null | grep -c '^Secret Key') || true
[ "$objects" = 5 ] || fail "there are $objects keys on the token, not the 5 that were made"
