/* SPDX-License-Identifier: Apache-2.0 */
/* Both ends of a gateway in one process, a Modbus TCP device and an event server, so that one clock stamps
 * what goes in and what comes out:
 *
 *   --read    every answer carries another value; from the answer's departure to the arrival of its event
 *   --write   a write event every 2 ms; from its departure to the arrival of the Modbus request
 *
 * A millisecond after each sample, when everybody is idle again, the same way is measured through a child
 * process that only reads one socket and writes the other: what the machine takes by itself. For a fair
 * comparison the child can be tied to the processor of the gateway by --child-cpu. Prints one line when
 * --count samples are there. One thread.
 *
 * The gateway must be named `bench`, in the layout `named`, and have a modbus_master `dev` with remote device
 * 1: data `r`, one holding register with an interval (--read), or `w`, one without (--write). */

#include <errno.h>
#include <getopt.h>
#include <inttypes.h>
#include <poll.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/signal.h>
#include <sys/socket.h>
#include <time.h>

#include "tests/bench/loopback.h"
#include "tests/bench/samples.h"
#include "tests/bench/sink.h"

enum {
        WARM_UP = 50,           /* samples that do not count */
        PAUSE_NS = 1000000,
        READ_REQUEST = 12,
        READ_ANSWER = 11,
        EVENT_MESSAGE = 200,    /* about what an event takes on the wire, for the floor */
};

/* What is to be done after a pause in which nothing came. */
typedef enum Next { NEXT_NOTHING, NEXT_FLOOR, NEXT_WRITE } Next;

typedef struct Peer {
        bool writes;
        int child_cpu; /* negative: any */
        Next next;
        int modbus, event;
        int child_modbus, child_event;
        Sink sink;
        Buffer in;
        uint16_t value;
        uint64_t sent_at;
        bool waiting; /* for the event (read) or the request (write) of `value` */
        size_t n, wanted;
        uint64_t *samples, *floors;
} Peer;

static unsigned get16(const uint8_t *p) {
        return (unsigned) p[0] << 8 | p[1];
}

static void die(const char *what, int error) {
        fprintf(stderr, "latency-peer: %s: %s\n", what, strerror(-error));
        exit(1);
}

static void send_all(int fd, const void *data, size_t size) {
        if (send(fd, data, size, MSG_NOSIGNAL) != (ssize_t) size)
                die("send", -errno);
}

static size_t receive_some(int fd, void *data, size_t size) {
        ssize_t n = recv(fd, data, size, 0);

        if (n <= 0)
                die("receive", n < 0 ? -errno : -ECONNRESET);
        return (size_t) n;
}

/* ---- the floor: the same way through a process that does nothing ------------------------------------- */

static void child_run(int from, int to, size_t size) {
        uint8_t data[EVENT_MESSAGE] = {};

        for (;;) {
                if (recv(from, data, sizeof(data), 0) <= 0)
                        _exit(0);
                if (send(to, data, size, MSG_NOSIGNAL) < 0)
                        _exit(0);
        }
}

static void child_pin(const Peer *p) {
        cpu_set_t set;

        (void) prctl(PR_SET_PDEATHSIG, SIGKILL);
        if (p->child_cpu < 0)
                return;
        CPU_ZERO(&set);
        CPU_SET((unsigned) p->child_cpu, &set);
        if (sched_setaffinity(0, sizeof(set), &set) < 0)
                die("child-cpu", -errno);
}

static void child_start(Peer *p) {
        uint16_t port = 0;
        int listener = loopback_listen(&port), modbus, event;

        if (listener < 0)
                die("listen", listener);
        modbus = loopback_connect(port);
        p->child_modbus = loopback_accept(listener);
        event = loopback_connect(port);
        p->child_event = loopback_accept(listener);
        if (modbus < 0 || event < 0 || p->child_modbus < 0 || p->child_event < 0)
                die("connect", -errno);

        if (fork() == 0) {
                child_pin(p);
                if (p->writes)
                        child_run(event, modbus, READ_REQUEST);
                else
                        child_run(modbus, event, EVENT_MESSAGE);
        }
        (void) safe_close(listener);
        (void) safe_close(modbus);
        (void) safe_close(event);
}

static uint64_t measure_floor(Peer *p) {
        uint8_t data[EVENT_MESSAGE] = {};
        int to = p->writes ? p->child_event : p->child_modbus;
        int from = p->writes ? p->child_modbus : p->child_event;
        uint64_t begin = monotonic_ns();

        send_all(to, data, p->writes ? EVENT_MESSAGE : READ_ANSWER);
        (void) poll(&(struct pollfd) { .fd = from, .events = POLLIN }, 1, -1);
        (void) receive_some(from, data, sizeof(data));
        return monotonic_ns() - begin;
}

/* ---- samples ----------------------------------------------------------------------------------------- */

static void sample_complete(Peer *p, uint64_t arrived) {
        p->waiting = false;
        if (p->n >= WARM_UP)
                p->samples[p->n - WARM_UP] = arrived - p->sent_at;
        p->next = NEXT_FLOOR;
}

/* Completes the pair. */
static void floor_complete(Peer *p, uint64_t took) {
        if (p->n >= WARM_UP)
                p->floors[p->n - WARM_UP] = took;
        p->n++;
        p->next = p->writes ? NEXT_WRITE : NEXT_NOTHING;
}

static bool peer_done(const Peer *p) {
        return p->n >= p->wanted + WARM_UP;
}

/* ---- the device -------------------------------------------------------------------------------------- */

