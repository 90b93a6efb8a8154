/* SPDX-License-Identifier: Apache-2.0 */
/* Edges of devices as log lines. No state: what a line needs is in the proxy. */
#include "daemon/journal.h"

#define MESSAGE_DEVICE_FAILED "5a1f3c0e8b6d4c0f9a7e21d4c3b60a11"
#define MESSAGE_DEVICE_RUNNING "0b7d6c2f4e914a55b0c8d3f1a2e4960c"
#define MESSAGE_LINK_LOST "c94e1a7b52d84f3ea6f0b1287d3c5e92"
#define MESSAGE_LINK_UP "e2806f9d13b745aa8c51d70be4f6239a"

static LogContext context_of(const Proxy *p, const char *message_id) {
        const ProxyView *v = proxy_view(p);

        return (LogContext) {
                .device_type = v->config->type->name,
                .device_name = v->config->name,
                .state = proxy_state_to_string(v->state),
                .message_id = message_id,
        };
}

static void on_state(Proxy *p, ProxyState old, void *userdata) {
        const ProxyView *v = proxy_view(p);
        const ProxyEdge *e = &v->state_edge;
        LogContext failed = context_of(p, MESSAGE_DEVICE_FAILED), running = context_of(p, MESSAGE_DEVICE_RUNNING),
                   other = context_of(p, NULL);

        switch (v->state) {
        case PROXY_FAILED:
                log_context(LOG_ERR, &failed, "Failed (%s)%s%s", device_reason_to_string(e->reason),
                            e->detail[0] ? ": " : "", e->detail);
                break;
        case PROXY_RUNNING:
                log_context(LOG_INFO, &running, "Running.");
                break;
        case PROXY_DISABLED:
                log_context(LOG_INFO, &other, old == PROXY_WAITING ? "Disabled." : "Stopped.");
                break;
        case PROXY_WAITING:
                log_context(LOG_INFO, &other, "Waiting%s%s", e->detail[0] ? ": " : "", e->detail);
                break;
        default:
                log_context(LOG_DEBUG, &other, "%s → %s", proxy_state_to_string(old), proxy_state_to_string(v->state));
        }
}

static void on_link(Proxy *p, DeviceLink old, void *userdata) {
        const ProxyView *v = proxy_view(p);
        const ProxyEdge *e = &v->link_edge;
        LogContext lost = context_of(p, MESSAGE_LINK_LOST), up = context_of(p, MESSAGE_LINK_UP);

        if (device_link_is_bad(v->link))
                log_context(LOG_WARNING, &lost, "Link %s (%s)%s%s", device_link_to_string(v->link),
                            device_reason_to_string(e->reason), e->detail[0] ? ": " : "", e->detail);
        else if (v->link == DEVICE_LINK_UP && device_link_is_bad(old))
                log_context(LOG_NOTICE, &up, "Link up again after %.1f s.",
                            (double) usec_sub(e->monotonic, v->link_lost) / USEC_PER_SEC);
}

const GatewayObserver journal_observer = {
        .proxy_state = on_state,
        .proxy_link = on_link,
};
