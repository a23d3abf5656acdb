#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Socket activation with systemd's own tool: inherited sockets are served and left in place, and told
# apart by their names.
set -euo pipefail
top=$(cd "${srcdir:?set by make check}" && pwd)
bin=$PWD/build
command -v systemd-socket-activate >/dev/null || { echo "systemd-socket-activate is missing"; exit 77; }
dir=$(mktemp -d "${TMPDIR:-/tmp}/p11-kms-test.XXXXXX")
activator=
finish() {
    [ -z "$activator" ] || kill "$activator" 2>/dev/null || true
    wait 2>/dev/null || true
    rm -rf "$dir"
}
trap finish EXIT
"$top/softhsm-fixtures/softhsm-token" "$dir" demo
export SOFTHSM2_CONF=$dir/softhsm2.conf
cat >"$dir/config.yaml" <<EOF
apiVersion: p11-kms/v1
socket: unix://$dir/kms.sock
adminSocket: unix://$dir/admin.sock
stateDir: $dir/state
allowUids: [$(id -u)]
token: {module: "$(cat "$dir/module")", uri: "pkcs11:token=demo", pinSource: "file:$dir/pin"}
EOF
"$bin/p11-kms" --config "$dir/config.yaml" init >"$dir/init"
for path in "$dir/kms.sock" "$dir/other.sock"; do
    systemd-socket-activate -l "$path" -E SOFTHSM2_CONF="$SOFTHSM2_CONF" \
        "$bin/p11-kmsd" --config "$dir/config.yaml" >"$dir/log" 2>&1 &
    activator=$! # which becomes p11-kmsd at the first connection
    if [ "$path" = "$dir/kms.sock" ]; then
        "$bin/p11-kms" status --socket "unix://$path" --wait 20s
        "$bin/p11-kms" --config "$dir/config.yaml" status # on a socket that the daemon bound
        kill -TERM "$activator"
        wait "$activator"
        [ -S "$path" ] || { echo "the inherited socket was removed"; exit 1; }
    else # an activated socket that is not the configured one
        "$bin/p11-kms" status --socket "unix://$path" --timeout 2s --wait 2s && exit 1
        status=0
        wait "$activator" || status=$?
        cat "$dir/log"
        [ "$status" = 3 ] || { echo "exit code $status, not 3"; exit 1; }
        grep -q "$dir/kms.sock" "$dir/log"
    fi
    activator=
done

# Both, in the other order; the first connection, which starts the daemon, may be to either.
systemd-socket-activate -l "$dir/admin.sock" -l "$dir/kms.sock" --fdname=admin:kms \
    -E SOFTHSM2_CONF="$SOFTHSM2_CONF" "$bin/p11-kmsd" --config "$dir/config.yaml" >"$dir/log" 2>&1 &
activator=$!
"$bin/p11-kms" --config "$dir/config.yaml" status --wait 20s
"$bin/p11-kms" --config "$dir/config.yaml" keys list
"$bin/p11-kms" --config "$dir/config.yaml" call status
kill -TERM "$activator"
wait "$activator"
activator=
for path in "$dir/kms.sock" "$dir/admin.sock"; do
    [ -S "$path" ] || { echo "the inherited socket $path was removed"; exit 1; }
done

# All three; and a third that the configuration does not know.
cp "$dir/config.yaml" "$dir/plain.yaml"
echo "http: unix://$dir/http.sock" >>"$dir/config.yaml"
health() {
    PYTHONPATH=$top/tests/protocol/python PYTHONDONTWRITEBYTECODE=1 python3 -c \
        'import metrics, sys; print(metrics.request(sys.argv[1], "/livez")[2])' "$dir/http.sock"
}
activate_three() { # CONFIG
    rm -f "$dir"/*.sock
    systemd-socket-activate -l "$dir/http.sock" -l "$dir/kms.sock" -l "$dir/admin.sock" --fdname=http:kms:admin \
        -E SOFTHSM2_CONF="$SOFTHSM2_CONF" "$bin/p11-kmsd" --config "$1" >"$dir/log" 2>&1 &
    activator=$!
}
activate_three "$dir/config.yaml"
"$bin/p11-kms" --config "$dir/config.yaml" status --wait 20s
[ "$(health)" = ok ]
kill -TERM "$activator"
wait "$activator"
[ -S "$dir/http.sock" ] || { echo "the inherited socket http.sock was removed"; exit 1; }
activate_three "$dir/plain.yaml"
"$bin/p11-kms" --config "$dir/plain.yaml" status --timeout 2s --wait 2s && exit 1
status=0
wait "$activator" || status=$?
activator=
[ "$status" = 3 ] || { cat "$dir/log"; echo "exit code $status, not 3"; exit 1; }
grep -q "http: systemd passed a socket named http" "$dir/log"
