/* SPDX-License-Identifier: Apache-2.0 */
/* The scheduler of one line with a fake clock and a fake link: order, repetitions, pauses, bounds,
 * requesters that go. */

#include "devices/modbus/modbus-bus.h"

#include <glib.h>

#define TIMEOUT (100 * USEC_PER_MSEC)

/* A line whose far end is a script: what an attempt of a job brings. */
typedef struct Fixture {
        ModbusLink link;
        ModbusBus *bus;
        ModbusLineCounters counters;
        usec_t now, wake;
        struct {
                ModbusLinkCallback callback;
                void *userdata;
                usec_t transmitted;
        } attempts[MODBUS_OUTSTANDING_MAX]; /* on the line, oldest first */
        unsigned n, max;
        unsigned flushed;               /* of them */
        bool answering;                 /* attempts are answered 10 ms later; else time out */
        ModbusResult result;
        GString *log;                   /* `a@0 ` a transmission, `a=0@10 ` an end, times in ms */
} Fixture;

typedef struct Job {
        ModbusJob job;
        Fixture *fixture;
        char name;
        uint8_t frame[1];
        bool again;     /* submits itself once more when done */
        struct Job *cancels; /* when done */
} Job;

static void fake_submit(ModbusLink *l, const ModbusRequest *request, ModbusLinkCallback callback,
                        void *userdata) {
        Fixture *f = (Fixture *) l;

        g_assert_cmpuint(f->n, <, f->max);
        f->attempts[f->n].callback = callback;
        f->attempts[f->n].userdata = userdata;
        f->attempts[f->n++].transmitted = f->now;
        g_string_append_printf(f->log, "%c@%u ", request->frame[0], (unsigned) (f->now / 1000));
}

static void fake_flush(ModbusLink *l) {
        Fixture *f = (Fixture *) l;

        f->flushed = f->n;
}

static void fake_cancel(ModbusLink *l) {
        ((Fixture *) l)->n = 0;
}

static const ModbusLinkVTable fake_vtable = { .submit = fake_submit, .flush = fake_flush, .cancel = fake_cancel };

static usec_t fake_now(void *userdata) {
        return ((Fixture *) userdata)->now;
}

static void fake_wake_at(usec_t when, void *userdata) {
        ((Fixture *) userdata)->wake = when;
}

static Fixture *fixture_new(const ModbusBusOptions *options) {
        Fixture *f = g_new0(Fixture, 1);
        ModbusClock clock = { fake_now, fake_wake_at, f };
        ModbusBusOptions o = *options;

        o.request_timeout = TIMEOUT;
        f->link.vtable = &fake_vtable;
        f->log = g_string_new(NULL);
        f->wake = USEC_INFINITY;
        f->max = o.max_outstanding = MAX(o.max_outstanding, 1U);
        f->bus = modbus_bus_new(&o, &clock, &f->counters);
        modbus_bus_attach(f->bus, &f->link);
        return f;
}

static void fixture_free(Fixture *f) {
        modbus_bus_free(f->bus);
        g_string_free(f->log, TRUE);
        g_free(f);
}

static void on_done(ModbusJob *job, int error, const ModbusResponse *response) {
        Job *j = (Job *) job;
        Fixture *f = j->fixture;

        g_assert_false(modbus_job_submitted(job));
        g_assert_cmpint(!response, ==, error < 0);
        g_string_append_printf(f->log, "%c=%s@%u ", j->name,
                               error == -ETIMEDOUT  ? "T"
                               : error == -ENOTCONN ? "N"
                               : response->result   ? "E"
                                                    : "ok",
                               (unsigned) (f->now / 1000));
        if (j->cancels)
                modbus_bus_cancel(f->bus, &j->cancels->job);
        if (j->again) {
                j->again = false;
                g_assert_cmpint(modbus_bus_submit(f->bus, job), >=, 0);
        }
}

static Job *job_init(Job *j, Fixture *f, char name) {
        *j = (Job) { .fixture = f, .name = name, .frame = { (uint8_t) name } };
        j->job.request = (ModbusRequest) { .frame = j->frame, .size = 1 };
        j->job.done = on_done;
        return j;
}

static void submit(Fixture *f, Job *j) {
        g_assert_cmpint(modbus_bus_submit(f->bus, &j->job), ==, 0);
}

