/* SPDX-License-Identifier: Apache-2.0 */
/* The scheduler of one line (spec modbus.md 4.2 to 4.4). Three queues: where neither priority nor budget is asked
 * for, everything is in the first. Loop thread. */

#include "devices/modbus/modbus-bus.h"

#include <assert.h>

typedef struct JobList {
        ModbusJob *first, *last;
        size_t n;
} JobList;

struct ModbusBus {
        ModbusBusOptions options;
        ModbusClock clock;
        ModbusCounters *counters;
        ModbusLink *link;
        JobList queue, writes, probes;
        JobList delayed;        /* in the order of due, because all wait equally long */
        bool busy;              /* an attempt is on the line … */
        ModbusJob *current;     /* … of this job; NULL: its requester is gone */
        bool retry;             /* … which had been transmitted before */
        bool wrote;             /* the one before it was urgent */
        size_t living;          /* units */
        bool probing;           /* what is on the line is a probe … */
        usec_t probe_begun;
        usec_t probe_at;        /* no other one before; 0: whenever */
        usec_t probe_pause;     /* what the last one cost the others */
        usec_t last_answer;     /* kept only with a request_delay */
        usec_t wake;            /* what the clock was told */
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
                          ModbusCounters *counters) {
        ModbusBus *b = g_new0(ModbusBus, 1);

        b->options = *options;
        b->clock = *clock;
        b->counters = counters;
        b->wake = USEC_INFINITY;
        return b;
}

ModbusBus *modbus_bus_free(ModbusBus *b) {
        g_free(b);
        return NULL;
}

/* ---- which is next ------------------------------------------------------------------------------------ */

static JobList *bus_queue_of(ModbusBus *b, const ModbusJob *job) {
        if (job->urgency == MODBUS_JOB_WRITE && b->options.write_priority)
                return &b->writes;
        if (job->urgency == MODBUS_JOB_PROBE && b->options.probe_budget < 1)
                return &b->probes;
        return &b->queue;
}

static size_t bus_n_waiting(const ModbusBus *b) {
        return b->queue.n + b->writes.n + b->probes.n + b->delayed.n;
}

/* When a probe may begin; 0: at once. */
static usec_t bus_probe_ready(const ModbusBus *b) {
        return b->living > 0 ? b->probe_at : 0;
}

/* The queue whose first job is next; NULL: nothing may go now. */
static JobList *bus_next_queue(ModbusBus *b) {
        if (b->probes.first) {
                usec_t ready = bus_probe_ready(b);

                if (ready == 0 || ready <= b->clock.now(b->clock.userdata))
                        return &b->probes;
        }
        if (b->writes.first && (!b->wrote || !b->queue.first))
                return &b->writes;
        return b->queue.first ? &b->queue : NULL;
}

/* What a probe took of the line's time it leaves to the others, many times over. */
static void bus_account_probe(ModbusBus *b) {
        usec_t now = b->clock.now(b->clock.userdata), took = usec_sub(now, b->probe_begun);

        b->probing = false;
        b->probe_pause = (usec_t) ((double) took * (1 - b->options.probe_budget) / b->options.probe_budget);
        b->probe_at = usec_add(now, b->probe_pause);
}

usec_t modbus_bus_probe_time(const ModbusBus *b, size_t n) {
        usec_t now = b->clock.now(b->clock.userdata);

        if (b->living == 0)
                return now;
        return usec_add(MAX(now, b->probe_at), n * b->probe_pause);
}

