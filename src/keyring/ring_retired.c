/* SPDX-License-Identifier: Apache-2.0 */
#include "ring_retired.h"

#include "cleanup.h"
#include "io.h"
#include "ring_plan.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <stdarg.h>
#include <string.h>
#include <time.h>

enum { RECORD_MAX = 24, OVER_MS = 3600000 };

static const char deactivated[] = "deactivated", destroying[] = "destroying",
                  destroyed[] = "destroyed";

/* --- files ------------------------------------------------------------------------------- */

/* STATE_DIR/FOLDER/KEY_ID; the folder is made where make says so. */
static struct err record_path(const char *state_dir, const char *folder,
                              const struct key_id *key_id, bool make, char ret[static PATH_MAX])
{
    char directory[PATH_MAX];
    TRY(path_join(state_dir, folder, directory, sizeof directory));
    if (make)
        TRY(directory_make(directory, 0700));
    return path_join(directory, key_id->text, ret, PATH_MAX);
}

static struct bytes record_of(int64_t ms, char memory[static RECORD_MAX])
{
    int len = snprintf(memory, RECORD_MAX, "%" PRId64 "\n", ms);
    return bytes_of(memory, (size_t)len);
}

static struct err read_record(const char *path, int64_t *ret_ms)
{
    char text[RECORD_MAX];
    size_t len = 0;
    uint64_t ms;
    TRY(file_read(path, text, sizeof text - 1, &len));
    if (len == 0 || text[len - 1] != '\n')
        return err_make(ERR_INVALID, "ring_retired");
    text[len - 1] = '\0';
    TRY(parse_u64(text, 0, INT64_MAX, &ms));
    *ret_ms = (int64_t)ms;
    return ERR_OK;
}

/* --- since when -------------------------------------------------------------------------- */

struct err ring_retired_since(const char *state_dir, const struct key_id *key_id, int64_t *ret_ms)
{
    char path[PATH_MAX];
    TRY(record_path(state_dir, deactivated, key_id, false, path));
    return read_record(path, ret_ms);
}

/* Thousands may come at once, and a record that a power cut takes only costs time: no fsync. */
static struct err create(const char *path, struct bytes record)
{
    AUTO_CLOSE int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (fd < 0)
        return err_errno(errno, "open");
    ssize_t written = write(fd, record.data, record.len);
    if (written < 0)
        return err_errno(errno, "write");
    return (size_t)written == record.len ? ERR_OK : err_errno(ENOSPC, "write");
}

struct err ring_retired_note(const char *state_dir, const struct kek *kek, int64_t now_ms)
{
    char path[PATH_MAX], memory[RECORD_MAX];
    int64_t since;
    bool retired = kek->label.state >= KEY_DEACTIVATED;
    TRY(record_path(state_dir, deactivated, &kek->key_id, retired, path));
    if (!retired)
        return unlink(path) == 0 || errno == ENOENT ? ERR_OK : err_errno(errno, "unlink");
    struct err known = read_record(path, &since);
    if (known.code != ERR_NOT_FOUND && known.code != ERR_INVALID)
        return known;
    return create(path, record_of(now_ms, memory));
}

/* Thousands are looked at when a daemon starts: whether there is a record is all that is asked. */
static struct err note_if_new(const char *state_dir, const struct kek *kek, int64_t now_ms)
{
    char path[PATH_MAX];
    TRY(record_path(state_dir, deactivated, &kek->key_id, false, path));
    bool recorded = access(path, F_OK) == 0, retired = kek->label.state >= KEY_DEACTIVATED;
    return recorded == retired ? ERR_OK : ring_retired_note(state_dir, kek, now_ms);
}

struct err ring_retired_note_all(const char *state_dir, const struct ring_look *look,
                                 const struct ring_view *before, int64_t now_ms)
{
    struct err first = ERR_OK;
    for (size_t i = 0; i < look->n; i++) {
        const struct kek *was = ring_view_find(before, &look->keys[i].id);
        if (was && was->label.state == look->keys[i].label.state)
            continue;
        struct err e = note_if_new(state_dir, &look->keys[i], now_ms);
        if (!err_is(first))
            first = e;
    }
    return first;
}

