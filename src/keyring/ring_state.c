/* SPDX-License-Identifier: Apache-2.0 */
#include "ring_state.h"

#include "cleanup.h"
#include "io.h"

#include <dirent.h>
#include <errno.h>
#include <inttypes.h>
#include <openssl/evp.h>
#include <string.h>

static const char magic[] = "p11-kms canary 1\n";

enum { CHECKSUM = 32, CANARY_FILE_MAX = sizeof magic - 1 + 2 + ENVELOPE_MAX + CHECKSUM };

/* STATE_DIR/ring-RING.SUFFIX */
static struct err ring_path(const char *state_dir, const char *ring, const char *suffix, char *ret,
                            size_t size)
{
    char name[RING_NAME_MAX + 16];
    (void)snprintf(name, sizeof name, "ring-%s.%s", ring, suffix);
    return path_join(state_dir, name, ret, size);
}

/* A key_id of this ring, or nothing. */
static bool belongs(const char *ring, struct bytes text)
{
    char named[RING_NAME_MAX + 1];
    struct object_id id;
    return !err_is(key_id_parse(text, named, &id)) && strcmp(named, ring) == 0;
}

/* A small file of one line: words between single blanks. ERR_NOT_FOUND when there is none. */
enum { LINE_WORDS = 3, LINE_MAX_BYTES = KEY_ID_MAX + 48 };

struct line {
    char text[LINE_MAX_BYTES];
    const char *words[LINE_WORDS];
    size_t n;
};

static struct err read_line(const char *path, struct line *ret)
{
    size_t len = 0;
    char *rest = ret->text;
    TRY(file_read(path, ret->text, sizeof ret->text - 1, &len));
    if (len == 0 || ret->text[len - 1] != '\n' || memchr(ret->text, '\0', len))
        return err_make(ERR_INVALID, "ring_state");
    ret->text[len - 1] = '\0';
    for (ret->n = 0; rest; ret->n++) {
        if (ret->n == LINE_WORDS)
            return err_make(ERR_INVALID, "ring_state");
        ret->words[ret->n] = strsep(&rest, " ");
    }
    return ERR_OK;
}

static struct err read_key_id(const struct line *line, const char *ring, struct key_id *ret)
{
    struct bytes text = bytes_of_string(line->words[0]);
    if (!belongs(ring, text) || !bytes_to_string(text, ret->text, sizeof ret->text))
        return err_make(ERR_INVALID, "ring_state");
    return ERR_OK;
}

struct err ring_state_current(const char *state_dir, const char *ring, struct ring_memory *ret)
{
    char path[PATH_MAX];
    struct line line;
    struct ring_memory memory = {.generation = 0};
    uint64_t generation = 0;
    TRY(ring_path(state_dir, ring, "active", path, sizeof path));
    struct err e = read_line(path, &line);
    if (e.code == ERR_NOT_FOUND) {
        *ret = memory;
        return ERR_OK;
    }
    TRY(e);
    TRY(read_key_id(&line, ring, &memory.key_id));
    memory.lost = line.n == 3 && strcmp(line.words[2], "lost") == 0;
    if (line.n < 2 || (line.n == 3 && !memory.lost) ||
        err_is(parse_u64(line.words[1], 0, GENERATION_MAX, &generation)))
        return err_make(ERR_INVALID, "ring_state_current");
    memory.generation = (uint32_t)generation;
    *ret = memory;
    return ERR_OK;
}

struct err ring_state_set_current(const char *state_dir, const char *ring,
                                  const struct ring_memory *memory)
{
    char path[PATH_MAX], line[LINE_MAX_BYTES];
    TRY(ring_path(state_dir, ring, "active", path, sizeof path));
    int len = snprintf(line, sizeof line, "%s %u%s\n", memory->key_id.text, memory->generation,
                       memory->lost ? " lost" : "");
    return file_replace(path, bytes_of(line, (size_t)len), 0600);
}

struct err ring_state_seals(const char *state_dir, const char *ring, const struct key_id *key_id,
                            uint64_t *ret)
{
    char path[PATH_MAX];
    struct line line;
    struct key_id counted;
    TRY(ring_path(state_dir, ring, "seals", path, sizeof path));
    TRY(read_line(path, &line));
    TRY(read_key_id(&line, ring, &counted));
    if (line.n != 2 || err_is(parse_u64(line.words[1], 0, UINT64_MAX, ret)))
        return err_make(ERR_INVALID, "ring_state_seals");
    return strcmp(counted.text, key_id->text) == 0 ? ERR_OK
                                                   : err_make(ERR_NOT_FOUND, "ring_state_seals");
}

struct err ring_state_set_seals(const char *state_dir, const char *ring,
                                const struct key_id *key_id, uint64_t seals)
{
    char path[PATH_MAX], line[LINE_MAX_BYTES];
    TRY(ring_path(state_dir, ring, "seals", path, sizeof path));
    int len = snprintf(line, sizeof line, "%s %" PRIu64 "\n", key_id->text, seals);
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

struct err ring_state_forget(const char *state_dir, const struct key_id *key_id)
{
    char directory[PATH_MAX], from[PATH_MAX], to[PATH_MAX];
    TRY(canary_path(state_dir, key_id, from, sizeof from));
    TRY(path_join(state_dir, "lost", directory, sizeof directory));
    TRY(directory_make(directory, 0700));
    TRY(path_join(directory, key_id->text, to, sizeof to));
    if (rename(from, to) == 0)
        return ERR_OK;
    if (errno != ENOENT)
        return err_errno(errno, "rename");
    return access(to, F_OK) == 0 ? ERR_OK : file_replace(to, bytes_of(NULL, 0), 0600);
}

static void closedir_p(DIR **directory)
{
    if (*directory)
        (void)closedir(*directory);
}

static struct err list(const char *state_dir, const char *folder, const char *ring,
                       void (*each)(void *context, const struct key_id *key_id), void *context)
{
    char path[PATH_MAX];
    TRY(path_join(state_dir, folder, path, sizeof path));
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

struct err ring_state_known(const char *state_dir, const char *ring,
                            void (*each)(void *context, const struct key_id *key_id), void *context)
{
    return list(state_dir, "canaries", ring, each, context);
}

struct err ring_state_lost(const char *state_dir, const char *ring,
                           void (*each)(void *context, const struct key_id *key_id), void *context)
{
    return list(state_dir, "lost", ring, each, context);
}
