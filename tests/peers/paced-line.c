/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A Modbus RTU device on a serial line that is as slow as a real one: a pseudo-terminal, on which every character takes
 * its time (8 data bits, no parity, one stop bit). A request needs its time on the wire, 3.5 characters of silence follow,
 * then the answer comes in pieces, as a UART's FIFO hands them over. Function 03 is answered with registers that hold their
 * address, 06 and 16 (hex) with their echo, 10 with its header. Every unit id, from --first=ID on.
 *
 * Prints `line=PATH`. A write prints its address, its value and the monotonic time in ns at which it came. SIGUSR1 prints
 * how many requests were answered so far, how many of them began `early`, that is before the silence after an answer was
 * over, and in ns:
 *
 *   wire   the time that these need at least, the 3.5 characters of silence after each frame included
 *   late   by how much our own answers ended too late, because the machine was busy: not the master's fault
 *   ns     when the silence after the last answer was over
 *
 * One thread.
 */

#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <termios.h>
#include <time.h>
#include <unistd.h>

enum {
        BITS_PER_CHARACTER = 10,
        FRAME_MAX = 256,
        REQUEST_SIZE = 8, /* of 03, 05 and 06 */
        FIFO = 8,         /* at which a UART of type 16550A interrupts */
        REGISTERS_MAX = 125,
};

#define NS_PER_SEC 1000000000ULL

typedef struct Line {
        int fd;
        uint64_t character;     /* ns */
        unsigned long first;    /* unit id that answers */
        uint8_t request[FRAME_MAX], answer[FRAME_MAX];
        size_t n_request, n_answer, sent;
        uint64_t begun;         /* the request … */
        uint64_t answer_begins; /* … and the answer to it, while there is one */
        uint64_t free_at;       /* when the silence after the last answer is over */
        uint64_t answered, early, wire, late;
} Line;

static volatile sig_atomic_t asked;

static void on_signal(int number) {
        asked = 1;
}

static uint64_t now_ns(void) {
        struct timespec t;

        clock_gettime(CLOCK_MONOTONIC, &t);
        return (uint64_t) t.tv_sec * NS_PER_SEC + (uint64_t) t.tv_nsec;
}

static unsigned get16(const uint8_t *p) {
        return (unsigned) p[0] << 8 | p[1];
}

static void put16(uint8_t *p, unsigned v) {
        p[0] = (uint8_t) (v >> 8);
        p[1] = (uint8_t) v;
}

static uint64_t characters(const Line *l, size_t n) {
        return n * l->character;
}

static uint64_t silence(const Line *l) {
        return characters(l, 7) / 2;
}

static void line_add_crc(Line *l) {
        unsigned crc = 0xFFFF;

        for (size_t i = 0; i < l->n_answer; i++) {
                crc ^= l->answer[i];
                for (int bit = 0; bit < 8; bit++)
                        crc = crc & 1 ? crc >> 1 ^ 0xA001 : crc >> 1;
        }
        l->answer[l->n_answer++] = (uint8_t) crc;
        l->answer[l->n_answer++] = (uint8_t) (crc >> 8);
}

/* The length of the request that begins with these bytes; 0: that is not to be seen yet. */
static size_t request_size(const uint8_t *request, size_t n) {
        if (n < 7)
                return 0;
        switch (request[1]) {
        case 0x10:
                return 9 + (size_t) request[6];
        case 0x16:
                return REQUEST_SIZE + 2;
        default:
                return REQUEST_SIZE;
        }
}

static void line_print_write(const Line *l, uint64_t now) {
        printf("write %u %u %llu\n", get16(l->request + 2), get16(l->request + 4), (unsigned long long) now);
        fflush(stdout);
}

/* Makes the answer; false for what is not served, which gets none. */
static bool line_make_answer(Line *l, uint64_t now) {
        unsigned address = get16(l->request + 2), quantity = get16(l->request + 4);

        memcpy(l->answer, l->request, REQUEST_SIZE);
        switch (l->request[1]) {
        case 0x03:
                if (quantity > REGISTERS_MAX)
                        return false;
                l->answer[2] = (uint8_t) (2 * quantity);
                for (unsigned i = 0; i < quantity; i++)
                        put16(l->answer + 3 + 2 * (size_t) i, address + i);
                l->n_answer = 3 + 2 * (size_t) quantity;
                break;
        case 0x06:
        case 0x10:
        case 0x16:
                line_print_write(l, now);
                l->n_answer = l->request[1] == 0x16 ? 8 : 6;
                break;
        default:
                return false;
        }
        line_add_crc(l);
        return true;
}

