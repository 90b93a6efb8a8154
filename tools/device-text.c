/* SPDX-License-Identifier: Apache-2.0 */
/* What a listing and a status say of a device. No state. */
#include "tools/device-text.h"
#include "tools/text.h"

Clocks clocks_now(const Client *c) {
        return (Clocks) {
                .local = c->local,
                .realtime = now_usec(CLOCK_REALTIME),
                .monotonic = now_usec(CLOCK_MONOTONIC),
        };
}

const char *device_enabled_text(const DeviceView *v) {
        if (!v->enabled_known)
                return "unknown";
        return v->enabled ? "yes" : "no";
}

bool device_link_matters(const DeviceView *v) {
        return v->running && !streq(v->link, "up");
}

char *moment_text(usec_t realtime, usec_t monotonic, const Clocks *now) {
        if (now->local && monotonic > 0)
                return ago_to_text(monotonic, now->monotonic);
        return realtime > 0 ? ago_to_text(realtime, now->realtime) : g_strdup("");
}

char *device_since_text(const DeviceView *v, const Clocks *now) {
        if (device_link_matters(v))
                return moment_text(v->link_realtime, v->link_monotonic, now);
        return moment_text(v->state_realtime, v->state_monotonic, now);
}

/* A reason that only repeats the word says nothing. */
static char *edge_text(const char *word, const char *reason, const char *detail) {
        if (detail[0])
                return text_printable(detail);
        return streq(reason, "none") || streq(reason, word) ? g_strdup("") : text_printable(reason);
}

char *device_detail_text(const DeviceView *v) {
        if (device_link_matters(v))
                return edge_text(v->link, v->link_reason, v->link_detail);
        return edge_text(v->state, v->state_reason, v->state_detail);
}

char *device_retry_text(const DeviceView *v, const Clocks *now) {
        g_autofree char *left = NULL;

        if (v->next_retry_monotonic == 0 || !now->local)
                return g_strdup("");
        left = duration_to_text(usec_sub(v->next_retry_monotonic, now->monotonic));
        return g_strconcat("in ", left, NULL);
}
