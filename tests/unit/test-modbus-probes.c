/* SPDX-License-Identifier: Apache-2.0 */
/* A line with units that do not answer, in simulated time: what they cost the others, and how soon the return of one is
 * noticed. The units behave as modbus-unit.c's, but for the order of a round. */

#include "devices/modbus/modbus-bus.h"

#include <glib.h>

enum { UNITS_MAX = 20 };

#define ANSWER (10 * USEC_PER_MSEC)
#define MS USEC_PER_MSEC

typedef struct Line Line;

/* Read as fast as it goes. */
typedef struct Unit {
        ModbusJob job;
        Line *line;
        uint8_t frame[1];       /* its index */
        bool dead;
        bool silent;            /* … and found out */
        usec_t due;             /* asked again; USEC_INFINITY: it is being asked */
        usec_t asked_at;        /* the last time */
        unsigned asked, answered;
} Unit;

struct Line {
        ModbusLink link;
        ModbusBus *bus;
        ModbusLineCounters counters;
        usec_t now, wake, timeout, delay;
        ModbusLinkCallback callback; /* of what is on the line … */
        void *userdata;
        bool answered;          /* … is answered at its end */
        usec_t ends_at;
        Unit units[UNITS_MAX];
        size_t n_units;
        ModbusJob write;        /* to the first one, if that is dead, as often as it goes */
        bool writing;
        unsigned n_writes;
};

static void fake_submit(ModbusLink *link, const ModbusRequest *request, ModbusLinkCallback callback, void *userdata) {
        Line *l = (Line *) link;
        Unit *u = &l->units[request->frame[0]];

        g_assert_cmpuint(l->ends_at, ==, USEC_INFINITY);
        u->asked++;
        u->asked_at = l->now;
        l->callback = callback;
        l->userdata = userdata;
        l->answered = !u->dead;
        l->ends_at = l->now + (u->dead ? l->timeout : ANSWER);
}

static void fake_cancel(ModbusLink *link) {
}

static const ModbusLinkVTable fake_vtable = { .submit = fake_submit, .cancel = fake_cancel };

static usec_t fake_now(void *userdata) {
        return ((Line *) userdata)->now;
}

static void fake_wake_at(usec_t when, void *userdata) {
        ((Line *) userdata)->wake = when;
}

static void unit_ask(Unit *u) {
        u->due = USEC_INFINITY;
        u->job.urgency = u->silent ? MODBUS_JOB_PROBE : MODBUS_JOB_POLL;
        g_assert_cmpint(modbus_bus_submit_always(u->line->bus, &u->job), ==, 0);
}

static void unit_set_silent(Unit *u, bool silent) {
        if (u->silent == silent)
                return;
        u->silent = silent;
        modbus_bus_count_living(u->line->bus, silent ? -1 : 1);
}

static void on_read(ModbusJob *job, int error, const ModbusResponse *response) {
        Unit *u = (Unit *) job;

        unit_set_silent(u, error < 0);
        u->answered += error >= 0;
        if (u->line->writing && !modbus_job_submitted(&u->line->write))
                (void) modbus_bus_submit(u->line->bus, &u->line->write);
        if (error < 0 && u->line->delay > 0)
                u->due = u->line->now + u->line->delay;
        else
                unit_ask(u);
}

static void on_write(ModbusJob *job, int error, const ModbusResponse *response) {
        Line *l = ((const Unit *) (const void *) (job->request.frame - offsetof(Unit, frame)))->line;

        g_assert_cmpint(error, ==, -ETIMEDOUT);
        l->n_writes++;
}

