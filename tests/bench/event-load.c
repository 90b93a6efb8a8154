/* SPDX-License-Identifier: Apache-2.0 */
/* A load of eventer clients for measuring event servers: N connections register as fast as the server takes it, others are
 * subscribed and read and count every event. Prints one line: how many events in which time, from the first byte to the last
 * answer and the last notification. One thread.
 *
 *   --window=W   with response: at most W requests of each connection are unanswered. 0, the default: without response; the time
 *                ends when the server answers a request that each connection sends last
 *   --latency=N  instead: one event after the other, each when its notification has come; prints percentiles of that time */

#include <errno.h>
#include <getopt.h>
#include <inttypes.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>

#include "event/chatter.h"
#include "event/sbs.h"
#include "tests/bench/loopback.h"
#include "tests/bench/samples.h"

enum {
        READ_SIZE = 256 << 10,
        OUT_MAX = 256 << 10,    /* unsent bytes of a connection, before it waits for the server */
        TURN_MESSAGES = 1000,   /* that one connection makes before another has its turn */
        PAUSE_NS = 1000000,     /* between two samples of the latency */
        WARM_UP = 50,
        EVENTS_MAX = 4096,      /* in a message */
};

typedef struct Options {
        const char *server;
        unsigned connections, window, events, subscribers, types, latency;
        uint64_t messages;      /* of each connection; 0: as many as fit in the time */
        double seconds;
} Options;

typedef struct Load Load;

typedef struct Connection {
        Load *load;
        int fd;
        Chatter chatter;
        Buffer in, out;
        bool subscribes, accepted, finished, wants_write;
        unsigned unanswered;
        size_t next;            /* event of the list that the next message begins with */
        uint64_t messages, events; /* registered, or notified */
} Connection;

struct Load {
        Options options;
        int epoll;
        Connection *connections; /* the registering ones, then the subscribed ones */
        size_t n;
        Buffer list;            /* RegisterEvent of each type, one behind the other, and so many again that a message never wraps */
        size_t *offsets;
        uint64_t until;
};

static void die(const char *what, int error) {
        fprintf(stderr, "event-load: %s: %s\n", what, strerror(-error));
        exit(1);
}

/* ---- what is registered ------------------------------------------------------------------------------ */

static void write_text(Buffer *b, const char *text) {
        sbs_write_string(b, text, strlen(text));
}

/* As a gateway does it: one value that was read. */
static void event_write(Buffer *b, unsigned type) {
        char device[32], item[32], payload[96];
        const char *const subtypes[] = { "gateway", "load",          "modbus_master", device, "gateway",
                                         "remote_device", "1", "read", item };

        (void) snprintf(device, sizeof(device), "dev%u", type / 1000);
        (void) snprintf(item, sizeof(item), "r%u", type % 1000);
        (void) snprintf(payload, sizeof(payload), "{\"result\": \"SUCCESS\", \"value\": %u, \"cause\": \"CHANGE\"}",
                        type % 65536);

        sbs_write_integer(b, ELEMENTSOF(subtypes));
        for (size_t i = 0; i < ELEMENTSOF(subtypes); i++)
                write_text(b, subtypes[i]);
        sbs_write_integer(b, 0); /* no source timestamp */
        sbs_write_integer(b, 1); /* a payload … */
        sbs_write_integer(b, 1); /* … of JSON */
        write_text(b, payload);
}

static void load_make_events(Load *l) {
        size_t n = l->options.types + l->options.events;

        l->offsets = g_new(size_t, n + 1);
        for (size_t i = 0; i < n; i++) {
                l->offsets[i] = buffer_size(&l->list);
                event_write(&l->list, (unsigned) (i % l->options.types));
        }
        l->offsets[n] = buffer_size(&l->list);
}

/* ---- one connection ---------------------------------------------------------------------------------- */

static int connect_unix(const char *path) {
        struct sockaddr_un address = { .sun_family = AF_UNIX };
        _cleanup_(safe_closep) int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

        if (strlen(path) >= sizeof(address.sun_path))
                return -ENAMETOOLONG;
        memcpy(address.sun_path, path, strlen(path) + 1);
        if (fd < 0 || connect(fd, (struct sockaddr *) &address, sizeof(address)) < 0)
                return -errno;
        return TAKE_FD(fd);
}

