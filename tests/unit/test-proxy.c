/* SPDX-License-Identifier: Apache-2.0 */
/* The proxy's state machine: every state × every cause as a table, then what a table cannot say. */
#include "tests/unit/proxy-fixture.h"

/* ---- the table --------------------------------------------------------------------------------------- */

typedef enum Cause {
        CAUSE_ENABLE,
        CAUSE_DISABLE,
        CAUSE_OFF_ON, /* both in one notification */
        CAUSE_ON_OFF,
        CAUSE_ENGINE_GONE,
        CAUSE_ENGINE_BACK, /* gone and back before anything else happens, enabled again by the query */
        CAUSE_ENDED,       /* the device ends by itself: lost */
        CAUSE_START_FAILS, /* enabled, and the type cannot start */
        CAUSE_RESTART,
        CAUSE_CONFIG,      /* changed by a reload */
        CAUSE_EXIT,
        _CAUSE_MAX,
} Cause;

static const char *const from_names[_FROM_MAX] = {
        "new", "disabled", "waiting-gone", "waiting-ask", "starting",
        "running", "stopping", "failed-retry", "failed-final", "config-error",
};
static const char *const cause_names[_CAUSE_MAX] = {
        "enable", "disable", "off-on", "on-off", "engine-gone", "engine-back",
        "ended", "start-fails", "restart", "config", "exit",
};

static void apply(Cause cause) {
        bool notified = cause <= CAUSE_ON_OFF || cause == CAUSE_START_FAILS;

        if (notified && !proxy->engine)
                return; /* nobody to notify it */
        switch (cause) {
        case CAUSE_ENABLE:
                notify_enable("true");
                break;
        case CAUSE_DISABLE:
                notify_enable("false");
                break;
        case CAUSE_OFF_ON:
                notify_enable("false");
                notify_enable("true");
                break;
        case CAUSE_ON_OFF:
                notify_enable("true");
                notify_enable("false");
                break;
        case CAUSE_ENGINE_GONE:
                detach();
                break;
        case CAUSE_ENGINE_BACK:
                detach();
                attach();
                answer_enable(true);
                break;
        case CAUSE_ENDED:
                if (proxy->device)
                        device_ended(proxy->device, DEVICE_REASON_LOST, "lost");
                break;
        case CAUSE_START_FAILS:
                fake.start_error = -ENOENT;
                notify_enable("true");
                break;
        case CAUSE_RESTART:
                note("(%d)", proxy_restart(proxy));
                break;
        case CAUSE_CONFIG:
                proxy_set_config(proxy, &second_config);
                break;
        case CAUSE_EXIT:
                proxy_exit(proxy);
                break;
        case _CAUSE_MAX:
                g_assert_not_reached();
        }
        turn();
}

typedef struct Row {
        const char *trace; /* calls of the type, registrations, [state] edges, in order */
        ProxyState state;
        bool enabled, known;
} Row;