/* The first n_dead of the units do not answer, which is found out by their first reads. */
static Line *line_new(size_t n_units, size_t n_dead, usec_t timeout, usec_t delay, double budget) {
        Line *l = g_new0(Line, 1);
        ModbusClock clock = { fake_now, fake_wake_at, l };

        l->link.vtable = &fake_vtable;
        l->wake = l->ends_at = USEC_INFINITY;
        l->timeout = timeout;
        l->delay = delay;
        l->bus = modbus_bus_new(&(ModbusBusOptions) { .request_timeout = timeout, .immediate_count = 1,
                                                      .max_outstanding = 1, .write_priority = true,
                                                      .probe_budget = budget },
                                &clock, &l->counters);
        modbus_bus_attach(l->bus, &l->link);

        for (l->n_units = 0; l->n_units < n_units; l->n_units++) {
                Unit *u = &l->units[l->n_units];

                *u = (Unit) { .line = l, .frame = { (uint8_t) l->n_units }, .dead = l->n_units < n_dead };
                u->job.request = (ModbusRequest) { .frame = u->frame, .size = 1 };
                u->job.done = on_read;
                modbus_bus_count_living(l->bus, 1);
                unit_ask(u);
        }
        l->write.urgency = MODBUS_JOB_TRIAL;
        l->write.request = l->units[0].job.request;
        l->write.done = on_write;
        modbus_bus_run(l->bus);
        return l;
}

static void line_free(Line *l) {
        modbus_bus_free(l->bus);
        g_free(l);
}

static void line_end(Line *l) {
        ModbusResponse response = {};

        l->ends_at = USEC_INFINITY;
        l->callback(l->answered ? 0 : -ETIMEDOUT, l->answered ? &response : NULL, l->userdata);
}

/* The next thing that happens. */
static void line_step(Line *l) {
        usec_t due = USEC_INFINITY;
        Unit *next = NULL;

        for (size_t i = 0; i < l->n_units; i++)
                if (l->units[i].due < due) {
                        next = &l->units[i];
                        due = next->due;
                }

        l->now = MAX(l->now, MIN(MIN(l->ends_at, l->wake), due));
        g_assert_cmpuint(l->now, <, USEC_INFINITY);
        if (l->ends_at <= l->now)
                line_end(l);
        else if (l->wake <= l->now) {
                l->wake = USEC_INFINITY;
                modbus_bus_wake(l->bus);
        } else {
                unit_ask(next);
                modbus_bus_run(l->bus);
        }
}

static void line_run(Line *l, usec_t duration) {
        usec_t end = l->now + duration;

        while (l->now < end)
                line_step(l);
}

/* ---- what they cost the others ----------------------------------------------------------------------- */

static unsigned line_answered(const Line *l) {
        unsigned n = 0;

        for (size_t i = 0; i < l->n_units; i++)
                n += l->units[i].answered;
        return n;
}

/* Once the dead are found out: how many answers come in so many turns of all of them. */
static unsigned answers_of(size_t n_living, size_t n_dead, usec_t timeout, bool writing, unsigned turns) {
        Line *l = line_new(n_living + n_dead, n_dead, timeout, 0, 0.05);
        unsigned answered;

        l->writing = writing && n_dead > 0;
        line_run(l, 200 * timeout);
        answered = line_answered(l);
        l->n_writes = 0;
        line_run(l, turns * 20 * 5 * timeout);
        answered = line_answered(l) - answered;
        if (l->writing)
                g_assert_cmpuint(l->n_writes, >=, turns);
        for (size_t i = 0; i < n_dead; i++)
                g_assert_cmpuint(l->units[i].asked, >=, turns / 2);
        line_free(l);
        return answered;
}

/* 20 units of which 5 are dead: the others keep 95 % of their rate, whatever the timeout; even if somebody keeps writing to one, but
 * for a probe and a write that are paid for when the count is over. */