static int connect_to(const char *server) {
        if (g_str_has_prefix(server, "unix:"))
                return connect_unix(server + 5);
        if (g_str_has_prefix(server, "tcp:127.0.0.1:"))
                return loopback_connect((uint16_t) strtoul(server + 14, NULL, 10));
        return -EINVAL;
}

static void connection_watch(Connection *c, bool writes) {
        struct epoll_event e = { .events = EPOLLIN | (writes ? EPOLLOUT : 0U), .data.ptr = c };

        if (c->wants_write == writes)
                return;
        c->wants_write = writes;
        if (epoll_ctl(c->load->epoll, EPOLL_CTL_MOD, c->fd, &e) < 0)
                die("epoll", -errno);
}

static void connection_flush(Connection *c) {
        while (buffer_size(&c->out) > 0) {
                ssize_t n = send(c->fd, buffer_begin(&c->out), buffer_size(&c->out), MSG_NOSIGNAL | MSG_DONTWAIT);

                if (n < 0 && errno == EAGAIN)
                        break;
                if (n < 0)
                        die("send", -errno);
                buffer_consume(&c->out, (size_t) n);
        }
}

static void connection_send_init(Connection *c) {
        Buffer body = {};

        write_text(&body, c->subscribes ? "load/subscriber" : "load/source");
        sbs_write_integer(&body, 0); /* no token */
        sbs_write_integer(&body, c->subscribes);
        if (c->subscribes) {
                sbs_write_integer(&body, 2);
                write_text(&body, "gateway");
                write_text(&body, "*");
        }
        sbs_write_integer(&body, 0); /* any server */
        sbs_write_boolean(&body, false);
        (void) chatter_send(&c->chatter, false, "HatEventer.MsgInitReq", buffer_begin(&body), buffer_size(&body), &c->out);
        buffer_done(&body);
        connection_flush(c);
}

static void connection_open(Load *l, Connection *c, bool subscribes) {
        struct epoll_event e = { .events = EPOLLIN, .data.ptr = c };

        *c = (Connection) { .load = l, .fd = connect_to(l->options.server), .subscribes = subscribes };
        if (c->fd < 0)
                die(l->options.server, c->fd);
        chatter_init(&c->chatter, 0);
        if (epoll_ctl(l->epoll, EPOLL_CTL_ADD, c->fd, &e) < 0)
                die("epoll", -errno);
        connection_send_init(c);
}

static void connection_close(Connection *c) {
        buffer_done(&c->in);
        buffer_done(&c->out);
        c->fd = safe_close(c->fd);
}

/* One registration of n events of the list. */
static void connection_register(Connection *c, unsigned n, bool response) {
        const Load *l = c->load;
        size_t begin = l->offsets[c->next], size = l->offsets[c->next + n] - begin;
        uint8_t count[SBS_INTEGER_MAX];
        size_t count_size = sbs_put_integer(count, n);

        (void) chatter_send_head(&c->chatter, !response, "HatEventer.MsgRegisterReq", count_size + size, &c->out);
        buffer_append(&c->out, count, count_size);
        buffer_append(&c->out, buffer_begin(&l->list) + begin, size);
        c->next = (c->next + n) % l->options.types;
        c->messages++;
        c->events += n;
        c->unanswered += response;
}

static bool connection_is_due(const Connection *c) {
        return c->load->options.messages ? c->messages >= c->load->options.messages : monotonic_ns() >= c->load->until;
}

/* Registers as much as may be now. */
static void connection_work(Connection *c) {
        const Options *o = &c->load->options;

        for (unsigned i = 0; i < TURN_MESSAGES && !c->finished; i++) {
                if (o->window ? c->unanswered >= o->window : buffer_size(&c->out) >= OUT_MAX)
                        break;
                if ((i % 64 == 0 || o->messages) && connection_is_due(c)) {
                        c->finished = true;
                        if (o->window == 0)
                                connection_register(c, 1, true);
                        break;
                }
                connection_register(c, o->events, o->window > 0);
        }
        connection_flush(c);
        connection_watch(c, buffer_size(&c->out) > 0 || (o->window == 0 && !c->finished));
}

