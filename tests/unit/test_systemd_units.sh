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
# The drop-ins that the pages of tokens name.
awk -v dir="$dir" '/^```ini$/ { file = dir "/" ++n ".conf"; next } /^```/ { file = "" } file { print >file }' \
	"$srcdir"/docs/tokens/*.md
mkdir "$dir/p11-kms.service.d"
count=0
for dropin in "$dir"/*.conf; do
	cp "$dropin" "$dir/p11-kms.service.d/token.conf"
	said=$(SYSTEMD_UNIT_PATH="$dir:" systemd-analyze --man=no verify "$dir/p11-kms.service" 2>&1)
	[ -z "$said" ] || { cat "$dropin"; echo "$said"; exit 1; }
	systemd-analyze security --offline=true --threshold=15 --no-pager "$dir/p11-kms.service" >/dev/null
	count=$((count + 1))
done
rm -r "$dir/p11-kms.service.d"
[ $count -ge 5 ]
echo "$count drop-ins of docs/tokens: well-formed, exposure at most 1.5"
grep -q '^ExecStart=/.*/p11-kmsd --config /etc/p11-kms/config.yaml$' systemd/p11-kms.service
