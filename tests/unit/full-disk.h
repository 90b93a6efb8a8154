/* SPDX-License-Identifier: Apache-2.0 */
/* A disk that takes nothing more, for this process, and takes it again: the kernel refuses to let files grow, with SIGXFSZ ignored.
 * Needs no privilege. Whoever writes a report into a file must not do so meanwhile. */
#pragma once

#include <glib.h>
#include <signal.h>
#include <stdbool.h>
#include <sys/resource.h>

static inline void full_disk(bool full) {
        struct rlimit limit;

        (void) signal(SIGXFSZ, SIG_IGN);
        g_assert_cmpint(getrlimit(RLIMIT_FSIZE, &limit), ==, 0);
        limit.rlim_cur = full ? 0 : limit.rlim_max;
        g_assert_cmpint(setrlimit(RLIMIT_FSIZE, &limit), ==, 0);
}
