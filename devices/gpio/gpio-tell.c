/* SPDX-License-Identifier: Apache-2.0 */
/* What a gpio device registers (spec gpio.md 2). Loop thread. */

#include "devices/gpio/gpio-device.h"

void gpio_set_status(GpioDevice *g, GpioStatus status) {
        static const JsonSpan payloads[] = {
                [GPIO_STATUS_CONNECTING] = JSON_LITERAL("\"CONNECTING\""),
                [GPIO_STATUS_CONNECTED] = JSON_LITERAL("\"CONNECTED\""),
                [GPIO_STATUS_DISCONNECTED] = JSON_LITERAL("\"DISCONNECTED\""),
        };
        static const char *const subtypes[] = { "status", NULL };

        if (g->status == status)
                return;
        g->status = status;
        device_register(&g->device, subtypes, NULL, payloads[status]);
}

static void gpio_register_line(GpioDevice *g, const char *name, const char *what, const Timestamp *source) {
        const char *const subtypes[] = { "line", name, what, NULL };
        JsonSpan payload;

        if (json_writer_end(&g->json, &payload) >= 0)
                device_register(&g->device, subtypes, source, payload);
}

static void gpio_tell(GpioDevice *g, GpioLine *l) {
        static const char *const causes[] = {
                [GPIO_INTERROGATE] = "INTERROGATE",
                [GPIO_CHANGE] = "CHANGE",
                [GPIO_WRITE] = "WRITE",
        };
        JsonWriter *w = &g->json;

        l->untold = false;
        json_writer_reset(w);
        json_open_object(w);
        json_key(w, "value");
        json_int(w, l->told);
        json_member_string(w, "cause", causes[l->cause]);
        json_close_object(w);
        gpio_register_line(g, l->conf->name, "state", &l->source);
}

void gpio_state(GpioDevice *g, GpioLine *l, int value, GpioCause cause, usec_t time) {
        l->told = value;
        l->value = (uint64_t) value;
        l->cause = cause;
        l->source = gpio_stamp(&l->stamp, &g->clock, time);
        if (g->held)
                l->untold = true;
        else
                gpio_tell(g, l);
}

void gpio_tell_held(GpioDevice *g) {
        for (size_t i = 0; i < g->n; i++)
                if (g->line[i].untold)
                        gpio_tell(g, &g->line[i]);
}

void gpio_register_count(GpioDevice *g, GpioLine *l, uint64_t delta, usec_t time) {
        JsonWriter *w = &g->json;
        GpioStamp stamp = {};
        Timestamp source = gpio_stamp(&stamp, &g->clock, time);

        json_writer_reset(w);
        json_open_object(w);
        json_member_uint(w, "value", l->in.count);
        json_member_uint(w, "delta", delta);
        json_close_object(w);
        gpio_register_line(g, l->conf->name, "counter", &source);
}

void gpio_answer(GpioDevice *g, const char *name, JsonSpan request_id, GpioResult result) {
        JsonWriter *w = &g->json;

        json_writer_reset(w);
        json_open_object(w);
        json_key(w, "request_id");
        json_raw(w, request_id);
        json_member_string(w, "result", gpio_result_to_string(result));
        json_close_object(w);
        gpio_register_line(g, name, "write", NULL);
}