static void attempt_ends(Fixture *f) {
        ModbusResponse response = { .result = f->result };
        ModbusLinkCallback callback = f->attempts[0].callback;
        void *userdata = f->attempts[0].userdata;

        f->link.round_trip = 10 * USEC_PER_MSEC;
        f->link.received = 7;
        f->link.checksum_errors++;
        f->link.begun_at = f->attempts[0].transmitted;
        f->link.ended_at = f->now;
        memmove(f->attempts, f->attempts + 1, --f->n * sizeof(f->attempts[0]));
        if (f->answering)
                callback(0, &response, userdata);
        else
                callback(-ETIMEDOUT, NULL, userdata);
}

/* Lets time pass until `end` (ms), with everything that happens in it. */
static void run_until(Fixture *f, unsigned end_ms) {
        usec_t end = end_ms * USEC_PER_MSEC;

        for (;;) {
                usec_t attempt = f->n > 0 ? f->attempts[0].transmitted + (f->answering ? 10 * USEC_PER_MSEC : TIMEOUT)
                                          : USEC_INFINITY;
                usec_t next = MIN(attempt, f->wake);

                if (next > end)
                        break;
                f->now = MAX(f->now, next);
                if (attempt <= f->wake)
                        attempt_ends(f);
                else {
                        f->wake = USEC_INFINITY;
                        modbus_bus_wake(f->bus);
                }
        }
        f->now = end;
}

static void expect_log(Fixture *f, const char *expected) {
        g_assert_cmpstr(f->log->str, ==, expected);
        g_string_truncate(f->log, 0);
}

/* The example of 4.4. */
static void test_timing(void) {
        Fixture *f = fixture_new(&(ModbusBusOptions) {
                        .immediate_count = 1, .delayed_count = 2, .retry_delay = 50000 });
        Job a;

        submit(f, job_init(&a, f, 'a'));
        run_until(f, 2000);
        expect_log(f, "a@0 a@100 a@250 a@350 a@500 a@600 a=T@700 ");
        g_assert_cmpuint(f->counters.all.timeouts, ==, 6);
        fixture_free(f);
}

static void test_no_repetition(void) {
        Fixture *f = fixture_new(&(ModbusBusOptions) {});
        Job a;

        submit(f, job_init(&a, f, 'a'));
        run_until(f, 1000);
        expect_log(f, "a@0 a=T@100 ");
        fixture_free(f);
}

static void test_delayed_0(void) {
        Fixture *f = fixture_new(&(ModbusBusOptions) { .delayed_count = 1 });
        Job a, b;

        submit(f, job_init(&a, f, 'a'));
        submit(f, job_init(&b, f, 'b'));
        run_until(f, 1000);
        expect_log(f, "a@0 b@100 a@200 a=T@300 b@300 b=T@400 ");
        fixture_free(f);
}

/* While one waits for its repetition, others use the line; it comes back at the queue's end. */
static void test_line_is_shared(void) {
        Fixture *f = fixture_new(&(ModbusBusOptions) { .delayed_count = 1, .retry_delay = 50000 });
        Job a, b, c;

        submit(f, job_init(&a, f, 'a'));
        submit(f, job_init(&b, f, 'b'));
        run_until(f, 160); /* a waits since 100, and is due at 150 */
        submit(f, job_init(&c, f, 'c'));
        run_until(f, 1000);
        expect_log(f, "a@0 b@100 a@200 a=T@300 c@300 b@400 b=T@500 c@500 c=T@600 ");
        fixture_free(f);
}

static void test_error_ends(void) {
        Fixture *f = fixture_new(&(ModbusBusOptions) { .immediate_count = 3, .delayed_count = 3 });
        Job a;

        f->answering = true;
        f->result = MODBUS_FUNCTION_ERROR;
        submit(f, job_init(&a, f, 'a'));
        run_until(f, 1000);
        expect_log(f, "a@0 a=E@10 ");
        g_assert_cmpuint(f->counters.all.exceptions, ==, 1);
        g_assert_cmpuint(f->counters.all.round_trip, ==, 10000);
        fixture_free(f);
}

static void test_turns(void) {
        Fixture *f = fixture_new(&(ModbusBusOptions) {});
        Job a, b;

        f->answering = true;
        submit(f, job_init(&a, f, 'a'));
        submit(f, job_init(&b, f, 'b'));
        a.again = b.again = true;
        run_until(f, 1000);
        expect_log(f, "a@0 a=ok@10 b@10 b=ok@20 a@20 a=ok@30 b@30 b=ok@40 ");
        fixture_free(f);
}

