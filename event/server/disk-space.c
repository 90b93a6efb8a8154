/* SPDX-License-Identifier: Apache-2.0 */
/* Owns nothing. Any thread. */

#include <errno.h>
#include <inttypes.h>
#include <sys/statvfs.h>

#include "event/server/disk-space.h"

bool disk_space_free(const char *path, uint64_t *ret) {
        struct statvfs st;

        if (statvfs(path, &st) < 0 || st.f_blocks == 0)
                return false;
        *ret = (uint64_t) st.f_bavail * st.f_frsize;
        return true;
}

/* In KiB, rounded so that the two numbers never look as if there were enough. */
int disk_space_check(const char *path, uint64_t size, char **ret_detail) {
        uint64_t wanted = size + DISK_SPACE_LEFT, space;

        if (!disk_space_free(path, &space) || space >= wanted)
                return 0;
        *ret_detail = g_strdup_printf("a copy needs %" PRIu64 " KiB of free space at %s, where there are %" PRIu64 " KiB",
                                      (wanted + 1023) / 1024, path, space / 1024);
        return -ENOSPC;
}
