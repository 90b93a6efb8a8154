/* SPDX-License-Identifier: Apache-2.0 */
/* Between the vectors' bodies and the eventer's structs: tests/unit/eventer-bodies.h. */

#include "tests/unit/eventer-bodies.h"

BodyTypes body_types(JsonSpan list) {
        BodyTypes t = { .types = g_new0(EventType, 1) };

        FOREACH_ITEM(item, list) {
                GArray *subtypes = g_array_new(FALSE, FALSE, sizeof(Subtype));

                FOREACH_ITEM(text, item) {
                        Subtype s;

                        s.text = vector_text(text, &s.size);
                        g_array_append_val(subtypes, s);
                }
                t.types = g_renew(EventType, t.types, t.n + 1);
                t.types[t.n].n = subtypes->len;
                t.types[t.n++].subtypes = (const Subtype *) (void *) g_array_free(subtypes, FALSE);
        }
        return t;
}

void body_types_done(BodyTypes *t) {
        for (size_t i = 0; i < t->n; i++) {
                for (size_t j = 0; j < t->types[i].n; j++)
                        g_free((char *) t->types[i].subtypes[j].text);
                g_free((void *) t->types[i].subtypes);
        }
        g_free(t->types);
}

Timestamp body_timestamp(JsonSpan v) {
        return (Timestamp) {
                .s = vector_integer(vector_get(v, "s")),
                .us = (int32_t) vector_integer(vector_get(v, "us")),
        };
}

static EventId body_event_id(JsonSpan v) {
        return (EventId) {
                .server = vector_integer(vector_get(v, "server")),
                .session = vector_integer(vector_get(v, "session")),
                .instance = vector_integer(vector_get(v, "instance")),
        };
}

/* ---- driving ----------------------------------------------------------------------------------------- */

static void send_init(Eventer *e, JsonSpan body) {
        _cleanup_(body_types_done) BodyTypes subscriptions = body_types(vector_get(body, "subscriptions"));
        g_autofree char *name = vector_text(vector_get(body, "clientName"), NULL), *token = NULL;
        JsonSpan value;
        int64_t server_id;
        EventerInit init = {
                .client_name = name,
                .subscriptions = subscriptions.types,
                .n_subscriptions = subscriptions.n,
                .persisted = vector_bool(vector_get(body, "persisted")),
        };

        if (vector_choice(vector_get(body, "clientToken"), "value", &value))
                init.client_token = token = vector_text(value, NULL);
        if (vector_choice(vector_get(body, "serverId"), "value", &value)) {
                server_id = vector_integer(value);
                init.server_id = &server_id;
        }
        eventer_init(e, &init);
}

static void register_one(Eventer *e, JsonSpan x) {
        static const char *const none[] = { NULL };
        g_autofree char *json = NULL, *binary_type = NULL;
        g_autofree char *list = NULL;
        g_autoptr(GByteArray) data = NULL;
        JsonSpan type = vector_get(x, "type"), value, content;
        _cleanup_(body_types_done) BodyTypes types = { 0 };
        Payload payload = { 0 };
        Timestamp source;
        bool has_source;

        list = g_strdup_printf("[%.*s]", (int) type.size, type.text);
        types = body_types((JsonSpan) { list, strlen(list) });
        has_source = vector_choice(vector_get(x, "sourceTimestamp"), "value", &value);
        if (has_source)
                source = body_timestamp(value);
        if (vector_choice(vector_get(x, "payload"), "value", &value)) {
                if (vector_choice(value, "json", &content)) {
                        payload.kind = PAYLOAD_JSON;
                        payload.json.text = json = vector_text(content, &payload.json.size);
                } else {
                        g_assert_true(vector_choice(value, "binary", &content));
                        payload.kind = PAYLOAD_BINARY;
                        payload.binary_type.text = binary_type = vector_text(vector_get(content, "type"),
                                                                             &payload.binary_type.size);
                        data = vector_hex(vector_get(content, "data"));
                        payload.data = data->data;
                        payload.size = data->len;
                }
        }
        g_assert_cmpint(eventer_register(e, types.types[0], none, has_source ? &source : NULL, &payload), ==,
                        0);
}

static const Timestamp *optional_timestamp(JsonSpan v, Timestamp *memory) {
        JsonSpan value;

        if (!vector_choice(v, "value", &value))
                return NULL;
        *memory = body_timestamp(value);
        return memory;
}