/* Measured from the last received answer; not before immediate repetitions; timeouts do not count. */
static void test_request_delay(void) {
        Fixture *f = fixture_new(&(ModbusBusOptions) { .request_delay = 30000, .immediate_count = 1 });
        Job a;

        f->answering = true;
        submit(f, job_init(&a, f, 'a'));
        a.again = true;
        run_until(f, 45);
        expect_log(f, "a@0 a=ok@10 a@40 ");
        f->answering = false; /* that one is not answered */
        run_until(f, 200);
        expect_log(f, "a@140 ");
        run_until(f, 240);
        expect_log(f, "a=T@240 ");
        submit(f, &a);
        expect_log(f, "a@240 ");
        f->answering = true;
        run_until(f, 300);
        expect_log(f, "a=ok@250 ");
        submit(f, &a); /* the pause has passed long ago */
        expect_log(f, "a@300 ");
        run_until(f, 1000);
        fixture_free(f);
}

static void test_cancel(void) {
        Fixture *f = fixture_new(&(ModbusBusOptions) {
                        .immediate_count = 2, .delayed_count = 1, .retry_delay = 50000 });
        Job a, b, c;

        submit(f, job_init(&a, f, 'a'));
        submit(f, job_init(&b, f, 'b'));
        submit(f, job_init(&c, f, 'c'));
        modbus_bus_cancel(f->bus, &b.job);      /* queued */
        run_until(f, 50);
        modbus_bus_cancel(f->bus, &a.job);      /* on the line: it ends, and is not repeated (D16) */
        g_assert_false(modbus_job_submitted(&a.job));
        run_until(f, 410);                      /* c has had its three, and waits */
        modbus_bus_cancel(f->bus, &c.job);
        modbus_bus_cancel(f->bus, &c.job);      /* idle */
        run_until(f, 1000);
        expect_log(f, "a@0 c@100 c@200 c@300 ");

        submit(f, &a);                          /* all of them may come again */
        expect_log(f, "a@1000 ");
        modbus_bus_detach(f->bus);
        fixture_free(f);
}

static void test_cancelled_answer(void) {
        Fixture *f = fixture_new(&(ModbusBusOptions) {});
        Job a, b;

        f->answering = true;
        submit(f, job_init(&a, f, 'a'));
        submit(f, job_init(&b, f, 'b'));
        modbus_bus_cancel(f->bus, &a.job);
        submit(f, &a); /* again, while its first attempt is still on the line */
        run_until(f, 1000);
        expect_log(f, "a@0 b@10 b=ok@20 a@20 a=ok@30 ");
        fixture_free(f);
}

static void test_cancel_inside_done(void) {
        Fixture *f = fixture_new(&(ModbusBusOptions) {});
        Job a, b;

        f->answering = true;
        submit(f, job_init(&a, f, 'a'));
        submit(f, job_init(&b, f, 'b'));
        a.cancels = &b;
        run_until(f, 1000);
        expect_log(f, "a@0 a=ok@10 ");
        fixture_free(f);
}

static void test_detach(void) {
        Fixture *f = fixture_new(&(ModbusBusOptions) { .delayed_count = 1, .retry_delay = 1000000 });
        Job a, b, c;

        submit(f, job_init(&a, f, 'a'));
        submit(f, job_init(&b, f, 'b'));
        submit(f, job_init(&c, f, 'c'));
        run_until(f, 110);
        modbus_bus_detach(f->bus);
        expect_log(f, "a@0 b@100 b=N@110 c=N@110 a=N@110 ");
        g_assert_cmpint(modbus_bus_submit(f->bus, &a.job), ==, -ENOTCONN);
        g_assert_cmpint(modbus_bus_submit_always(f->bus, &a.job), ==, -ENOTCONN);
        g_assert_cmpuint(f->wake, ==, USEC_INFINITY);

        g_assert_cmpuint(f->n, ==, 0); /* the attempt was cancelled */
        modbus_bus_attach(f->bus, &f->link);
        f->answering = true;
        submit(f, &a);
        run_until(f, 200);
        expect_log(f, "a@110 a=ok@120 ");
        fixture_free(f);
}

