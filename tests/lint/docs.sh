#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# The documentation against the tree: links, files it names, commands, exit codes, manual pages, metrics,
# pages of tokens.
# (tests/unit/test_config_docs compares the reference of the configuration with the table of keys.)
# shellcheck disable=SC2016 # backticks in patterns are Markdown's
set -uo pipefail
cd "$(dirname "$0")/../.." || exit 1
failed=0
breach() {
    printf 'docs: %s\n' "$*" >&2
    failed=1
}

mapfile -t pages < <(git ls-files '*.md')

# A heading as GitHub links to it.
anchors() { # FILE
    sed -n '/^```/,/^```/d; s/^#\{1,6\} //p' "$1" | tr '[:upper:]' '[:lower:]' |
        sed 's/[^a-z0-9 _-]//g; s/ /-/g'
}

for page in "${pages[@]}"; do
    folder=$(dirname "$page")
    while read -r link; do
        path=${link%%#*}
        case $link in *://* | mailto:*) continue ;; esac
        target=$page
        [ -z "$path" ] || target=$folder/$path
        [ -e "$target" ] || { breach "$page: link to $link, which is not there"; continue; }
        [[ $link != *'#'* ]] || anchors "$target" | grep -qxF -- "${link#*#}" ||
            breach "$page: link to $link: no such heading"
    done < <(grep -oE '\]\([^) ]+\)' "$page" | sed 's/^](//; s/)$//')
    # Files named in backticks, from the top of the tree.
    while read -r file; do
        compgen -G "$file" >/dev/null || breach "$page: names $file, which is not there"
    done < <(grep -oE '`(src|pkcs11|tests|scripts|proto|systemd|docs|man|softhsm-fixtures)/[A-Za-z0-9_./-]+`' "$page" |
        tr -d '`' | grep -vE 'NAME|VERSION|/(bin|build)(/|$)' | sort -u)
done

# Pages of tokens: all listed, the same headings in the same order, first who ran it, and configurations that
# p11-kmsd takes.
tokens=docs/tokens
headings=$(printf '%s\n' Module Initialise 'PIN and roles' Configuration Scheme 'Known quirks' 'What we ran')
fragments=$(mktemp -d)
trap 'rm -rf "$fragments"' EXIT
[ -x build/p11-kmsd ] || breach "build/p11-kmsd is missing: build before this"
while read -r page; do
    name=$(basename "$page" .md)
    case $name in README | matrix | mocks | quirks | speeds) continue ;; esac
    grep -qF "]($name.md)" $tokens/README.md || breach "$tokens/README.md: no link to $name.md"
    [ "$(sed -n 's/^## //p' "$page" | grep -xF "$headings")" = "$headings" ] ||
        breach "$page: must have these headings: ${headings//$'\n'/, }"
    case $(sed -n 3p "$page") in
    '**We run this in our tests**'*) ;;
    '**Not run by us**'*)
        grep -q '](https://' "$page" || breach "$page: follows documents without a link to them" ;;
    *) breach "$page: line 3 must say whether we run it" ;;
    esac
    awk -v base="$fragments/$name" \
        '/^```yaml$/ { file = base "." ++n; next } /^```/ { file = "" } file { print >file }' "$page"
    compgen -G "$fragments/$name.*" >/dev/null || breach "$page: no configuration"
done < <(git ls-files "$tokens/*.md")
for fragment in "$fragments"/*; do
    why=$(build/p11-kmsd --check-config --config "$fragment" 2>&1) ||
        breach "$tokens: ${fragment##*/}: not a configuration: ${why#"$fragment:"}"
done
for scheme in aes-gcm hmac-derive aes-cbc-hmac rsa-oaep-sign; do
    built='not built'
    ! grep -q "&scheme_${scheme//-/_}," src/agent/scheme_table.c || built=built
    grep -q "^| \`$scheme\` | $built |" $tokens/README.md ||
        breach "$tokens/README.md: $scheme is $built; the pages beside it say what works in this version"
done

# What doctor said of each token: written by a test, and to be found.
while read -r report; do
    name=$(basename "$report" .txt)
    grep -q "^$name " tests/token/test_doctor.sh || breach "$report: no row in tests/token/test_doctor.sh"
    grep -qF "(tokens/doctor/$name.txt)" docs/doctor.md || breach "docs/doctor.md: no link to $report"
done < <(git ls-files "$tokens/doctor/*.txt")

while read -r command; do
    grep -qF "\`$command\`" docs/operations.md || breach "docs/operations.md: no command $command"
done < <(sed -n 's/^ *\.name = "\(.*\)",$/\1/p' src/cli/cmd_*.c)

while IFS='|' read -r code meaning; do
    grep -qE "^\| $code \| .*" docs/operations.md || breach "docs/operations.md: no exit code $code"
    grep -qF "$meaning" docs/operations.md || [ "$code" = 0 ] ||
        breach "docs/operations.md: exit code $code is not \"$meaning\""
done < <(sed -n 's/^ *{\([0-9]\), "\(.*\)"},$/\1|\2/p' src/cli/cli_help.c)

while read -r key; do
    grep -qF ".It Cm $key" man/p11-kms.yaml.5 || breach "man/p11-kms.yaml.5: no key $key"
done < <(grep -oE '^\| `[^`]+` \|.*\|.*\|.*\|' docs/configuration.md | cut -d'`' -f2)

# Metrics: the page, the code and the alert rules name the same ones.
metrics=$(sed -n 's/.* P "\([a-z_]*\)".*/p11_kms_\1/p' src/rpc/front_metrics.c | sort -u)
listed=$(sed -n 's/^| `\(p11_kms_[a-z_]*\)` |.*/\1/p' docs/monitoring.md | sort -u)
if [ -z "$metrics" ] || [ "$metrics" != "$listed" ]; then
    breach "docs/monitoring.md: not the metrics of src/rpc/front_metrics.c: $(
        diff <(echo "$metrics") <(echo "$listed") | grep '^[<>]' | tr '\n' ' ')"
fi
while read -r used; do
    grep -qxF -e "${used%_bucket}" <<<"$metrics" || breach "docs/monitoring: no metric $used"
done < <(grep -ohE 'p11_kms_[a-z_]+' docs/monitoring/*.yaml | sort -u)
while read -r alert; do
    [ "$(grep -c "\b$alert\b" docs/monitoring/p11-kms-alerts-test.yaml)" = 2 ] ||
        breach "docs/monitoring/p11-kms-alerts-test.yaml: $alert must be silent once and fire once"
done < <(sed -n 's/^ *- alert: //p' docs/monitoring/p11-kms-alerts.yaml)
if command -v promtool >/dev/null; then
    promtool check rules docs/monitoring/p11-kms-alerts.yaml >/dev/null || failed=1
    promtool test rules docs/monitoring/p11-kms-alerts-test.yaml >/dev/null || failed=1
else
    breach "promtool is missing (package prometheus)"
fi

if command -v mandoc >/dev/null; then
    mandoc -T lint -W warning man/*.[1-8] || failed=1
else
    breach "mandoc is missing"
fi

[ $failed = 0 ] && echo "docs: clean (${#pages[@]} pages)"
exit $failed