/* A row in words: from, cause | trace | state, enabled, known. PROXY_TABLE_PRINT=1 prints what happens instead of comparing. */
static const Row rows[_FROM_MAX][_CAUSE_MAX] = {
        [FROM_NEW] = {
                [CAUSE_ENABLE] = { "", PROXY_DISABLED, false, false },
                [CAUSE_DISABLE] = { "", PROXY_DISABLED, false, false },
                [CAUSE_OFF_ON] = { "", PROXY_DISABLED, false, false },
                [CAUSE_ON_OFF] = { "", PROXY_DISABLED, false, false },
                [CAUSE_ENGINE_GONE] = { "", PROXY_DISABLED, false, false },
                [CAUSE_ENGINE_BACK] = { "running=false [starting] start", PROXY_STARTING, true, true },
                [CAUSE_ENDED] = { "", PROXY_DISABLED, false, false },
                [CAUSE_START_FAILS] = { "", PROXY_DISABLED, false, false },
                [CAUSE_RESTART] = { "(-107)", PROXY_DISABLED, false, false },
                [CAUSE_CONFIG] = { "", PROXY_DISABLED, false, false },
                [CAUSE_EXIT] = { "", PROXY_DISABLED, false, false },
        },
        [FROM_DISABLED] = {
                [CAUSE_ENABLE] = { "[starting] start", PROXY_STARTING, true, true },
                [CAUSE_DISABLE] = { "", PROXY_DISABLED, false, true },
                [CAUSE_OFF_ON] = { "[starting] start", PROXY_STARTING, true, true },
                [CAUSE_ON_OFF] = { "", PROXY_DISABLED, false, true },
                [CAUSE_ENGINE_GONE] = { "", PROXY_DISABLED, false, false },
                [CAUSE_ENGINE_BACK] = { "running=false [starting] start", PROXY_STARTING, true, true },
                [CAUSE_ENDED] = { "", PROXY_DISABLED, false, true },
                [CAUSE_START_FAILS] = { "[starting] start running=false [failed]", PROXY_FAILED, true, true },
                [CAUSE_RESTART] = { "(-49)", PROXY_DISABLED, false, true },
                [CAUSE_CONFIG] = { "", PROXY_DISABLED, false, true },
                [CAUSE_EXIT] = { "", PROXY_DISABLED, false, true },
        },
        [FROM_WAITING_GONE] = {
                [CAUSE_ENABLE] = { "", PROXY_WAITING, true, false },
                [CAUSE_DISABLE] = { "", PROXY_WAITING, true, false },
                [CAUSE_OFF_ON] = { "", PROXY_WAITING, true, false },
                [CAUSE_ON_OFF] = { "", PROXY_WAITING, true, false },
                [CAUSE_ENGINE_GONE] = { "", PROXY_WAITING, true, false },
                [CAUSE_ENGINE_BACK] = { "running=false [starting] start", PROXY_STARTING, true, true },
                [CAUSE_ENDED] = { "", PROXY_WAITING, true, false },
                [CAUSE_START_FAILS] = { "", PROXY_WAITING, true, false },
                [CAUSE_RESTART] = { "(-107)", PROXY_WAITING, true, false },
                [CAUSE_CONFIG] = { "", PROXY_WAITING, true, false },
                [CAUSE_EXIT] = { "", PROXY_WAITING, true, false },
        },
        [FROM_WAITING_ASK] = {
                [CAUSE_ENABLE] = { "[starting] start", PROXY_STARTING, true, true },
                [CAUSE_DISABLE] = { "[disabled]", PROXY_DISABLED, false, true },
                [CAUSE_OFF_ON] = { "[starting] start", PROXY_STARTING, true, true },
                [CAUSE_ON_OFF] = { "[disabled]", PROXY_DISABLED, false, true },
                [CAUSE_ENGINE_GONE] = { "", PROXY_WAITING, true, false },
                [CAUSE_ENGINE_BACK] = { "running=false [starting] start", PROXY_STARTING, true, true },
                [CAUSE_ENDED] = { "", PROXY_WAITING, true, false },
                [CAUSE_START_FAILS] = { "[starting] start running=false [failed]", PROXY_FAILED, true, true },
                [CAUSE_RESTART] = { "(-49)", PROXY_WAITING, true, false },
                [CAUSE_CONFIG] = { "", PROXY_WAITING, true, false },
                [CAUSE_EXIT] = { "", PROXY_WAITING, true, false },
        },
        [FROM_STARTING] = {
                [CAUSE_ENABLE] = { "", PROXY_STARTING, true, true },
                [CAUSE_DISABLE] = { "[stopping] stop done running=false [disabled]", PROXY_DISABLED, false, true },
                [CAUSE_OFF_ON] = { "", PROXY_STARTING, true, true },
                [CAUSE_ON_OFF] = { "[stopping] stop done running=false [disabled]", PROXY_DISABLED, false, true },
                [CAUSE_ENGINE_GONE] = { "[stopping] stop done [waiting]", PROXY_WAITING, true, false },
                [CAUSE_ENGINE_BACK] = { "running=false [stopping] stop done running=false [starting] start", PROXY_STARTING, true, true },
                [CAUSE_ENDED] = { "done running=false [failed]", PROXY_FAILED, true, true },
                [CAUSE_START_FAILS] = { "", PROXY_STARTING, true, true },
                [CAUSE_RESTART] = { "(0) [stopping] stop done running=false [starting] start", PROXY_STARTING, true, true },
                [CAUSE_CONFIG] = { "[stopping] stop done running=false [starting] start", PROXY_STARTING, true, true },
                [CAUSE_EXIT] = { "[stopping] stop done running=false [waiting]", PROXY_WAITING, true, true },
        },
        [FROM_RUNNING] = {
                [CAUSE_ENABLE] = { "", PROXY_RUNNING, true, true },
                [CAUSE_DISABLE] = { "[stopping] stop done running=false [disabled]", PROXY_DISABLED, false, true },
                [CAUSE_OFF_ON] = { "", PROXY_RUNNING, true, true },
                [CAUSE_ON_OFF] = { "[stopping] stop done running=false [disabled]", PROXY_DISABLED, false, true },
                [CAUSE_ENGINE_GONE] = { "[stopping] stop done [waiting]", PROXY_WAITING, true, false },
                [CAUSE_ENGINE_BACK] = { "flow:open running=false [stopping] stop done running=false [starting] start", PROXY_STARTING, true, true },
                [CAUSE_ENDED] = { "done running=false [failed]", PROXY_FAILED, true, true },
                [CAUSE_START_FAILS] = { "", PROXY_RUNNING, true, true },
                [CAUSE_RESTART] = { "(0) [stopping] stop done running=false [starting] start", PROXY_STARTING, true, true },
                [CAUSE_CONFIG] = { "reconfigure [stopping] stop done running=false [starting] start", PROXY_STARTING, true, true },
                [CAUSE_EXIT] = { "[stopping] stop done running=false [waiting]", PROXY_WAITING, true, true },
        },
        [FROM_STOPPING] = {
                [CAUSE_ENABLE] = { "", PROXY_STOPPING, true, true },
                [CAUSE_DISABLE] = { "", PROXY_STOPPING, false, true },
                [CAUSE_OFF_ON] = { "", PROXY_STOPPING, true, true },
                [CAUSE_ON_OFF] = { "", PROXY_STOPPING, false, true },
                [CAUSE_ENGINE_GONE] = { "", PROXY_STOPPING, false, false },
                [CAUSE_ENGINE_BACK] = { "running=false", PROXY_STOPPING, true, true },
                [CAUSE_ENDED] = { "done running=false [disabled]", PROXY_DISABLED, false, true },
                [CAUSE_START_FAILS] = { "", PROXY_STOPPING, true, true },
                [CAUSE_RESTART] = { "(-49)", PROXY_STOPPING, false, true },
                [CAUSE_CONFIG] = { "", PROXY_STOPPING, false, true },
                [CAUSE_EXIT] = { "", PROXY_STOPPING, false, true },
        },
        [FROM_FAILED_RETRY] = {
                [CAUSE_ENABLE] = { "", PROXY_FAILED, true, true },
                [CAUSE_DISABLE] = { "[disabled]", PROXY_DISABLED, false, true },
                [CAUSE_OFF_ON] = { "[starting] start", PROXY_STARTING, true, true },
                [CAUSE_ON_OFF] = { "[disabled]", PROXY_DISABLED, false, true },
                [CAUSE_ENGINE_GONE] = { "[waiting]", PROXY_WAITING, true, false },
                [CAUSE_ENGINE_BACK] = { "running=false [waiting] [starting] start", PROXY_STARTING, true, true },
                [CAUSE_ENDED] = { "", PROXY_FAILED, true, true },
                [CAUSE_START_FAILS] = { "", PROXY_FAILED, true, true },
                [CAUSE_RESTART] = { "(0) [starting] start", PROXY_STARTING, true, true },
                [CAUSE_CONFIG] = { "[starting] start", PROXY_STARTING, true, true },
                [CAUSE_EXIT] = { "", PROXY_FAILED, true, true },
        },
        [FROM_FAILED_FINAL] = {
                [CAUSE_ENABLE] = { "", PROXY_FAILED, true, true },
                [CAUSE_DISABLE] = { "[disabled]", PROXY_DISABLED, false, true },
                [CAUSE_OFF_ON] = { "[starting] start", PROXY_STARTING, true, true },
                [CAUSE_ON_OFF] = { "[disabled]", PROXY_DISABLED, false, true },
                [CAUSE_ENGINE_GONE] = { "", PROXY_FAILED, true, false },
                [CAUSE_ENGINE_BACK] = { "running=false [waiting] [starting] start", PROXY_STARTING, true, true },
                [CAUSE_ENDED] = { "", PROXY_FAILED, true, true },
                [CAUSE_START_FAILS] = { "", PROXY_FAILED, true, true },
                [CAUSE_RESTART] = { "(-74)", PROXY_FAILED, true, true },
                [CAUSE_CONFIG] = { "[starting] start", PROXY_STARTING, true, true },
                [CAUSE_EXIT] = { "", PROXY_FAILED, true, true },
        },
        [FROM_CONFIG_ERROR] = {
                [CAUSE_ENABLE] = { "", PROXY_FAILED, true, true },
                [CAUSE_DISABLE] = { "", PROXY_FAILED, false, true },
                [CAUSE_OFF_ON] = { "", PROXY_FAILED, true, true },
                [CAUSE_ON_OFF] = { "", PROXY_FAILED, false, true },
                [CAUSE_ENGINE_GONE] = { "", PROXY_FAILED, false, false },
                [CAUSE_ENGINE_BACK] = { "running=false", PROXY_FAILED, true, true },
                [CAUSE_ENDED] = { "", PROXY_FAILED, false, false },
                [CAUSE_START_FAILS] = { "", PROXY_FAILED, true, true },
                [CAUSE_RESTART] = { "(-49)", PROXY_FAILED, false, false },
                [CAUSE_CONFIG] = { "[disabled]", PROXY_DISABLED, false, false },
                [CAUSE_EXIT] = { "", PROXY_FAILED, false, false },
        },
};

