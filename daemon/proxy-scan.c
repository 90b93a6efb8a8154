/* SPDX-License-Identifier: Apache-2.0 */
/* A scan of a device's link while no run has it (DeviceType.scan_begin): at most one a proxy, whose lines go
 * to whoever asked for it. Enabling the device ends it. Loop thread. */
#include <errno.h>

#include "base/bounds.h"
#include "daemon/proxy-internal.h"

/* The last line. NONE: everything was looked through. */
static void write_end(ProxyScan *s) {
        JsonWriter w;
        JsonSpan line;

        json_writer_init_growing(&w);
        json_open_object(&w);
        json_member_string(&w, "Event", "end");
        json_member_string(&w, "Reason", device_reason_to_string(s->reason));
        json_member_string(&w, "Detail", s->detail ?: "");
        json_close_object(&w);
        if (json_writer_end(&w, &line) >= 0)
                (void) line_pipe_write(s->pipe, line); /* a reader that is too slow misses it, and sees the end all the same */
        json_writer_done(&w);
}

static void scan_set_ended(Proxy *p, DeviceReason reason, const char *detail) {
        ProxyScan *s = p->scan;

        if (s->ended)
                return;
        s->ended = true;
        s->reason = reason;
        s->detail = g_strdup(detail);
        proxy_schedule(p);
}

static void on_reader_left(void *userdata) {
        scan_set_ended(userdata, DEVICE_REASON_LOST, "nobody reads any more");
}

static ProxyScan *scan_free(ProxyScan *s) {
        if (!s)
                return NULL;
        s->pipe = line_pipe_free(s->pipe);
        g_free(s->device);
        g_free(s->detail);
        g_free(s);
        return NULL;
}

static void scan_bury(Proxy *p) {
        ProxyScan *s = TAKE_PTR(p->scan);

        log_context(LOG_INFO, &p->log, "Scan ended: %s.", s->detail ?: "everything was looked through");
        write_end(s);
        s->device->type->scan_done(s->device);
        scan_free(s);
}

/* Why there can be none, or none any more; NULL: nothing is in the way. With a monitor server only the
 * gateway that is blessed and knows the device to be disabled may touch its line. */
static const char *scan_obstacle(const Proxy *p) {
        bool has_monitor = gateway_get_monitor_state(p->gateway) != MONITOR_NONE;

        return p->exiting        ? "the gateway is stopping"
               : p->view.enabled ? "the device was enabled"
               : p->next_config  ? "the device has another configuration"
               : has_monitor && (p->leaving || !p->view.enabled_known) ? "another gateway may be at work"
                                                                       : NULL;
}

void proxy_check_scan(Proxy *p) {
        const char *obstacle;

        if (!p->scan)
                return;
        obstacle = scan_obstacle(p);
        if (obstacle)
                scan_set_ended(p, DEVICE_REASON_BUSY, obstacle);
        if (p->scan->ended)
                scan_bury(p);
}

void proxy_free_scan(Proxy *p) {
        if (p->scan)
                scan_bury(p);
}

int proxy_scan(Proxy *p, const DeviceScanOptions *options, int *ret_reader) {
        const DeviceConfig *config = p->view.config;
        _cleanup_(safe_closep) int reader = -EBADF;
        ProxyScan *s;
        int r;

        if (p->exiting)
                return -ESHUTDOWN;
        if (!config->type->scan_begin)
                return -EOPNOTSUPP;
        if (config->error)
                return -EBADMSG;
        if (p->device || scan_obstacle(p))
                return -EBUSY;
        if (p->scan)
                return -EALREADY;

        s = g_new0(ProxyScan, 1);
        s->device = g_malloc0(config->type->scan_size);
        *s->device = (Device) { .type = config->type, .host = p, .conf = config->conf };
        r = line_pipe_new(gateway_get_event(p->gateway), SCAN_UNREAD_MAX, on_reader_left, p, &s->pipe, &reader);
        if (r >= 0)
                r = config->type->scan_begin(s->device, options);
        if (r < 0) {
                scan_free(s);
                return r;
        }

        log_context(LOG_INFO, &p->log, "Scan begins.");
        p->scan = s;
        proxy_update_busy(p);
        *ret_reader = TAKE_FD(reader);
        return 0;
}

/* ---- what the scan asks of its host ------------------------------------------------------------------ */

void device_scan_tell(Device *d, JsonSpan line) {
        Proxy *p = d->host;
        int r;

        if (!p->scan || p->scan->ended)
                return;
        r = line_pipe_write(p->scan->pipe, line);
        if (r < 0 && r != -EPIPE) /* that one is told by the pipe */
                scan_set_ended(p, DEVICE_REASON_INTERNAL, r == -EAGAIN ? "its reader is too slow" : g_strerror(-r));
}

void device_scan_ended(Device *d, DeviceReason reason, const char *detail) {
        scan_set_ended(d->host, reason, detail);
}
