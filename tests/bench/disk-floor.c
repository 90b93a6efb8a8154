/* SPDX-License-Identifier: Apache-2.0 */
/* The least that one request takes which is answered when it is on the disk: disk-floor FILE BYTES SECONDS. Writes that many bytes over and
 * over into a file that does not grow and waits for the disk each time; by turns for itself (bare) and for a client process at the
 * other end of a TCP connection, which then sends its next request (answered). Prints how many of each a second. */

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/macros.h"
#include "base/time.h"
#include "tests/bench/loopback.h"

enum {
        FILE_SIZE = 4 << 20,
        MESSAGE = 170,          /* a request of one event, or its answer */
};

typedef struct Disk {
        int fd;
        size_t size;
        off_t at;
        uint8_t *bytes;
} Disk;

static int disk_write(Disk *d) {
        if (d->at + (off_t) d->size > FILE_SIZE)
                d->at = 0;
        if (pwrite(d->fd, d->bytes, d->size, d->at) != (ssize_t) d->size || fdatasync(d->fd) < 0)
                return -errno;
        d->at += (off_t) d->size;
        return 0;
}

/* Written once, so that writing over it changes nothing but the bytes. */
static int disk_open(Disk *d, const char *path) {
        g_autofree uint8_t *zeros = g_malloc0(FILE_SIZE);

        d->fd = open(path, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
        if (d->fd < 0 || pwrite(d->fd, zeros, FILE_SIZE, 0) != FILE_SIZE || fsync(d->fd) < 0)
                return -errno;
        return 0;
}

/* The client: a request as soon as it has its answer. */
static void client_run(int fd) {
        uint8_t message[MESSAGE] = {};

        while (send(fd, message, sizeof(message), MSG_NOSIGNAL) == MESSAGE)
                if (recv(fd, message, sizeof(message), MSG_WAITALL) != MESSAGE)
                        break;
        _exit(0);
}

static int client_start(int *ret_fd) {
        uint16_t port = 0;
        _cleanup_(safe_closep) int listener = loopback_listen(&port);
        pid_t pid;

        if (listener < 0)
                return listener;
        pid = fork();
        if (pid < 0)
                return -errno;
        if (pid == 0)
                client_run(loopback_connect(port));
        *ret_fd = loopback_accept(listener);
        return MIN(*ret_fd, 0);
}

/* From one answer to the next, the round trip between them included. */
static int answer_one(Disk *d, int fd) {
        uint8_t message[MESSAGE];
        int r;

        if (recv(fd, message, sizeof(message), MSG_WAITALL) != MESSAGE)
                return -EPIPE;
        r = disk_write(d);
        if (r < 0)
                return r;
        return send(fd, message, sizeof(message), MSG_NOSIGNAL) == MESSAGE ? 0 : -EPIPE;
}

static int run(Disk *d, int fd, double seconds) {
        enum { TURN = 20 };
        uint64_t begin = monotonic_ns(), bare = 0, answered = 0;
        unsigned n = 0;
        int r = 0;

        while ((double) (bare + answered) < seconds * 1e9) {
                for (unsigned i = 0; i < TURN && r >= 0; i++)
                        r = disk_write(d);
                bare += monotonic_ns() - begin;
                begin = monotonic_ns();
                for (unsigned i = 0; i < TURN && r >= 0; i++)
                        r = answer_one(d, fd);
                answered += monotonic_ns() - begin;
                begin = monotonic_ns();
                if (r < 0)
                        return r;
                n += TURN;
        }
        printf("bare=%.1f answered=%.1f\n", n * 1e9 / (double) bare, n * 1e9 / (double) answered);
        return 0;
}

int main(int argc, char *argv[]) {
        Disk d = {};
        int fd = -EBADF, r;

        if (argc != 4) {
                fprintf(stderr, "usage: disk-floor FILE BYTES SECONDS\n");
                return 2;
        }
        d.size = MIN(strtoul(argv[2], NULL, 10), (unsigned long) FILE_SIZE);
        d.bytes = g_malloc0(d.size);
        r = disk_open(&d, argv[1]);
        if (r >= 0)
                r = client_start(&fd);
        if (r >= 0)
                r = run(&d, fd, strtod(argv[3], NULL));
        if (r < 0)
                fprintf(stderr, "disk-floor: %s\n", strerror(-r));
        (void) safe_close(fd);
        (void) safe_close(d.fd);
        g_free(d.bytes);
        return r < 0;
}
