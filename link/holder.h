/* SPDX-License-Identifier: Apache-2.0 */
/* Which process has a device open: what a message says of one that is busy. Any thread; a look at /proc with a
 * bound, some milliseconds on a usual system. */
#pragma once

#include <sys/types.h>

#include "base/macros.h"

typedef struct Holder {
        pid_t pid;
        char name[16];          /* as the kernel shows it */
} Holder;

/* The first process found that has the file open, not counting our own descriptor `except` (negative: count
 * all). Symbolic links are followed. -ENOENT: none that we may see. */
int holder_find(const char *path, int except, Holder *ret);
