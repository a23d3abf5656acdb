/* SPDX-License-Identifier: Apache-2.0 */
/* The journal's native protocol (systemd.io/JOURNAL_NATIVE_PROTOCOL), spoken without waiting:
 * libsystemd's sd_journal_sendv waits for as long as journald does not read, and so would requests
 * and the restart of an agent. */
#ifndef P11KMS_JOURNAL_H
#define P11KMS_JOURNAL_H

#include "bytes.h"

enum journal_end {
    JOURNAL_TAKEN,
    JOURNAL_FULL, /* journald reads no more */
    JOURNAL_GONE  /* there is no journald, or it does not take this */
};

/* Appends one field; prefix and name are upper-cased, what is no letter or digit becomes '_'. One
 * that does not fit is left out whole. Any byte may be in value. */
void journal_put(struct writer *w, const char *prefix, const char *name, struct bytes value);

/* Sends an entry of such fields. Safe for threads. */
enum journal_end journal_send(struct bytes entry);

/* Another socket than journald's own, for tests; path must outlive the process's last entry. */
void journal_use(const char *path);

#endif