static void on_request(Peer *p) {
        uint8_t frame[READ_REQUEST];
        uint64_t arrived;

        if (receive_some(p->modbus, frame, sizeof(frame)) != sizeof(frame))
                die("request", -EBADMSG);
        arrived = monotonic_ns();

        if (frame[7] == 0x06) { /* the echo is the answer */
                send_all(p->modbus, frame, sizeof(frame));
                if (p->waiting && get16(frame + 10) == p->value)
                        sample_complete(p, arrived);
                return;
        }

        p->value++;
        frame[5] = READ_ANSWER - 6;
        frame[8] = 2;
        frame[9] = (uint8_t) (p->value >> 8);
        frame[10] = (uint8_t) p->value;
        p->waiting = !p->writes && p->next == NEXT_NOTHING; /* not while a floor is due */
        p->sent_at = monotonic_ns();
        send_all(p->modbus, frame, READ_ANSWER);
}

/* ---- the event server -------------------------------------------------------------------------------- */

/* Whether the bytes tell of this value. */
static bool is_event_of(const uint8_t *data, size_t size, unsigned value) {
        char text[32];

        (void) snprintf(text, sizeof(text), "\"value\": %u,", value);
        if (memmem(data, size, text, strlen(text)))
                return true;
        (void) snprintf(text, sizeof(text), "\"value\":%u,", value);
        return memmem(data, size, text, strlen(text));
}

static void on_event_bytes(Peer *p) {
        uint64_t arrived;
        int64_t used;

        buffer_commit(&p->in, receive_some(p->event, buffer_reserve(&p->in, 65536), 65536));
        arrived = monotonic_ns();
        if (p->waiting && !p->writes && is_event_of(buffer_begin(&p->in), buffer_size(&p->in), p->value))
                sample_complete(p, arrived);

        used = sink_receive(&p->sink, buffer_begin(&p->in), buffer_size(&p->in));
        if (used < 0)
                die("event message", (int) used);
        buffer_consume(&p->in, (size_t) used);
        if (buffer_size(&p->sink.out) > 0)
                send_all(p->event, buffer_begin(&p->sink.out), buffer_size(&p->sink.out));
        buffer_clear(&p->sink.out);
}

static void send_write_event(Peer *p) {
        sink_notify_write(&p->sink, ++p->value);
        p->waiting = true;
        p->sent_at = monotonic_ns();
        send_all(p->event, buffer_begin(&p->sink.out), buffer_size(&p->sink.out));
        buffer_clear(&p->sink.out);
}

/* ---- the loop ---------------------------------------------------------------------------------------- */

static void on_pause(Peer *p) {
        switch (p->next) {
        case NEXT_FLOOR:
                floor_complete(p, measure_floor(p));
                return;
        case NEXT_WRITE:
                p->next = NEXT_NOTHING;
                send_write_event(p);
                return;
        case NEXT_NOTHING:
                return;
        }
}

/* Serves until the samples are there. */
static void peer_run(Peer *p) {
        struct pollfd fds[] = {
                { .fd = p->event, .events = POLLIN },
                { .fd = p->modbus, .events = POLLIN },
        };
        const struct timespec pause = { .tv_nsec = PAUSE_NS };

        while (!peer_done(p)) {
                int n = ppoll(fds, ELEMENTSOF(fds), p->next == NEXT_NOTHING ? NULL : &pause, NULL);

                if (n < 0)
                        die("poll", -errno);
                if (n == 0)
                        on_pause(p);
                if (fds[0].revents)
                        on_event_bytes(p);
                if (fds[1].revents)
                        on_request(p);
        }
        samples_print("p", p->samples, p->wanted);
        samples_print("floor", p->floors, p->wanted);
        printf("\n");
        fflush(stdout);
}

static void peer_accept(Peer *p) {
        uint16_t event_port = 0, modbus_port = 0;
        int event_listener = loopback_listen(&event_port), modbus_listener = loopback_listen(&modbus_port);

        printf("modbus=%u event=%u\n", modbus_port, event_port);
        fflush(stdout);

        p->event = loopback_accept(event_listener);
        if (p->event < 0)
                die("accept", p->event);
        while (poll(&(struct pollfd) { .fd = modbus_listener, .events = POLLIN }, 1, 1) == 0)
                if (poll(&(struct pollfd) { .fd = p->event, .events = POLLIN }, 1, 0) > 0)
                        on_event_bytes(p);
        p->modbus = loopback_accept(modbus_listener);
        if (p->modbus < 0)
                die("accept", p->modbus);
}

int main(int argc, char *argv[]) {
        static const struct option options[] = {
                { "read",  no_argument,       NULL, 'r' },
                { "write", no_argument,       NULL, 'w' },
                { "count", required_argument, NULL, 'c' },
                { "child-cpu", required_argument, NULL, 'C' },
                {}
        };
        static const char *const ids[] = { "1", NULL };
        Peer p = { .modbus = -EBADF, .event = -EBADF, .child_cpu = -1, .wanted = 2000 };

        for (int c; (c = getopt_long(argc, argv, "", options, NULL)) >= 0;)
                switch (c) {
                case 'r':
                        break;
                case 'w':
                        p.writes = true;
                        break;
                case 'c':
                        p.wanted = MAX(strtoul(optarg, NULL, 10), 100U);
                        break;
                case 'C':
                        p.child_cpu = (int) strtol(optarg, NULL, 10);
                        break;
                default:
                        return 2;
                }

        p.next = p.writes ? NEXT_WRITE : NEXT_NOTHING;
        p.samples = g_new0(uint64_t, p.wanted);
        p.floors = g_new0(uint64_t, p.wanted);
        sink_init(&p.sink, ids);
        child_start(&p);
        peer_accept(&p);
        peer_run(&p);

        sink_done(&p.sink);
        buffer_done(&p.in);
        g_free(p.samples);
        g_free(p.floors);
        return 0;
}