static void test_cell(From from, Cause cause) {
        const Row *row = &rows[from][cause];
        const ProxyView *v;

        setup(CONF_FORM_NATIVE);
        reach(from);
        apply(cause);
        v = proxy_view(proxy);
        if (g_getenv("PROXY_TABLE_PRINT"))
                g_print("%s %s | %s | %s %d %d\n", from_names[from], cause_names[cause], trace->str,
                        proxy_state_to_string(v->state), v->enabled, v->enabled_known);
        else {
                g_test_message("%s × %s: %s", from_names[from], cause_names[cause], trace->str);
                g_assert_cmpstr(trace->str, ==, row->trace);
                g_assert_cmpstr(proxy_state_to_string(v->state), ==, proxy_state_to_string(row->state));
                g_assert_cmpint(v->enabled, ==, row->enabled);
                g_assert_cmpint(v->enabled_known, ==, row->known);
        }
        teardown();
}

static void test_table(void) {
        for (From from = 0; from < _FROM_MAX; from++)
                for (Cause cause = 0; cause < _CAUSE_MAX; cause++)
                        test_cell(from, cause);
}

/* ---- what the table does not say --------------------------------------------------------------------- */

static bool is_failed(void) {
        return proxy_view(proxy)->state == PROXY_FAILED;
}
static bool is_starting(void) {
        return proxy_view(proxy)->state == PROXY_STARTING;
}