static void connection_process(Connection *c, const ChatterMessage *m) {
        SbsReader r = { .at = m->data, .end = m->data + m->size };
        unsigned failed;
        size_t n;

        if (chatter_message_is(m, "HatEventer.MsgEventsNotify")) {
                if (sbs_read_count(&r, &n) < 0)
                        die("notification", -EBADMSG);
                c->events += n;
        } else if (chatter_message_is(m, "HatEventer.MsgRegisterRes")) {
                if (sbs_read_choice(&r, 2, &failed) < 0 || failed)
                        die("a registration failed", -EREMOTEIO);
                c->unanswered--;
        } else if (chatter_message_is(m, "HatEventer.MsgInitRes")) {
                if (sbs_read_choice(&r, 2, &failed) < 0 || failed)
                        die("refused", -ECONNREFUSED);
                c->accepted = true;
        }
}

static void connection_receive(Connection *c) {
        ssize_t got = recv(c->fd, buffer_reserve(&c->in, READ_SIZE), READ_SIZE, MSG_DONTWAIT);
        ChatterMessage m;
        size_t used;
        int r;

        if (got < 0 && errno == EAGAIN)
                return;
        if (got <= 0)
                die(c->subscribes ? "a subscribed connection" : "a registering connection", got < 0 ? -errno : -ECONNRESET);
        buffer_commit(&c->in, (size_t) got);

        for (;;) {
                r = chatter_receive(&c->chatter, buffer_begin(&c->in), buffer_size(&c->in), 0, &c->out, &used, &m);
                if (r < 0)
                        die("received", r);
                if (used == 0)
                        break;
                if (r > 0)
                        connection_process(c, &m);
                buffer_consume(&c->in, used);
        }
}

/* ---- all of them ------------------------------------------------------------------------------------- */

static void load_turn(Load *l, bool works) {
        struct epoll_event events[64];
        int n = epoll_wait(l->epoll, events, ELEMENTSOF(events), 1000);

        if (n < 0 && errno != EINTR)
                die("epoll", -errno);
        for (int i = 0; i < n; i++) {
                Connection *c = events[i].data.ptr;

                if (events[i].events & (EPOLLIN | EPOLLHUP | EPOLLERR))
                        connection_receive(c);
                if (works && !c->subscribes)
                        connection_work(c);
                else
                        connection_flush(c); /* a pong */
        }
}

static bool load_accepted(const Load *l) {
        for (size_t i = 0; i < l->n; i++)
                if (!l->connections[i].accepted)
                        return false;
        return true;
}

/* Events that were registered, or the least that a subscriber was notified of. */
static uint64_t load_count(const Load *l, bool subscribers) {
        uint64_t sum = 0, least = UINT64_MAX;

        for (size_t i = 0; i < l->n; i++) {
                const Connection *c = &l->connections[i];

                if (c->subscribes)
                        least = MIN(least, c->events);
                else
                        sum += c->events;
        }
        return subscribers ? least : sum;
}

static bool load_done(const Load *l) {
        for (size_t i = 0; i < l->options.connections; i++)
                if (!l->connections[i].finished || l->connections[i].unanswered > 0)
                        return false;
        return l->options.subscribers == 0 || load_count(l, true) >= load_count(l, false);
}

static void load_open(Load *l) {
        l->epoll = epoll_create1(EPOLL_CLOEXEC);
        if (l->epoll < 0)
                die("epoll", -errno);
        l->n = (size_t) l->options.connections + l->options.subscribers;
        l->connections = g_new0(Connection, l->n);
        load_make_events(l);
        for (size_t i = 0; i < l->n; i++)
                connection_open(l, &l->connections[i], i >= l->options.connections);
        while (!load_accepted(l))
                load_turn(l, false);
        /* each one registers types of its own as far as there are enough */
        for (size_t i = 0; i < l->options.connections; i++)
                l->connections[i].next = i * l->options.types / l->options.connections;
}