static void test_bound(void) {
        Fixture *f = fixture_new(&(ModbusBusOptions) {});
        g_autofree Job *jobs = g_new0(Job, MODBUS_BUS_QUEUE_MAX + 2);

        for (size_t i = 0; i < MODBUS_BUS_QUEUE_MAX + 1; i++) /* the first one is on the line */
                submit(f, job_init(&jobs[i], f, 'a'));
        g_assert_cmpint(modbus_bus_submit(f->bus, &job_init(&jobs[MODBUS_BUS_QUEUE_MAX + 1], f, 'b')->job),
                        ==, -EAGAIN);
        g_assert_false(modbus_job_submitted(&jobs[MODBUS_BUS_QUEUE_MAX + 1].job));
        g_assert_cmpint(modbus_bus_submit_always(f->bus, &jobs[MODBUS_BUS_QUEUE_MAX + 1].job), ==, 0);

        f->answering = true;
        run_until(f, 1000000);
        g_assert_true(g_str_has_suffix(f->log->str, "b@10250 b=ok@10260 "));
        fixture_free(f);
}

/* ---- counters ---------------------------------------------------------------------------------------- */

static void test_counters(void) {
        Fixture *f = fixture_new(&(ModbusBusOptions) { .immediate_count = 1, .delayed_count = 1, .retry_delay = 50000 });
        ModbusCounters counters_b = {};
        Job a, b;

        f->now = USEC_PER_SEC;
        submit(f, job_init(&a, f, 'a'));
        run_until(f, 1900); /* four attempts */
        g_assert_cmpuint(f->counters.all.requests, ==, 4);
        g_assert_cmpuint(f->counters.all.retries, ==, 3);
        g_assert_cmpuint(f->counters.all.timeouts, ==, 4);
        g_assert_cmpuint(f->counters.all.answers, ==, 0);

        f->answering = true;
        submit(f, job_init(&a, f, 'a'));
        run_until(f, 1990);
        g_assert_cmpuint(f->counters.load, ==, 0); /* of the first second, which is not over */
        f->result = MODBUS_FUNCTION_ERROR;
        job_init(&b, f, 'b')->job.counters = &counters_b;
        submit(f, &b);
        run_until(f, 2100);
        g_assert_cmpuint(f->counters.all.requests, ==, 6);
        g_assert_cmpuint(f->counters.all.retries, ==, 3);
        g_assert_cmpuint(f->counters.all.answers, ==, 2);
        g_assert_cmpuint(f->counters.all.exceptions, ==, 1);
        g_assert_cmpuint(f->counters.all.bytes_sent, ==, 6);
        g_assert_cmpuint(f->counters.all.bytes_received, ==, 2 * 7);
        g_assert_cmpuint(f->counters.all.checksum_errors, ==, 6);
        g_assert_cmpuint(modbus_counters_50(&f->counters), >=, 10000);
        g_assert_cmpuint(f->counters.load, ==, 42); /* 420 ms of it */
        g_assert_cmpuint(counters_b.requests, ==, 1); /* its own */
        g_assert_cmpuint(counters_b.exceptions, ==, 1);
        fixture_free(f);
}

/* ---- beyond the specification ------------------------------------------------------------------------ */

static Job *job_init_as(Job *j, Fixture *f, char name, ModbusUrgency urgency) {
        job_init(j, f, name);
        j->job.urgency = urgency;
        return j;
}

/* A write overtakes polls that wait, but every second turn is theirs. */
static void test_write_priority(void) {
        Fixture *f = fixture_new(&(ModbusBusOptions) { .write_priority = true, .probe_budget = 1 });
        Job polls[4], writes[4];

        f->answering = true;
        for (unsigned i = 0; i < 4; i++)
                submit(f, job_init_as(&polls[i], f, (char) ('a' + i), MODBUS_JOB_POLL));
        for (unsigned i = 0; i < 4; i++)
                submit(f, job_init_as(&writes[i], f, (char) ('W' + i), MODBUS_JOB_WRITE));
        run_until(f, 200);
        expect_log(f, "a@0 a=ok@10 W@10 W=ok@20 b@20 b=ok@30 X@30 X=ok@40 c@40 c=ok@50 Y@50 Y=ok@60 d@60 d=ok@70 "
                      "Z@70 Z=ok@80 ");
        submit(f, job_init_as(&writes[0], f, 'W', MODBUS_JOB_WRITE));
        submit(f, job_init_as(&writes[1], f, 'X', MODBUS_JOB_WRITE));
        run_until(f, 300);
        expect_log(f, "W@200 W=ok@210 X@210 X=ok@220 "); /* alone they wait for nobody */
        fixture_free(f);

        f = fixture_new(&(ModbusBusOptions) { .probe_budget = 1 }); /* not asked for */
        f->answering = true;
        submit(f, job_init_as(&polls[0], f, 'a', MODBUS_JOB_POLL));
        submit(f, job_init_as(&polls[1], f, 'b', MODBUS_JOB_POLL));
        submit(f, job_init_as(&writes[0], f, 'W', MODBUS_JOB_WRITE));
        run_until(f, 100);
        expect_log(f, "a@0 a=ok@10 b@10 b=ok@20 W@20 W=ok@30 ");
        fixture_free(f);
}