/* A whole request has come, in no time, at `now`: from then on the line takes it. */
static void line_answer(Line *l, uint64_t now) {
        uint64_t begin = now > l->free_at ? now : l->free_at;

        l->early += now < l->free_at;
        if (l->request[0] < l->first || !line_make_answer(l, now))
                return;
        l->sent = 0;
        l->begun = begin;
        l->answer_begins = begin + characters(l, l->n_request) + silence(l);
}

static void line_read(Line *l) {
        ssize_t n = read(l->fd, l->request + l->n_request, sizeof(l->request) - l->n_request);
        size_t size;

        if (n <= 0)
                return;
        l->n_request += (size_t) n;
        size = request_size(l->request, l->n_request);
        if (size == 0 || l->n_request < size)
                return;
        if (l->n_answer == 0)
                line_answer(l, now_ns());
        l->n_request = 0;
}

/* When the next piece of the answer is whole, and how long the answer is with it. */
static uint64_t next_piece(const Line *l, size_t *ret_end) {
        size_t end = l->sent + FIFO < l->n_answer ? l->sent + FIFO : l->n_answer;

        *ret_end = end;
        return l->answer_begins + characters(l, end);
}

/* Hands over what has arrived by now. */
static void line_send(Line *l, uint64_t now) {
        size_t end;
        uint64_t at = next_piece(l, &end);

        if (at > now)
                return;
        if (write(l->fd, l->answer + l->sent, end - l->sent) != (ssize_t) (end - l->sent))
                abort();
        l->sent = end;
        if (end < l->n_answer)
                return;
        l->wire += at - l->begun + silence(l);
        l->late += now - at;
        l->free_at = now + silence(l);
        l->n_answer = 0;
        l->answered++;
}

static void line_print_counts(const Line *l) {
        printf("answered=%llu early=%llu wire=%llu late=%llu ns=%llu\n", (unsigned long long) l->answered,
               (unsigned long long) l->early, (unsigned long long) l->wire, (unsigned long long) l->late,
               (unsigned long long) l->free_at);
        fflush(stdout);
}

/* The signal is let in only while waiting. */
static int line_run(Line *l) {
        struct pollfd p = { .fd = l->fd, .events = POLLIN };
        sigset_t none;

        (void) sigemptyset(&none);
        for (;;) {
                struct timespec timeout = {};
                size_t end;

                if (l->n_answer > 0) {
                        uint64_t at = next_piece(l, &end), now = now_ns(), left = at > now ? at - now : 0;

                        timeout.tv_sec = (time_t) (left / NS_PER_SEC);
                        timeout.tv_nsec = (long) (left % NS_PER_SEC);
                }
                if (ppoll(&p, 1, l->n_answer > 0 ? &timeout : NULL, &none) < 0 && errno != EINTR)
                        return -errno;

                if (asked) {
                        asked = 0;
                        line_print_counts(l);
                }
                if (p.revents & POLLIN)
                        line_read(l);
                if (l->n_answer > 0)
                        line_send(l, now_ns());
        }
}

/* The far end stays open, so that a master may come and go. */
static int line_open(Line *l) {
        struct termios t;
        int far;

        l->fd = posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC);
        if (l->fd < 0 || grantpt(l->fd) < 0 || unlockpt(l->fd) < 0)
                return -errno;
        far = open(ptsname(l->fd), O_RDWR | O_NOCTTY | O_CLOEXEC);
        if (far < 0 || tcgetattr(far, &t) < 0)
                return -errno;
        cfmakeraw(&t);
        if (tcsetattr(far, TCSANOW, &t) < 0)
                return -errno;

        printf("line=%s\n", ptsname(l->fd));
        fflush(stdout);
        return 0;
}

int main(int argc, char *argv[]) {
        static const struct option options[] = {
                { "baudrate", required_argument, NULL, 'b' },
                { "first", required_argument, NULL, 'f' },
                {}
        };
        static Line l;
        unsigned long baudrate = 9600;
        sigset_t usr1;
        int r;

        for (int c; (c = getopt_long(argc, argv, "", options, NULL)) >= 0;)
                if (c == 'b')
                        baudrate = strtoul(optarg, NULL, 10);
                else if (c == 'f')
                        l.first = strtoul(optarg, NULL, 10);
                else
                        return 2;
        if (baudrate == 0)
                return 2;

        (void) sigemptyset(&usr1);
        (void) sigaddset(&usr1, SIGUSR1);
        (void) sigprocmask(SIG_BLOCK, &usr1, NULL);
        (void) sigaction(SIGUSR1, &(struct sigaction) { .sa_handler = on_signal }, NULL);
        (void) prctl(PR_SET_TIMERSLACK, 1);

        l.character = BITS_PER_CHARACTER * NS_PER_SEC / baudrate;
        r = line_open(&l);
        if (r >= 0)
                r = line_run(&l);
        fprintf(stderr, "%s: %s\n", argv[0], strerror(-r));
        return 1;
}
