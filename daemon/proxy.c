/* SPDX-License-Identifier: Apache-2.0 */
/* The state machine of a proxy. Level-triggered: causes set fields, proxy_reconcile() compares and takes one
 * step, proxy_settle() derives what observers see. Loop thread. */
#include <errno.h>
#include <inttypes.h>

#include "base/bounds.h"
#include "daemon/engine.h"
#include "daemon/proxy-internal.h"

static const char *const proxy_state_table[_PROXY_STATE_MAX] = {
        [PROXY_DISABLED] = "disabled",
        [PROXY_WAITING] = "waiting",
        [PROXY_STARTING] = "starting",
        [PROXY_RUNNING] = "running",
        [PROXY_STOPPING] = "stopping",
        [PROXY_FAILED] = "failed",
};
DEFINE_STRING_TABLE(proxy_state, ProxyState, proxy_state_table);

/* ---- what observers see ------------------------------------------------------------------------------ */

void proxy_edge_set(ProxyEdge *e, DeviceReason reason, const char *detail) {
        char *copy = g_strdup(detail ?: "");

        e->reason = reason;
        g_free(e->detail);
        e->detail = copy;
}

static bool edge_says(const ProxyEdge *e, DeviceReason reason, const char *detail) {
        return e->reason == reason && streq(e->detail, detail ?: "");
}

static void edge_stamp(ProxyEdge *e) {
        e->realtime = now_usec(CLOCK_REALTIME);
        e->monotonic = now_usec(CLOCK_MONOTONIC);
}

static void proxy_update_share(Proxy *p) {
        const ProxyView *v = &p->view;
        ProxyShare old = p->share;

        p->share = (ProxyShare) {
                .enabled = v->enabled,
                .running = v->state == PROXY_RUNNING,
                .failed = v->state == PROXY_FAILED,
                .down = v->state == PROXY_RUNNING && device_link_is_bad(v->link),
        };
        if (memcmp(&old, &p->share, sizeof(old)) != 0)
                gateway_proxy_share(p, &old, &p->share);
}

void proxy_update_busy(Proxy *p) {
        bool busy = !proxy_is_idle(p);

        if (busy == p->busy)
                return;
        p->busy = busy;
        gateway_proxy_busy(p, busy);
}

static void proxy_set_state(Proxy *p, ProxyState state, DeviceReason reason, const char *detail) {
        ProxyState old = p->view.state;

        if (state == old && edge_says(&p->view.state_edge, reason, detail))
                return;
        p->view.state = state;
        proxy_edge_set(&p->view.state_edge, reason, detail);
        if (state != old)
                edge_stamp(&p->view.state_edge);
        p->log.state = proxy_state_to_string(state);
        proxy_update_share(p);
        if (state != old)
                gateway_proxy_state(p, old);
        else
                gateway_proxy_changed(p, PROXY_REASON);
}

void proxy_set_link(Proxy *p, DeviceLink link, DeviceReason reason, const char *detail) {
        DeviceLink old = p->view.link;

        if (link == old && edge_says(&p->view.link_edge, reason, detail))
                return;
        p->view.link = link;
        proxy_edge_set(&p->view.link_edge, reason, detail);
        if (link != old)
                edge_stamp(&p->view.link_edge);
        if (device_link_is_bad(link) && !device_link_is_bad(old))
                p->view.link_lost = p->view.link_edge.monotonic;
        proxy_update_share(p);
        if (link != old)
                gateway_proxy_link(p, old);
        else
                gateway_proxy_changed(p, PROXY_REASON);
}

static void proxy_set_enabled(Proxy *p, bool enabled, bool known) {
        if (p->view.enabled == enabled && p->view.enabled_known == known)
                return;
        p->view.enabled = enabled;
        p->view.enabled_known = known;
        proxy_update_share(p);
        gateway_proxy_changed(p, PROXY_ENABLED);
}

static void proxy_set_retry(Proxy *p, usec_t at) {
        if (p->view.retry_at == at)
                return;
        p->view.retry_at = at;
        gateway_proxy_changed(p, PROXY_RETRY);
}