/* A write that is on the line, waits or was cancelled in its own queue. */
static void test_write_priority_cancel(void) {
        Fixture *f = fixture_new(&(ModbusBusOptions) { .write_priority = true, .probe_budget = 1,
                                                       .delayed_count = 1, .retry_delay = 10000 });
        Job a, w, x;

        submit(f, job_init_as(&a, f, 'a', MODBUS_JOB_POLL));
        submit(f, job_init_as(&w, f, 'W', MODBUS_JOB_WRITE));
        submit(f, job_init_as(&x, f, 'X', MODBUS_JOB_WRITE));
        modbus_bus_cancel(f->bus, &w.job);
        run_until(f, 1000);
        expect_log(f, "a@0 X@100 a@200 a=T@300 X@300 X=T@400 ");
        fixture_free(f);
}

/* A quarter of the time: after a probe of 100 ms 300 ms are the others'. No repetitions. */
static void test_probe_budget(void) {
        Fixture *f = fixture_new(&(ModbusBusOptions) { .probe_budget = 0.25, .immediate_count = 5, .delayed_count = 5 });
        Job p, q, a;

        modbus_bus_count_living(f->bus, 1);
        submit(f, job_init_as(&p, f, 'p', MODBUS_JOB_PROBE));
        submit(f, job_init_as(&q, f, 'q', MODBUS_JOB_PROBE));
        g_assert_cmpuint(modbus_bus_probe_time(f->bus, &p.job), ==, 0);
        g_assert_cmpuint(modbus_bus_probe_time(f->bus, &q.job), ==, 400000);
        run_until(f, 120);
        expect_log(f, "p@0 p=T@100 ");
        g_assert_cmpuint(modbus_bus_probe_time(f->bus, &q.job), ==, 400000);
        g_assert_cmpuint(modbus_bus_probe_time(f->bus, &p.job), ==, 800000); /* behind q, were it submitted */
        submit(f, job_init_as(&p, f, 'p', MODBUS_JOB_PROBE));
        g_assert_cmpuint(modbus_bus_probe_time(f->bus, &p.job), ==, 800000);
        f->answering = true;
        submit(f, job_init_as(&a, f, 'a', MODBUS_JOB_POLL));
        run_until(f, 395);
        expect_log(f, "a@120 a=ok@130 ");
        f->answering = false;
        submit(f, job_init_as(&a, f, 'a', MODBUS_JOB_POLL)); /* lasts: a probe waits for the line, too */
        a.job.immediate_left = a.job.delayed_left = 0;
        run_until(f, 2000);
        expect_log(f, "a@395 a=T@495 q@495 q=T@595 p@895 p=T@995 ");
        fixture_free(f);
}

/* Nobody is slowed down: then they are asked as fast as it goes; and as soon as that is so. */
static void test_probes_alone(void) {
        Fixture *f = fixture_new(&(ModbusBusOptions) { .probe_budget = 0.05 });
        Job p, q;

        submit(f, job_init_as(&p, f, 'p', MODBUS_JOB_PROBE));
        submit(f, job_init_as(&q, f, 'q', MODBUS_JOB_PROBE));
        run_until(f, 300);
        expect_log(f, "p@0 p=T@100 q@100 q=T@200 ");

        modbus_bus_count_living(f->bus, 1);
        submit(f, job_init_as(&p, f, 'p', MODBUS_JOB_PROBE));
        run_until(f, 500);
        expect_log(f, "");
        modbus_bus_count_living(f->bus, -1);
        run_until(f, 600);
        expect_log(f, "p@500 p=T@600 ");
        submit(f, job_init_as(&p, f, 'p', MODBUS_JOB_PROBE));
        submit(f, job_init_as(&q, f, 'q', MODBUS_JOB_PROBE));
        modbus_bus_cancel(f->bus, &q.job);
        modbus_bus_detach(f->bus);
        expect_log(f, "p@600 p=N@600 ");
        fixture_free(f);
}