static void start_and_run(void) {
        attach();
        answer_enable(true);
        turn();
        device_started(proxy->device);
        turn();
        g_assert_cmpint(proxy_view(proxy)->state, ==, PROXY_RUNNING);
        g_string_truncate(trace, 0);
}

/* 1, 2 s …: real time, because the proxy's deadlines are the loop's. */
static void test_retry(void) {
        usec_t before;

        setup(CONF_FORM_NATIVE);
        start_and_run();
        before = now_usec(CLOCK_MONOTONIC);
        device_ended(proxy->device, DEVICE_REASON_LOST, "gone");
        turn();
        g_assert_true(is_failed());
        g_assert_cmpstr(proxy_view(proxy)->state_edge.detail, ==, "gone");
        g_assert_cmpint(proxy_view(proxy)->state_edge.reason, ==, DEVICE_REASON_LOST);
        g_assert_cmpuint(proxy_view(proxy)->retry_at, >=, before + USEC_PER_SEC);
        g_assert_true(gateway.share.failed);
        run_until(is_starting, 5 * USEC_PER_SEC);
        g_assert_cmpuint(now_usec(CLOCK_MONOTONIC), >=, before + USEC_PER_SEC);
        g_assert_cmpuint(proxy_view(proxy)->retry_at, ==, 0);
        g_assert_cmpuint(proxy_view(proxy)->restarts, ==, 1);

        before = now_usec(CLOCK_MONOTONIC);
        device_ended(proxy->device, DEVICE_REASON_REFUSED, NULL);
        turn();
        g_assert_cmpuint(proxy_view(proxy)->retry_at, >=, before + 2 * USEC_PER_SEC);
        g_assert_cmpint(proxy_restart(proxy), ==, 0); /* a new try at once */
        turn();
        g_assert_true(is_starting());
        teardown();
}

