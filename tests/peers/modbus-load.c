/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Many Modbus TCP masters in one process, which must never be the slow part: each reads the same holding registers of unit
 * 1 as fast as it is answered. Usage: modbus-load PORT CONNECTIONS REGISTERS SECONDS. Runs longer when not even as many as there
 * are masters were answered. Prints one line: requests, seconds, requests/s. Ends with a failure when an answer is not what the request wants. One thread, epoll.
 */

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>

enum {
        REQUEST_SIZE = 12,
        HEADER = 9, /* of an answer, before its registers */
        REGISTERS_MAX = 125,
        ANSWER_MAX = HEADER + 2 * REGISTERS_MAX,
        EVENTS_MAX = 128,
        PATIENCE_MSEC = 10000,
};

typedef struct Master {
        int fd;
        uint16_t transaction;
        size_t n;
        uint8_t answer[ANSWER_MAX];
} Master;

typedef struct Load {
        int epoll;
        unsigned registers;
        size_t n_masters;
        Master *masters;
        unsigned long answered;
} Load;

static void put16(uint8_t *p, unsigned v) {
        p[0] = (uint8_t) (v >> 8);
        p[1] = (uint8_t) v;
}

static double now(void) {
        struct timespec t;

        clock_gettime(CLOCK_MONOTONIC, &t);
        return (double) t.tv_sec + (double) t.tv_nsec / 1e9;
}

static int master_ask(const Load *l, Master *m) {
        uint8_t request[REQUEST_SIZE] = { [5] = REQUEST_SIZE - 6, [6] = 1, [7] = 3 };

        put16(request, ++m->transaction);
        put16(request + 10, l->registers);
        m->n = 0;
        return send(m->fd, request, sizeof(request), MSG_NOSIGNAL) == (ssize_t) sizeof(request) ? 0 : -errno;
}

static int master_connect(Load *l, Master *m, int port) {
        struct sockaddr_in address = {
                .sin_family = AF_INET,
                .sin_port = htons((uint16_t) port),
                .sin_addr.s_addr = htonl(INADDR_LOOPBACK),
        };
        struct epoll_event event = { .events = EPOLLIN, .data.ptr = m };

        m->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
        if (m->fd < 0 || connect(m->fd, (struct sockaddr *) &address, sizeof(address)) < 0)
                return -errno;
        (void) setsockopt(m->fd, IPPROTO_TCP, TCP_NODELAY, &(int) { 1 }, sizeof(int));
        return epoll_ctl(l->epoll, EPOLL_CTL_ADD, m->fd, &event) < 0 ? -errno : 0;
}

/* Takes what has come; a whole answer is followed by the next request. */
static int master_receive(Load *l, Master *m) {
        size_t size = HEADER + 2 * (size_t) l->registers;
        ssize_t n = recv(m->fd, m->answer + m->n, size - m->n, 0);

        if (n <= 0)
                return n < 0 ? -errno : -ECONNRESET;
        m->n += (size_t) n;
        if (m->n < size)
                return 0;

        if (m->answer[0] != m->transaction >> 8 || m->answer[1] != (m->transaction & 0xFF) ||
            m->answer[7] != 3 || m->answer[8] != 2 * l->registers)
                return -EBADMSG;
        l->answered++;
        return master_ask(l, m);
}

static int load_run(Load *l, double seconds) {
        struct epoll_event events[EVENTS_MAX];
        double begin = now(), end = begin + seconds;
        int r;

        for (size_t i = 0; i < l->n_masters; i++)
                if ((r = master_ask(l, &l->masters[i])) < 0)
                        return r;

        while (now() < end || l->answered < l->n_masters) {
                int n = epoll_wait(l->epoll, events, EVENTS_MAX, PATIENCE_MSEC);

                if (n <= 0)
                        return n < 0 ? -errno : -ETIMEDOUT;
                for (int i = 0; i < n; i++)
                        if ((r = master_receive(l, events[i].data.ptr)) < 0)
                                return r;
        }
        seconds = now() - begin;
        printf("requests=%lu seconds=%.3f rate=%.0f\n", l->answered, seconds,
               (double) l->answered / seconds);
        return 0;
}

int main(int argc, char *argv[]) {
        Load l = { .epoll = epoll_create1(EPOLL_CLOEXEC) };
        int r = 0;

        if (argc != 5) {
                fprintf(stderr, "usage: %s PORT CONNECTIONS REGISTERS SECONDS\n", argv[0]);
                return 2;
        }
        l.n_masters = strtoul(argv[2], NULL, 10);
        l.registers = (unsigned) strtoul(argv[3], NULL, 10);
        l.masters = calloc(l.n_masters, sizeof(Master));
        if (l.epoll < 0 || !l.masters || l.registers > REGISTERS_MAX)
                return 2;

        for (size_t i = 0; r >= 0 && i < l.n_masters; i++)
                r = master_connect(&l, &l.masters[i], (int) strtol(argv[1], NULL, 10));
        if (r >= 0)
                r = load_run(&l, strtod(argv[4], NULL));
        if (r < 0)
                fprintf(stderr, "%s: %s\n", argv[0], strerror(-r));
        free(l.masters);
        return r < 0;
}