/* Nobody answers, and the probes never end: what else there is gets every second turn. */
static void test_probes_and_writes(void) {
        Fixture *f = fixture_new(&(ModbusBusOptions) { .probe_budget = 0.05, .write_priority = true });
        Job p, q, w, a;

        submit(f, job_init_as(&p, f, 'p', MODBUS_JOB_PROBE));
        submit(f, job_init_as(&q, f, 'q', MODBUS_JOB_PROBE));
        submit(f, job_init_as(&w, f, 'w', MODBUS_JOB_WRITE));
        submit(f, job_init_as(&a, f, 'a', MODBUS_JOB_POLL));
        run_until(f, 150);
        submit(f, job_init_as(&p, f, 'p', MODBUS_JOB_PROBE));
        run_until(f, 1000);
        expect_log(f, "p@0 p=T@100 w@100 w=T@200 q@200 q=T@300 a@300 a=T@400 p@400 p=T@500 ");
        fixture_free(f);
}

/* A write goes before a probe whose time has come, but no stream of writes keeps a probe, or a poll, from its turn. */
static void test_writes_before_probes(void) {
        Fixture *f = fixture_new(&(ModbusBusOptions) { .probe_budget = 0.25, .write_priority = true });
        Job p, w, x, a;

        modbus_bus_count_living(f->bus, 1);
        f->answering = true;
        submit(f, job_init_as(&a, f, 'a', MODBUS_JOB_POLL));
        submit(f, job_init_as(&p, f, 'p', MODBUS_JOB_PROBE));
        submit(f, job_init_as(&w, f, 'w', MODBUS_JOB_WRITE));
        submit(f, job_init_as(&x, f, 'x', MODBUS_JOB_WRITE));
        run_until(f, 100);
        expect_log(f, "a@0 a=ok@10 w@10 w=ok@20 p@20 p=ok@30 x@30 x=ok@40 ");

        submit(f, job_init_as(&w, f, 'w', MODBUS_JOB_WRITE));
        submit(f, job_init_as(&x, f, 'x', MODBUS_JOB_WRITE));
        submit(f, job_init_as(&a, f, 'a', MODBUS_JOB_POLL));
        submit(f, job_init_as(&p, f, 'p', MODBUS_JOB_PROBE));
        w.again = x.again = true;
        run_until(f, 200);
        expect_log(f, "w@100 w=ok@110 p@110 p=ok@120 a@120 a=ok@130 x@130 x=ok@140 w@140 w=ok@150 x@150 x=ok@160 ");
        fixture_free(f);
}

static void expect_busy(Fixture *f, Job *j) {
        g_assert_cmpint(modbus_bus_submit(f->bus, &j->job), ==, -EBUSY);
        g_assert_false(modbus_job_submitted(&j->job));
}

/* A write to a unit that does not answer has one attempt, at once, and delays the next probe by its share. */
static void test_trials(void) {
        for (unsigned first = 0; first < 2; first++) {
                Fixture *f = fixture_new(&(ModbusBusOptions) { .probe_budget = 0.25, .write_priority = first,
                                                               .immediate_count = 5, .delayed_count = 5 });
                Job p, w, x;

                job_init_as(&p, f, 'p', MODBUS_JOB_PROBE);
                job_init_as(&x, f, 'x', MODBUS_JOB_TRIAL);
                modbus_bus_count_living(f->bus, 1);
                submit(f, job_init_as(&w, f, 'w', MODBUS_JOB_TRIAL));
                expect_busy(f, &x); /* one at a time … */
                run_until(f, 120);
                expect_busy(f, &x); /* … and within the budget */
                submit(f, &p);
                run_until(f, 520);
                expect_log(f, "w@0 w=T@100 p@400 p=T@500 ");
                submit(f, &x); /* before its time */
                submit(f, &p);
                run_until(f, 1220);
                expect_log(f, "x@520 x=T@620 p@1100 p=T@1200 ");
                submit(f, &x);
                run_until(f, 1900);
                expect_log(f, "x@1220 x=T@1320 ");
                submit(f, &x); /* there is no probe */
                run_until(f, 2010);
                submit(f, &p);
                run_until(f, 2350);
                expect_log(f, "x@1900 x=T@2000 p@2300 ");

                run_until(f, 2400);
                modbus_bus_count_living(f->bus, -1); /* nobody is slowed down */
                submit(f, &w);
                submit(f, &x);
                run_until(f, 3000);
                expect_log(f, "p=T@2400 w@2400 w=T@2500 x@2500 x=T@2600 ");
                fixture_free(f);
        }
}