static void load_run(Load *l) {
        uint64_t begin = monotonic_ns();
        double seconds;

        l->until = begin + (uint64_t) (l->options.seconds * 1e9);
        for (size_t i = 0; i < l->options.connections; i++)
                connection_work(&l->connections[i]);
        while (!load_done(l))
                load_turn(l, true);

        seconds = (double) (monotonic_ns() - begin) / 1e9;
        printf("events=%" PRIu64 " seconds=%.6f rate=%.1f\n", load_count(l, false), seconds,
               (double) load_count(l, false) / seconds);
}

static void load_close(Load *l) {
        for (size_t i = 0; i < l->n; i++)
                connection_close(&l->connections[i]);
        g_free(l->connections);
        g_free(l->offsets);
        buffer_done(&l->list);
        (void) safe_close(l->epoll);
}

/* ---- latency ----------------------------------------------------------------------------------------- */

static uint64_t latency_sample(Connection *source, Connection *subscriber) {
        uint64_t events = subscriber->events, begin = monotonic_ns();

        connection_register(source, 1, false);
        connection_flush(source);
        while (subscriber->events == events) {
                struct pollfd p = { .fd = subscriber->fd, .events = POLLIN };

                if (poll(&p, 1, -1) < 0 && errno != EINTR)
                        die("poll", -errno);
                connection_receive(subscriber);
        }
        return monotonic_ns() - begin;
}

static void load_run_latency(Load *l) {
        size_t n = l->options.latency;
        g_autofree uint64_t *samples = g_new0(uint64_t, n);
        const struct timespec pause = { .tv_nsec = PAUSE_NS };

        for (size_t i = 0; i < WARM_UP + n; i++) {
                uint64_t sample = latency_sample(&l->connections[0], &l->connections[1]);

                if (i >= WARM_UP)
                        samples[i - WARM_UP] = sample;
                (void) nanosleep(&pause, NULL);
        }
        samples_print("p", samples, n);
        printf("\n");
}

/* ---- main -------------------------------------------------------------------------------------------- */

static unsigned parse_number(const char *text, unsigned least, unsigned most) {
        char *end;
        unsigned long value = strtoul(text, &end, 10);

        if (*text == '\0' || *end != '\0' || value < least || value > most) {
                fprintf(stderr, "event-load: %s is not a number between %u and %u\n", text, least, most);
                exit(2);
        }
        return (unsigned) value;
}

static void parse_option(Options *o, int c, const char *text) {
        switch (c) {
        case 's':
                o->server = text;
                break;
        case 'c':
                o->connections = parse_number(text, 1, 900);
                break;
        case 'w':
                o->window = parse_number(text, 0, 1000000);
                break;
        case 'e':
                o->events = parse_number(text, 1, EVENTS_MAX);
                break;
        case 'S':
                o->subscribers = parse_number(text, 0, 900);
                break;
        case 't':
                o->types = parse_number(text, 1, 10000000);
                break;
        case 'm':
                o->messages = parse_number(text, 1, 1000000000);
                break;
        case 'T':
                o->seconds = strtod(text, NULL);
                break;
        case 'l':
                o->latency = parse_number(text, 1, 10000000);
                break;
        default:
                exit(2);
        }
}

int main(int argc, char *argv[]) {
        static const struct option options[] = {
                { "server",      required_argument, NULL, 's' },
                { "connections", required_argument, NULL, 'c' },
                { "window",      required_argument, NULL, 'w' },
                { "events",      required_argument, NULL, 'e' },
                { "subscribers", required_argument, NULL, 'S' },
                { "types",       required_argument, NULL, 't' },
                { "messages",    required_argument, NULL, 'm' },
                { "seconds",     required_argument, NULL, 'T' },
                { "latency",     required_argument, NULL, 'l' },
                {}
        };
        Load l = { .options = { .connections = 1, .events = 1, .types = 1000, .seconds = 3 } };

        for (int c; (c = getopt_long(argc, argv, "", options, NULL)) >= 0;)
                parse_option(&l.options, c, optarg);
        if (!l.options.server || optind < argc) {
                fprintf(stderr, "usage: %s --server=ADDRESS [OPTION…]\n", argv[0]);
                return 2;
        }
        if (l.options.latency > 0)
                l.options.connections = l.options.subscribers = 1;

        load_open(&l);
        if (l.options.latency > 0)
                load_run_latency(&l);
        else
                load_run(&l);
        load_close(&l);
        return 0;
}