size_t modbus_bus_n_probes(const ModbusBus *b) {
        return b->probes.n;
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
        if (b->living == 0 && b->probes.first && b->link && !b->busy)
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

static void bus_transmit(ModbusBus *b, bool retry) {
        b->retry = retry;
        b->link->vtable->submit(b->link, &b->current->request, bus_on_attempt, b);
}

static void bus_begin(ModbusBus *b, JobList *queue) {
        ModbusJob *job = queue->first;

        list_remove(queue, job);
        job->state = MODBUS_JOB_ON_LINE;
        b->current = job;
        b->busy = true;
        b->wrote = queue == &b->writes;
        b->probing = queue == &b->probes;
        if (b->probing)
                b->probe_begun = b->clock.now(b->clock.userdata);
        bus_transmit(b, job->transmitted);
        job->transmitted = true;
}

/* Puts the next request on the free line, or sees to being woken for it. */
static void bus_run(ModbusBus *b) {
        usec_t wake = USEC_INFINITY;
        JobList *queue;

        if (b->busy || !b->link)
                return;

        bus_release_delayed(b);
        queue = bus_next_queue(b);
        if (queue) {
                usec_t ready = b->last_answer > 0 ? usec_add(b->last_answer, b->options.request_delay) : 0;

                if (ready == 0 || ready <= b->clock.now(b->clock.userdata)) {
                        bus_begin(b, queue);
                        return;
                }
                wake = ready;
        } else if (b->probes.first)
                wake = bus_probe_ready(b);
        if (b->delayed.first)
                wake = MIN(wake, b->delayed.first->due);
        bus_set_wake(b, wake);
}

/* true: the unanswered request goes on. */
static bool bus_repeat(ModbusBus *b, ModbusJob *job) {
        if (job->immediate_left > 0) {
                job->immediate_left--;
                bus_transmit(b, true);
                return true;
        }
        if (job->delayed_left > 0) {
                job->delayed_left--;
                job->immediate_left = b->options.immediate_count;
                job->due = usec_add(b->clock.now(b->clock.userdata), b->options.retry_delay);
                job->state = MODBUS_JOB_DELAYED;
                list_append(&b->delayed, job);
                b->busy = false;
                b->current = NULL;
                bus_run(b);
                return true;
        }
        return false;
}

static void bus_count(ModbusBus *b, int error, const ModbusResponse *response) {
        modbus_counters_add(b->counters, b->retry, error < 0 ? USEC_INFINITY : b->link->round_trip,
                            error >= 0 && response->result != MODBUS_SUCCESS, b->link->begun_at, b->link->ended_at);
        if (error >= 0 && b->options.request_delay > 0)
                b->last_answer = b->clock.now(b->clock.userdata);
}

static void bus_on_attempt(int error, const ModbusResponse *response, void *userdata) {
        ModbusBus *b = userdata;
        ModbusJob *job = b->current;

        bus_count(b, error, response);
        if (b->probing)
                bus_account_probe(b);
        if (job && error < 0 && bus_repeat(b, job))
                return;

        b->busy = false;
        b->current = NULL;
        if (job) {
                job->state = MODBUS_JOB_IDLE;
                job->done(job, error, response);
        }
        bus_run(b);
}

void modbus_bus_attach(ModbusBus *b, ModbusLink *link) {
        assert(!b->link && !b->busy);

        b->link = link;
        bus_run(b);
}

static void list_drop(JobList *l) {
        while (l->first) {
                ModbusJob *job = l->first;

                list_remove(l, job);
                job->state = MODBUS_JOB_IDLE;
                job->done(job, -ENOTCONN, NULL);
        }
}

void modbus_bus_detach(ModbusBus *b) {
        ModbusJob *job = TAKE_PTR(b->current);

        if (b->busy)
                b->link->vtable->cancel(b->link);
        b->link = NULL;
        b->busy = b->probing = b->wrote = false;
        b->probe_at = b->probe_pause = 0;
        bus_set_wake(b, USEC_INFINITY);

        if (job) {
                job->state = MODBUS_JOB_IDLE;
                job->done(job, -ENOTCONN, NULL);
        }
        list_drop(&b->writes);
        list_drop(&b->queue);
        list_drop(&b->probes);
        list_drop(&b->delayed);
}

int modbus_bus_submit_always(ModbusBus *b, ModbusJob *job) {
        JobList *queue;

        assert(!modbus_job_submitted(job));

        if (!b->link)
                return -ENOTCONN;

        queue = bus_queue_of(b, job);
        job->immediate_left = queue == &b->probes ? 0 : b->options.immediate_count;
        job->delayed_left = queue == &b->probes ? 0 : b->options.delayed_count;
        job->state = MODBUS_JOB_QUEUED;
        job->transmitted = false;
        bus_release_delayed(b); /* those whose time has come stand before */
        list_append(queue, job);
        bus_run(b);
        return 0;
}

int modbus_bus_submit(ModbusBus *b, ModbusJob *job) {
        if (b->link && bus_n_waiting(b) >= MODBUS_BUS_QUEUE_MAX)
                return -EAGAIN;

        return modbus_bus_submit_always(b, job);
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
                b->current = NULL;
                break;
        }
        job->state = MODBUS_JOB_IDLE;
}

void modbus_bus_wake(ModbusBus *b) {
        b->wake = USEC_INFINITY;
        bus_run(b);
}
