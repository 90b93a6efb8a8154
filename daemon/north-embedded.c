/* SPDX-License-Identifier: Apache-2.0 */
/* Opens the embedded event server as the configuration wants it. Keeps nothing. Loop thread, at start. */
#include <errno.h>

#include <config.h>

#include "base/log.h"
#include "daemon/north-embedded.h"

#define LISTEN_DEFAULT "unix:" EVENTER_SOCKET
#define MEMORY_PATH ":memory:"
#define STATE_MODE 0750
#define RUNTIME_MODE 0755 /* the sockets in it have a mode of their own */

/* The service manager has made it; for a run by hand we do. */
static int make_folder(const char *path, int mode, const char *variable) {
        if (g_mkdir_with_parents(path, mode) < 0)
                return log_error_errno(-errno, "Cannot make the folder %s: %m; $%s may name another.", path, variable);
        return 0;
}

static int database_path(const EmbeddedConfig *config, char **ret) {
        g_autofree char *path = NULL, *folder = NULL;
        int r;

        if (streq(config->path, MEMORY_PATH) || g_path_is_absolute(config->path)) {
                *ret = g_strdup(config->path);
                return 0;
        }
        path = g_build_filename(state_directory(), config->path, NULL);
        folder = g_path_get_dirname(path);
        r = make_folder(folder, STATE_MODE, "STATE_DIRECTORY");
        if (r < 0)
                return r;
        *ret = TAKE_PTR(path);
        return 0;
}

static int open_server(sd_event *event, const EmbeddedConfig *config, const EventServerHandler *handler, void *userdata,
                       EventServer **ret) {
        g_autofree char *path = NULL;
        EventServerOptions options = {
                .server_id = config->server_id,
                .client_token = config->client_token,
                .store = {
                        .max_age = config->history.max_age,
                        .max_events = config->history.max_events,
                        .max_bytes = config->history.max_bytes,
                },
                .set_aside = config->on_corruption == ON_CORRUPTION_SET_ASIDE,
        };
        int r;

        r = database_path(config, &path);
        if (r < 0)
                return r;
        options.store.path = path;
        return event_server_new(event, &options, handler, userdata, ret);
}

/* ---- initial events ---------------------------------------------------------------------------------- */

static EventType initial_type(const EmbeddedInitial *initial) {
        const char *const *segments = initial->type.items;
        Subtype *text = g_new(Subtype, initial->type.n);

        for (size_t i = 0; i < initial->type.n; i++)
                text[i] = (Subtype) { segments[i], strlen(segments[i]) };
        return (EventType) { text, initial->type.n };
}

int north_embedded_register_initial(EventServer *server, const EmbeddedConfig *config) {
        const EmbeddedInitial *initial = config->initial.items;
        size_t n = config->initial.n;
        g_autofree EventServerInitial *events = g_new0(EventServerInitial, n);
        int r;

        if (n == 0)
                return 0;
        for (size_t i = 0; i < n; i++) {
                events[i].type = initial_type(&initial[i]);
                if (initial[i].payload)
                        events[i].payload = (JsonSpan) { initial[i].payload, strlen(initial[i].payload) };
        }
        r = event_server_register_initial(server, events, n);
        for (size_t i = 0; i < n; i++)
                g_free((gpointer) events[i].type.subtypes);
        return r < 0 ? log_error_errno(r, "Cannot register the initial events: %m") : 0;
}

/* ---- listening --------------------------------------------------------------------------------------- */

/* Anybody could connect: a TCP socket that is not loopback, and no token (spec embedded.md 1). */
static bool is_open_to_all(const EmbeddedConfig *config, int fd) {
        g_autofree char *host = NULL;
        uint16_t port;

        return !config->client_token && socket_name(fd, /* peer= */ false, &host, &port) >= 0 && !host_is_loopback(host);
}

static int listen_on_passed(EventServer *server, const EmbeddedConfig *config, const ListenFds *fds, const char *name) {
        int fd, r;

        fd = fds ? listen_fds_get(fds, name) : -ENOENT;
        if (fd == -ENOENT) {
                log_error("Cannot listen on fd:%s: the service manager passed no such socket; start its socket unit before the service.",
                          name);
                return fd;
        }
        if (fd >= 0 && is_open_to_all(config, fd)) {
                log_error("Cannot listen on fd:%s: it is not at a loopback address and anybody could connect: give client_token.", name);
                return -EACCES;
        }
        r = fd < 0 ? fd : event_server_listen_fd(server, fd);
        return r < 0 ? log_error_errno(r, "Cannot listen on fd:%s: %m", name) : 0;
}

/* A relative path lies below the runtime directory, which is made. */
static int place_socket(Address *address) {
        g_autofree char *relative = NULL, *folder = NULL;

        if (address->kind != ADDRESS_UNIX || g_path_is_absolute(address->path))
                return 0;
        relative = TAKE_PTR(address->path);
        address->path = g_build_filename(runtime_directory(), relative, NULL);
        folder = g_path_get_dirname(address->path);
        return make_folder(folder, RUNTIME_MODE, "RUNTIME_DIRECTORY");
}

static int listen_on_address(EventServer *server, const char *text) {
        _cleanup_(address_done) Address address = {};
        g_autofree char *shown = NULL;
        int r;

        r = address_parse(text, &address);
        if (r >= 0)
                r = place_socket(&address);
        if (r < 0)
                return r;
        shown = address_format(&address);
        r = event_server_listen(server, &address);
        return r < 0 ? log_error_errno(r, "Cannot listen on %s: %m", shown) : 0;
}

static int listen_on(EventServer *server, const EmbeddedConfig *config, const ListenFds *fds, const char *text) {
        return g_str_has_prefix(text, "fd:") ? listen_on_passed(server, config, fds, text + strlen("fd:")) :
                                               listen_on_address(server, text);
}

static int listen_on_all(EventServer *server, const EmbeddedConfig *config, const ListenFds *fds) {
        const char *const *listen = config->listen.items;
        int r;

        if (!listen && fds && listen_fds_get(fds, EMBEDDED_PASSED_SOCKET) >= 0)
                return listen_on_passed(server, config, fds, EMBEDDED_PASSED_SOCKET);
        if (!listen)
                return listen_on_address(server, LISTEN_DEFAULT);
        for (size_t i = 0; i < config->listen.n; i++) {
                r = listen_on(server, config, fds, listen[i]);
                if (r < 0)
                        return r;
        }
        return 0;
}

/* ---- the whole --------------------------------------------------------------------------------------- */

int north_embedded_open(sd_event *event, const EmbeddedConfig *config, const ListenFds *fds, const EventServerHandler *handler,
                        void *userdata, EventServer **ret) {
        _cleanup_(event_server_freep) EventServer *server = NULL;
        int r;

        r = open_server(event, config, handler, userdata, &server);
        if (r < 0)
                return r;
        r = north_embedded_register_initial(server, config);
        if (r < 0)
                return r;
        r = listen_on_all(server, config, fds);
        if (r < 0)
                return r;
        *ret = TAKE_PTR(server);
        return 0;
}
