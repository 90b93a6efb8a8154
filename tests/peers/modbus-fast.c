/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The least that can be called a Modbus TCP server, for benchmarks: it must never be the slow part. One thread, epoll,
 * no check that costs anything. Function 03 is answered with registers, functions 05, 06 and 16 with their echo and 10
 * with its header; anything else ends the connection.
 *
 * With --changing every register differs from the one of the same address in the answer before; without it register n
 * holds n. --write-time prints the monotonic time in ns at which each write arrived. --stop-after=N answers N requests
 * and no more, and says so. SIGUSR1 prints how many were answered so far.
 */

#include <errno.h>
#include <getopt.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum {
        BUFFER_SIZE = 4096,
        ANSWER_MAX = 260,
        HEADER = 7,
};

typedef struct Client {
        int fd;
        uint16_t round;
        size_t n;
        uint8_t in[BUFFER_SIZE];
} Client;

typedef struct Server {
        int listener, epoll;
        bool changing, write_time;
        unsigned long answered, stop_after; /* 0: never */
} Server;

static volatile sig_atomic_t asked;

static void on_signal(int number) {
        asked = 1;
}

static void print_answered(const Server *s, const char *what) {
        struct timespec now;

        clock_gettime(CLOCK_MONOTONIC, &now);
        printf("%s=%lu ns=%lld\n", what, s->answered, (long long) now.tv_sec * 1000000000LL + now.tv_nsec);
        fflush(stdout);
}

static unsigned get16(const uint8_t *p) {
        return (unsigned) p[0] << 8 | p[1];
}

static void put16(uint8_t *p, unsigned v) {
        p[0] = (uint8_t) (v >> 8);
        p[1] = (uint8_t) v;
}

static void print_write(const uint8_t *pdu) {
        struct timespec now;

        clock_gettime(CLOCK_MONOTONIC, &now);
        printf("write %u %u %lld\n", get16(pdu + 1), get16(pdu + 3),
               (long long) now.tv_sec * 1000000000LL + now.tv_nsec);
        fflush(stdout);
}

/* Makes the answer to one whole request; returns its length, 0 for one that is not served. */
static size_t answer(const Server *s, Client *c, const uint8_t *request, size_t size, uint8_t *out) {
        const uint8_t *pdu = request + HEADER;
        size_t n = size - HEADER;

        memcpy(out, request, HEADER + 1);

        if (pdu[0] == 0x03 && n >= 5 && get16(pdu + 3) <= 125) {
                unsigned address = get16(pdu + 1), quantity = get16(pdu + 3);
                unsigned offset = s->changing ? c->round++ : 0;

                out[HEADER + 1] = (uint8_t) (2 * quantity);
                for (unsigned i = 0; i < quantity; i++)
                        put16(out + HEADER + 2 + 2 * i, address + i + offset);
                n = 2 + 2 * quantity;
        } else if (pdu[0] == 0x05 || pdu[0] == 0x06 || pdu[0] == 0x16) {
                if (s->write_time)
                        print_write(pdu);
                memcpy(out + HEADER, pdu, n);
        } else if (pdu[0] == 0x10 && n >= 5) {
                memcpy(out + HEADER, pdu, 5);
                n = 5;
        } else
                return 0;

        put16(out + 4, (unsigned) n + 1);
        return HEADER + n;
}

/* Answers every whole request that has come. False: close. */
static bool client_serve(Server *s, Client *c) {
        uint8_t out[BUFFER_SIZE / 12 * ANSWER_MAX];
        size_t begin = 0, n_out = 0;
        ssize_t n;

        n = read(c->fd, c->in + c->n, sizeof(c->in) - c->n);
        if (n <= 0)
                return n < 0 && errno == EAGAIN;
        c->n += (size_t) n;

        while (c->n - begin > HEADER) {
                const uint8_t *request = c->in + begin;
                size_t length = get16(request + 4), made;

                if (length < 2 || length > ANSWER_MAX - 6)
                        return false;
                if (c->n - begin < 6 + length)
                        break;

                if (n_out + ANSWER_MAX > sizeof(out))
                        return false;
                if (s->stop_after > 0 && s->answered == s->stop_after) {
                        begin += 6 + length;
                        continue;
                }

                made = answer(s, c, request, 6 + length, out + n_out);
                if (made == 0)
                        return false;
                n_out += made;
                if (++s->answered == s->stop_after)
                        print_answered(s, "stopped");
                begin += 6 + length;
        }

        memmove(c->in, c->in + begin, c->n - begin);
        c->n -= begin;
        return n_out == 0 || send(c->fd, out, n_out, MSG_NOSIGNAL) == (ssize_t) n_out;
}

