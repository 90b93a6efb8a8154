/* SPDX-License-Identifier: Apache-2.0 */
/* What is written to stderr for a while, as log lines are, for the test that wants to read it. */
#pragma once

#include <fcntl.h>
#include <glib.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/macros.h"

typedef struct Capture {
        int stderr_fd, read_fd;
} Capture;

/* From here to capture_end() stderr is this descriptor. */
static inline Capture capture_begin(int write_fd, int read_fd) {
        Capture c = { .stderr_fd = fcntl(STDERR_FILENO, F_DUPFD_CLOEXEC, 3), .read_fd = read_fd };

        g_assert_cmpint(dup2(write_fd, STDERR_FILENO), ==, STDERR_FILENO);
        if (write_fd != read_fd)
                safe_close(write_fd);
        unsetenv("INVOCATION_ID");
        unsetenv("JOURNAL_STREAM");
        return c;
}

static inline Capture capture_file(void) {
        int fd = memfd_create("stderr", MFD_CLOEXEC);

        g_assert_cmpint(fd, >=, 0);
        return capture_begin(fd, fd);
}

/* How often the text has that part. */
static inline size_t count_lines(const char *text, const char *part) {
        size_t n = 0;

        for (const char *p = text; (p = strstr(p, part)); p++)
                n++;
        return n;
}

/* Gives stderr back and returns what was written. */
static inline char *capture_end(Capture *c) {
        char text[32768];
        ssize_t n;

        g_assert_cmpint(dup2(c->stderr_fd, STDERR_FILENO), ==, STDERR_FILENO);
        c->stderr_fd = safe_close(c->stderr_fd);
        (void) lseek(c->read_fd, 0, SEEK_SET); /* a pipe has no position */
        n = read(c->read_fd, text, sizeof(text) - 1);
        g_assert_cmpint(n, >=, 0);
        c->read_fd = safe_close(c->read_fd);
        text[n] = '\0';
        return g_strdup(text);
}
