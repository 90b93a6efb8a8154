/* SPDX-License-Identifier: Apache-2.0 */
/* Whole conversations of a monitor's component. The input is a script: a byte says what happens next: bytes of the monitor (one length
 * byte, then as many bytes), ready or not, the work has ended, time. Whatever happens, we may work only while the monitor asks for the
 * token that it has heard from us, and we hold that token until the work has ended. */

#include <errno.h>
#include <stdlib.h>

#include "tests/unit/observer-messages.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

typedef struct Run {
        Observer *observer;
        Chatter monitor; /* reads what we say */
        Buffer in;
        usec_t now;
        ObserverState state;
        int64_t said, working; /* tokens; INT64_MIN: none */
        bool dead, end_at_once;
} Run;

#define NO_TOKEN INT64_MIN
#define SIZE_WITHOUT_TOKEN 16 /* name, group and data, none, ready */

static void check(bool condition) {
        if (!condition)
                abort();
}

/* Whole frames with ids 1, 2, 3 …; the last one says which token we hold. */
static void take_output(Run *run) {
        Buffer *out = observer_output(run->observer);
        _cleanup_(buffer_done) Buffer pongs = { 0 };

        while (buffer_size(out) > 0) {
                ChatterMessage m;
                size_t used;
                int r;

                r = chatter_receive(&run->monitor, buffer_begin(out), buffer_size(out), 0, &pongs, &used, &m);
                check(r >= 0 && used > 0);
                if (r > 0) {
                        g_autofree char *text = component_message_text(&m);

                        check(g_str_has_prefix(text, "gw@group null "));
                        run->said = m.size == SIZE_WITHOUT_TOKEN ? NO_TOKEN : g_ascii_strtoll(strrchr(text, ' '), NULL, 10);
                }
                buffer_consume(out, used);
        }
}

static void on_components(const ObserverComponent *components, size_t n, const ObserverComponent *own, void *userdata) {
        static const char *const tokens[] = { NULL, "t" };

        for (size_t i = 0; i < ELEMENTSOF(tokens); i++) {
                ObserverEventServer s;

                if (observer_find_event_server(components, n, "event", tokens[i], &s) < 0)
                        continue;
                check(s.host && s.port > 0);
                check(!tokens[i] || g_strcmp0(s.token, tokens[i]) == 0);
                observer_event_server_done(&s);
        }
        for (size_t i = 0; i < n; i++)
                check(json_kind(components[i].data) >= 0);
        check(!own || (own >= components && own < components + n));
}

static void on_state(ObserverState state, void *userdata) {
        static const bool legal[4][4] = {
                [OBSERVER_IDLE] = { [OBSERVER_CONFIRM] = true },
                [OBSERVER_CONFIRM] = { [OBSERVER_IDLE] = true, [OBSERVER_ACTIVE] = true },
                [OBSERVER_ACTIVE] = { [OBSERVER_ENDING] = true },
                [OBSERVER_ENDING] = { [OBSERVER_IDLE] = true },
        };
        Run *run = userdata;

        check(legal[run->state][state]);
        check(observer_get_state(run->observer) == state);
        run->state = state;
        take_output(run);
        if (state == OBSERVER_ACTIVE)
                run->working = run->said;
        if (state == OBSERVER_ACTIVE || state == OBSERVER_ENDING)
                check(run->said != NO_TOKEN && run->said == run->working);
        if (state == OBSERVER_ENDING && run->end_at_once)
                observer_set_ended(run->observer);
}

static const ObserverHandler handler = { .components = on_components, .state = on_state };

static void feed(Run *run, const uint8_t *data, size_t size) {
        g_autofree uint8_t *exact = NULL;
        int64_t used;

        buffer_append(&run->in, data, size);
        exact = g_memdup2(buffer_size(&run->in) > 0 ? buffer_begin(&run->in) : (const uint8_t *) "",
                          MAX(buffer_size(&run->in), 1));
        used = observer_receive(run->observer, exact, buffer_size(&run->in), run->now);
        if (used < 0) {
                check(used == -EBADMSG || used == -EMSGSIZE || used == -EPROTO || used == -ESHUTDOWN);
                run->dead = true;
        } else
                buffer_consume(&run->in, (size_t) used);
}

static void step(Run *run, uint8_t what) {
        int r;

        switch (what % 8) {
        case 1:
                observer_set_ready(run->observer, what & 8);
                break;
        case 2:
                observer_set_ended(run->observer);
                break;
        case 3:
                run->end_at_once = !run->end_at_once;
                break;
        case 4:
                run->now = usec_add(run->now, (usec_t) (what / 8) * USEC_PER_SEC);
                r = observer_elapse(run->observer, run->now);
                check(r == 0 || r == -ETIMEDOUT);
                check(r < 0 || observer_deadline(run->observer) > run->now);
                run->dead = r < 0;
                break;
        default:
                take_output(run);
        }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
        Run run = { .said = NO_TOKEN };
        const uint8_t *end = data + size;

        chatter_init(&run.monitor, 0);
        run.observer = observer_new(0, 5 * USEC_PER_SEC, 5 * USEC_PER_SEC, "gw", "group", &handler, &run);
        while (data < end && !run.dead) {
                uint8_t what = *data++;

                if (what % 8 == 0 && data < end) {
                        size_t n = MIN(*data, (size_t) (end - data - 1));

                        feed(&run, data + 1, n);
                        data += 1 + n;
                } else
                        step(&run, what);
                take_output(&run);
                if (run.state == OBSERVER_ACTIVE || run.state == OBSERVER_ENDING)
                        check(run.said == run.working);
        }
        observer_free(run.observer);
        buffer_done(&run.in);
        return 0;
}
