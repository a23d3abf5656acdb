/* SPDX-License-Identifier: Apache-2.0 */
#include "pin_source.h"

#include "io.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

static const char credential[] = "credential:", file[] = "file:";

static const char *after(const char *source, const char *prefix)
{
    size_t len = strlen(prefix);
    return strncmp(source, prefix, len) == 0 ? source + len : NULL;
}

struct err pin_source_path(const char *source, char *ret, size_t size, struct advice *advice)
{
    struct err bad = err_make(ERR_TOKEN, "token.pinSource");
    const char *name = after(source, credential), *path = after(source, file);
    if (path && bytes_to_string(bytes_of_string(path), ret, size))
        return ERR_OK;
    if (!name || !*name || strchr(name, '/'))
        return advise(advice, bad, REMEDY_HUMAN, "token.pinSource names no file: mend it");
    const char *directory = getenv("CREDENTIALS_DIRECTORY");
    if (!directory)
        return advise(advice, bad, REMEDY_HUMAN,
                      "token.pinSource is credential:%.60s but systemd gave no credentials: add "
                      "LoadCredential= to the unit, or use file:PATH",
                      name);
    return path_join(directory, name, ret, size);
}

static struct err refuse_open(int errnum, const char *path, struct advice *advice)
{
    return advise(advice, err_make(ERR_TOKEN, "token.pinSource"), REMEDY_HUMAN,
                  "the PIN file %.160s cannot be read (%s): make it, or mend token.pinSource", path,
                  strerrordesc_np(errnum));
}

/* Whatever writes to a file changes its ctime, and nobody can set that back. */
static struct pin_identity identity_of(const struct stat *st)
{
    struct pin_identity identity;
    (void)snprintf(identity.text, sizeof identity.text, "%lx:%lx:%lx.%lx:%lx.%lx",
                   (unsigned long)st->st_dev, (unsigned long)st->st_ino,
                   (unsigned long)st->st_mtim.tv_sec, (unsigned long)st->st_mtim.tv_nsec,
                   (unsigned long)st->st_ctim.tv_sec, (unsigned long)st->st_ctim.tv_nsec);
    return identity;
}

/* Judged on the open file, so that nobody can swap it in between. Of a credential only what it is:
 * systemd sets its modes, and the group bits it shows are the mask of an ACL. */
static struct err check_file(int fd, const char *path, bool is_credential,
                             struct pin_identity *ret_identity, struct advice *advice)
{
    struct err bad = err_make(ERR_TOKEN, "token.pinSource");
    mode_t forbidden = is_credential ? S_IRWXO : S_IRWXG | S_IRWXO;
    struct stat st;
    if (fstat(fd, &st) != 0)
        return err_errno(errno, "fstat");
    if (!S_ISREG(st.st_mode))
        return advise(advice, bad, REMEDY_HUMAN,
                      "the PIN file %.160s is no regular file: mend token.pinSource", path);
    if ((st.st_mode & forbidden) != 0)
        return advise(advice, bad, REMEDY_HUMAN,
                      "the PIN file %.80s has mode %04o, so others may read it: chmod 0600 %.80s",
                      path, (unsigned)(st.st_mode & 07777), path);
    if (st.st_uid != 0 && st.st_uid != geteuid())
        return advise(advice, bad, REMEDY_HUMAN,
                      "the PIN file %.80s belongs to uid %u, not to us or root: chown root %.80s",
                      path, (unsigned)st.st_uid, path);
    *ret_identity = identity_of(&st);
    return ERR_OK;
}

static struct err read_pin(int fd, const char *path, struct secret *pin, struct advice *advice)
{
    uint8_t *memory = secret_memory(pin);
    size_t len = 0, room = PIN_MAX + 2; /* a newline, and one byte to see that it is too long */
    while (len < room) {
        ssize_t got = read(fd, memory + len, room - len);
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0)
            return refuse_open(errno, path, advice);
        if (got == 0)
            break;
        len += (size_t)got;
    }
    if (len > 0 && memory[len - 1] == '\n')
        len--;
    if (len == 0 || len > PIN_MAX)
        return advise(advice, err_make(ERR_TOKEN, "token.pinSource"), REMEDY_HUMAN,
                      "the PIN file %.160s is %s: write the PIN into it", path,
                      len == 0 ? "empty" : "too long");
    secret_set_len(pin, len);
    return ERR_OK;
}

struct err pin_source_read(const char *source, struct secret *pin,
                           struct pin_identity *ret_identity, struct advice *advice)
{
    char path[PATH_MAX];
    struct pin_identity identity = {.text = ""};
    bool is_credential = after(source, credential) != NULL;
    secret_wipe(pin);
    if (pin_source_is_protected(source)) {
        *ret_identity = identity;
        return ERR_OK;
    }
    if (secret_capacity(pin) < PIN_MAX + 2)
        return err_make(ERR_INTERNAL, "pin_source_read");
    TRY(pin_source_path(source, path, sizeof path, advice));
    /* O_NONBLOCK: a FIFO must not hang us. Links are followed, as what they lead to is judged; a
     * credential is never one. */
    int links = is_credential ? O_NOFOLLOW : 0;
    AUTO_CLOSE int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK | links);
    if (fd < 0)
        return refuse_open(errno, path, advice);
    TRY(check_file(fd, path, is_credential, &identity, advice));
    struct err e = read_pin(fd, path, pin, advice);
    if (err_is(e))
        secret_wipe(pin);
    else
        *ret_identity = identity;
    return e;
}
