/* SPDX-License-Identifier: Apache-2.0 */
/* Rules of the embedded event server's configuration that a table cannot say (spec embedded.md 1). Loop
 * thread, at start. */

#include <netdb.h>

#include "daemon/config-tables.h"

/* As event_server_listen(): looking names up is for those who connect. */
static bool can_listen_on(const Address *address) {
        struct addrinfo *list;

        if (address_numeric(address->host, address->port, /* passive= */ true, &list) >= 0) {
                freeaddrinfo(list);
                return true;
        }
        return g_ascii_strcasecmp(address->host, "localhost") == 0;
}

static void verify_tcp(const EmbeddedConfig *embedded, const char *const *listen, const Address *address,
                       ConfClaims *claims, ConfErrors *errors) {
        if (!can_listen_on(address))
                conf_error_at(errors, CONF_ERROR, listen,
                              "expected a numeric address or localhost to listen on, got \"%s\"", address->host);
        else if (!embedded->client_token && !host_is_loopback(address->host))
                conf_error_at(errors, CONF_ERROR, listen,
                              "%s is not a loopback address and anybody could connect: give client_token, or listen on 127.0.0.1",
                              *listen);
        if (address->port > 0) {
                g_autofree char *key = g_strdup_printf("%s:%u", address->host, address->port);

                conf_claim(claims, errors, "listening address", key, listen);
        }
}

static void verify_listen(const EmbeddedConfig *embedded, const char *const *listen, ConfClaims *claims,
                          ConfErrors *errors) {
        Address address;

        if (g_str_has_prefix(*listen, "fd:") && (*listen)[3] && !strchr(*listen + 3, ':')) {
                conf_claim(claims, errors, "passed socket", *listen + 3, listen);
                return;
        }
        if (address_parse(*listen, &address) < 0) {
                conf_error_at(errors, CONF_ERROR, listen,
                              "expected unix:PATH, tcp:HOST:PORT, tcp:[IPv6]:PORT or fd:NAME, got \"%s\"",
                              *listen);
                return;
        }

        if (address.kind == ADDRESS_TCP)
                verify_tcp(embedded, listen, &address, claims, errors);
        else
                conf_claim(claims, errors, "listening address", *listen, listen);
        address_done(&address);
}

static void verify_initial(const EmbeddedInitial *initial, ConfErrors *errors) {
        const char *const *segments = initial->type.items;

        for (size_t i = 0; i < initial->type.n; i++)
                if (streq(segments[i], "?") || streq(segments[i], "*"))
                        conf_error_at(errors, CONF_ERROR, &segments[i],
                                      "expected a segment of an event type, got the wildcard \"%s\"",
                                      segments[i]);
}

void config_verify_embedded(const EmbeddedConfig *embedded, ConfClaims *claims, ConfErrors *errors) {
        const char *const *listen = embedded->listen.items;
        const EmbeddedInitial *initial = embedded->initial.items;

        if (!listen) /* the default listens on it when it is passed */
                conf_claim(claims, errors, "passed socket", EMBEDDED_PASSED_SOCKET, &embedded->listen);
        for (size_t i = 0; listen && i < embedded->listen.n; i++)
                verify_listen(embedded, &listen[i], claims, errors);
        for (size_t i = 0; i < embedded->initial.n; i++)
                verify_initial(&initial[i], errors);
}