void proxy_settle(Proxy *p) {
        const ProxyView *v = &p->view;

        switch (p->phase) {
        case RUN_STARTING:
                proxy_set_state(p, PROXY_STARTING, DEVICE_REASON_NONE, NULL);
                return;
        case RUN_RUNNING:
                proxy_set_state(p, PROXY_RUNNING, DEVICE_REASON_NONE, NULL);
                return;
        case RUN_STOPPING:
                proxy_set_state(p, PROXY_STOPPING, v->enabled ? DEVICE_REASON_NONE : DEVICE_REASON_DISABLED, NULL);
                return;
        case RUN_NONE:
                break;
        }

        if (v->config->error)
                proxy_set_state(p, PROXY_FAILED, DEVICE_REASON_CONFIG, v->config->error);
        else if (p->failed)
                proxy_set_state(p, PROXY_FAILED, p->end.reason, p->end.detail);
        else {
                const char *detail = NULL;
                DeviceReason reason = gateway_get_obstacle(p->gateway, &detail);
                bool has_monitor = gateway_get_monitor_state(p->gateway) != MONITOR_NONE;

                /* A standby has not asked yet who is enabled. */
                if (v->enabled || (has_monitor && !v->enabled_known))
                        proxy_set_state(p, PROXY_WAITING, reason, detail);
                else
                        proxy_set_state(p, PROXY_DISABLED, DEVICE_REASON_DISABLED, NULL);
        }
}

/* ---- runs -------------------------------------------------------------------------------------------- */

/* What a configured, enabled device needs besides: all but a failure, which has its own end. */
static bool proxy_is_wanted(const Proxy *p) {
        return p->engine && p->view.enabled_known && p->view.enabled && !p->leaving && !p->exiting &&
               !p->view.config->error && !p->next_config && !p->restart;
}

static void proxy_forget_failure(Proxy *p) {
        p->failed = false;
        p->n_failures = 0;
        proxy_set_retry(p, 0);
        if (p->phase == RUN_NONE)
                deadline_set(p->deadline, USEC_INFINITY);
}

static bool reason_may_pass(DeviceReason reason) {
        return reason != DEVICE_REASON_CONFIG && reason != DEVICE_REASON_INTERNAL;
}

/* 1, 2, 4 … 60 s */
static usec_t retry_delay(unsigned n_failures) {
        return n_failures >= 7 ? DEVICE_RETRY_MAX_USEC : MIN(USEC_PER_SEC << (n_failures - 1), DEVICE_RETRY_MAX_USEC);
}

static void proxy_fail(Proxy *p, DeviceReason reason, const char *detail) {
        p->failed = true;
        proxy_edge_set(&p->end, reason, detail);
        p->n_failures++;
        if (gateway_get_config(p->gateway)->form == CONF_FORM_NATIVE && reason_may_pass(reason)) {
                usec_t at = usec_add(now_usec(CLOCK_MONOTONIC), retry_delay(p->n_failures));

                proxy_set_retry(p, at);
                deadline_set(p->deadline, at);
        }
}

static void proxy_free_device(Proxy *p) {
        g_clear_pointer(&p->device, g_free);
}

void proxy_register_running(Proxy *p, bool running) {
        static const char *const subtypes[] = { "running", NULL };
        Timestamp now = timestamp_now();

        if (p->engine)
                engine_register(p->engine, p->prefix.gateway, subtypes, &now,
                                running ? JSON_LITERAL("true") : JSON_LITERAL("false"));
}

static void proxy_begin(Proxy *p) {
        const DeviceType *type = p->view.config->type;
        int r;

        p->device = g_malloc0(type->device_size);
        *p->device = (Device) { .type = type, .host = p, .conf = p->view.config->conf };
        p->phase = RUN_STARTING;
        p->link_known = false;
        p->run_began = now_usec(CLOCK_MONOTONIC);
        if (p->n_runs++ > 0)
                p->view.restarts++;
        proxy_set_retry(p, 0);
        deadline_set(p->deadline, usec_add(p->run_began, DEVICE_START_USEC));
        proxy_settle(p);

        r = type->start(p->device);
        if (r >= 0)
                return;
        proxy_free_device(p);
        p->phase = RUN_NONE;
        deadline_set(p->deadline, USEC_INFINITY);
        event_queue_clear(&p->queue);
        proxy_register_running(p, false);
        proxy_fail(p, device_reason_from_errno(r), g_strerror(-r));
}

static void proxy_halt(Proxy *p) {
        p->phase = RUN_STOPPING;
        event_queue_clear(&p->queue);
        deadline_set_relative(p->deadline, DEVICE_STOP_USEC);
        proxy_settle(p);
        p->device->type->stop(p->device);
}

/* The device has ended: takes it away and says so. */
static void proxy_bury(Proxy *p) {
        bool asked = p->phase == RUN_STOPPING;
        bool lasted = p->phase == RUN_RUNNING &&
                      now_usec(CLOCK_MONOTONIC) >= usec_add(p->run_began, DEVICE_RETRY_MAX_USEC);

        p->ended = false;
        proxy_cancel_queries(p);
        if (p->device->type->done)
                p->device->type->done(p->device);
        proxy_free_device(p);
        p->phase = RUN_NONE;
        deadline_set(p->deadline, USEC_INFINITY);
        event_queue_clear(&p->queue);
        proxy_set_link(p, DEVICE_LINK_NONE, DEVICE_REASON_NONE, NULL);
        proxy_register_running(p, false);

        if (lasted)
                p->n_failures = 0;
        if (!asked && proxy_is_wanted(p))
                proxy_fail(p, p->end.reason, p->end.detail);
}

