/* SPDX-License-Identifier: Apache-2.0 */
/* Waits until devices reach a goal: whenever a device has changed it is read anew and compared. */
#include "tools/device-view.h"
#include "tools/text.h"
#include "tools/waiter.h"
#include "tools/watch.h"

typedef struct Target {
        const char *argument;
        DeviceView *view; /* as last read; NULL: not yet, or the daemon is a new one */
        bool dirty, done;
} Target;

struct Waiter {
        Client *client;
        WaitGoal goal;
        bool patient;
        Watch *watch;
        GArray *targets;
        ExitStatus status; /* of the first that did not reach the goal */
};

static Target *target_at(Waiter *w, guint i) {
        return &g_array_index(w->targets, Target, i);
}

static void target_clear(void *p) {
        Target *t = p;

        t->view = device_view_free(t->view);
}

static Target *find_target(Waiter *w, const char *path) {
        for (guint i = 0; i < w->targets->len; i++) {
                Target *t = target_at(w, i);

                if (t->view && !t->done && streq(t->view->path, path))
                        return t;
        }
        return NULL;
}

static void target_end(Waiter *w, Target *t, ExitStatus s) {
        t->done = true;
        if (w->status == CTL_OK)
                w->status = s;
}

/* ---- what is announced ------------------------------------------------------------------------------- */

static void on_edge(const WatchEdge *e, void *userdata) {
        Waiter *w = userdata;
        Target *t = find_target(w, e->path);

        if (!t)
                return;
        t->dirty = true;
        if (!e->link && wait_goal_is_passing(&w->goal) && streq(e->new, w->goal.state))
                target_end(w, t, CTL_OK);
}

static void on_changed(const char *path, void *userdata) {
        Target *t = find_target(userdata, path);

        if (t)
                t->dirty = true;
}

static void on_daemon(bool here, void *userdata) {
        Waiter *w = userdata;

        for (guint i = 0; i < w->targets->len; i++) {
                Target *t = target_at(w, i);

                t->view = device_view_free(t->view);
                t->dirty = true;
        }
}

static const WatchHandler handler = { .edge = on_edge, .changed = on_changed, .daemon = on_daemon };

/* ---- construction ------------------------------------------------------------------------------------ */

ExitStatus waiter_new(Client *client, const WaitGoal *goal, bool patient, Waiter **ret) {
        _cleanup_(waiter_freep) Waiter *w = g_new0(Waiter, 1);
        ExitStatus s;

        *w = (Waiter) { .client = client, .goal = *goal, .patient = patient };
        w->targets = g_array_new(false, true, sizeof(Target));
        g_array_set_clear_func(w->targets, target_clear);
        if (client->deadline == USEC_INFINITY)
                client->deadline = usec_add(now_usec(CLOCK_MONOTONIC), WAIT_USEC);
        s = watch_new(client, &handler, w, &w->watch);
        if (s != CTL_OK)
                return s;
        *ret = TAKE_PTR(w);
        return CTL_OK;
}

Waiter *waiter_free(Waiter *w) {
        if (!w)
                return NULL;
        watch_free(w->watch);
        g_array_unref(w->targets);
        g_free(w);
        return NULL;
}

void waiter_add(Waiter *w, const char *argument) {
        Target t = { .argument = argument, .dirty = true };

        g_array_append_val(w->targets, t);
}

/* ---- waiting ----------------------------------------------------------------------------------------- */

static ExitStatus complain_lost(const Target *t) {
        const DeviceView *v = t->view;
        g_autofree char *detail = text_printable(v->state_detail);

        return complain(CTL_FAILED, "%s/%s failed and is not tried again (%s)%s%s", v->type, v->name,
                        v->state_reason, detail[0] ? ": " : "", detail);
}

static void target_check(Waiter *w, Target *t) {
        DeviceView *view = NULL;
        ExitStatus s;

        t->dirty = false;
        s = t->view ? device_fetch(w->client, t->view->path, &view)
                    : device_find(w->client, t->argument, false, &view);
        if (s == CTL_NO_DAEMON && w->patient)
                return; /* its end will be announced, or has been */
        if (s != CTL_OK)
                return target_end(w, t, s);

        device_view_free(t->view);
        t->view = view;
        if (wait_goal_is_met(&w->goal, view))
                target_end(w, t, CTL_OK);
        else if (wait_goal_is_lost(&w->goal, view))
                target_end(w, t, complain_lost(t));
}

/* Returns whether anything is still waited for. */
static bool check_targets(Waiter *w) {
        bool pending = false;

        for (guint i = 0; i < w->targets->len; i++) {
                Target *t = target_at(w, i);

                if (!t->done && t->dirty && watch_daemon_is_here(w->watch))
                        target_check(w, t);
                pending = pending || !t->done;
        }
        return pending;
}

static ExitStatus complain_timeout(const Waiter *w, const Target *t) {
        const DeviceView *v = t->view;
        g_autofree char *goal = wait_goal_to_text(&w->goal), *detail = NULL;

        if (!v)
                return complain(CTL_TIMEOUT, "Time ran out waiting for %s to be %s: gatewayd is not running",
                                t->argument, goal);
        detail = text_printable(w->goal.link ? v->link_detail : v->state_detail);
        return complain(CTL_TIMEOUT,
                        "Time ran out waiting for %s/%s to be %s: it is %s (%s), link %s (%s)%s%s", v->type,
                        v->name, goal, v->state, v->state_reason, v->link, v->link_reason,
                        detail[0] ? ": " : "", detail);
}

static void give_up(Waiter *w, ExitStatus (*complain_about)(const Waiter *w, const Target *t)) {
        for (guint i = 0; i < w->targets->len; i++) {
                Target *t = target_at(w, i);

                if (!t->done)
                        target_end(w, t, complain_about(w, t));
        }
}

static ExitStatus complain_gone(const Waiter *w, const Target *t) {
        g_autofree char *goal = wait_goal_to_text(&w->goal);

        return complain(CTL_NO_DAEMON, "gatewayd went away while waiting for %s to be %s", t->argument,
                        goal);
}

ExitStatus waiter_run(Waiter *w) {
        w->client->gone_is_fine = w->patient;
        while (check_targets(w)) {
                ExitStatus s;

                if (!w->patient && !watch_daemon_is_here(w->watch)) {
                        give_up(w, complain_gone);
                        break;
                }
                if (now_usec(CLOCK_MONOTONIC) >= w->client->deadline) {
                        give_up(w, complain_timeout);
                        break;
                }
                s = watch_wait(w->watch, w->client->deadline);
                if (s != CTL_OK)
                        return s;
        }
        return w->status;
}
