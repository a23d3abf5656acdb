/* SPDX-License-Identifier: Apache-2.0 */
/* Test vectors as docs/envelope.md has them, in hexadecimal. cmocka.h comes before it. */
#ifndef P11KMS_TEST_HEX_H
#define P11KMS_TEST_HEX_H

#include "envelope.h"
#include "text.h"

struct hex {
    uint8_t data[ENVELOPE_MAX];
    size_t len;
};

static inline struct hex unhex(const char *text)
{
    struct hex h;
    assert_false(err_is(hex_decode(text, h.data, sizeof h.data, &h.len)));
    return h;
}

static inline struct bytes of(const struct hex *h)
{
    return bytes_of(h->data, h->len);
}

#endif
