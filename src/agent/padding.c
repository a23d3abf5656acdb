/* SPDX-License-Identifier: Apache-2.0 */
#include "padding.h"

#include <string.h>

void padding_put(struct writer *w, struct bytes plaintext)
{
    uint8_t padding[PADDING_BLOCK];
    size_t n = PADDING_BLOCK - plaintext.len % PADDING_BLOCK;
    memset(padding, (int)n, sizeof padding);
    put_bytes(w, plaintext);
    put_bytes(w, bytes_of(padding, n));
}

/* All ones where a < b, else zero; for values below 2^31. The compiler is not to know which, or it
 * might branch. */
static uint32_t mask_less(uint32_t a, uint32_t b)
{
    uint32_t mask = 0U - ((a - b) >> 31);
    __asm__("" : "+r"(mask));
    return mask;
}

size_t padding_plaintext(struct bytes padded)
{
    if (padded.len == 0 || padded.len % PADDING_BLOCK != 0)
        return 0;
    uint32_t n = padded.data[padded.len - 1];
    uint32_t wrong = mask_less(n, 1) | mask_less(PADDING_BLOCK, n);
    for (uint32_t i = 0; i < PADDING_BLOCK; i++)
        wrong |= mask_less(i, n) & (padded.data[padded.len - 1 - i] ^ n);
    return (padded.len - n) & (0 - (size_t)(mask_less(wrong & 0xff, 1) & 1));
}