/* --- whether ----------------------------------------------------------------------------- */

__attribute__((format(printf, 2, 3))) static struct err refuse(char ret_text[], const char *format,
                                                               ...)
{
    va_list arguments;
    va_start(arguments, format);
    (void)vsnprintf(ret_text, RETIRED_TEXT_MAX + 1, format, arguments);
    va_end(arguments);
    return err_make(ERR_REFUSED, "destroy");
}

static const char *date_of(int64_t ms, char ret[static 32])
{
    time_t seconds = (time_t)(ms / 1000);
    struct tm utc;
    if (!gmtime_r(&seconds, &utc) || strftime(ret, 32, "%Y-%m-%d %H:%M UTC", &utc) == 0)
        (void)snprintf(ret, 32, "%" PRId64, ms);
    return ret;
}

static bool has_been(int64_t since_ms, int64_t now_ms)
{
    return since_ms <= now_ms && now_ms - since_ms >= RING_RETIRED_MS;
}

/* A KEK whose CKA_ID carries no time is of no known age. */
static bool has_successor(const struct ring_look *look, const struct kek *kek, int64_t now_ms)
{
    for (size_t i = 0; i < look->n; i++)
        if (kek_newer(&look->keys[i], kek) && kek_usable(&look->keys[i]) &&
            kek_made_ms(&look->keys[i]) > 0 && has_been(kek_made_ms(&look->keys[i]), now_ms))
            return true;
    return false;
}

/* The clock may have jumped since the record was made, or before. */
static struct err judge_record(const struct kek *kek, int64_t since_ms, int64_t now_ms, char text[])
{
    char date[32], now[32];
    if (since_ms > now_ms)
        return refuse(text,
                      "this host recorded on %s that KEK %s is %s, and its clock says %s: set the "
                      "clock; if it is right, remove the file deactivated/%s in stateDir, which "
                      "starts the seven days anew",
                      date_of(since_ms, date), kek->key_id.text, key_state_name(kek->label.state),
                      date_of(now_ms, now), kek->key_id.text);
    if (since_ms < kek_made_ms(kek))
        return refuse(text,
                      "this host recorded on %s that KEK %s is %s, before it was made: its clock "
                      "was wrong; remove the file deactivated/%s in stateDir, which starts the "
                      "seven days anew",
                      date_of(since_ms, date), kek->key_id.text, key_state_name(kek->label.state),
                      kek->key_id.text);
    if (!has_been(since_ms, now_ms))
        return refuse(text,
                      "KEK %s was first seen %s by this host on %s, which is less than seven days "
                      "ago: again after %s",
                      kek->key_id.text, key_state_name(kek->label.state), date_of(since_ms, date),
                      date_of(since_ms + RING_RETIRED_MS, now));
    return ERR_OK;
}

struct err ring_retired_judge(const struct ring_look *look, const struct kek *kek,
                              const struct kek *active, const struct key_id *current,
                              int64_t since_ms, int64_t now_ms,
                              char ret_text[static RETIRED_TEXT_MAX + 1])
{
    if (object_id_equal(&kek->id, &active->id) || kek->label.state < KEY_DEACTIVATED)
        return refuse(ret_text,
                      "KEK %s is %s: only a KEK that has been deactivated or compromised for seven "
                      "days may be destroyed (`p11-kms keys deactivate`)",
                      kek->key_id.text, key_state_name(kek->label.state));
    if (strcmp(kek->key_id.text, current->text) == 0)
        return refuse(ret_text,
                      "KEK %s is what this host remembers as active: start the daemon, so that it "
                      "takes the newer one, and try again",
                      kek->key_id.text);
    if (kek->ambiguous)
        return refuse(ret_text,
                      "two keys on the token have the CKA_ID of KEK %s: remove the one that "
                      "is not from p11-kms",
                      kek->key_id.text);
    TRY(judge_record(kek, since_ms, now_ms, ret_text));
    if (!has_successor(look, kek, now_ms))
        return refuse(ret_text,
                      "no newer, usable KEK of the ring is older than seven days: what KEK %s "
                      "sealed may not be sealed anew yet",
                      kek->key_id.text);
    return ERR_OK;
}