/* A changed configuration is taken over by the run itself when its type can, else between two runs. */
static void proxy_adopt_config(Proxy *p) {
        const DeviceConfig *c = p->next_config;

        if (!c)
                return;
        if (p->device) {
                const DeviceType *type = p->device->type;

                if (p->phase != RUN_RUNNING || c->error || !type->reconfigure ||
                    type->reconfigure(p->device, c->conf) < 0)
                        return;
                p->device->conf = c->conf;
        } else
                proxy_forget_failure(p);
        p->view.config = c;
        p->next_config = NULL;
}

void proxy_reconcile(Proxy *p) {
        (void) sd_event_source_set_enabled(p->step, SD_EVENT_OFF);

        if (p->ended)
                proxy_bury(p);
        proxy_check_scan(p);
        proxy_adopt_config(p);
        if (p->phase == RUN_NONE) {
                p->restart = false;
                if (proxy_is_wanted(p) && !p->failed)
                        proxy_begin(p);
                else if (p->view.enabled_known && !p->view.enabled)
                        proxy_drop_stored(p);
        } else if (p->phase != RUN_STOPPING && !proxy_is_wanted(p))
                proxy_halt(p);
        proxy_settle(p);
        proxy_update_busy(p);
        if (!p->busy)
                gateway_proxy_idle(p);
}

static int on_step(sd_event_source *s, void *userdata) {
        proxy_reconcile(userdata);
        return 0;
}

void proxy_schedule(Proxy *p) {
        int r;

        r = sd_event_source_set_enabled(p->step, SD_EVENT_ONESHOT);
        if (r < 0)
                log_full(LOG_ERR, r, &p->log, "Cannot schedule a step: %m");
}

static void on_deadline(void *userdata) {
        Proxy *p = userdata;

        switch (p->phase) {
        case RUN_NONE: /* the next try */
                p->failed = false;
                proxy_set_retry(p, 0);
                proxy_reconcile(p);
                break;
        case RUN_STARTING:
                log_context(LOG_WARNING, &p->log, "Not started in %u s, starting anew.",
                            (unsigned) (DEVICE_START_USEC / USEC_PER_SEC));
                p->restart = true;
                proxy_reconcile(p);
                break;
        case RUN_STOPPING:
                log_context(LOG_ERR, &p->log, "Not stopped in %u s, still waiting.",
                            (unsigned) (DEVICE_STOP_USEC / USEC_PER_SEC));
                break;
        case RUN_RUNNING:
                break;
        }
}

/* ---- causes ------------------------------------------------------------------------------------------ */

void proxy_attach(Proxy *p, Engine *e) {
        p->engine = e;
        p->leaving = false;
        proxy_flow(p, true); /* a new connection is not congested */
        proxy_forget_failure(p); /* a new engine is a new try, whatever the reason was */
        proxy_set_enabled(p, p->view.enabled, false);
        proxy_register_running(p, false);
        proxy_settle(p);
}

void proxy_detach(Proxy *p) {
        p->engine = NULL;
        proxy_cancel_queries(p);
        proxy_set_enabled(p, p->view.enabled, false);
        if (p->end.reason != DEVICE_REASON_CONFIG)
                proxy_forget_failure(p);
        p->restart = true; /* a run does not survive its engine, even if the next one is here in this turn */
        proxy_schedule(p);
}

static void proxy_take_enable(Proxy *p, const Event *e) {
        JsonSpan value;
        bool enable = e && event_payload_json(e, &value) >= 0 && json_kind(value) == JSON_TRUE;

        if (e && enable != p->view.enabled)
                log_context(LOG_INFO, &p->log, "%s by event %" PRIi64 ".%" PRIi64 ".%" PRIi64 ".",
                            enable ? "Enabled" : "Disabled", e->id.server, e->id.session, e->id.instance);
        if (!enable) {
                proxy_forget_failure(p);
                if (p->phase == RUN_NONE)
                        event_queue_clear(&p->queue);
        }
        proxy_set_enabled(p, enable, true);
        proxy_schedule(p);
}

void proxy_answer_enable(Proxy *p, const Event *e) {
        if (!p->view.enabled_known)
                proxy_take_enable(p, e);
}

static void proxy_queue_event(Proxy *p, const Event *e) {
        if (event_queue_push(&p->queue, e) >= 0)
                return;
        if (p->view.events_dropped++ == 0)
                log_context(LOG_WARNING, &p->log, "Too many events wait for the start, dropping; this is said once.");
}

