/* SPDX-License-Identifier: Apache-2.0 */
#include "ring_adopted.h"

#include "io.h"

#include <limits.h>
#include <openssl/evp.h>
#include <stdio.h>
#include <string.h>

/* The file: this line, a key_id a line, and the SHA-256 of all that in hex. */
static const char first_line[] = "p11-kms adopted 1\n";

enum {
    CHECKSUM = 32,
    CHECKSUM_LINE = 2 * CHECKSUM + 1,
    FILE_MAX = sizeof first_line + ADOPTED_MAX * (KEY_ID_MAX + 1) + CHECKSUM_LINE
};

void ring_adopted_clear(struct ring_adopted *adopted)
{
    free(adopted->keys);
    *adopted = (struct ring_adopted){NULL, 0};
}

static struct err adopted_path(const char *state_dir, const char *ring, char *ret, size_t size)
{
    char name[RING_NAME_MAX + 16];
    (void)snprintf(name, sizeof name, "ring-%s.adopted", ring);
    return path_join(state_dir, name, ret, size);
}

static struct err checksum_line(struct bytes of, char ret[static CHECKSUM_LINE + 1])
{
    uint8_t sum[CHECKSUM];
    if (EVP_Digest(of.data, of.len, sum, NULL, EVP_sha256(), NULL) != 1)
        return err_make(ERR_INTERNAL, "EVP_Digest");
    TRY(hex_encode(bytes_of(sum, sizeof sum), ret, CHECKSUM_LINE + 1));
    ret[CHECKSUM_LINE - 1] = '\n';
    ret[CHECKSUM_LINE] = '\0';
    return ERR_OK;
}

size_t ring_adopted_place(const struct ring_adopted *adopted, const struct object_id *id)
{
    for (size_t i = 0; i < adopted->n; i++)
        if (object_id_equal(&adopted->keys[i].id, id))
            return i + 1;
    return 0;
}

size_t ring_adopted_place_of(const struct ring_adopted *adopted, const struct key_id *key_id)
{
    char ring[RING_NAME_MAX + 1];
    struct object_id id;
    if (err_is(key_id_parse(bytes_of_string(key_id->text), ring, &id)))
        return 0;
    return ring_adopted_place(adopted, &id);
}

/* A key_id of this ring that is not in the list yet. */
static struct err add(struct ring_adopted *adopted, const char *ring, struct bytes text)
{
    struct err bad = err_make(ERR_INVALID, "ring_adopted");
    struct adopted_key key = {.key_id = {""}};
    char named[RING_NAME_MAX + 1];
    if (adopted->n == ADOPTED_MAX)
        return err_make(ERR_EXHAUSTED, "ring_adopted");
    if (err_is(key_id_parse(text, named, &key.id)) || strcmp(named, ring) != 0 ||
        !bytes_to_string(text, key.key_id.text, sizeof key.key_id.text) ||
        ring_adopted_place(adopted, &key.id) != 0)
        return bad;
    struct adopted_key *grown = reallocarray(adopted->keys, adopted->n + 1, sizeof *grown);
    if (!grown)
        return err_make(ERR_EXHAUSTED, "ring_adopted");
    adopted->keys = grown;
    adopted->keys[adopted->n++] = key;
    return ERR_OK;
}

/* What lies between the first line and the checksum, if that holds. */
static struct err body_of(struct bytes file, struct bytes *ret)
{
    struct err bad = err_make(ERR_INVALID, "ring_adopted");
    char line[CHECKSUM_LINE + 1];
    size_t head = sizeof first_line - 1;
    if (file.len < head + CHECKSUM_LINE || memcmp(file.data, first_line, head) != 0)
        return bad;
    size_t summed = file.len - CHECKSUM_LINE;
    TRY(checksum_line(bytes_of(file.data, summed), line));
    if (memcmp(file.data + summed, line, CHECKSUM_LINE) != 0)
        return bad;
    *ret = bytes_of(file.data + head, summed - head);
    return ERR_OK;
}

static struct err add_lines(struct ring_adopted *adopted, const char *ring, struct bytes body)
{
    while (body.len > 0) {
        const uint8_t *end = memchr(body.data, '\n', body.len);
        if (!end)
            return err_make(ERR_INVALID, "ring_adopted");
        size_t len = (size_t)(end - body.data);
        TRY(add(adopted, ring, bytes_of(body.data, len)));
        body = bytes_of(end + 1, body.len - len - 1);
    }
    return ERR_OK;
}

struct err ring_adopted_load(const char *state_dir, const char *ring, struct ring_adopted *ret)
{
    CLEANUP(ring_adopted_clear) struct ring_adopted adopted = {NULL, 0};
    AUTO_FREE uint8_t *file = malloc(FILE_MAX);
    char path[PATH_MAX];
    struct bytes body;
    size_t len = 0;
    if (!file)
        return err_make(ERR_EXHAUSTED, "ring_adopted_load");
    TRY(adopted_path(state_dir, ring, path, sizeof path));
    struct err e = file_read(path, file, FILE_MAX, &len);
    if (e.code != ERR_NOT_FOUND) {
        TRY(e);
        TRY(body_of(bytes_of(file, len), &body));
        TRY(add_lines(&adopted, ring, body));
    }
    *ret = adopted;
    adopted.keys = NULL;
    return ERR_OK;
}

static struct err write_list(const char *path, const struct ring_adopted *adopted)
{
    AUTO_FREE uint8_t *file = malloc(FILE_MAX);
    char line[CHECKSUM_LINE + 1];
    if (!file)
        return err_make(ERR_EXHAUSTED, "ring_adopted_append");
    struct writer w = writer_over(file, FILE_MAX);
    put_bytes(&w, bytes_of_string(first_line));
    for (size_t i = 0; i < adopted->n; i++) {
        put_bytes(&w, bytes_of_string(adopted->keys[i].key_id.text));
        put_u8(&w, '\n');
    }
    TRY(checksum_line(writer_bytes(&w), line));
    put_bytes(&w, bytes_of_string(line));
    return w.full ? err_make(ERR_INTERNAL, "ring_adopted_append")
                  : file_replace(path, writer_bytes(&w), 0600);
}

struct err ring_adopted_append(const char *state_dir, const char *ring,
                               struct ring_adopted *adopted, const struct key_id *keys, size_t n)
{
    char path[PATH_MAX];
    size_t before = adopted->n;
    struct err e = adopted_path(state_dir, ring, path, sizeof path);
    for (size_t i = 0; i < n && !err_is(e); i++)
        e = add(adopted, ring, bytes_of_string(keys[i].text));
    if (!err_is(e))
        e = write_list(path, adopted);
    if (err_is(e))
        adopted->n = before;
    return e;
}
