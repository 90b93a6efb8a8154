/* SPDX-License-Identifier: Apache-2.0 */
/* Every bound of a queue, buffer, count or wait that a peer or a file can drive: docs/design.md section 6. */
#pragma once

#include "base/time.h"

#define CHATTER_FRAME_MAX (64U << 20)            /* bytes of one message, either direction */
#define CHATTER_PING_DELAY_USEC (20 * USEC_PER_SEC)
#define CHATTER_PING_TIMEOUT_USEC (20 * USEC_PER_SEC)

#define NORTH_PAUSE_BYTES (1U << 20)             /* unsent to the event server: devices pause … */
#define NORTH_RESUME_BYTES (256U << 10)          /* … and go on */
#define NORTH_UNSENT_MAX (64U << 20)             /* beyond: the connection is closed */
#define NORTH_STALL_USEC (40 * USEC_PER_SEC)     /* unsent bytes and no progress: the connection is dead */
#define NORTH_RECONNECT_USEC (500 * USEC_PER_MSEC)
#define NORTH_REASON_SIZE 256U                   /* compared of why that does not work */
#define NORTH_REASONS_MAX 5U                     /* log lines about another reason of the same outage … */
#define NORTH_REASONS_USEC (600 * USEC_PER_SEC)  /* … in this time */
#define NORTH_REQUEST_USEC (10 * USEC_PER_SEC)   /* connect, init, register, query */

#define MONITOR_PING_DELAY_USEC (5 * USEC_PER_SEC)   /* silence of the monitor until we ask, … */
#define MONITOR_PING_TIMEOUT_USEC (5 * USEC_PER_SEC) /* … and until it is gone: well before it gives up on us, at 40 s */
#define MONITOR_LATE_USEC (5 * USEC_PER_SEC)         /* a loop that ran so much too late was frozen: the blessing is lost */

#define EVENT_SERVER_CLIENTS_MAX 1000U           /* of the embedded event server */
#define EVENT_SERVER_NAME_MAX 1024U               /* bytes of a client's name; log lines show 128 */
#define EVENT_SERVER_READ_MAX (16U << 10)        /* bytes that one turn of the loop takes of a client: devices wait for one of each */
#define EVENT_SERVER_NOTIFY_MAX (8U << 20)       /* unsent notifications of one client: it is cut off */
#define EVENT_SERVER_ANSWERS_MAX (1U << 20)      /* unsent answers of one client: it is not read */
#define EVENT_SERVER_UNANSWERED_MAX 4096U        /* registrations of one client that wait for the disk: it is not read */
#define EVENT_SERVER_HELD_MAX (128U << 20)       /* unfinished input and unsent output of all clients: one beyond its share is cut off */
#define EVENT_SERVER_STALL_USEC (40 * USEC_PER_SEC) /* unsent bytes and no progress: it is cut off */
#define EVENT_SERVER_LINES_MAX 10U               /* log lines about clients … */
#define EVENT_SERVER_LINES_USEC (60 * USEC_PER_SEC) /* … in this time; about the disk: one */
#define STORE_EVENT_MAX (4U << 20)               /* bytes of one registered event, encoded; beyond: failure */
#define STORAGE_QUEUE_MAX (8U << 20)             /* bytes of sessions on their way to the disk: no client is read; free again at a quarter */
#define STORAGE_KEPT_MAX (8U << 20)              /* … and of those kept while the disk takes nothing */
#define STORAGE_QUERIES_MAX 4U                   /* under way at once, each with its answer in memory; others wait */

#define NORTH_LEAVE_USEC (2 * USEC_PER_SEC)      /* to write out the last events when another gateway or event server takes over */
#define MONITOR_LOST_USEC (2 * USEC_PER_SEC)     /* from the loss of the monitor server to our end */

#define DEVICE_EVENTS_MAX 1024U                  /* waiting for one device that is starting */
#define DEVICE_EVENTS_BYTES_MAX (1U << 20)       /* of them together, but always room for one */
#define DEVICE_REQUEST_ID_MAX (64U << 10)        /* bytes of a write's request_id, kept until its result */
#define DEVICE_START_USEC (5 * USEC_PER_SEC)
#define DEVICE_STOP_USEC (2 * USEC_PER_SEC)
#define DEVICE_RETRY_MAX_USEC (60 * USEC_PER_SEC) /* 1, 2, 4 … */
#define SCAN_UNREAD_MAX (512U << 10)             /* bytes of a scan that its reader has not read: all that one finds */

#define TAP_RECORDER_USUAL (256U << 10)          /* bytes of records that a device keeps, unless configured … */
#define TAP_RECORDERS_MAX (4U << 20)             /* … or less, so that all together keep no more; once more after a failure */
#define TAP_RECORDER_MIN (4U << 10)
#define TAP_RECORDER_MAX (16U << 20)             /* … that can be configured */
#define TAP_BYTES_MAX 1024U                      /* of one record; no frame is longer */
#define TRACES_PER_DEVICE_MAX 4U                 /* who look at one device … */
#define TRACES_MAX 32U                           /* … and at all; what they have not read waits in the recorder */
#define TAP_BURST_USEC (60 * USEC_PER_SEC)       /* so long without a failure ends a burst of them */

#define FD_STORE_MAX 128U                        /* descriptors that outlive the process: FileDescriptorStoreMax= of the unit */

#define CONF_SIZE_MAX (16U << 20)                /* bytes of a configuration file */
#define CONF_NODES_MAX 1000000U                  /* aliases expanded */
#define CONF_DEPTH_MAX 64U
#define CONF_KEY_MAX 1024U                       /* bytes of one key */
#define CONF_ERRORS_MAX 10000U                   /* messages kept of one run; more are counted */
#define CONF_CREDENTIAL_MAX (64U << 10)          /* bytes of one secret */
#define CONF_DEVICES_MAX 10000U
#define CONF_NAME_MAX 128U                       /* bytes: gateway and device names */
#define CONF_DATA_NAME_MAX 1024U                 /* bytes: names of data */
#define CONF_SECONDS_MAX 1e7                     /* unless a key says more */
#define EVENT_AGE_SECONDS_MAX 3155760000.0       /* 100 years: history.max_age */

#define JSON_DEPTH_MAX 512U                      /* levels of a payload */
#define JSON_DIGITS_MAX 4300U                    /* of one integer that becomes bits */

#define EXIT_FLUSH_USEC (5 * USEC_PER_SEC)       /* SIGTERM to the end */
