#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# The commands of docs/envelope.md compute the envelopes that it quotes.
set -euo pipefail
page=${srcdir:?set by make check}/docs/envelope.md
/usr/bin/python3 -c 'import cryptography' 2>/dev/null || { echo "python3-cryptography is missing"; exit 77; }

# Each block's "envelope" or "CKA_ID" with the lines that continue it.
quoted=$(awk '/^```/ { on = 0 } /^[a-zA-Z]/ { on = 0 } /^(envelope|CKA_ID) / { on = 1; $1 = ""; n++ }
    on { gsub(/ /, ""); text[n] = text[n] $0 }
    END { for (i = 1; i <= n; i++) print text[i] }' "$page")
# shellcheck disable=SC2016 # no expansion is meant
commands=$(sed -n '/^```sh$/,/^```$/{/^```/!p}' "$page")
computed=$(bash -c "$commands")
[ "$(wc -l <<<"$quoted")" -ge 6 ] || { echo "only these are quoted: $quoted"; exit 1; }
diff <(echo "$quoted") <(echo "$computed") && echo "$(wc -l <<<"$computed") envelopes are as quoted"
