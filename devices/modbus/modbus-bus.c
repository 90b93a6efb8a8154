/* SPDX-License-Identifier: Apache-2.0 */
/* The scheduler of one line (spec modbus.md 4.2 to 4.4). Three queues: where neither priority nor budget is asked
 * for, everything is in the first. A flight is one attempt on the line. Loop thread. */

#include "devices/modbus/modbus-bus.h"

#include <assert.h>

typedef struct JobList {
        ModbusJob *first, *last;
        size_t n;
} JobList;

typedef struct ModbusFlight {
        ModbusBus *bus;
        ModbusJob *job;         /* NULL: its requester is gone */
        bool busy;              /* this one is on the line */
        bool retry;             /* it had been transmitted before */
        ModbusUrgency urgency;
        ModbusCounters *counters; /* the job's */
        size_t size;            /* of the request */
        usec_t begun;           /* of what is paid from the budget */
} ModbusFlight;

struct ModbusBus {
        ModbusBusOptions options;
        ModbusClock clock;
        ModbusLineCounters *counters;
        ModbusLink *link;
        JobList queue, writes, probes;
        JobList delayed;        /* in the order of due, because all wait equally long */
        size_t n_busy;          /* flights */
        bool probed;            /* the last one that began was a probe, … */
        bool wrote;             /* … the last other one was urgent */
        size_t living;          /* units */
        usec_t probe_at;        /* no other one before; 0: whenever */
        bool tried;             /* the last one that was paid for was a trial */
        usec_t last_answer;     /* kept only with a request_delay */
        usec_t wake;            /* what the clock was told */
        ModbusFlight flights[]; /* max_outstanding */
};

static void list_append(JobList *l, ModbusJob *job) {
        job->previous = l->last;
        job->next = NULL;
        if (l->last)
                l->last->next = job;
        else
                l->first = job;
        l->last = job;
        l->n++;
}

static void list_remove(JobList *l, ModbusJob *job) {
        if (job->previous)
                job->previous->next = job->next;
        else
                l->first = job->next;
        if (job->next)
                job->next->previous = job->previous;
        else
                l->last = job->previous;
        l->n--;
}

ModbusBus *modbus_bus_new(const ModbusBusOptions *options, const ModbusClock *clock,
                          ModbusLineCounters *counters) {
        ModbusBus *b = g_malloc0(sizeof(ModbusBus) + options->max_outstanding * sizeof(ModbusFlight));

        b->options = *options;
        b->clock = *clock;
        b->counters = counters;
        b->wake = USEC_INFINITY;
        for (unsigned i = 0; i < options->max_outstanding; i++)
                b->flights[i].bus = b;
        return b;
}

ModbusBus *modbus_bus_free(ModbusBus *b) {
        g_free(b);
        return NULL;
}

/* ---- which is next ------------------------------------------------------------------------------------ */

static bool urgency_is_write(ModbusUrgency urgency) {
        return urgency == MODBUS_JOB_WRITE || urgency == MODBUS_JOB_TRIAL;
}

static JobList *bus_queue_of(ModbusBus *b, const ModbusJob *job) {
        if (urgency_is_write(job->urgency) && b->options.write_priority)
                return &b->writes;
        if (job->urgency == MODBUS_JOB_PROBE && b->options.probe_budget < 1)
                return &b->probes;
        return &b->queue;
}

static size_t bus_n_waiting(const ModbusBus *b) {
        return b->queue.n + b->writes.n + b->probes.n + b->delayed.n;
}

static bool bus_has_on_line(const ModbusBus *b, ModbusUrgency urgency) {
        for (unsigned i = 0; i < b->options.max_outstanding; i++)
                if (b->flights[i].busy && b->flights[i].urgency == urgency)
                        return true;
        return false;
}

static bool bus_has_write_on_line(const ModbusBus *b) {
        return bus_has_on_line(b, MODBUS_JOB_WRITE) || bus_has_on_line(b, MODBUS_JOB_TRIAL);
}

/* When a probe may begin; 0: at once; USEC_INFINITY: when another one has ended. */
static usec_t bus_probe_ready(const ModbusBus *b) {
        if (b->living == 0)
                return 0;
        return bus_has_on_line(b, MODBUS_JOB_PROBE) ? USEC_INFINITY : b->probe_at;
}

