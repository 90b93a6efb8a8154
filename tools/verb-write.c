/* SPDX-License-Identifier: Apache-2.0 */
/* gatewayctl write DEVICE POINT VALUE: registers the event that writes, and waits for the device's answer. */
#include <errno.h>

#include "tools/event-connection.h"
#include "tools/json-text.h"
#include "tools/points.h"
#include "tools/verbs.h"

#define WRITE_USEC (10 * USEC_PER_SEC) /* without --timeout= */

typedef struct Write {
        const char *request_id;
        bool answered;
        char *result; /* of the answer; NULL: success */
} Write;

/* ---- payloads ---------------------------------------------------------------------------------------- */

static void write_value(JsonWriter *w, const char *value) {
        JsonSpan json;

        json_key(w, "value");
        if (json_check(value, strlen(value), &json) >= 0)
                json_raw(w, json);
        else
                json_string(w, value); /* a bare word */
}

/* request_id: NULL for a point that nothing answers. */
static char *make_payload(const char *request_id, const char *value) {
        JsonWriter w;

        json_writer_init_growing(&w);
        json_open_object(&w);
        if (request_id) {
                json_member_string(&w, "request_id", request_id);
        }
        write_value(&w, value);
        json_close_object(&w);
        return json_writer_steal(&w);
}

static void take_answer(Write *w, JsonSpan payload) {
        JsonSpan id, result;

        if (json_get(payload, "request_id", &id) < 0 || json_kind(id) != JSON_STRING ||
            !json_text_equal(id, w->request_id))
                return;
        w->answered = true;
        if (json_get(payload, "result", &result) < 0)
                w->result = g_strdup("the answer has no result");
        else if (json_kind(result) != JSON_STRING || !json_text_equal(result, "SUCCESS"))
                w->result = json_text_plain(result);
}

static void on_events(const Event *events, size_t n, void *userdata) {
        Write *w = userdata;
        JsonSpan payload;

        for (size_t i = 0; i < n && !w->answered; i++)
                if (event_payload_json(&events[i], &payload) >= 0)
                        take_answer(w, payload);
}

/* ---- the conversation -------------------------------------------------------------------------------- */

/* state: of the device, for the case that nothing answers. */
static ExitStatus wait_answer(EventConnection *c, const Write *w, const DeviceView *v, const Point *p) {
        int r;

        r = event_connection_wait(c, &w->answered);
        if (r < 0 && event_connection_is_over(c))
                return complain(CTL_TIMEOUT, "Cannot write %s of %s/%s: no answer in time%s%s", p->name,
                                v->type, v->name, v->running ? "" : "; the device is ",
                                v->running ? "" : v->state);
        if (r < 0)
                return event_connection_complain(c, r);
        if (w->result)
                return complain(CTL_FAILED, "Cannot write %s of %s/%s: %s", p->name, v->type, v->name,
                                w->result);
        return CTL_OK;
}

static ExitStatus write_point(Client *bus, const Options *o, const DeviceView *v, const Point *p,
                              const char *value) {
        g_autofree char *id = g_uuid_string_random(),
                        *text = make_payload(p->answer.n > 0 ? id : NULL, value);
        Payload payload = { .kind = PAYLOAD_JSON, .json = { .text = text, .size = strlen(text) } };
        _cleanup_(event_connection_freep) EventConnection *c = NULL;
        Write w = { .request_id = id };
        ExitStatus s;
        int r;

        s = event_connection_new(o, bus, o->timeout > 0 ? o->timeout : WRITE_USEC, on_events, &w, &c);
        if (s == CTL_OK)
                s = event_connection_begin(c, &p->answer, p->answer.n > 0 ? 1 : 0);
        if (s != CTL_OK)
                return s;
        r = event_connection_register(c, p->out, NULL, &payload, NULL, NULL);
        s = r < 0 ? event_connection_complain(c, r) : CTL_OK;
        if (s == CTL_OK && p->answer.n > 0)
                s = wait_answer(c, &w, v, p);
        g_free(w.result);
        return s;
}

ExitStatus verb_write(Client *bus, const Options *o, char **arguments) {
        _cleanup_(device_view_freep) DeviceView *v = NULL;
        g_autoptr(GPtrArray) points = NULL;
        const Point *p;
        ExitStatus s;

        s = device_find(bus, arguments[0], false, &v);
        if (s != CTL_OK)
                return s;
        points = points_new(v);
        s = point_find(points, v, POINT_VALUE, arguments[1], &p);
        return s == CTL_OK ? write_point(bus, o, v, p, arguments[2]) : s;
}
