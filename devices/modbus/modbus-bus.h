/* SPDX-License-Identifier: Apache-2.0 */
/* The scheduler of one line (spec modbus.md 4.2 to 4.4): a bounded queue of requests of all remote
 * devices, one on the line at a time, immediate and delayed repetitions, the pause after an answer. Beyond the
 * specification, where it is asked for: several are on the line at a time, but never two writes, which are carried
 * out in their order; writes overtake polls, and units that do not answer get no more than a
 * share of the line. Knows nothing of sockets, of polling or of the loop: time and the line come in through
 * interfaces. Loop thread. */
#pragma once

#include "devices/modbus/modbus-counters.h"
#include "devices/modbus/modbus-link.h"

#define MODBUS_BUS_QUEUE_MAX 1024U /* for each request that may be on the line */

typedef struct ModbusBus ModbusBus;
typedef struct ModbusJob ModbusJob;

typedef struct ModbusBusOptions {
        usec_t request_timeout; /* the link's; only for what is expected of probes */
        usec_t request_delay, retry_delay;
        uint64_t immediate_count, delayed_count;
        unsigned max_outstanding; /* on the line at a time, 1 to MODBUS_OUTSTANDING_MAX; the link must allow it */
        bool write_priority;    /* an urgent job overtakes others, but not two in a row */
        double probe_budget;    /* share of the time that probes may take while anybody answers; 1: all of it */
} ModbusBusOptions;

/* Which of the waiting jobs is next. */
typedef enum ModbusUrgency {
        MODBUS_JOB_POLL,
        MODBUS_JOB_WRITE,
        MODBUS_JOB_PROBE,       /* of a unit that did not answer: one attempt, within the budget */
        MODBUS_JOB_TRIAL,       /* a write to such a unit: one attempt, on the same account, but it does not wait for it */
} ModbusUrgency;

typedef struct ModbusClock {
        usec_t (*now)(void *userdata);                  /* CLOCK_MONOTONIC */
        /* modbus_bus_wake() is to be called at this time, in a later turn; replaces the one before;
         * USEC_INFINITY: never. */
        void (*wake_at)(usec_t when, void *userdata);
        void *userdata;
} ModbusClock;

/* One request, embedded in what its submitter has; the bus links it in while it is submitted. */
struct ModbusJob {
        ModbusRequest request;  /* unchanged while submitted */
        ModbusUrgency urgency;  /* … too */
        ModbusCounters *counters; /* of its remote device; outlives the bus; may be NULL */
        /* Once, unless cancelled; the job is the submitter's again and may be submitted or freed inside.
         * error: 0 with a response, -ETIMEDOUT after all repetitions, -ENOTCONN the line went. */
        void (*done)(ModbusJob *job, int error, const ModbusResponse *response);

        /* the bus's */
        ModbusJob *previous, *next;
        usec_t due;             /* of a delayed repetition */
        uint64_t immediate_left, delayed_left;
        bool transmitted;       /* at least once */
        enum { MODBUS_JOB_IDLE, MODBUS_JOB_QUEUED, MODBUS_JOB_DELAYED, MODBUS_JOB_ON_LINE } state;
};

/* counters: the caller's, outlives the bus. */
ModbusBus *modbus_bus_new(const ModbusBusOptions *options, const ModbusClock *clock,
                          ModbusLineCounters *counters);
/* No callback follows; jobs must have been cancelled or dropped before. */
ModbusBus *modbus_bus_free(ModbusBus *b);
DEFINE_CLEANUP(ModbusBus, modbus_bus_free);

/* The line is there; it stays the caller's. */
void modbus_bus_attach(ModbusBus *b, ModbusLink *link);
/* The line goes: every job ends with -ENOTCONN, and no callback of the link comes here any more. Before the
 * link is freed. */
void modbus_bus_detach(ModbusBus *b);

/* Appends to the queue. done() is never called inside. -ENOTCONN: no line; -EAGAIN: the queue is full
 * (D26); -EBUSY: a trial for which the budget has no time. */
int modbus_bus_submit(ModbusBus *b, ModbusJob *job);
/* The same beyond the bound: for the requests that a remote device polls with, and for the next step
 * of a write that was let in. Nothing leaves before modbus_bus_run(), which follows done() by itself: so
 * several leave together. */
int modbus_bus_submit_always(ModbusBus *b, ModbusJob *job);
void modbus_bus_run(ModbusBus *b);
/* The requester is gone: no callback. An attempt on the line ends by itself and is not repeated (D16).
 * Idle jobs are accepted. */
void modbus_bus_cancel(ModbusBus *b, ModbusJob *job);

/* One unit more (1) or less (-1) is polled and answers: while there are none, probes are not held back. */
void modbus_bus_count_living(ModbusBus *b, int change);
/* When a probe can be expected to begin: now, if it is on the line; were it submitted now, if it is not
 * submitted. */
usec_t modbus_bus_probe_time(const ModbusBus *b, const ModbusJob *job);
/* How long it takes at most, about, until the return of one of n units is noticed that do not answer, if it
 * pauses for `delay` after each probe: it came back just after the last one had been sent, and all others
 * have their turn before the next. */
usec_t modbus_bus_recovery_time(const ModbusBus *b, usec_t delay, size_t n);

void modbus_bus_wake(ModbusBus *b);
static inline bool modbus_job_submitted(const ModbusJob *job) {
        return job->state != MODBUS_JOB_IDLE;
}
