/* SPDX-License-Identifier: Apache-2.0 */
/* Whole conversations of the eventer client. The input is a script: a byte says what happens next, bytes of
 * the server (one length byte, then as many bytes), time, registrations, requests, output taken. Whatever
 * happens, the output must be whole frames with ids 1, 2, 3 … and every request comes back once. */

#include <errno.h>
#include <stdlib.h>

#include "base/bounds.h"
#include "event/chatter.h"
#include "event/eventer.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

typedef struct Run {
        Eventer *eventer;
        Buffer in, out;
        usec_t now;
        unsigned n_requests; /* that wait */
        EventerStatus status; /* the last one that was told; standby before */
        bool accepted, dead, nested;
} Run;

static void check(bool condition) {
        if (!condition)
                abort();
}

static const Subtype prefix_subtypes[] = { SUBTYPE("gateway"), SUBTYPE("x"), SUBTYPE("y") };
static const EventType prefix = { prefix_subtypes, ELEMENTSOF(prefix_subtypes) };
static const char *const name[] = { "a", "b", NULL };
static const Payload json = { .kind = PAYLOAD_JSON, .json = JSON_LITERAL("{\"a\": 1}") };
static const Payload binary = { .kind = PAYLOAD_BINARY,
                                .binary_type = SUBTYPE("t"),
                                .data = (const uint8_t *) "abc",
                                .size = 3 };

static void request(Run *run, bool query) {
        EventerRequest *r = g_new0(EventerRequest, 1);

        if (!query && run->status != EVENTER_OPERATIONAL) {
                check(eventer_request_register(run->eventer, prefix, name, NULL, &json, run->now, r) == -EHOSTDOWN);
                g_free(r);
                return;
        }
        if (query)
                check(eventer_request_query(run->eventer, &(EventerQuery) { .types = &prefix, .n_types = 1 },
                                            run->now, r) == 0);
        else
                check(eventer_request_register(run->eventer, prefix, name, NULL, &json, run->now, r) == 0);
        run->n_requests++;
}

static void answered(Run *run, EventerRequest *r) {
        check(run->n_requests-- > 0);
        g_free(r);
}

/* Everything that was handed out is read. */
static void look_at(const Event *events, size_t n) {
        for (size_t i = 0; i < n; i++) {
                g_autofree char *text = event_type_format(events[i].type);
                JsonSpan v;

                check(strlen(text) + 1 >= events[i].type.n);
                check(events[i].timestamp.us >= 0 && events[i].timestamp.us < 1000000);
                if (event_payload_json(&events[i], &v) >= 0)
                        check(json_kind(v) >= 0);
        }
}

static void on_accepted(EventerStatus status, void *userdata) {
        Run *run = userdata;

        check(!run->accepted && eventer_status_to_string(status));
        run->accepted = true;
        run->status = status;
}

static void on_refused(const char *text, size_t size, void *userdata) {
        Run *run = userdata;

        check(!run->accepted);
}

static void on_status(EventerStatus status, void *userdata) {
        Run *run = userdata;

        check(run->accepted && eventer_status_to_string(status));
        run->status = status;
}

static void on_events(const Event *events, size_t n, void *userdata) {
        Run *run = userdata;

        check(run->accepted);
        look_at(events, n);
        if (run->nested) {
                (void) eventer_register(run->eventer, prefix, name, NULL, &json);
                request(run, n % 2 == 0);
        }
}

static void on_registered(EventerRequest *r, bool failure, const Event *events, size_t n, void *userdata) {
        check(r->kind == EVENTER_REQUEST_REGISTER && (!failure || n == 0));
        look_at(events, n);
        answered(userdata, r);
}

static void on_result(EventerRequest *r, const Event *events, size_t n, bool more_follows, void *userdata) {
        check(r->kind == EVENTER_REQUEST_QUERY);
        look_at(events, n);
        answered(userdata, r);
}

static void on_timed_out(EventerRequest *r, void *userdata) {
        Run *run = userdata;

        check(run->now >= r->deadline);
        answered(run, r);
}

static const EventerHandler handler = {
        .accepted = on_accepted,
        .refused = on_refused,
        .status = on_status,
        .events = on_events,
        .registered = on_registered,
        .result = on_result,
        .timed_out = on_timed_out,
};

static void take_output(Run *run) {
        struct iovec iov[EVENTER_OUTPUT_MAX];
        size_t n = eventer_output(run->eventer, iov);

        for (size_t i = 0; i < n; i++)
                buffer_append(&run->out, iov[i].iov_base, iov[i].iov_len);
        eventer_output_sent(run->eventer);
}

static void check_output(Run *run) {
        _cleanup_(buffer_done) Buffer pongs = { 0 };
        ChatterMessage m;
        int64_t id = 0;
        Chatter c;

        chatter_init(&c, 0);
        while (buffer_size(&run->out) > 0) {
                size_t used;
                int r;

                r = chatter_receive(&c, buffer_begin(&run->out), buffer_size(&run->out), 0, &pongs, &used,
                                    &m);
                check(r >= 0 && used > 0);
                id++;
                if (r > 0)
                        check(m.id == id && m.token);
                buffer_consume(&run->out, used);
        }
}

static void feed(Run *run, const uint8_t *data, size_t size) {
        g_autofree uint8_t *exact = NULL;
        int64_t used;

        buffer_append(&run->in, data, size);
        exact = g_memdup2(buffer_size(&run->in) > 0 ? buffer_begin(&run->in) : (const uint8_t *) "",
                          MAX(buffer_size(&run->in), 1));
        used = eventer_receive(run->eventer, exact, buffer_size(&run->in), run->now);
        if (used < 0) {
                check(used == -EBADMSG || used == -EMSGSIZE || used == -EPROTO || used == -ECONNREFUSED);
                run->dead = true;
        } else
                buffer_consume(&run->in, (size_t) used);
}

static void step(Run *run, uint8_t what) {
        int r;

        switch (what % 8) {
        case 1:
                (void) eventer_register(run->eventer, prefix, name, &(Timestamp) { what, what },
                                        what & 8 ? &json : &binary);
                break;
        case 2:
                eventer_flush(run->eventer);
                break;
        case 3:
                request(run, true);
                break;
        case 4:
                request(run, false);
                break;
        case 5:
                take_output(run);
                break;
        case 6:
                run->now = usec_add(run->now, (usec_t) (what / 8) * USEC_PER_SEC);
                r = eventer_elapse(run->eventer, run->now);
                check(r == 0 || r == -ETIMEDOUT);
                check(r < 0 || eventer_deadline(run->eventer) > run->now);
                run->dead = r < 0;
                break;
        default:
                run->nested = !run->nested;
        }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
        static const EventerInit init = { .client_name = "fuzz",
                                          .subscriptions = &prefix,
                                          .n_subscriptions = 1 };
        Run run = { .eventer = eventer_new(&handler, &run) };
        const uint8_t *end = data + size;
        EventerRequest *r;

        eventer_init(run.eventer, &init);
        eventer_connected(run.eventer, 0);
        while (data < end && !run.dead) {
                uint8_t what = *data++;

                if (what % 8 == 0 && data < end) {
                        size_t n = MIN(*data, (size_t) (end - data - 1));

                        feed(&run, data + 1, n);
                        data += 1 + n;
                } else
                        step(&run, what);
        }

        eventer_flush(run.eventer);
        take_output(&run);
        check_output(&run);
        while ((r = eventer_steal_request(run.eventer)))
                answered(&run, r);
        check(run.n_requests == 0);
        eventer_free(run.eventer);
        buffer_done(&run.in);
        buffer_done(&run.out);
        return 0;
}
