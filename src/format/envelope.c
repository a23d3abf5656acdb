/* SPDX-License-Identifier: Apache-2.0 */
#include "envelope.h"

#include <string.h>

/* Keeps our authenticated data apart from anything else ever made with the same key. */
static const char domain[] = "p11-kms/envelope/v1";

_Static_assert(sizeof domain + ENVELOPE_HEADER_MAX <= ENVELOPE_AAD_MAX, "AAD bound");

struct err envelope_parse(struct bytes raw, struct envelope *ret)
{
    struct err bad = err_make(ERR_INVALID, "envelope");
    struct reader r = reader_over(raw);
    uint8_t version = get_u8(&r), scheme = get_u8(&r), family = get_u8(&r);
    struct bytes key_id = get_bytes(&r, get_u8(&r));
    if (r.bad || raw.len > ENVELOPE_MAX || version != ENVELOPE_VERSION || family > FAMILY_V2 ||
        !scheme_name((enum scheme)scheme) || key_id.len == 0 || key_id.len > KEY_ID_MAX)
        return bad;
    *ret = (struct envelope){.scheme = (enum scheme)scheme,
                             .family = (enum family)family,
                             .key_id = key_id,
                             .header = bytes_of(raw.data, 4 + key_id.len),
                             .fields = r.rest};
    return ERR_OK;
}

void envelope_put_header(struct writer *w, enum scheme scheme, enum family family,
                         const struct key_id *key_id)
{
    put_u8(w, ENVELOPE_VERSION);
    put_u8(w, (uint8_t)scheme);
    put_u8(w, (uint8_t)family);
    put_u8(w, (uint8_t)strlen(key_id->text));
    put_bytes(w, bytes_of_string(key_id->text));
}

void envelope_put_aad(struct writer *w, struct bytes header)
{
    put_bytes(w, bytes_of(domain, sizeof domain));
    put_bytes(w, header);
}
