/* SPDX-License-Identifier: Apache-2.0 */
/* Cleanup attributes instead of goto ladders, after systemd's CODING_STYLE. */
#ifndef P11KMS_CLEANUP_H
#define P11KMS_CLEANUP_H

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define CLEANUP(function) __attribute__((cleanup(function)))

/* Declares the cleanup function of a pointer type whose destructor accepts NULL. */
#define DEFINE_CLEANUP(type, destructor)                                                           \
    static inline void destructor##_p(type **pointer)                                              \
    {                                                                                              \
        destructor(*pointer);                                                                      \
    }                                                                                              \
    struct cleanup_needs_a_semicolon

static inline void free_p(void *pointer)
{
    free(*(void **)pointer);
}

static inline void close_p(const int *fd)
{
    if (*fd >= 0)
        (void)close(*fd);
}

static inline void fclose_p(FILE **file)
{
    if (*file)
        (void)fclose(*file);
}

#define AUTO_FREE   CLEANUP(free_p)
#define AUTO_CLOSE  CLEANUP(close_p)
#define AUTO_FCLOSE CLEANUP(fclose_p)

/* Hands a value to somebody else: yields it and leaves nothing to clean up. */
#define TAKE_PTR(pointer)                                                                          \
    __extension__({                                                                                \
        __typeof__(pointer) taken_ = (pointer);                                                    \
        (pointer) = NULL;                                                                          \
        taken_;                                                                                    \
    })

static inline int take_fd(int *fd)
{
    int taken = *fd;
    *fd = -1;
    return taken;
}

#endif
