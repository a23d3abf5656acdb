#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# The units are well-formed, and the service's exposure is at most 1.5.
set -eu
if ! command -v systemd-analyze >/dev/null; then
	echo "skipped: systemd-analyze is missing"
	exit 77
fi
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT INT TERM
# verify wants the daemon to exist where the unit says, and the manual pages to be installed.
sed 's|^ExecStart=[^ ]*|ExecStart=/bin/true|' systemd/p11-kms.service >"$dir/p11-kms.service"
cp "${srcdir:?set by make check}/systemd/"*.socket "$dir/"
SYSTEMD_UNIT_PATH="$dir:" systemd-analyze --man=no verify "$dir/p11-kms.service" "$dir"/*.socket
systemd-analyze security --offline=true --threshold=15 --no-pager "$dir/p11-kms.service" | tail -1
grep -q '^ExecStart=/.*/p11-kmsd --config /etc/p11-kms/config.yaml$' systemd/p11-kms.service