static void test_no_retry(void) {
        static const struct {
                ConfForm form;
                DeviceReason reason;
                bool again;
        } cases[] = {
                { CONF_FORM_NATIVE, DEVICE_REASON_LOST, true },
                { CONF_FORM_NATIVE, DEVICE_REASON_NONE, true },
                { CONF_FORM_NATIVE, DEVICE_REASON_CONFIG, false },
                { CONF_FORM_NATIVE, DEVICE_REASON_INTERNAL, false },
                { CONF_FORM_HAT, DEVICE_REASON_LOST, false },
        };

        for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
                setup(cases[i].form);
                start_and_run();
                device_ended(proxy->device, cases[i].reason, NULL);
                turn();
                g_assert_true(is_failed());
                g_assert_cmpint(proxy_view(proxy)->retry_at != 0, ==, cases[i].again);
                g_assert_cmpint(proxy_restart(proxy), ==, cases[i].reason == DEVICE_REASON_CONFIG ? -EBADMSG : 0);
                teardown();
        }
}

static void test_events_wait_for_start(void) {
        setup(CONF_FORM_NATIVE);
        attach();
        answer_enable(true);
        notify_other("early"); /* wanted, the run has not begun */
        turn();
        notify_other("a");
        notify_other("b");
        g_string_truncate(trace, 0);
        device_started(proxy->device);
        g_assert_cmpstr(trace->str, ==, "running=true [running] event:early event:a event:b");
        g_string_truncate(trace, 0);
        notify_other("c");
        g_assert_cmpstr(trace->str, ==, "event:c");
        notify_enable("false");
        turn();
        g_string_truncate(trace, 0);
        notify_other("d"); /* dropped */
        turn();
        g_assert_cmpstr(trace->str, ==, "");
        teardown();
}

static void test_event_bound(void) {
        setup(CONF_FORM_NATIVE);
        attach();
        answer_enable(true);
        turn();
        for (unsigned i = 0; i < DEVICE_EVENTS_MAX + 10; i++)
                notify_other("x");
        g_assert_cmpuint(proxy_view(proxy)->events_dropped, ==, 10);
        device_started(proxy->device);
        g_assert_cmpuint(fake.n_events, ==, DEVICE_EVENTS_MAX);
        teardown();
}

static void test_event_bytes_bound(void) {
        g_autofree char *big = g_strnfill(DEVICE_EVENTS_BYTES_MAX, '1');
        Subtype type[] = { SUBTYPE("big") };
        Event e = make_event(type, 1, big);

        setup(CONF_FORM_NATIVE);
        attach();
        answer_enable(true);
        turn();
        proxy_event(proxy, &e); /* always room for one */
        proxy_event(proxy, &e);
        g_assert_cmpuint(proxy_view(proxy)->events_dropped, ==, 1);
        device_started(proxy->device);
        g_assert_cmpuint(fake.n_events, ==, 1);
        teardown();
}

/* Not started in 5 s: stopped, begun anew, the queue dropped. */
static void test_start_limit(void) {
        setup(CONF_FORM_HAT);
        attach();
        answer_enable(true);
        turn();
        notify_other("old");
        g_string_truncate(trace, 0);
        while (!strstr(trace->str, "start")) {
                g_assert_cmpint(sd_event_run(gateway.event, 2 * DEVICE_START_USEC), >, 0);
        }
        g_assert_cmpstr(trace->str, ==, "[stopping] stop done running=false [starting] start");
        device_started(proxy->device);
        g_assert_cmpuint(fake.n_events, ==, 0);
        teardown();
}

/* `true` while the device is still closing starts it again after the close. */
static void test_enable_while_stopping(void) {
        setup(CONF_FORM_NATIVE);
        start_and_run();
        fake.deaf = true;
        notify_enable("false");
        turn();
        notify_enable("true");
        turn();
        g_assert_cmpstr(trace->str, ==, "[stopping] stop");
        device_ended(proxy->device, DEVICE_REASON_NONE, NULL);
        turn();
        g_assert_cmpstr(trace->str, ==, "[stopping] stop done running=false [starting] start");
        teardown();
}

