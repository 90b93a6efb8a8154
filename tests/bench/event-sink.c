/* SPDX-License-Identifier: Apache-2.0 */
/* An event server for measurements: sink.h behind a listening socket, one client at a time. SIGUSR1 prints
 * what was registered so far. SIGUSR2 sends a write event (sink_notify_write()) with a value that was not written
 * before, and prints it and when. */

#include <errno.h>
#include <getopt.h>
#include <inttypes.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>

#include "tests/bench/loopback.h"
#include "tests/bench/sink.h"

#define READ_SIZE (256U << 10)

static volatile sig_atomic_t asked, write_wanted;

static void on_signal(int number) {
        if (number == SIGUSR1)
                asked = 1;
        else
                write_wanted = 1;
}

static void print_counts(const Sink *s) {
        printf("events=%" PRIu64 " messages=%" PRIu64 " ns=%" PRIu64 "\n", s->events, s->messages, monotonic_ns());
        fflush(stdout);
        asked = 0;
}

static int send_output(Sink *s, int fd) {
        ssize_t n = 0;

        if (buffer_size(&s->out) > 0)
                n = send(fd, buffer_begin(&s->out), buffer_size(&s->out), MSG_NOSIGNAL);
        buffer_clear(&s->out);
        return n < 0 ? -errno : 0;
}

/* A client that is gone is seen when it is read. */
static void send_write(Sink *s, int fd) {
        static unsigned value;

        write_wanted = 0;
        sink_notify_write(s, ++value);
        printf("sent %u %" PRIu64 "\n", value, monotonic_ns());
        (void) send_output(s, fd);
        fflush(stdout);
}

/* Until the descriptor is ready. The signals are let in only here. */
static void wait_for(Sink *s, int fd) {
        struct pollfd p = { .fd = fd, .events = POLLIN };
        sigset_t none;

        (void) sigemptyset(&none);
        while (ppoll(&p, 1, NULL, &none) < 0 && errno == EINTR) {
                if (asked)
                        print_counts(s);
                if (write_wanted)
                        send_write(s, fd);
        }
}

/* Returns why the client is served no more: 0 it left, else negative errno. */
static int serve(Sink *s, int fd) {
        Buffer in = {};
        int64_t r = 0;

        while (r >= 0) {
                ssize_t n;

                wait_for(s, fd);
                n = recv(fd, buffer_reserve(&in, READ_SIZE), READ_SIZE, 0);
                if (n <= 0) {
                        r = n < 0 ? -errno : 0;
                        break;
                }
                buffer_commit(&in, (size_t) n);

                r = sink_receive(s, buffer_begin(&in), buffer_size(&in));
                if (r >= 0)
                        buffer_consume(&in, (size_t) r);
                if (send_output(s, fd) < 0)
                        r = -errno;
        }

        buffer_done(&in);
        return (int) r;
}

static int run(uint16_t port, const char *const *ids) {
        _cleanup_(safe_closep) int listener = loopback_listen(&port);
        Sink s;

        if (listener < 0)
                return listener;
        printf("listening on 127.0.0.1:%u\n", port);
        fflush(stdout);

        sink_init(&s, ids);
        for (;;) {
                _cleanup_(safe_closep) int fd = -EBADF;
                int r;

                wait_for(&s, listener);
                fd = loopback_accept(listener);
                if (fd < 0)
                        return fd;
                chatter_init(&s.chatter, 0);
                r = serve(&s, fd);
                if (r < 0)
                        fprintf(stderr, "client: %s\n", strerror(-r));
        }
}

int main(int argc, char *argv[]) {
        static const struct option options[] = {
                { "port", required_argument, NULL, 'p' },
                {}
        };
        const char *const unit_one[] = { "1", NULL };
        uint16_t port = 0;
        sigset_t signals;
        int r;

        for (int c; (c = getopt_long(argc, argv, "", options, NULL)) >= 0;)
                switch (c) {
                case 'p':
                        port = (uint16_t) strtoul(optarg, NULL, 10);
                        break;
                default:
                        fprintf(stderr, "usage: %s [--port=PORT] [UNIT-ID…]\n", argv[0]);
                        return 2;
                }

        (void) sigemptyset(&signals);
        (void) sigaddset(&signals, SIGUSR1);
        (void) sigaddset(&signals, SIGUSR2);
        (void) sigprocmask(SIG_BLOCK, &signals, NULL);
        (void) sigaction(SIGUSR1, &(struct sigaction) { .sa_handler = on_signal }, NULL);
        (void) sigaction(SIGUSR2, &(struct sigaction) { .sa_handler = on_signal }, NULL);
        r = run(port, optind < argc ? (const char *const *) argv + optind : unit_one);
        fprintf(stderr, "%s: %s\n", argv[0], strerror(-r));
        return 1;
}