/* As bus_next_queue(), of those who need not wait for a probe. */
static JobList *bus_next_other(ModbusBus *b) {
        if (b->writes.first && (!b->wrote || !b->queue.first) && !bus_has_write_on_line(b))
                return &b->writes;
        if (!b->queue.first ||
            (urgency_is_write(b->queue.first->urgency) && bus_has_write_on_line(b)))
                return NULL;
        return &b->queue;
}

/* The queue whose first job is next; NULL: nothing may go now. A probe that may begin is next, but gives
 * every second turn to the others, and goes behind a write unless one was just before. */
static JobList *bus_next_queue(ModbusBus *b) {
        JobList *other = bus_next_other(b);
        bool others_turn = other && (b->probed || (other == &b->writes && !b->wrote));

        if (b->probes.first && !others_turn) {
                usec_t ready = bus_probe_ready(b);

                if (ready == 0 || ready <= b->clock.now(b->clock.userdata))
                        return &b->probes;
        }
        return other;
}

/* What a probe that took so long leaves to the others. */
static usec_t bus_pause_after(const ModbusBus *b, usec_t took) {
        return (usec_t) ((double) took * (1 - b->options.probe_budget) / b->options.probe_budget);
}

/* … that nobody answers. */
static usec_t bus_probe_pause(const ModbusBus *b) {
        return b->living > 0 ? bus_pause_after(b, b->options.request_timeout) : 0;
}

static bool bus_pays(const ModbusBus *b, ModbusUrgency urgency) {
        return b->options.probe_budget < 1 && (urgency == MODBUS_JOB_PROBE || urgency == MODBUS_JOB_TRIAL);
}

/* A trial may have come before its time, which then is added; that of those who waited while nobody answered
 * is not. */
static void bus_account(ModbusBus *b, const ModbusFlight *f) {
        usec_t now = b->clock.now(b->clock.userdata);
        usec_t from = CLAMP(b->probe_at, now, usec_add(now, bus_probe_pause(b)));

        b->probe_at = usec_add(from, bus_pause_after(b, usec_sub(now, f->begun)));
        b->tried = f->urgency == MODBUS_JOB_TRIAL;
}

/* One trial at a time, and one between two probes, so that they have their turn. */
static bool bus_may_try(ModbusBus *b, const ModbusJob *job) {
        if (b->options.probe_budget >= 1 || b->living == 0)
                return true;
        if (bus_has_on_line(b, MODBUS_JOB_TRIAL))
                return false;
        for (const ModbusJob *i = bus_queue_of(b, job)->first; i; i = i->next)
                if (i->urgency == MODBUS_JOB_TRIAL)
                        return false;
        return !b->tried || (!b->probes.first && b->probe_at <= b->clock.now(b->clock.userdata));
}

usec_t modbus_bus_probe_time(const ModbusBus *b, const ModbusJob *job) {
        usec_t now = b->clock.now(b->clock.userdata), at = now;
        usec_t turn = usec_add(b->options.request_timeout, bus_probe_pause(b));
        size_t n = b->probes.n; /* in front of it */

        if (job->state == MODBUS_JOB_ON_LINE || b->options.probe_budget >= 1)
                return now;
        if (job->state == MODBUS_JOB_QUEUED)
                for (n = 0; job->previous; job = job->previous)
                        n++;

        for (unsigned i = 0; i < b->options.max_outstanding; i++)
                if (b->flights[i].busy && b->flights[i].urgency == MODBUS_JOB_PROBE)
                        at = MAX(at, usec_add(b->flights[i].begun, turn));
        if (b->living > 0)
                at = MAX(at, b->probe_at);
        return usec_add(at, n * turn);
}

usec_t modbus_bus_recovery_time(const ModbusBus *b, usec_t delay, size_t n) {
        usec_t probe = b->options.request_timeout, pause = bus_probe_pause(b);

        return usec_add(MAX(delay, pause), probe + (n - 1) * (probe + pause));
}

static void bus_set_wake(ModbusBus *b, usec_t when) {
        if (when == b->wake)
                return;

        b->wake = when;
        b->clock.wake_at(when, b->clock.userdata);
}