static void test_only_true_enables(void) {
        static const char *const payloads[] = { "1", "\"true\"", "null", "[true]", "{}", "false", "tru", "" };

        for (size_t i = 0; i < ELEMENTSOF(payloads); i++) {
                setup(CONF_FORM_NATIVE);
                attach();
                notify_enable(payloads[i]);
                turn();
                g_assert_cmpint(proxy_view(proxy)->state, ==, PROXY_DISABLED);
                g_assert_true(proxy_view(proxy)->enabled_known);
                teardown();
        }
        setup(CONF_FORM_NATIVE);
        attach();
        notify_enable(" true ");
        turn();
        g_assert_true(is_starting());
        teardown();
}

static void test_notified_wins(void) {
        setup(CONF_FORM_NATIVE);
        attach();
        notify_enable("false");
        answer_enable(true); /* came late */
        turn();
        g_assert_cmpint(proxy_view(proxy)->state, ==, PROXY_DISABLED);
        teardown();
}

/* With a monitor server: waiting until it is known that it is disabled. */
static void test_standby(void) {
        setup(CONF_FORM_NATIVE);
        g_assert_cmpint(proxy_view(proxy)->state, ==, PROXY_DISABLED);
        gateway.monitor = MONITOR_WAITING;
        proxy_settle(proxy);
        g_assert_cmpint(proxy_view(proxy)->state, ==, PROXY_WAITING);
        gateway.monitor = MONITOR_BLESSED;
        attach();
        g_assert_cmpint(proxy_view(proxy)->state, ==, PROXY_WAITING);
        answer_enable(false);
        turn();
        g_assert_cmpint(proxy_view(proxy)->state, ==, PROXY_DISABLED);
        detach();
        turn();
        g_assert_cmpint(proxy_view(proxy)->state, ==, PROXY_WAITING);
        teardown();
}

static void test_link(void) {
        setup(CONF_FORM_NATIVE);
        start_and_run();
        device_set_link(proxy->device, DEVICE_LINK_CONNECTING, DEVICE_REASON_NONE, NULL);
        device_set_link(proxy->device, DEVICE_LINK_DOWN, DEVICE_REASON_REFUSED, "refused");
        g_assert_true(gateway.share.down);
        device_set_link(proxy->device, DEVICE_LINK_CONNECTING, DEVICE_REASON_NONE, NULL); /* a retry: still down */
        g_assert_cmpint(proxy_view(proxy)->link, ==, DEVICE_LINK_DOWN);
        device_set_link(proxy->device, DEVICE_LINK_DOWN, DEVICE_REASON_TIMEOUT, "silent");
        g_assert_cmpint(proxy_view(proxy)->link_edge.reason, ==, DEVICE_REASON_TIMEOUT);
        device_set_link(proxy->device, DEVICE_LINK_UP, DEVICE_REASON_NONE, NULL);
        device_set_link(proxy->device, DEVICE_LINK_UP, DEVICE_REASON_NONE, NULL);
        g_assert_false(gateway.share.down);
        g_assert_cmpstr(trace->str, ==, "link:connecting link:down link:up");
        g_string_truncate(trace, 0);
        notify_enable("false");
        turn();
        g_assert_cmpstr(trace->str, ==, "[stopping] stop done link:none running=false [disabled]");
        teardown();
}

/* What a run stored goes when the device is known to be disabled, and not before its end. */
static void test_stored(void) {
        _cleanup_(listen_fds_freep) ListenFds *passed = NULL;
        _cleanup_(fd_store_freep) FdStore *store = NULL;
        int fds[2];

        setup(CONF_FORM_NATIVE);
        g_assert_cmpint(listen_fds_new(&passed), ==, 0);
        gateway.store = store = fd_store_new(passed);
        g_assert_cmpint(pipe(fds), ==, 0);
        g_assert_cmpint(fd_store_add(store, "fake/other/x", fds[1]), ==, 0);

        start_and_run();
        g_assert_cmpint(device_stored_fd(proxy->device, "x"), ==, -ENOENT);
        g_assert_cmpint(device_store_fd(proxy->device, "x", fds[0]), ==, 0);
        g_assert_cmpint(device_stored_fd(proxy->device, "x"), ==, fds[0]);
        g_assert_cmpint(fd_store_get(store, "fake/d/x"), ==, fds[0]);
        device_drop_stored(proxy->device, (const char *const[]) { "x", NULL });
        g_assert_cmpint(device_stored_fd(proxy->device, "x"), ==, fds[0]);

        detach();
        turn();
        attach(); /* whether it is enabled is not known */
        turn();
        g_assert_cmpint(fd_store_get(store, "fake/d/x"), ==, fds[0]);
        answer_enable(true);
        turn();
        g_assert_cmpint(device_stored_fd(proxy->device, "x"), ==, fds[0]);
        device_started(proxy->device);

        fake.deaf = true;
        notify_enable("false");
        turn();
        g_assert_cmpint(fd_store_get(store, "fake/d/x"), ==, fds[0]); /* it is still stopping */
        device_ended(proxy->device, DEVICE_REASON_NONE, NULL);
        turn();
        g_assert_cmpint(fd_store_get(store, "fake/d/x"), ==, -ENOENT);
        g_assert_cmpint(fd_store_get(store, "fake/other/x"), ==, fds[1]);
        teardown();
}