/* --- the destruction --------------------------------------------------------------------- */

struct err ring_retired_begin(const char *state_dir, const struct key_id *key_id, int64_t now_ms)
{
    char path[PATH_MAX], memory[RECORD_MAX];
    TRY(record_path(state_dir, destroying, key_id, true, path));
    return file_replace(path, record_of(now_ms, memory), 0600);
}

/* -1: there is no record that can be read. */
static struct err record_in(const char *state_dir, const char *folder, const struct key_id *key_id,
                            int64_t *ret_ms)
{
    char path[PATH_MAX];
    int64_t ms = -1;
    TRY(record_path(state_dir, folder, key_id, false, path));
    struct err e = read_record(path, &ms);
    if (err_is(e) && e.code != ERR_NOT_FOUND && e.code != ERR_INVALID)
        return e;
    *ret_ms = err_is(e) ? -1 : ms;
    return ERR_OK;
}

/* When the last destruction was begun; -1: none was. One that was finished counts too: a power cut
 * may have taken part of what finishing does. */
static struct err begun_ms(const char *state_dir, const struct key_id *key_id, int64_t *ret_ms)
{
    int64_t begun, finished;
    TRY(record_in(state_dir, destroying, key_id, &begun));
    TRY(record_in(state_dir, destroyed, key_id, &finished));
    *ret_ms = begun > finished ? begun : finished;
    return ERR_OK;
}

struct err ring_retired_begun(const char *state_dir, const struct key_id *key_id, bool *ret)
{
    int64_t ms;
    TRY(begun_ms(state_dir, key_id, &ms));
    *ret = ms >= 0;
    return ERR_OK;
}

void ring_retired_forgive(const char *state_dir, struct known_keks *missing)
{
    for (size_t i = missing->n; i-- > 0;) {
        bool begun = false;
        const struct key_id key_id = missing->ids[i];
        if (!err_is(ring_retired_begun(state_dir, &key_id, &begun)) && begun)
            known_keks_remove(missing, &key_id);
    }
}

struct err ring_retired_abandon(const char *state_dir, const struct key_id *key_id)
{
    char begun[PATH_MAX], finished[PATH_MAX];
    TRY(record_path(state_dir, destroying, key_id, false, begun));
    TRY(record_path(state_dir, destroyed, key_id, false, finished));
    TRY(file_remove(finished));
    return file_remove(begun);
}

/* Within the hour `keys destroy` may be at it, or the agent that looked may have started before. */
static struct err abandon_if_over(const char *state_dir, const struct key_id *key_id,
                                  int64_t now_ms)
{
    int64_t ms;
    TRY(begun_ms(state_dir, key_id, &ms));
    if (ms < 0 || ms > now_ms || now_ms - ms < OVER_MS)
        return ERR_OK;
    return ring_retired_abandon(state_dir, key_id);
}

struct err ring_retired_abandon_whole(const char *state_dir, const struct ring_look *look,
                                      int64_t now_ms)
{
    struct err first = ERR_OK;
    for (size_t i = 0; i < look->n; i++) {
        struct err e = abandon_if_over(state_dir, &look->keys[i].key_id, now_ms);
        if (!err_is(first))
            first = e;
    }
    return first;
}

/* The record of the destruction goes last: until then it can be finished again. */
struct err ring_retired_finish(const char *state_dir, const struct key_id *key_id)
{
    char record[PATH_MAX], from[PATH_MAX], to[PATH_MAX];
    TRY(ring_state_forget(state_dir, key_id));
    TRY(record_path(state_dir, deactivated, key_id, false, record));
    TRY(file_remove(record));
    TRY(record_path(state_dir, destroying, key_id, false, from));
    TRY(record_path(state_dir, destroyed, key_id, true, to));
    if (rename(from, to) != 0 && errno != ENOENT)
        return err_errno(errno, "rename");
    return ERR_OK;
}