void modbus_bus_count_living(ModbusBus *b, int change) {
        if (change > 0)
                b->living++;
        else
                b->living--;
        if (b->living == 0 && b->probes.first && b->link && b->n_busy < b->options.max_outstanding)
                bus_set_wake(b, b->clock.now(b->clock.userdata));
}

/* Delayed repetitions whose pause is over go to the queue's end. */
static void bus_release_delayed(ModbusBus *b) {
        usec_t now;

        if (!b->delayed.first)
                return;

        now = b->clock.now(b->clock.userdata);
        while (b->delayed.first && b->delayed.first->due <= now) {
                ModbusJob *job = b->delayed.first;

                list_remove(&b->delayed, job);
                job->state = MODBUS_JOB_QUEUED;
                list_append(bus_queue_of(b, job), job);
        }
}

static void bus_on_attempt(int error, const ModbusResponse *response, void *userdata);

static void bus_transmit(ModbusFlight *f, bool retry) {
        ModbusLink *link = f->bus->link;

        f->retry = retry;
        link->vtable->submit(link, &f->job->request, bus_on_attempt, f);
}

static void bus_flush(ModbusBus *b) {
        if (b->options.max_outstanding > 1 && b->link)
                b->link->vtable->flush(b->link);
}

static ModbusFlight *bus_free_flight(ModbusBus *b) {
        ModbusFlight *f = b->flights;

        while (f->busy)
                f++;
        return f;
}

static void bus_begin(ModbusBus *b, JobList *queue) {
        ModbusJob *job = queue->first;
        ModbusFlight *f = bus_free_flight(b);

        list_remove(queue, job);
        job->state = MODBUS_JOB_ON_LINE;
        f->job = job;
        f->busy = true;
        f->urgency = job->urgency;
        f->counters = job->counters;
        f->size = job->request.size;
        b->n_busy++;
        b->probed = queue == &b->probes;
        if (!b->probed)
                b->wrote = queue == &b->writes;
        if (bus_pays(b, f->urgency))
                f->begun = b->clock.now(b->clock.userdata);
        bus_transmit(f, job->transmitted);
        job->transmitted = true;
}

/* Puts the next request on the line if it is free for one. Else ret_wake: when to look again. */
static bool bus_begin_next(ModbusBus *b, usec_t *ret_wake) {
        JobList *queue = bus_next_queue(b);
        usec_t ready;

        if (!queue) {
                *ret_wake = b->probes.first ? bus_probe_ready(b) : USEC_INFINITY;
                return false;
        }

        ready = b->last_answer > 0 ? usec_add(b->last_answer, b->options.request_delay) : 0;
        if (ready > 0 && ready > b->clock.now(b->clock.userdata)) {
                *ret_wake = ready;
                return false;
        }
        bus_begin(b, queue);
        return true;
}

void modbus_bus_run(ModbusBus *b) {
        usec_t wake;

        if (!b->link || b->n_busy == b->options.max_outstanding)
                return;

        bus_release_delayed(b);
        while (bus_begin_next(b, &wake))
                if (b->n_busy == b->options.max_outstanding) {
                        bus_flush(b);
                        return;
                }
        bus_flush(b);
        if (b->delayed.first)
                wake = MIN(wake, b->delayed.first->due);
        bus_set_wake(b, wake);
}

/* The line is free of it; returns its job. */
static ModbusJob *bus_land(ModbusFlight *f) {
        f->bus->n_busy--;
        f->busy = false;
        return TAKE_PTR(f->job);
}

/* true: the unanswered request goes on. */
static bool bus_repeat(ModbusFlight *f) {
        ModbusBus *b = f->bus;
        ModbusJob *job = f->job;

        if (job->immediate_left > 0) {
                job->immediate_left--;
                bus_transmit(f, true);
                bus_flush(b);
                return true;
        }
        if (job->delayed_left > 0) {
                job->delayed_left--;
                job->immediate_left = b->options.immediate_count;
                job->due = usec_add(b->clock.now(b->clock.userdata), b->options.retry_delay);
                job->state = MODBUS_JOB_DELAYED;
                list_append(&b->delayed, job);
                (void) bus_land(f);
                modbus_bus_run(b);
                return true;
        }
        return false;
}