void proxy_event(Proxy *p, const Event *e) {
        if (e->type.n == 1 && subtype_is(e->type.subtypes[0], "enable")) {
                proxy_take_enable(p, e);
                return;
        }
        if (p->phase == RUN_RUNNING && !p->ended)
                p->device->type->event(p->device, e);
        else if (p->phase == RUN_STARTING || (p->phase == RUN_NONE && proxy_is_wanted(p) && !p->failed))
                proxy_queue_event(p, e);
        else
                log_context(LOG_DEBUG, &p->log, "Not running, an event is dropped.");
}

void proxy_deliver_queue(Proxy *p) {
        for (;;) {
                g_autofree Event *e = NULL;

                if (p->phase != RUN_RUNNING || p->ended)
                        return;
                e = event_queue_pop(&p->queue);
                if (!e)
                        return;
                p->device->type->event(p->device, e);
        }
}

void proxy_flow(Proxy *p, bool open) {
        if (p->phase == RUN_RUNNING && !p->ended && p->device->type->flow)
                p->device->type->flow(p->device, open);
}

void proxy_set_config(Proxy *p, const DeviceConfig *config) {
        p->next_config = config;
        proxy_schedule(p);
}

void proxy_leave(Proxy *p) {
        p->leaving = true;
        proxy_schedule(p);
}

void proxy_exit(Proxy *p) {
        p->exiting = true;
        proxy_schedule(p);
}

void proxy_exit_now(Proxy *p) {
        p->exiting = true;
        proxy_reconcile(p);
}

int proxy_restart(Proxy *p) {
        if (p->exiting)
                return -ESHUTDOWN;
        if (!p->engine || p->leaving)
                return -ENOTCONN;
        if (!p->view.enabled_known || !p->view.enabled)
                return -EUNATCH;
        if (p->view.config->error || (p->failed && p->end.reason == DEVICE_REASON_CONFIG))
                return -EBADMSG;
        p->restart = true;
        proxy_forget_failure(p);
        proxy_schedule(p);
        return 0;
}

/* ---- life -------------------------------------------------------------------------------------------- */

bool proxy_is_idle(const Proxy *p) {
        return !p->device && !p->scan;
}

const EventType *proxy_system_prefix(const Proxy *p) {
        return &p->prefix.system;
}

EventType proxy_event_prefix(const Proxy *p) {
        return event_prefix_get(&p->prefix);
}

const ProxyView *proxy_view(const Proxy *p) {
        return &p->view;
}

const Device *proxy_get_device(const Proxy *p) {
        return p->device;
}

int proxy_new(Gateway *g, const DeviceConfig *config, Proxy **ret) {
        const Config *c = gateway_get_config(g);
        Proxy *p = g_new0(Proxy, 1);
        int r;

        p->gateway = g;
        p->view.config = config;
        p->view.state = PROXY_DISABLED;
        p->view.link = DEVICE_LINK_NONE;
        proxy_edge_set(&p->view.state_edge, DEVICE_REASON_DISABLED, NULL);
        proxy_edge_set(&p->view.link_edge, DEVICE_REASON_NONE, NULL);
        edge_stamp(&p->view.state_edge);
        edge_stamp(&p->view.link_edge);
        p->log = (LogContext) { .device_type = config->type->name, .device_name = config->name };
        event_prefix_init(&p->prefix, c->layout, c->name, config->type->name, config->name);
        g_queue_init(&p->queue.events);

        r = deadline_new(gateway_get_event(g), "proxy", on_deadline, p, &p->deadline);
        if (r >= 0)
                r = sd_event_add_defer(gateway_get_event(g), &p->step, on_step, p);
        if (r >= 0)
                r = sd_event_source_set_enabled(p->step, SD_EVENT_OFF);
        if (r < 0) {
                proxy_free(p);
                return r;
        }
        (void) sd_event_source_set_description(p->step, "proxy-step");
        *ret = p;
        return 0;
}

Proxy *proxy_free(Proxy *p) {
        if (!p)
                return NULL;
        proxy_cancel_queries(p);
        proxy_free_scan(p);
        if (p->device) {
                if (p->device->type->done)
                        p->device->type->done(p->device);
                proxy_free_device(p);
        }
        event_queue_clear(&p->queue);
        proxy_drop_traces(p);
        tap_done(&p->view.tap);
        deadline_free(p->deadline);
        sd_event_source_disable_unref(p->step);
        g_free(p->view.state_edge.detail);
        g_free(p->view.link_edge.detail);
        g_free(p->end.detail);
        g_free(p);
        return NULL;
}
