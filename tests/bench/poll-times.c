/* SPDX-License-Identifier: Apache-2.0 */
/* A Modbus TCP device that measures how evenly it is polled. Answers reads of holding registers with zeros; after every --count
 * requests it prints by how much the time between two differed from --interval (microseconds). One connection, one thread. */

#include <errno.h>
#include <getopt.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>

#include "base/macros.h"
#include "tests/bench/loopback.h"
#include "tests/bench/samples.h"

enum {
        REQUEST = 12,
        HEADER = 9,             /* of an answer, before its registers */
        REGISTERS_MAX = 125,
};

typedef struct Times {
        uint64_t interval;      /* ns */
        size_t wanted, n;
        uint64_t *samples;
        uint64_t last;          /* 0: none yet */
} Times;

static void times_print(Times *t) {
        samples_print("p", t->samples, t->n);
        printf("\n");
        fflush(stdout);
        t->n = 0;
}

static void times_add(Times *t, uint64_t now) {
        uint64_t took = now - t->last;

        if (t->last > 0)
                t->samples[t->n++] = took > t->interval ? took - t->interval : t->interval - took;
        t->last = now;
        if (t->n >= t->wanted)
                times_print(t);
}

static int answer(int fd, const uint8_t request[static REQUEST]) {
        uint8_t out[HEADER + 2 * REGISTERS_MAX] = {};
        size_t count = MIN((size_t) request[10] << 8 | request[11], (size_t) REGISTERS_MAX);

        memcpy(out, request, 8);
        out[4] = 0;
        out[5] = (uint8_t) (3 + 2 * count);
        out[8] = (uint8_t) (2 * count);
        return send(fd, out, HEADER + 2 * count, MSG_NOSIGNAL) < 0 ? -errno : 0;
}

static int serve(Times *t, int fd) {
        uint8_t request[REQUEST];
        int r;

        for (;;) {
                if (recv(fd, request, sizeof(request), MSG_WAITALL) != (ssize_t) sizeof(request))
                        return 0;
                times_add(t, monotonic_ns());
                r = answer(fd, request);
                if (r < 0)
                        return r;
        }
}

static int run(Times *t) {
        uint16_t port = 0;
        _cleanup_(safe_closep) int listener = loopback_listen(&port);

        if (listener < 0)
                return listener;
        printf("listening on 127.0.0.1:%u\n", port);
        fflush(stdout);

        for (;;) {
                _cleanup_(safe_closep) int fd = loopback_accept(listener);
                int r;

                if (fd < 0)
                        return fd;
                t->last = 0;
                r = serve(t, fd);
                if (r < 0)
                        return r;
        }
}

int main(int argc, char *argv[]) {
        static const struct option options[] = {
                { "interval", required_argument, NULL, 'i' },
                { "count",    required_argument, NULL, 'c' },
                {}
        };
        Times t = { .interval = 10000000, .wanted = 500 };
        int r;

        for (int c; (c = getopt_long(argc, argv, "", options, NULL)) >= 0;)
                switch (c) {
                case 'i':
                        t.interval = strtoull(optarg, NULL, 10) * 1000;
                        break;
                case 'c':
                        t.wanted = MAX(strtoul(optarg, NULL, 10), 10U);
                        break;
                default:
                        return 2;
                }

        t.samples = g_new0(uint64_t, t.wanted);
        r = run(&t);
        fprintf(stderr, "poll-times: %s\n", strerror(-r));
        g_free(t.samples);
        return 1;
}
