/* SPDX-License-Identifier: Apache-2.0 */
/* What still fits on a file system, for who is not root. Any thread. */
#pragma once

#include "base/macros.h"

/* What a copy of the database leaves on its file system, for events that are registered meanwhile and later. */
#define DISK_SPACE_LEFT (4U << 20)

/* Bytes, at a file that is there. Returns false where the file system does not say. */
bool disk_space_free(const char *path, uint64_t *ret);
/* Whether so many bytes more leave DISK_SPACE_LEFT: 0, or -ENOSPC with a sentence (caller frees). */
int disk_space_check(const char *path, uint64_t size, char **ret_detail);
