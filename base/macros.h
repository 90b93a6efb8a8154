/* SPDX-License-Identifier: Apache-2.0 */
/* The few language helpers that every folder uses. No state. */
#pragma once

#include <glib.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <unistd.h>

#define ELEMENTSOF(x) (sizeof(x) / sizeof((x)[0]))

#define _cleanup_(f) __attribute__((cleanup(f)))
#define _printf_(a, b) __attribute__((format(printf, a, b)))
#define _must_check_ __attribute__((warn_unused_result))
#define _noinline_ __attribute__((noinline))
#define _unused_ __attribute__((unused))

/* Hands a pointer or a descriptor over: the variable is empty afterwards. */
#define TAKE_PTR(p)                                                                                         \
        ({                                                                                                  \
                __typeof__(p) *_take_p = &(p);                                                              \
                __typeof__(p) _take_v = *_take_p;                                                           \
                *_take_p = NULL;                                                                            \
                _take_v;                                                                                    \
        })
#define TAKE_FD(fd)                                                                                         \
        ({                                                                                                  \
                int *_take_p = &(fd);                                                                       \
                int _take_v = *_take_p;                                                                     \
                *_take_p = -EBADF;                                                                          \
                _take_v;                                                                                    \
        })

/* Defines the cleanup function for a type whose x_free() accepts NULL: _cleanup_(x_freep) X *x = NULL; */
#define DEFINE_CLEANUP(type, func)                                                                          \
        static inline _unused_ void func##p(type **p) {                                                     \
                (void) func(*p);                                                                            \
        }

/* Closes a descriptor unless it is negative, keeps errno, returns -EBADF. */
int safe_close(int fd);
static inline void safe_closep(int *fd) {
        (void) safe_close(*fd);
}

/* Keeps the other flags. A negative errno, or 0. */
int fd_set_nonblocking(int fd);

static inline bool streq(const char *a, const char *b) {
        return strcmp(a, b) == 0;
}

/* An enum that leaves the process has one table of names, in the enum's order. to_string: NULL when out of range.
 * from_string: -EINVAL when unknown. */
#define DECLARE_STRING_TABLE(name, type)                                                                    \
        const char *name##_to_string(type value);                                                           \
        type name##_from_string(const char *text)
#define DEFINE_STRING_TABLE(name, type, table)                                                              \
        const char *name##_to_string(type value) {                                                          \
                return (size_t) value < ELEMENTSOF(table) ? table[(size_t) value] : NULL;                   \
        }                                                                                                   \
        type name##_from_string(const char *text) {                                                         \
                for (size_t _i = 0; text && _i < ELEMENTSOF(table); _i++)                                   \
                        if (table[_i] && streq(table[_i], text))                                            \
                                return (type) _i;                                                           \
                return (type) -EINVAL;                                                                      \
        }                                                                                                   \
        struct _useless_struct_to_allow_trailing_semicolon_
