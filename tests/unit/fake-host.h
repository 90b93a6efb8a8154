/* SPDX-License-Identifier: Apache-2.0 */
/* The host's side of devices/device.h for tests of device types: a real loop, what the device registers
 * as lines of text, and queries that the test answers. One host per device; one loop per host. Main
 * thread. */
#pragma once

#include "devices/device.h"

typedef struct DeviceHost FakeHost;

typedef struct FakeQuery {
        char **queries;                 /* "remote_device/?/enable", NULL-terminated */
        DeviceQueryCallback callback;
        void *userdata;
} FakeQuery;

struct DeviceHost {
        sd_event *event;
        Resolver *resolver;
        LinkTap tap;
        LogContext log;
        Device *device;
        Device *scan;                   /* NULL: none is under way */
        void *conf;                     /* parsed from the text given to fake_host_new() */
        ConfArena *arena;

        GPtrArray *registered; /* char *: `read/x {"result": "SUCCESS"}`, without the prefix and `gateway` */
        GArray *times;                  /* usec_t of each: when */
        GArray *sources;                /* Timestamp of each, zero without one */
        bool with_sources;              /* else the device must not give any */
        size_t seen;                    /* how many of them fake_host_expect() has taken */
        FakeQuery *query;               /* the one that waits, or NULL */
        bool auto_answer; /* answer queries with `answers` in a later turn; the default, with no events */
        GPtrArray *answers;             /* char *: `remote_device/1/enable true` */
        sd_event_source *answering;

        bool begun, started, ended, done;
        DeviceReason reason;
        char *detail;
        DeviceLink link;
        DeviceReason link_reason;
        char *link_detail;
        unsigned link_changes;
        int borrowed_fd;                /* what device_borrow_fd() gives; -EBADF: nothing was passed */
        GHashTable *stored;             /* name → descriptor, over the end of a run */
        int store_error;                /* what device_store_fd() answers; 0: it stores */
        sd_event_source *finishing;
};

/* Makes loop, host and device; conf: YAML or JSON text of the device object, native form, which must be
 * good. */
FakeHost *fake_host_new(const DeviceType *type, const char *conf);
/* Stops a device that runs, waits for its end, frees everything. */
FakeHost *fake_host_free(FakeHost *h);
DEFINE_CLEANUP(FakeHost, fake_host_free);

/* Begins a run, the first or, after the end of one, the next; asserts success. */
void fake_host_start(FakeHost *h);
/* Begins a scan; what it tells is registered as `scan {…}`, its end as `scan-ended REASON DETAIL`. */
int fake_host_scan(FakeHost *h, const DeviceScanOptions *options);
void fake_host_scan_done(FakeHost *h);
/* Calls stop() and waits for the end. */
void fake_host_stop(FakeHost *h);
/* Delivers an event: type below <prefix>/system with `/` between segments, JSON text or NULL for none. */
void fake_host_event(FakeHost *h, const char *type, const char *json);
/* Answers the waiting query: lines as in `answers`, NULL-terminated; error 0 or negative. */
void fake_host_answer(FakeHost *h, int error, const char *const *lines);

/* Runs the loop until *flag, or a deadline of 5 s, which fails the test. */
void fake_host_wait(FakeHost *h, const bool *flag);
/* Runs the loop until condition(userdata), with the same deadline. */
void fake_host_wait_for(FakeHost *h, bool (*condition)(void *userdata), void *userdata);
/* Runs the loop for this long. */
void fake_host_run(FakeHost *h, usec_t duration);
/* The next registered line; waits for it. Borrowed. */
const char *fake_host_next(FakeHost *h);
/* The next registered lines are exactly these, in order; waits for them. */
#define fake_host_expect(h, ...) \
        fake_host_expect_lines(h, __FILE__, __LINE__, (const char *const[]) { __VA_ARGS__, NULL })
void fake_host_expect_lines(FakeHost *h, const char *file, int line, const char *const *lines);
/* Nothing more is registered during this time; what is due later, and comes as the machine was late, is the next one. */
void fake_host_expect_nothing(FakeHost *h, usec_t duration);
