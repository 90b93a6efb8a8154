/* SPDX-License-Identifier: Apache-2.0 */
/* One sd-event timer that is armed lazily: it may fire before the deadline (which was moved later or
 * taken away since) and is then set anew or left off. Loop thread. */

#include "base/deadline.h"

#define DEADLINE_ACCURACY_USEC 1 /* 0 would be sd-event's default of 250 ms */

struct Deadline {
        sd_event_source *source;
        usec_t when;  /* what was asked for */
        usec_t armed; /* when the source fires; USEC_INFINITY: it is off */
        DeadlineCallback callback;
        void *userdata;
};

/* Neither call can fail while the loop runs; after that nobody waits. */
static void deadline_arm(Deadline *d) {
        d->armed = d->when;
        (void) sd_event_source_set_time(d->source, d->when);
        (void) sd_event_source_set_enabled(d->source, SD_EVENT_ONESHOT);
}

static int deadline_on_time(sd_event_source *source, uint64_t usec, void *userdata) {
        Deadline *d = userdata;
        uint64_t now;

        d->armed = USEC_INFINITY;
        if (d->when == USEC_INFINITY)
                return 0;

        if (sd_event_now(sd_event_source_get_event(source), CLOCK_MONOTONIC, &now) < 0 || d->when > now) {
                deadline_arm(d);
                return 0;
        }

        d->when = USEC_INFINITY;
        d->callback(d->userdata); /* may free d */
        return 0;
}

int deadline_new(sd_event *event, const char *description, DeadlineCallback callback, void *userdata,
                 Deadline **ret) {
        Deadline *d;
        int r;

        d = g_new(Deadline, 1);
        *d = (Deadline) {
                .when = USEC_INFINITY,
                .armed = USEC_INFINITY,
                .callback = callback,
                .userdata = userdata,
        };

        r = sd_event_add_time(event, &d->source, CLOCK_MONOTONIC, USEC_INFINITY, DEADLINE_ACCURACY_USEC,
                              deadline_on_time, d);
        if (r < 0) {
                g_free(d);
                return r;
        }
        (void) sd_event_source_set_enabled(d->source, SD_EVENT_OFF);
        (void) sd_event_source_set_description(d->source, description);

        *ret = d;
        return 0;
}

Deadline *deadline_free(Deadline *d) {
        if (!d)
                return NULL;

        d->source = sd_event_source_disable_unref(d->source);
        g_free(d);
        return NULL;
}

void deadline_set(Deadline *d, usec_t when) {
        d->when = when;
        if (when < d->armed)
                deadline_arm(d);
}

void deadline_set_relative(Deadline *d, usec_t delay) {
        deadline_set(d, usec_add(now_usec(CLOCK_MONOTONIC), delay));
}

usec_t deadline_get(const Deadline *d) {
        return d->when;
}

void deadline_set_priority(Deadline *d, int64_t priority) {
        (void) sd_event_source_set_priority(d->source, priority);
}