/* Names hold what names of descriptors must not. */
static void test_stored_names(void) {
        setup(CONF_FORM_NATIVE);
        first_config.name = "a:b/\xc3\xa9";
        g_assert_true(proxy_owns_stored(proxy, "fake/a%3Ab%2F%C3%A9/x"));
        g_assert_false(proxy_owns_stored(proxy, "fake/a/x"));
        first_config.name = "d";
        g_assert_true(proxy_owns_stored(proxy, "fake/d/x"));
        g_assert_false(proxy_owns_stored(proxy, "fake/de/x"));
        g_assert_false(proxy_owns_stored(proxy, "fak/d/x"));
        teardown();
}

static void test_flow(void) {
        setup(CONF_FORM_NATIVE);
        attach();
        answer_enable(true);
        turn();
        congested = true;
        g_string_truncate(trace, 0);
        device_started(proxy->device);
        g_assert_cmpstr(trace->str, ==, "running=true [running] flow:shut");
        proxy_flow(proxy, true);
        g_assert_true(g_str_has_suffix(trace->str, "flow:open"));
        teardown();
}

static void test_reconfigure(void) {
        setup(CONF_FORM_NATIVE);
        fake.reconfigure = 0;
        start_and_run();
        proxy_set_config(proxy, &second_config);
        turn();
        g_assert_cmpstr(trace->str, ==, "reconfigure");
        g_assert_true(proxy->device->conf == &second_config);
        g_assert_cmpint(proxy_view(proxy)->state, ==, PROXY_RUNNING);
        teardown();
}

static void test_restart_errors(void) {
        setup(CONF_FORM_NATIVE);
        g_assert_cmpint(proxy_restart(proxy), ==, -ENOTCONN); /* checked before enabled */
        attach();
        g_assert_cmpint(proxy_restart(proxy), ==, -EUNATCH);
        proxy_answer_enable(proxy, NULL);
        turn();
        g_assert_cmpint(proxy_restart(proxy), ==, -EUNATCH);
        proxy_exit(proxy);
        g_assert_cmpint(proxy_restart(proxy), ==, -ESHUTDOWN);
        turn();
        teardown();
}

int main(int argc, char *argv[]) {
        g_test_init(&argc, &argv, NULL);
        g_test_add_func("/proxy/table", test_table);
        g_test_add_func("/proxy/retry", test_retry);
        g_test_add_func("/proxy/no-retry", test_no_retry);
        g_test_add_func("/proxy/events-wait-for-start", test_events_wait_for_start);
        g_test_add_func("/proxy/event-bound", test_event_bound);
        g_test_add_func("/proxy/event-bytes-bound", test_event_bytes_bound);
        g_test_add_func("/proxy/start-limit", test_start_limit);
        g_test_add_func("/proxy/enable-while-stopping", test_enable_while_stopping);
        g_test_add_func("/proxy/only-true-enables", test_only_true_enables);
        g_test_add_func("/proxy/notified-wins", test_notified_wins);
        g_test_add_func("/proxy/standby", test_standby);
        g_test_add_func("/proxy/link", test_link);
        g_test_add_func("/proxy/stored", test_stored);
        g_test_add_func("/proxy/stored-names", test_stored_names);
        g_test_add_func("/proxy/flow", test_flow);
        g_test_add_func("/proxy/reconfigure", test_reconfigure);
        g_test_add_func("/proxy/restart-errors", test_restart_errors);
        return g_test_run();
}