static void send_query(Eventer *e, JsonSpan body, usec_t now, EventerRequest *request) {
        _cleanup_(body_types_done) BodyTypes types = { 0 };
        Timestamp times[4];
        EventerQuery q = { 0 };
        int64_t max_results;
        JsonSpan p, value;
        EventId last;

        if (vector_choice(body, "latest", &p))
                q.kind = QUERY_LATEST;
        else if (vector_choice(body, "timeseries", &p)) {
                q.kind = QUERY_TIMESERIES;
                q.t_from = optional_timestamp(vector_get(p, "tFrom"), &times[0]);
                q.t_to = optional_timestamp(vector_get(p, "tTo"), &times[1]);
                q.source_t_from = optional_timestamp(vector_get(p, "sourceTFrom"), &times[2]);
                q.source_t_to = optional_timestamp(vector_get(p, "sourceTTo"), &times[3]);
                q.order = vector_choice(vector_get(p, "order"), "ascending", NULL) ? QUERY_ASCENDING
                                                                                   : QUERY_DESCENDING;
                q.order_by = vector_choice(vector_get(p, "orderBy"), "sourceTimestamp", NULL)
                                             ? QUERY_BY_SOURCE_TIMESTAMP
                                             : QUERY_BY_TIMESTAMP;
        } else {
                g_assert_true(vector_choice(body, "server", &p));
                q.kind = QUERY_SERVER;
                q.server_id = vector_integer(vector_get(p, "serverId"));
                q.persisted = vector_bool(vector_get(p, "persisted"));
        }

        if (q.kind != QUERY_SERVER && vector_choice(vector_get(p, "eventTypes"), "value", &value)) {
                types = body_types(value);
                q.types = types.types;
                q.n_types = types.n;
        }
        if (q.kind != QUERY_LATEST && vector_choice(vector_get(p, "maxResults"), "value", &value)) {
                max_results = vector_integer(value);
                q.max_results = &max_results;
        }
        if (q.kind != QUERY_LATEST && vector_choice(vector_get(p, "lastEventId"), "value", &value)) {
                last = body_event_id(value);
                q.last_event_id = &last;
        }
        g_assert_cmpint(eventer_request_query(e, &q, now, request), ==, 0);
}

void body_send(Eventer *e, JsonSpan type, JsonSpan body, bool last, usec_t now, EventerRequest *request) {
        if (json_text_equal(type, "HatEventer.MsgInitReq"))
                send_init(e, body);
        else if (json_text_equal(type, "HatEventer.MsgRegisterReq")) {
                FOREACH_ITEM(x, body)
                register_one(e, x);
                if (last)
                        eventer_flush(e);
                else
                        eventer_flush_request(e, now, request);
        } else if (json_text_equal(type, "HatEventer.MsgQueryReq"))
                send_query(e, body, now, request);
        else
                g_error("A client does not send %.*s by itself.", (int) type.size, type.text);
}

/* ---- comparing --------------------------------------------------------------------------------------- */

static void assert_payload(const Payload *p, JsonSpan body) {
        g_autofree char *text = NULL;
        JsonSpan value, content;
        size_t size;

        if (vector_choice(body, "none", NULL)) {
                g_assert_cmpint(p->kind, ==, PAYLOAD_NONE);
                return;
        }
        g_assert_true(vector_choice(body, "value", &value));
        if (vector_choice(value, "json", &content)) {
                text = vector_text(content, &size);
                g_assert_cmpint(p->kind, ==, PAYLOAD_JSON);
                g_assert_cmpmem(p->json.text, p->json.size, text, size);
        } else {
                g_assert_true(vector_choice(value, "binary", &content));
                text = vector_text(vector_get(content, "type"), &size);
                g_assert_cmpint(p->kind, ==, PAYLOAD_BINARY);
                g_assert_cmpmem(p->binary_type.text, p->binary_type.size, text, size);
                assert_bytes(p->data, p->size, vector_get(content, "data"));
        }
}

void assert_event(const Event *e, JsonSpan body) {
        JsonSpan type = vector_get(body, "type"), value;
        g_autofree char *list = g_strdup_printf("[%.*s]", (int) type.size, type.text);
        _cleanup_(body_types_done) BodyTypes types = body_types((JsonSpan) { list, strlen(list) });
        EventId id = body_event_id(vector_get(body, "id"));
        Timestamp timestamp = body_timestamp(vector_get(body, "timestamp"));

        g_assert_cmpint(e->id.server, ==, id.server);
        g_assert_cmpint(e->id.session, ==, id.session);
        g_assert_cmpint(e->id.instance, ==, id.instance);
        g_assert_true(event_type_equal(e->type, types.types[0]));
        g_assert_cmpint(timestamp_compare(&e->timestamp, &timestamp), ==, 0);
        g_assert_true(e->has_source == vector_choice(vector_get(body, "sourceTimestamp"), "value", &value));
        if (e->has_source) {
                timestamp = body_timestamp(value);
                g_assert_cmpint(timestamp_compare(&e->source, &timestamp), ==, 0);
        }
        assert_payload(&e->payload, vector_get(body, "payload"));
}

void assert_events(const Event *events, size_t n, JsonSpan list) {
        size_t i = 0;

        FOREACH_ITEM(x, list) {
                g_assert_cmpuint(i, <, n);
                assert_event(&events[i++], x);
        }
        g_assert_cmpuint(i, ==, n);
}