/* Where no budget is asked for, it is a write like others. */
static void test_trials_without_budget(void) {
        Fixture *f = fixture_new(&(ModbusBusOptions) { .probe_budget = 1, .immediate_count = 1 });
        Job w, x, a;

        modbus_bus_count_living(f->bus, 1);
        submit(f, job_init_as(&a, f, 'a', MODBUS_JOB_POLL));
        submit(f, job_init_as(&w, f, 'w', MODBUS_JOB_TRIAL));
        submit(f, job_init_as(&x, f, 'x', MODBUS_JOB_TRIAL));
        run_until(f, 1000);
        expect_log(f, "a@0 a@100 a=T@200 w@200 w@300 w=T@400 x@400 x@500 x=T@600 ");
        fixture_free(f);
}

/* ---- several on the line ----------------------------------------------------------------------------- */

#define PIPELINED(n) .max_outstanding = (n), .write_priority = true

/* As many as may be, in their order; an answer makes room for the next one. */
static void test_outstanding(void) {
        Fixture *f = fixture_new(&(ModbusBusOptions) { PIPELINED(3), .probe_budget = 1 });
        Job jobs[5];

        f->answering = true;
        for (unsigned i = 0; i < 5; i++)
                g_assert_cmpint(modbus_bus_submit_always(f->bus, &job_init(&jobs[i], f, (char) ('a' + i))->job), ==, 0);
        expect_log(f, ""); /* they wait for each other */
        modbus_bus_run(f->bus);
        expect_log(f, "a@0 b@0 c@0 ");
        g_assert_cmpuint(f->flushed, ==, 3);
        run_until(f, 1000);
        expect_log(f, "a=ok@10 d@10 b=ok@10 e@10 c=ok@10 d=ok@20 e=ok@20 ");
        fixture_free(f);
}

/* Each has its own deadline and its own repetitions. */
static void test_outstanding_timeouts(void) {
        Fixture *f = fixture_new(&(ModbusBusOptions) { PIPELINED(2), .probe_budget = 1, .immediate_count = 1,
                                                       .delayed_count = 1, .retry_delay = 50000 });
        Job a, b, c;

        submit(f, job_init(&a, f, 'a'));
        run_until(f, 30);
        submit(f, job_init(&b, f, 'b'));
        submit(f, job_init(&c, f, 'c'));
        run_until(f, 215);
        expect_log(f, "a@0 b@30 a@100 b@130 c@200 ");
        modbus_bus_cancel(f->bus, &c.job); /* what is on the line ends by itself, and keeps its place */
        run_until(f, 260);
        expect_log(f, "a@250 ");
        run_until(f, 1000);
        expect_log(f, "b@300 a@350 b@400 a=T@450 b=T@500 ");
        fixture_free(f);
}

/* Polls take every second turn of the line, and one write waits for the other. */
static void test_outstanding_writes(void) {
        for (unsigned first = 0; first < 2; first++) {
                ModbusBusOptions options = { PIPELINED(3), .probe_budget = 1 };
                Job polls[4], writes[3];
                Fixture *f;

                options.write_priority = first;
                f = fixture_new(&options);
                f->answering = true;
                for (unsigned i = 0; i < 3; i++)
                        (void) modbus_bus_submit_always(
                                        f->bus, &job_init_as(&writes[i], f, (char) ('W' + i), MODBUS_JOB_WRITE)->job);
                for (unsigned i = 0; i < 4; i++)
                        (void) modbus_bus_submit_always(
                                        f->bus, &job_init_as(&polls[i], f, (char) ('a' + i), MODBUS_JOB_POLL)->job);
                modbus_bus_run(f->bus);
                expect_log(f, first ? "W@0 a@0 b@0 " : "W@0 ");
                run_until(f, 1000);
                expect_log(f, first ? "W=ok@10 X@10 a=ok@10 c@10 b=ok@10 d@10 X=ok@20 Y@20 c=ok@20 d=ok@20 Y=ok@30 "
                                    : "W=ok@10 X@10 X=ok@20 Y@20 a@20 b@20 Y=ok@30 c@30 a=ok@30 d@30 b=ok@30 c=ok@40 d=ok@40 ");
                fixture_free(f);
        }
}

