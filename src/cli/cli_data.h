/* SPDX-License-Identifier: Apache-2.0 */
/* Bytes in and out: base64 by default, never through argv and never through stdio's buffers. */
#ifndef P11KMS_CLI_DATA_H
#define P11KMS_CLI_DATA_H

#include "cli.h"
#include "secret.h"

enum { CLI_DATA_MAX = 65536 };

#define CLI_IN_OPTION                                                                              \
    {                                                                                              \
        "in", "FILE", "read from FILE instead of standard input"                                   \
    }
#define CLI_RAW_OPTION                                                                             \
    {                                                                                              \
        "raw", NULL, "raw bytes in and out instead of base64"                                      \
    }

/* The command's input, decoded unless --raw. Says what is wrong with it. */
MUST_CHECK struct err cli_read_data(struct cli *cli, struct secret **ret);

/* Writes bytes to the output: raw with --raw, else base64 and a line's end. */
MUST_CHECK struct err cli_write_data(struct cli *cli, struct bytes data);

/* Writes bytes as they are, past stdio, whose buffers nobody wipes. */
MUST_CHECK struct err cli_write_all(struct cli *cli, struct bytes data);

/* A secret, or says that there is no memory for it. main has called secret_init. */
MUST_CHECK struct err cli_secret(struct cli *cli, size_t capacity, struct secret **ret);

/* Base64 of bytes on the heap, wiped and freed by cli_base64_release. */
MUST_CHECK struct err cli_base64(struct bytes data, char **ret);
void cli_base64_release(char **text);
#define AUTO_BASE64 CLEANUP(cli_base64_release)

/* Prints text as a JSON string, or as a member with a name: before is "{" or ", ". */
void cli_json_string(FILE *to, const char *text);
void cli_json_member(FILE *to, const char *before, const char *name, const char *text);

#endif