static void test_rate(void) {
        static const unsigned timeouts[] = { 100, 1000, 10000 };

        for (size_t i = 0; i < G_N_ELEMENTS(timeouts); i++) {
                unsigned alone = answers_of(15, 0, timeouts[i] * MS, false, 10);

                for (unsigned writing = 0; writing < 2; writing++) {
                        unsigned answered = answers_of(15, 5, timeouts[i] * MS, writing, 10);

                        g_test_message("timeout %u ms: %u of %u, %.2f %%", timeouts[i], answered, alone,
                                       100.0 * answered / alone);
                        answered += writing ? (unsigned) (2 * timeouts[i] * MS / ANSWER) : 0;
                        g_assert_cmpfloat(answered, >=, 0.95 * alone);
                }
        }
}

/* ---- recovery ---------------------------------------------------------------------------------------- */

static usec_t next_probe(const Unit *u) {
        return MAX(modbus_bus_probe_time(u->line->bus, &u->job), u->due == USEC_INFINITY ? 0 : u->due);
}

/* Lets `u` be asked once more in vain, and return right then: what its status shows is kept. */
static void expect_recovery(Line *l, Unit *u, size_t n_dead) {
        usec_t recovery = modbus_bus_recovery_time(l->bus, l->delay, n_dead), missed, expected;
        unsigned asked = u->asked, answered = u->answered;

        while (u->asked == asked)
                line_step(l);
        missed = l->now;
        u->dead = false;
        g_assert_cmpuint(modbus_bus_probe_time(l->bus, &u->job), ==, l->now);
        line_run(l, l->timeout); /* its end, and what follows */
        expected = next_probe(u);
        g_assert_cmpuint(expected, >=, l->now);

        while (u->answered == answered)
                line_step(l);
        g_test_message("noticed after %u ms of %u ms", (unsigned) ((l->now - missed) / MS), (unsigned) (recovery / MS));
        g_assert_cmpuint(l->now - missed, <=, recovery + 3 * ANSWER); /* its own, and those it waited for */
        g_assert_cmpuint(l->now - missed, >=, recovery / 2);
        g_assert_cmpuint(u->asked_at, <=, expected + 2 * ANSWER);
        g_assert_cmpuint(u->asked_at, >=, expected - MIN(expected, 2 * ANSWER));
        u->dead = true;
}

static void test_recovery(void) {
        static const struct {
                size_t living, dead;
                unsigned timeout, delay; /* ms */
                double budget;
                unsigned recovery; /* ms */
        } rows[] = {
                { 0, 1, 500, 3000, 0.05, 3500 },   /* a connection of its own */
                { 0, 1, 500, 0, 0.05, 500 },
                { 0, 4, 500, 0, 0.05, 2000 },
                { 0, 4, 500, 3000, 0.05, 5000 },
                { 2, 1, 100, 0, 0.25, 400 },       /* the pause is 300 */
                { 2, 1, 100, 200, 0.25, 400 },
                { 2, 1, 100, 3000, 0.25, 3100 },
                { 2, 3, 100, 0, 0.25, 1200 },
                { 2, 3, 100, 200, 0.25, 1200 },
                { 2, 3, 100, 1500, 0.25, 2400 },
                { 15, 5, 1000, 0, 0.05, 100000 },
        };

        for (size_t i = 0; i < G_N_ELEMENTS(rows); i++) {
                size_t n = rows[i].living + rows[i].dead;
                Line *l = line_new(n, rows[i].dead, rows[i].timeout * MS, rows[i].delay * MS, rows[i].budget);

                line_run(l, 20 * rows[i].recovery * MS);
                for (unsigned turn = 0; turn < 4; turn++) {
                        g_assert_cmpuint(modbus_bus_recovery_time(l->bus, l->delay, rows[i].dead), ==,
                                         rows[i].recovery * MS);
                        expect_recovery(l, &l->units[turn % rows[i].dead], rows[i].dead);
                        line_run(l, 3 * rows[i].recovery * MS);
                }
                line_free(l);
        }
}

int main(int argc, char *argv[]) {
        g_test_init(&argc, &argv, NULL);

        g_test_add_func("/modbus-probes/rate", test_rate);
        g_test_add_func("/modbus-probes/recovery", test_recovery);
        return g_test_run();
}
