/* SPDX-License-Identifier: Apache-2.0 */
#include "suggest.h"

#include "keys.h"

#include <string.h>
#include <strings.h>

enum { NAME_MAX_LEN = 40 };

static size_t least_of(size_t a, size_t b, size_t c)
{
    size_t ab = a < b ? a : b;
    return ab < c ? ab : c;
}

/* Levenshtein's distance without regard to case; names longer than any key are far. */
static size_t distance(const char *a, const char *b)
{
    size_t row[NAME_MAX_LEN + 1], n = strlen(b);
    if (strlen(a) > NAME_MAX_LEN || n > NAME_MAX_LEN)
        return NAME_MAX_LEN;
    for (size_t j = 0; j <= n; j++)
        row[j] = j;
    for (size_t i = 1; a[i - 1]; i++) {
        size_t diagonal = row[0];
        row[0] = i;
        for (size_t j = 1; j <= n; j++) {
            size_t same = strncasecmp(&a[i - 1], &b[j - 1], 1) == 0 ? 0 : 1;
            size_t next = least_of(row[j] + 1, row[j - 1] + 1, diagonal + same);
            diagonal = row[j];
            row[j] = next;
        }
    }
    return row[n];
}

static const char *leaf_of(const char *path)
{
    const char *dot = strrchr(path, '.');
    return dot ? dot + 1 : path;
}

static size_t section_length(const char *path)
{
    return (size_t)(leaf_of(path) - path);
}

/* Lower is nearer: spelling counts twice, another section once. */
static size_t score(const char *unknown, const char *known)
{
    const char *a = leaf_of(unknown), *b = leaf_of(known);
    size_t section = section_length(unknown), prefix = strlen(a);
    bool beside = section == section_length(known) && strncmp(unknown, known, section) == 0;
    bool begins = prefix >= 3 && strncasecmp(a, b, prefix) == 0;
    return 2 * (begins ? 1 : distance(a, b)) + (beside ? 0 : 1);
}

const char *suggest_key(const char *path)
{
    const char *nearest = NULL;
    size_t best = 2 * (strlen(leaf_of(path)) / 3 < 3 ? strlen(leaf_of(path)) / 3 : 3) + 2;
    for (size_t i = 0; i < config_n_keys; i++) {
        if (config_keys[i].shape == KEY_NOT_BUILT)
            continue;
        size_t now = score(path, config_keys[i].path);
        if (now < best) {
            best = now;
            nearest = config_keys[i].path;
        }
    }
    return nearest;
}