static void server_accept(const Server *s) {
        struct epoll_event event = { .events = EPOLLIN };
        Client *c;
        int fd;

        fd = accept4(s->listener, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
        if (fd < 0)
                return;

        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &(int) { 1 }, sizeof(int));
        c = calloc(1, sizeof(Client));
        if (!c)
                abort();
        c->fd = fd;
        event.data.ptr = c;
        if (epoll_ctl(s->epoll, EPOLL_CTL_ADD, fd, &event) < 0)
                abort();
}

static int server_listen(Server *s, int port) {
        struct sockaddr_in address = {
                .sin_family = AF_INET,
                .sin_port = htons((uint16_t) port),
                .sin_addr.s_addr = htonl(INADDR_LOOPBACK),
        };
        socklen_t length = sizeof(address);

        s->epoll = epoll_create1(EPOLL_CLOEXEC);
        s->listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
        if (s->epoll < 0 || s->listener < 0)
                return -errno;

        setsockopt(s->listener, SOL_SOCKET, SO_REUSEADDR, &(int) { 1 }, sizeof(int));
        if (bind(s->listener, (struct sockaddr *) &address, sizeof(address)) < 0 ||
            listen(s->listener, SOMAXCONN) < 0 ||
            getsockname(s->listener, (struct sockaddr *) &address, &length) < 0)
                return -errno;

        printf("listening on 127.0.0.1:%u\n", ntohs(address.sin_port));
        fflush(stdout);
        return epoll_ctl(s->epoll, EPOLL_CTL_ADD, s->listener, &(struct epoll_event) { .events = EPOLLIN });
}

/* The signal is let in only while waiting. */
static int server_run(Server *s) {
        struct epoll_event events[64];
        sigset_t none;

        (void) sigemptyset(&none);
        for (;;) {
                int n;

                n = epoll_pwait(s->epoll, events, 64, -1, &none);
                if (n < 0 && errno != EINTR)
                        return -errno;
                if (asked) {
                        asked = 0;
                        print_answered(s, "answered");
                }

                for (int i = 0; i < n; i++) {
                        Client *c = events[i].data.ptr;

                        if (!c)
                                server_accept(s);
                        else if (!client_serve(s, c)) {
                                close(c->fd);
                                free(c);
                        }
                }
        }
}

int main(int argc, char *argv[]) {
        static const struct option options[] = {
                { "port",       required_argument, NULL, 'p' },
                { "changing",   no_argument,       NULL, 'c' },
                { "write-time", no_argument,       NULL, 'w' },
                { "stop-after", required_argument, NULL, 's' },
                {}
        };
        Server s = {};
        sigset_t usr1;
        int port = 0, r;

        (void) sigemptyset(&usr1);
        (void) sigaddset(&usr1, SIGUSR1);
        (void) sigprocmask(SIG_BLOCK, &usr1, NULL);
        (void) sigaction(SIGUSR1, &(struct sigaction) { .sa_handler = on_signal }, NULL);

        for (int c; (c = getopt_long(argc, argv, "", options, NULL)) >= 0;)
                switch (c) {
                case 'p':
                        port = (int) strtol(optarg, NULL, 10);
                        break;
                case 'c':
                        s.changing = true;
                        break;
                case 'w':
                        s.write_time = true;
                        break;
                case 's':
                        s.stop_after = strtoul(optarg, NULL, 10);
                        break;
                default:
                        return 2;
                }

        r = server_listen(&s, port);
        if (r >= 0)
                r = server_run(&s);

        fprintf(stderr, "%s: %s\n", argv[0], strerror(-r));
        return 1;
}
