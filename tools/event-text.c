/* SPDX-License-Identifier: Apache-2.0 */
/* An event as one line. No state. */
#include <inttypes.h>
#include <stdio.h>

#include "tools/event-text.h"
#include "tools/json-text.h"
#include "tools/text.h"

/* ---- time -------------------------------------------------------------------------------------------- */

char *timestamp_text(const Timestamp *t) {
        unsigned ms = (unsigned) t->us / 1000;
        time_t s = (time_t) t->s;
        char text[64];
        struct tm tm;

        if (localtime_r(&s, &tm) && strftime(text, sizeof(text), "%Y-%m-%d %H:%M:%S", &tm) > 0)
                return g_strdup_printf("%s.%03u", text, ms);
        return g_strdup_printf("@%" PRId64 ".%03u", t->s, ms);
}

int64_t timestamp_usec(const Timestamp *t) {
        int64_t usec;

        if (__builtin_mul_overflow(t->s, (int64_t) USEC_PER_SEC, &usec) ||
            __builtin_add_overflow(usec, t->us, &usec))
                return t->s < 0 ? INT64_MIN : INT64_MAX;
        return usec;
}

/* ---- for people -------------------------------------------------------------------------------------- */

static char *payload_text(const Event *e) {
        const Payload *p = &e->payload;
        JsonSpan json;

        if (p->kind == PAYLOAD_NONE)
                return g_strdup("");
        if (p->kind == PAYLOAD_BINARY) {
                g_autofree char *name = g_strndup(p->binary_type.text, p->binary_type.size),
                                *printable = text_printable(name);

                return g_strdup_printf("<%zu bytes of %s>", p->size, printable);
        }
        if (event_payload_json(e, &json) < 0)
                return g_strdup_printf("<%zu bytes that are no JSON>", p->json.size);
        return json_text(json, JSON_TEXT_LETTERS);
}

char *event_line(const Event *e) {
        g_autofree char *time = timestamp_text(&e->timestamp), *type = event_type_format(e->type),
                        *printable = text_printable(type), *payload = payload_text(e);

        return g_strconcat(time, "  ", printable, payload[0] ? "  " : "", payload, NULL);
}

/* ---- JSON -------------------------------------------------------------------------------------------- */

static void write_id(JsonWriter *w, const EventId *id) {
        json_open_object(w);
        json_key(w, "Server");
        json_int(w, id->server);
        json_key(w, "Session");
        json_int(w, id->session);
        json_key(w, "Instance");
        json_int(w, id->instance);
        json_close_object(w);
}

static void write_type(JsonWriter *w, EventType type) {
        json_open_array(w);
        for (size_t i = 0; i < type.n; i++)
                json_string_n(w, type.subtypes[i].text, type.subtypes[i].size);
        json_close_array(w);
}

static void write_binary(JsonWriter *w, const Payload *p) {
        g_autofree char *data = g_base64_encode(p->data, p->size);

        json_open_object(w);
        json_key(w, "Type");
        json_string_n(w, p->binary_type.text, p->binary_type.size);
        json_member_string(w, "Data", data);
        json_close_object(w);
}

/* Beside the kinds of Payload: text that is no JSON. */
#define MALFORMED (PAYLOAD_JSON + 1)

static const char *const kinds[] = {
        [PAYLOAD_NONE] = "none",
        [PAYLOAD_BINARY] = "binary",
        [PAYLOAD_JSON] = "json",
        [MALFORMED] = "malformed",
};

static void write_payload(JsonWriter *w, const Event *e) {
        const Payload *p = &e->payload;
        JsonSpan json;
        int r;

        r = event_payload_json(e, &json);
        json_member_string(w, "PayloadKind", kinds[p->kind == PAYLOAD_JSON && r < 0 ? MALFORMED : p->kind]);
        json_key(w, "Payload");
        if (p->kind == PAYLOAD_NONE)
                json_null(w);
        else if (p->kind == PAYLOAD_BINARY)
                write_binary(w, p);
        else if (r < 0)
                json_string_n(w, p->json.text, p->json.size);
        else
                json_raw(w, json);
}

char *event_json(const Event *e) {
        g_autofree char *text = NULL;
        JsonWriter w;

        json_writer_init_growing(&w);
        json_open_object(&w);
        json_key(&w, "Id");
        write_id(&w, &e->id);
        json_key(&w, "Type");
        write_type(&w, e->type);
        json_key(&w, "Timestamp");
        json_int(&w, timestamp_usec(&e->timestamp));
        json_key(&w, "SourceTimestamp");
        if (e->has_source)
                json_int(&w, timestamp_usec(&e->source));
        else
                json_null(&w);
        write_payload(&w, e);
        json_close_object(&w);
        text = json_writer_steal(&w);
        return json_text((JsonSpan) { .text = text, .size = strlen(text) }, 0);
}

void event_print(const Event *e, const Options *o) {
        g_autofree char *text = o->json != JSON_OFF ? event_json(e) : event_line(e);

        puts(text);
}
