/* SPDX-License-Identifier: Apache-2.0 */
#include "bench_login.h"

#include "io.h"
#include "p11_login.h"
#include "secret.h"

enum { PIN_ROOM = 256 };

struct err bench_log_in(const struct p11_session *session, const char *pin_file)
{
    enum login_end end;
    AUTO_SECRET struct secret *pin = NULL;
    size_t len = 0;
    TRY(secret_new(PIN_ROOM, &pin));
    TRY(file_read(pin_file, secret_memory(pin), PIN_ROOM, &len));
    if (len > 0 && secret_memory(pin)[len - 1] == '\n')
        len--;
    secret_set_len(pin, len);
    return p11_session_login(session, secret_bytes(pin), &end);
}