/* While anybody answers one probe at a time, within the budget; else as many as go. */
static void test_outstanding_probes(void) {
        Fixture *f = fixture_new(&(ModbusBusOptions) { PIPELINED(3), .probe_budget = 0.25 });
        Job p, q, r, a;

        submit(f, job_init_as(&p, f, 'p', MODBUS_JOB_PROBE));
        submit(f, job_init_as(&q, f, 'q', MODBUS_JOB_PROBE));
        expect_log(f, "p@0 q@0 ");
        run_until(f, 110);
        expect_log(f, "p=T@100 q=T@100 ");

        modbus_bus_count_living(f->bus, 1);
        submit(f, job_init_as(&p, f, 'p', MODBUS_JOB_PROBE));
        submit(f, job_init_as(&q, f, 'q', MODBUS_JOB_PROBE));
        submit(f, job_init_as(&r, f, 'r', MODBUS_JOB_PROBE));
        submit(f, job_init_as(&a, f, 'a', MODBUS_JOB_POLL));
        run_until(f, 1500);
        expect_log(f, "a@110 a=T@210 p@400 p=T@500 q@800 q=T@900 r@1200 r=T@1300 ");
        fixture_free(f);
}

/* The pause after an answer holds up those that have not begun. */
static void test_outstanding_request_delay(void) {
        Fixture *f = fixture_new(&(ModbusBusOptions) { PIPELINED(2), .probe_budget = 1, .request_delay = 30000 });
        Job jobs[3];

        f->answering = true;
        for (unsigned i = 0; i < 3; i++)
                submit(f, job_init(&jobs[i], f, (char) ('a' + i)));
        run_until(f, 1000);
        expect_log(f, "a@0 b@0 a=ok@10 b=ok@10 c@40 c=ok@50 ");
        fixture_free(f);
}

static void test_outstanding_detach(void) {
        Fixture *f = fixture_new(&(ModbusBusOptions) { PIPELINED(2), .probe_budget = 1 });
        Job a, b, c;

        submit(f, job_init(&a, f, 'a'));
        submit(f, job_init(&b, f, 'b'));
        submit(f, job_init(&c, f, 'c'));
        a.cancels = &b; /* which then is told nothing */
        modbus_bus_detach(f->bus);
        expect_log(f, "a@0 b@0 a=N@0 c=N@0 ");
        g_assert_cmpuint(f->n, ==, 0);
        modbus_bus_attach(f->bus, &f->link);
        f->answering = true;
        submit(f, &b);
        submit(f, &c);
        run_until(f, 100);
        expect_log(f, "b@0 c@0 b=ok@10 c=ok@10 ");
        fixture_free(f);
}

int main(int argc, char *argv[]) {
        g_test_init(&argc, &argv, NULL);

        g_test_add_func("/modbus-bus/timing", test_timing);
        g_test_add_func("/modbus-bus/no-repetition", test_no_repetition);
        g_test_add_func("/modbus-bus/delayed-0", test_delayed_0);
        g_test_add_func("/modbus-bus/line-is-shared", test_line_is_shared);
        g_test_add_func("/modbus-bus/error-ends", test_error_ends);
        g_test_add_func("/modbus-bus/turns", test_turns);
        g_test_add_func("/modbus-bus/request-delay", test_request_delay);
        g_test_add_func("/modbus-bus/cancel", test_cancel);
        g_test_add_func("/modbus-bus/cancelled-answer", test_cancelled_answer);
        g_test_add_func("/modbus-bus/cancel-inside-done", test_cancel_inside_done);
        g_test_add_func("/modbus-bus/detach", test_detach);
        g_test_add_func("/modbus-bus/bound", test_bound);
        g_test_add_func("/modbus-bus/counters", test_counters);
        g_test_add_func("/modbus-bus/write-priority", test_write_priority);
        g_test_add_func("/modbus-bus/write-priority-cancel", test_write_priority_cancel);
        g_test_add_func("/modbus-bus/probe-budget", test_probe_budget);
        g_test_add_func("/modbus-bus/probes-alone", test_probes_alone);
        g_test_add_func("/modbus-bus/probes-and-writes", test_probes_and_writes);
        g_test_add_func("/modbus-bus/writes-before-probes", test_writes_before_probes);
        g_test_add_func("/modbus-bus/trials", test_trials);
        g_test_add_func("/modbus-bus/trials-without-budget", test_trials_without_budget);
        g_test_add_func("/modbus-bus/outstanding", test_outstanding);
        g_test_add_func("/modbus-bus/outstanding-timeouts", test_outstanding_timeouts);
        g_test_add_func("/modbus-bus/outstanding-writes", test_outstanding_writes);
        g_test_add_func("/modbus-bus/outstanding-probes", test_outstanding_probes);
        g_test_add_func("/modbus-bus/outstanding-request-delay", test_outstanding_request_delay);
        g_test_add_func("/modbus-bus/outstanding-detach", test_outstanding_detach);
        return g_test_run();
}