static void bus_count(ModbusFlight *f, int error, const ModbusResponse *response) {
        ModbusBus *b = f->bus;
        ModbusLink *link = b->link;
        const ModbusAttempt a = {
                .response = error < 0 ? NULL : response,
                .retry = f->retry,
                .checksum_errors = link->checksum_errors,
                .sent = f->size,
                .received = error < 0 ? 0 : link->received,
                .begun_at = link->begun_at,
                .ended_at = link->ended_at,
                .round_trip = error < 0 ? 0 : link->round_trip,
        };

        link->checksum_errors = 0;
        modbus_counters_add(b->counters, f->counters, &a);
        if (error >= 0 && b->options.request_delay > 0)
                b->last_answer = b->clock.now(b->clock.userdata);
}

static void bus_on_attempt(int error, const ModbusResponse *response, void *userdata) {
        ModbusFlight *f = userdata;
        ModbusBus *b = f->bus;
        ModbusJob *job;

        bus_count(f, error, response);
        if (bus_pays(b, f->urgency))
                bus_account(b, f);
        if (f->job && error < 0 && bus_repeat(f))
                return;

        job = bus_land(f);
        if (job) {
                job->state = MODBUS_JOB_IDLE;
                job->done(job, error, response);
        }
        modbus_bus_run(b);
}

void modbus_bus_attach(ModbusBus *b, ModbusLink *link) {
        assert(!b->link && b->n_busy == 0);

        b->link = link;
        modbus_bus_run(b);
}

static void job_drop(ModbusJob *job) {
        job->state = MODBUS_JOB_IDLE;
        job->done(job, -ENOTCONN, NULL);
}

static void list_drop(JobList *l) {
        while (l->first) {
                ModbusJob *job = l->first;

                list_remove(l, job);
                job_drop(job);
        }
}

void modbus_bus_detach(ModbusBus *b) {
        if (b->n_busy > 0)
                b->link->vtable->cancel(b->link);
        b->link = NULL;
        b->wrote = b->probed = b->tried = false;
        b->probe_at = 0;
        bus_set_wake(b, USEC_INFINITY);

        for (unsigned i = 0; i < b->options.max_outstanding; i++) {
                ModbusJob *job = b->flights[i].busy ? bus_land(&b->flights[i]) : NULL;

                if (job)
                        job_drop(job);
        }
        list_drop(&b->writes);
        list_drop(&b->queue);
        list_drop(&b->probes);
        list_drop(&b->delayed);
}

int modbus_bus_submit_always(ModbusBus *b, ModbusJob *job) {
        bool once = bus_pays(b, job->urgency);

        assert(!modbus_job_submitted(job));

        if (!b->link)
                return -ENOTCONN;

        job->immediate_left = once ? 0 : b->options.immediate_count;
        job->delayed_left = once ? 0 : b->options.delayed_count;
        job->state = MODBUS_JOB_QUEUED;
        job->transmitted = false;
        bus_release_delayed(b); /* those whose time has come stand before */
        list_append(bus_queue_of(b, job), job);
        return 0;
}

int modbus_bus_submit(ModbusBus *b, ModbusJob *job) {
        int r;

        if (b->link && bus_n_waiting(b) >= (size_t) MODBUS_BUS_QUEUE_MAX * b->options.max_outstanding)
                return -EAGAIN;
        if (b->link && job->urgency == MODBUS_JOB_TRIAL && !bus_may_try(b, job))
                return -EBUSY;

        r = modbus_bus_submit_always(b, job);
        if (r >= 0)
                modbus_bus_run(b);
        return r;
}

void modbus_bus_cancel(ModbusBus *b, ModbusJob *job) {
        switch (job->state) {
        case MODBUS_JOB_IDLE:
                return;
        case MODBUS_JOB_QUEUED:
                list_remove(bus_queue_of(b, job), job);
                break;
        case MODBUS_JOB_DELAYED:
                list_remove(&b->delayed, job);
                break;
        case MODBUS_JOB_ON_LINE:
                for (unsigned i = 0; i < b->options.max_outstanding; i++)
                        if (b->flights[i].job == job)
                                b->flights[i].job = NULL;
                break;
        }
        job->state = MODBUS_JOB_IDLE;
}

void modbus_bus_wake(ModbusBus *b) {
        b->wake = USEC_INFINITY;
        modbus_bus_run(b);
}
