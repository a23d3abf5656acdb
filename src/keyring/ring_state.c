/* SPDX-License-Identifier: Apache-2.0 */
#include "ring_state.h"

#include "cleanup.h"
#include "io.h"

#include <dirent.h>
#include <errno.h>
#include <openssl/evp.h>
#include <string.h>

static const char magic[] = "p11-kms canary 1\n";

enum { CHECKSUM = 32, CANARY_FILE_MAX = sizeof magic - 1 + 2 + ENVELOPE_MAX + CHECKSUM };

static struct err current_path(const char *state_dir, const char *ring, char *ret, size_t size)
{
    char name[RING_NAME_MAX + 16];
    (void)snprintf(name, sizeof name, "ring-%s.active", ring);
    return path_join(state_dir, name, ret, size);
}

/* A key_id of this ring, or nothing. */
static bool belongs(const char *ring, struct bytes text)
{
    char named[RING_NAME_MAX + 1];
    struct object_id id;
    return !err_is(key_id_parse(text, named, &id)) && strcmp(named, ring) == 0;
}

struct err ring_state_current(const char *state_dir, const char *ring, struct key_id *ret)
{
    char path[PATH_MAX], raw[KEY_ID_MAX + 1];
    struct key_id key_id = {""};
    size_t len = 0;
    TRY(current_path(state_dir, ring, path, sizeof path));
    struct err e = file_read(path, raw, sizeof raw, &len);
    if (e.code == ERR_NOT_FOUND) {
        *ret = key_id;
        return ERR_OK;
    }
    TRY(e);
    if (len > 0 && raw[len - 1] == '\n')
        len--;
    if (!belongs(ring, bytes_of(raw, len)) ||
        !bytes_to_string(bytes_of(raw, len), key_id.text, sizeof key_id.text))
        return err_make(ERR_INVALID, "ring_state_current");
    *ret = key_id;
    return ERR_OK;
}

struct err ring_state_set_current(const char *state_dir, const char *ring,
                                  const struct key_id *key_id)
{
    char path[PATH_MAX], line[KEY_ID_MAX + 2];
    TRY(current_path(state_dir, ring, path, sizeof path));
    int len = snprintf(line, sizeof line, "%s\n", key_id->text);
    return file_replace(path, bytes_of(line, (size_t)len), 0600);
}

static struct err canary_directory(const char *state_dir, char *ret, size_t size)
{
    return path_join(state_dir, "canaries", ret, size);
}

static struct err canary_path(const char *state_dir, const struct key_id *key_id, char *ret,
                              size_t size)
{
    char directory[PATH_MAX];
    TRY(canary_directory(state_dir, directory, sizeof directory));
    return path_join(directory, key_id->text, ret, size);
}

static struct err checksum(struct bytes of, uint8_t ret[static CHECKSUM])
{
    if (EVP_Digest(of.data, of.len, ret, NULL, EVP_sha256(), NULL) != 1)
        return err_make(ERR_INTERNAL, "EVP_Digest");
    return ERR_OK;
}

struct err ring_state_canary(const char *state_dir, const struct key_id *key_id, struct canary *ret)
{
    char path[PATH_MAX];
    uint8_t raw[CANARY_FILE_MAX], sum[CHECKSUM];
    size_t len = 0;
    TRY(canary_path(state_dir, key_id, path, sizeof path));
    TRY(file_read(path, raw, sizeof raw, &len));
    struct reader r = reader_over(bytes_of(raw, len));
    struct bytes head = get_bytes(&r, sizeof magic - 1), envelope = get_sized(&r);
    size_t summed = len - r.rest.len;
    struct bytes stored = get_bytes(&r, CHECKSUM);
    if (!reader_done(&r) || envelope.len == 0 || envelope.len > ENVELOPE_MAX ||
        !bytes_equal(head, bytes_of(magic, sizeof magic - 1)))
        return err_make(ERR_INVALID, "ring_state_canary");
    TRY(checksum(bytes_of(raw, summed), sum));
    if (!bytes_equal(stored, bytes_of(sum, sizeof sum)))
        return err_make(ERR_INVALID, "ring_state_canary");
    memcpy(ret->data, envelope.data, envelope.len);
    ret->len = envelope.len;
    return ERR_OK;
}

struct err ring_state_set_canary(const char *state_dir, const struct key_id *key_id,
                                 struct bytes envelope)
{
    char directory[PATH_MAX], path[PATH_MAX];
    uint8_t raw[CANARY_FILE_MAX], sum[CHECKSUM];
    struct writer w = writer_over(raw, sizeof raw);
    TRY(canary_directory(state_dir, directory, sizeof directory));
    TRY(directory_make(directory, 0700));
    TRY(canary_path(state_dir, key_id, path, sizeof path));
    put_bytes(&w, bytes_of(magic, sizeof magic - 1));
    put_sized(&w, envelope);
    TRY(checksum(writer_bytes(&w), sum));
    put_bytes(&w, bytes_of(sum, sizeof sum));
    if (w.full)
        return err_make(ERR_INTERNAL, "ring_state_set_canary");
    return file_replace(path, writer_bytes(&w), 0600);
}

static void closedir_p(DIR **directory)
{
    if (*directory)
        (void)closedir(*directory);
}

struct err ring_state_known(const char *state_dir, const char *ring,
                            void (*each)(void *context, const struct key_id *key_id), void *context)
{
    char path[PATH_MAX];
    TRY(canary_directory(state_dir, path, sizeof path));
    CLEANUP(closedir_p) DIR *directory = opendir(path);
    if (!directory)
        return errno == ENOENT ? ERR_OK : err_errno(errno, "opendir");
    const struct dirent *entry;
    while ((entry = readdir(directory))) {
        struct key_id key_id;
        struct bytes name = bytes_of_string(entry->d_name);
        if (belongs(ring, name) && bytes_to_string(name, key_id.text, sizeof key_id.text))
            each(context, &key_id);
    }
    return ERR_OK;
}
