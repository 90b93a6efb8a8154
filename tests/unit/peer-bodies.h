/* SPDX-License-Identifier: Apache-2.0 */
/* Requests as the server's side decodes them, compared with the bytes that they came from: the client's
 * encoders make them again. */
#pragma once

#include "event/server/peer-codec.h"
#include "tests/unit/eventer-bodies.h"

static _unused_ void assert_encoded(const Buffer *b, JsonSpan hex) {
        assert_bytes(buffer_begin(b), buffer_size(b), hex);
}

/* What was decoded, encoded by the client's encoders, is the body again. */
static _unused_ void assert_init(const PeerInit *init, JsonSpan hex) {
        g_autofree char *name = g_strndup(init->client_name.text, init->client_name.size);
        g_autofree char *token = g_strndup(init->client_token.text, init->client_token.size);
        _cleanup_(buffer_done) Buffer b = { 0 };
        EventerInit sent = {
                .client_name = name,
                .client_token = init->has_token ? token : NULL,
                .subscriptions = init->subscriptions,
                .n_subscriptions = init->n_subscriptions,
                .server_id = init->has_server_id ? &init->server_id : NULL,
                .persisted = init->persisted,
        };

        init_request_encode(&b, &sent);
        assert_encoded(&b, hex);
}

static _unused_ void assert_registration(const Event *events, size_t n, JsonSpan hex) {
        static const char *const none[] = { NULL };
        _cleanup_(buffer_done) Buffer b = { 0 };

        sbs_write_integer(&b, (int64_t) n);
        for (size_t i = 0; i < n; i++)
                register_event_encode(&b, register_event_bound(events[i].type, none, &events[i].payload),
                                      events[i].type, none, events[i].has_source ? &events[i].source : NULL,
                                      &events[i].payload);
        assert_encoded(&b, hex);
}
