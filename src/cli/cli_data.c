/* SPDX-License-Identifier: Apache-2.0 */
#include "cli_data.h"

#include "text.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>

struct err cli_secret(struct cli *cli, size_t capacity, struct secret **ret)
{
    struct err e = secret_new(capacity, ret);
    return err_is(e) ? cli_error(cli, e, "out of memory") : ERR_OK;
}

static struct err read_until_end(int fd, struct secret *into, size_t *ret_len)
{
    size_t len = 0;
    for (;;) {
        if (len == secret_capacity(into))
            return err_make(ERR_INVALID, "input");
        ssize_t got = read(fd, secret_memory(into) + len, secret_capacity(into) - len);
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0)
            return err_errno(errno, "read");
        if (got == 0)
            break;
        len += (size_t)got;
    }
    *ret_len = len;
    return ERR_OK;
}

static struct err read_input(struct cli *cli, struct secret *into)
{
    const char *path = cli_value(cli, "in");
    char text[128];
    size_t len = 0;
    AUTO_CLOSE int opened = path ? open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY) : -1;
    if (path && opened < 0)
        return cli_error(cli, err_errno(errno, "open"), "cannot open %s: %s", path,
                         strerrordesc_np(errno));
    struct err e = read_until_end(path ? opened : fileno(cli->in), into, &len);
    if (e.code == ERR_INVALID)
        return cli_error(cli, e, "the input is longer than %d bytes", CLI_DATA_MAX);
    if (err_is(e))
        return cli_error(cli, e, "%s", err_format(e, text, sizeof text));
    secret_set_len(into, len);
    return ERR_OK;
}

static struct err decode(struct cli *cli, struct secret *text, struct secret *into)
{
    size_t len = secret_bytes(text).len;
    const uint8_t *start = secret_memory(text);
    while (len > 0 && (start[len - 1] == '\n' || start[len - 1] == '\r'))
        len--;
    struct err e =
        base64_decode(bytes_of(start, len), secret_memory(into), secret_capacity(into), &len);
    if (err_is(e))
        return cli_error(cli, e, "the input is not base64 on one line (for raw bytes: --raw)");
    secret_set_len(into, len);
    return ERR_OK;
}

struct err cli_read_data(struct cli *cli, struct secret **ret)
{
    AUTO_SECRET struct secret *input = NULL;
    AUTO_SECRET struct secret *decoded = NULL;
    bool raw = cli_value(cli, "raw");
    TRY(cli_secret(cli, CLI_DATA_MAX, &input));
    TRY(read_input(cli, input));
    if (!raw) {
        TRY(cli_secret(cli, CLI_DATA_MAX, &decoded));
        TRY(decode(cli, input, decoded));
    }
    *ret = raw ? TAKE_PTR(input) : TAKE_PTR(decoded);
    return ERR_OK;
}

struct err cli_base64(struct bytes data, char **ret)
{
    size_t size = (data.len + 2) / 3 * 4 + 1;
    char *text = (char *)malloc(size);
    if (!text)
        return err_make(ERR_EXHAUSTED, "cli_base64");
    struct err e = base64_encode(data, text, size);
    if (err_is(e)) {
        free(text);
        return e;
    }
    *ret = text;
    return ERR_OK;
}

void cli_base64_release(char **text)
{
    if (*text)
        wipe(*text, strlen(*text));
    free(*text);
}

struct err cli_write_all(struct cli *cli, struct bytes data)
{
    if (fflush(cli->out) != 0)
        return cli_error(cli, err_errno(errno, "write"), "cannot write the output");
    while (data.len > 0) {
        ssize_t put = write(fileno(cli->out), data.data, data.len);
        if (put < 0 && errno == EINTR)
            continue;
        if (put < 0)
            return cli_error(cli, err_errno(errno, "write"), "cannot write the output: %s",
                             strerrordesc_np(errno));
        data = bytes_of(data.data + put, data.len - (size_t)put);
    }
    return ERR_OK;
}

struct err cli_write_data(struct cli *cli, struct bytes data)
{
    AUTO_BASE64 char *text = NULL;
    if (cli_value(cli, "raw"))
        return cli_write_all(cli, data);
    struct err e = cli_base64(data, &text);
    if (err_is(e))
        return cli_error(cli, e, "out of memory");
    TRY(cli_write_all(cli, bytes_of_string(text)));
    return cli_write_all(cli, bytes_of_string("\n"));
}

void cli_json_string(FILE *to, const char *text)
{
    (void)fputc('"', to);
    for (; *text; text++) {
        unsigned char c = (unsigned char)*text;
        if (c == '"' || c == '\\')
            (void)fprintf(to, "\\%c", c);
        else if (c < 0x20 || c == 0x7f)
            (void)fprintf(to, "\\u%04x", c);
        else
            (void)fputc(c, to);
    }
    (void)fputc('"', to);
}

void cli_json_member(FILE *to, const char *before, const char *name, const char *text)
{
    (void)fputs(before, to);
    cli_json_string(to, name);
    (void)fputs(": ", to);
    cli_json_string(to, text);
}
