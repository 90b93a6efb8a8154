/* SPDX-License-Identifier: Apache-2.0 */
/* Life of the embedded event server: database, clients, status, trouble, the end. Loop thread. A client that
 * ended is freed at the end of the turn, in the flush, and so is everything that is told to the owner. */

#include "event/server/server.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <netinet/in.h>
#include <stdio.h>
#include <sys/select.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/bounds.h"
#include "base/log.h"
#include "event/chatter.h"
#include "event/server/server-internal.h"

#define NAME_SHOWN_MAX 128U /* bytes of a client's name in a log line */
#define EXPORT_SUFFIX "-export" /* like those of SQLite: nobody gives such a name to a file of his own, which would be removed */

static void server_changed(EventServer *s) {
        s->changed = true;
        turn_end_arm(s->flush);
}

/* Whether one more line about clients may be written. */
static bool may_log(EventServer *s) {
        unsigned suppressed;

        if (!rate_limit_take(&s->client_lines, loop_now(s->event), &suppressed))
                return false;
        if (suppressed > 0)
                log_warning("Event server: %u more lines about clients were not written.", suppressed);
        return true;
}

/* ---- events of the server itself (wire.md 5.5) ------------------------------------------------------- */

/* name: NULL text: none */
static int64_t register_state(EventServer *s, const char *subject, Subtype name, const char *json) {
        char id[24];
        Subtype subtypes[4] = { SUBTYPE("event") };
        Event e = { .type = { .subtypes = subtypes, .n = name.text ? 4 : 3 } };

        (void) snprintf(id, sizeof(id), "%" PRId64, s->server_id);
        subtypes[1] = (Subtype) { id, strlen(id) };
        subtypes[2] = (Subtype) { subject, strlen(subject) };
        subtypes[3] = name;
        e.payload = (Payload) { .kind = PAYLOAD_JSON, .json = { json, strlen(json) } };
        return sessions_register_own(s, &e, 1);
}

/* ---- clients ----------------------------------------------------------------------------------------- */

static void update_prompt(EventServer *s) {
        storage_set_prompt(s->storage, s->n_persisted > 0 || s->stopping);
}

static const char *end_describe(const Connection *c) {
        if (c->error == -EDQUOT)
                return "held more than its share of the memory for all clients";
        if (c->error == -ETIMEDOUT && c->flushing)
                return "did not take the rest in time";
        if (c->error == -ETIMEDOUT && !c->name)
                return "did not say in time who it is";
        return chatter_describe_end(c->error);
}

static Subtype client_name(const Connection *c) {
        return (Subtype) { c->name, c->name_size };
}

/* For `%.*s`. */
static int shown_size(Subtype name) {
        return (int) MIN(name.size, NAME_SHOWN_MAX);
}

void server_log_refused(EventServer *s, const Connection *c, const char *what) {
        if (may_log(s))
                log_warning("Event server: client '%.*s' (%s) registered %s; nothing of it was taken.",
                            shown_size(client_name(c)), c->name, c->who, what);
}

static void log_end(EventServer *s, const Connection *c) {
        bool usual = c->error == 0 || c->error == -ECONNRESET || c->error == -ECANCELED;

        if (c->refused && c->error == -ETIMEDOUT) /* it was said why */
                return;
        if (usual)
                log_debug("Event server: client '%.*s' (%s) is gone.", shown_size(client_name(c)), c->name ?: "", c->who);
        else if (may_log(s))
                log_warning("Event server: client '%.*s' (%s) %s, and was disconnected.", shown_size(client_name(c)),
                            c->name ?: "", c->who, end_describe(c));
}

static void server_remove(EventServer *s, Connection *c) {
        log_end(s, c);
        s->counters.cut += c->error == -ENOBUFS || c->error == -EDQUOT;
        g_queue_unlink(&s->connections, &c->link);
        c->query = storage_query_cancel(c->query);
        sessions_forget(s, c);
        if (c->name && s->status == EVENTER_OPERATIONAL)
                (void) register_state(s, "eventer", client_name(c), "\"DISCONNECTED\"");
        if (c->persisted) {
                s->n_persisted--;
                update_prompt(s);
        }
        (void) connection_free(c);
}

static bool token_equal(Subtype a, const char *b) {
        unsigned char difference = 0;

        if (a.size != strlen(b))
                return false;
        for (size_t i = 0; i < a.size; i++)
                difference |= (unsigned char) (a.text[i] ^ b[i]);
        return difference == 0;
}

static const char *init_check(const EventServer *s, const Connection *c, const PeerInit *init) {
        if (init->client_name.size > EVENT_SERVER_NAME_MAX)
                return "invalid client name";
        if (!event_query_types_valid(init->subscriptions, init->n_subscriptions))
                return "invalid query event type";
        if (init->has_token ? !s->client_token || !token_equal(init->client_token, s->client_token)
                            : s->client_token && c->kind == CONNECTION_TCP)
                return "invalid client token";
        return NULL;
}

static void server_on_init(Connection *c, const PeerInit *init, void *userdata) {
        EventServer *s = userdata;
        const char *refusal;

        refusal = init_check(s, c, init);
        if (refusal) {
                s->counters.refused++;
                c->refused = true;
                if (may_log(s))
                        log_warning("Event server: client '%.*s' (%s) was refused: %s.", shown_size(init->client_name),
                                    init->client_name.text, c->who, refusal);
                connection_refuse(c, refusal);
                return;
        }

        if (s->status == EVENTER_OPERATIONAL)
                c->own_session = register_state(s, "eventer", init->client_name, "\"CONNECTED\"");
        c->name_size = init->client_name.size;
        c->name = g_malloc(c->name_size + 1); /* also one of no bytes is a name */
        memcpy(c->name, init->client_name.text, c->name_size);
        if (init->persisted) {
                s->n_persisted++;
                update_prompt(s);
        }
        connection_accept(c, s->status, init, init->has_server_id && init->server_id != s->server_id);
}

static void server_on_registration(Connection *c, const Event *events, size_t n, bool wants_response,
                                   int64_t conversation, void *userdata) {
        sessions_register(userdata, c, events, n, wants_response, conversation);
}

static void server_on_result(int error, const Buffer *result, void *userdata) {
        Connection *c = userdata;

        c->query = NULL;
        if (error >= 0) {
                connection_answer_query(c, result);
                return;
        }
        if (may_log(c->userdata))
                log_warning("Event server: a query of client '%.*s' (%s) failed, and it was disconnected: %s.",
                            shown_size(client_name(c)), c->name, c->who,
                            error == -EMSGSIZE ? "the latest events of so many types do not fit in a message of 64 MiB"
                                               : g_strerror(-error));
        connection_end(c, -ECANCELED);
}

static int server_on_query(Connection *c, const EventerQuery *query, void *userdata) {
        EventServer *s = userdata;
        StoreQuery *q;
        int r;

        r = store_query_new(query, &q);
        if (r < 0)
                return r;
        c->query = storage_query(s->storage, q, server_on_result, c);
        return 0;
}

static void server_on_dirty(Connection *c, void *userdata) {
        EventServer *s = userdata;

        if (c->is_dirty)
                return;
        c->is_dirty = true;
        g_queue_push_tail_link(&s->dirty, &c->dirty_link);
        turn_end_arm(s->flush);
}

static const ConnectionHandler server_connection_handler = {
        .init = server_on_init,
        .registration = server_on_registration,
        .query = server_on_query,
        .dirty = server_on_dirty,
};

/* Takes fd over on success only. */
static int server_add(EventServer *s, int fd, ConnectionKind kind, char *who) {
        Connection *c;
        int r;

        r = connection_new(s->event, fd, kind, who, &s->pool, &server_connection_handler, s, &c);
        if (r < 0)
                return r;
        g_queue_push_tail_link(&s->connections, &c->link);
        return 0;
}

/* Who is at the other end, for people. */
static char *describe_client(int fd, ConnectionKind kind) {
        struct ucred ucred = { 0 };
        socklen_t size = sizeof(ucred);
        g_autofree char *host = NULL;
        uint16_t port = 0;

        if (kind == CONNECTION_TCP && socket_name(fd, /* peer= */ true, &host, &port) >= 0)
                return g_strdup_printf(strchr(host, ':') ? "tcp [%s]:%u" : "tcp %s:%u", host, port);
        if (kind != CONNECTION_TCP && getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &ucred, &size) >= 0)
                return g_strdup_printf("unix, pid %d, uid %u", (int) ucred.pid, (unsigned) ucred.uid);
        return g_strdup("unknown");
}

static ConnectionKind kind_of(int fd) {
        int domain = AF_UNSPEC;
        socklen_t size = sizeof(domain);

        if (getsockopt(fd, SOL_SOCKET, SO_DOMAIN, &domain, &size) >= 0 && domain == AF_UNIX)
                return CONNECTION_UNIX;
        return CONNECTION_TCP; /* more is asked of it */
}

/* Clients leave the low numbers to libraries that select() on them (design.md section 5, libmodbus). */
static int raise_descriptor(int fd) {
        int high = fcntl(fd, F_DUPFD_CLOEXEC, FD_SETSIZE);

        if (high < 0)
                return fd;
        (void) safe_close(fd);
        return high;
}

static void server_on_accept(Listener *l, int fd, void *userdata) {
        EventServer *s = userdata;
        ConnectionKind kind = kind_of(fd);
        int r;

        if (s->connections.length >= EVENT_SERVER_CLIENTS_MAX) {
                s->counters.refused++;
                if (may_log(s))
                        log_warning("Event server: there are %u clients; one more was turned away.",
                                    EVENT_SERVER_CLIENTS_MAX);
                (void) safe_close(fd);
                return;
        }
        fd = raise_descriptor(fd);
        r = server_add(s, fd, kind, describe_client(fd, kind));
        if (r < 0) {
                if (may_log(s))
                        (void) log_warning_errno(r, "Event server: cannot serve a client: %m");
                (void) safe_close(fd);
        }
}

int event_server_connect(EventServer *s, int *ret_fd) {
        int fds[2], r;

        if (s->stopping)
                return -ESHUTDOWN;
        if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, fds) < 0)
                return -errno;
        r = server_add(s, fds[0], CONNECTION_OWN, g_strdup("this process"));
        if (r < 0) {
                (void) safe_close(fds[0]);
                (void) safe_close(fds[1]);
                return r;
        }
        *ret_fd = fds[1];
        return 0;
}

/* ---- the storage ------------------------------------------------------------------------------------- */

/* What had to go is said in any case. */
static void server_on_mended(EventServer *s) {
        uint64_t lost = storage_dropped(s->storage) - s->dropped_told;

        s->dropped_told += lost;
        if (lost > 0)
                log_warning("The event database %s takes events again; %" PRIu64 " registrations without response were lost.", s->path,
                            lost);
        else if (s->trouble_logged)
                log_notice("The event database %s takes events again.", s->path);
        s->trouble_logged = false;
}

static void server_on_failing(bool failing, const char *detail, void *userdata) {
        EventServer *s = userdata;
        unsigned suppressed;

        g_clear_pointer(&s->trouble, g_free);
        server_changed(s);
        if (!failing) {
                server_on_mended(s);
                return;
        }

        s->trouble = g_strdup_printf("The event database %s takes no events: %s.", s->path, detail);
        s->trouble_logged = rate_limit_take(&s->disk_lines, loop_now(s->event), &suppressed);
        if (s->trouble_logged)
                log_error("The event database %s takes no events: %s. Registrations that want a response fail, others are "
                          "kept in memory for a while. Check the space and the health of its file system; "
                          "it is tried again every second.",
                          s->path, detail);
}

static void server_on_congested(bool congested, void *userdata) {
        EventServer *s = userdata;

        log_debug("Event server: %s.", congested ? "the disk is slower than the clients, which wait" : "clients are read again");
        s->pool.congested = congested;
        if (!congested)
                for (GList *l = s->connections.head; l; l = l->next)
                        connection_resume(l->data);
}

/* ---- the end of a turn ------------------------------------------------------------------------------- */

/* The callee may free the server: the last thing. */
static void server_finish_stop(EventServer *s) {
        void (*stopped)(void *userdata) = TAKE_PTR(s->stopped);

        deadline_set(s->limit, USEC_INFINITY);
        if (stopped)
                stopped(s->stopped_userdata);
}

static void close_clients(EventServer *s) {
        s->closing = true;
        for (GList *l = s->connections.head; l; l = l->next)
                connection_close_flushed(l->data, usec_sub(deadline_get(s->limit), loop_now(s->event)));
}

/* Returns whether the owner was told that we have stopped. */
static bool server_go_on_stopping(EventServer *s) {
        bool settled = s->n_stored == 0 && g_queue_is_empty(&s->order);

        if (!s->stopping || !s->stopped)
                return false;
        if (!s->closing && (settled || storage_is_failing(s->storage)))
                close_clients(s);
        if (!s->closing || !g_queue_is_empty(&s->connections))
                return false;
        server_finish_stop(s);
        return true;
}

static void tell(EventServer *s, bool *news, void (*handler)(void *userdata)) {
        if (!*news)
                return;
        *news = false;
        if (handler)
                handler(s->userdata);
}

static void server_on_flush(void *userdata) {
        EventServer *s = userdata;
        GList *link;

        while ((link = g_queue_pop_head_link(&s->dirty))) {
                Connection *c = link->data;

                c->is_dirty = false;
                if (c->ended)
                        server_remove(s, c);
                else
                        connection_flush(c);
        }
        if (server_go_on_stopping(s))
                return;
        tell(s, &s->emptied, s->handler.emptied);
        tell(s, &s->damaged, s->handler.damaged);
        tell(s, &s->changed, s->handler.changed);
}

static void server_on_limit(void *userdata) {
        server_finish_stop(userdata);
}

/* ---- life -------------------------------------------------------------------------------------------- */

/* Found later than at the start: one who was connected has seen what is gone, and asks again. */
static void server_on_damaged(const char *aside, const char *detail, void *userdata) {
        EventServer *s = userdata;

        if (!aside) {
                server_log_store_error(s->path, -EUCLEAN, detail);
                g_free(s->trouble);
                s->trouble = g_strdup_printf("The event database %s is damaged: %s.", s->path, detail);
                s->damaged = true;
                server_changed(s);
                return;
        }
        server_log_set_aside(s->path, aside);
        if (s->status == EVENTER_OPERATIONAL)
                (void) register_state(s, "engine", (Subtype) { 0 }, "\"STARTED\"");
        for (GList *l = s->connections.head; l; l = l->next)
                connection_end(l->data, -ECANCELED);
        s->emptied = true;
        turn_end_arm(s->flush);
}

static char *export_path(const char *path) {
        g_autofree char *name = NULL;

        if (!streq(path, ":memory:"))
                return g_strconcat(path, EXPORT_SUFFIX, NULL);
        name = g_strdup_printf("gatewayd-events-%d.export", (int) getpid());
        return g_build_filename(g_get_tmp_dir(), name, NULL);
}

static int set_up_storage(EventServer *s, const EventServerOptions *options) {
        static const StorageHandler handler = {
                .written = sessions_on_written,
                .failing = server_on_failing,
                .damaged = server_on_damaged,
                .congested = server_on_congested,
        };
        g_autofree char *path = export_path(options->store.path);
        Store *store;
        StoreHead head;
        int r;

        r = server_open_store(options, &store);
        if (r < 0)
                return r;
        head = store_head(store);
        sessions_set_up(s, &head);
        return storage_new(s->event, store, server_may_set_aside(options) ? &options->store : NULL, path, &handler, s, &s->storage);
}

static int set_up_flush(EventServer *s) {
        int r;

        r = deadline_new(s->event, "event-server-stop", server_on_limit, s, &s->limit);
        if (r < 0)
                return r;
        return turn_end_new(s->event, "event-server-flush", server_on_flush, s, &s->flush);
}

static void listener_destroy(gpointer l) {
        (void) listener_free(l);
}

int event_server_new(sd_event *event, const EventServerOptions *options, const EventServerHandler *handler, void *userdata,
                     EventServer **ret) {
        _cleanup_(event_server_freep) EventServer *s = g_new0(EventServer, 1);
        int r;

        s->event = sd_event_ref(event);
        if (handler)
                s->handler = *handler;
        s->userdata = userdata;
        s->server_id = options->server_id;
        s->client_token = g_strdup(options->client_token);
        s->path = g_strdup(options->store.path);
        s->status = EVENTER_OPERATIONAL;
        s->listeners = g_ptr_array_new_with_free_func(listener_destroy);
        s->client_lines = (RateLimit) { .burst = EVENT_SERVER_LINES_MAX, .interval = EVENT_SERVER_LINES_USEC };
        s->disk_lines = (RateLimit) { .burst = 1, .interval = EVENT_SERVER_LINES_USEC };
        g_queue_init(&s->connections);
        g_queue_init(&s->dirty);

        r = set_up_flush(s);
        if (r < 0)
                return r;
        r = set_up_storage(s, options);
        if (r < 0)
                return r;
        (void) register_state(s, "engine", (Subtype) { 0 }, "\"STARTED\"");

        *ret = TAKE_PTR(s);
        return 0;
}

static void close_storage(EventServer *s) {
        int r = 0;

        s->storage = storage_close(s->storage, usec_add(now_usec(CLOCK_MONOTONIC), EXIT_FLUSH_USEC), &r);
        if (r < 0 && s->n_stored > 0)
                log_warning("The event database %s did not take the last %" PRIu64
                            " registrations, which are lost: %s.",
                            s->path, s->n_stored, r == -ETIMEDOUT ? "not in time" : g_strerror(-r));
}

EventServer *event_server_free(EventServer *s) {
        GList *link;

        if (!s)
                return NULL;

        g_ptr_array_unref(s->listeners);
        while ((link = g_queue_pop_head_link(&s->connections))) {
                Connection *c = link->data;

                (void) storage_query_cancel(c->query);
                (void) connection_free(c);
        }
        if (s->ends)
                sessions_tear_down(s);
        close_storage(s);
        s->flush = turn_end_free(s->flush);
        s->limit = deadline_free(s->limit);
        sd_event_unref(s->event);
        g_free(s->client_token);
        g_free(s->path);
        g_free(s->unix_address);
        g_free(s->tcp_address);
        g_free(s->trouble);
        g_free(s);
        return NULL;
}

int event_server_register_initial(EventServer *s, const EventServerInitial *initial, size_t n) {
        g_autofree Event *events = g_new0(Event, n);
        size_t n_new = 0;
        int r;

        for (size_t i = 0; i < n; i++) {
                r = storage_has_type(s->storage, initial[i].type);
                if (r == -EUCLEAN)
                        server_log_store_error(s->path, r, g_strerror(-r));
                if (r < 0)
                        return r;
                if (r > 0)
                        continue;
                events[n_new].type = initial[i].type;
                if (initial[i].payload.text)
                        events[n_new].payload = (Payload) { .kind = PAYLOAD_JSON, .json = initial[i].payload };
                n_new++;
        }
        if (n_new > 0 && sessions_register_own(s, events, n_new) == 0)
                return -EFBIG;
        return 0;
}

/* ---- listening --------------------------------------------------------------------------------------- */

static void server_add_listener(EventServer *s, Listener *l) {
        struct sockaddr_un sun = { 0 };
        socklen_t size = sizeof(sun) - 1;
        g_autofree char *host = NULL;
        uint16_t port;
        int fd = listener_get_fd(l);

        g_ptr_array_add(s->listeners, l);
        if (socket_name(fd, /* peer= */ false, &host, &port) >= 0) {
                Address address = { .kind = ADDRESS_TCP, .host = host, .port = port };

                if (!s->tcp_address)
                        s->tcp_address = address_format(&address);
        } else if (!s->unix_address && getsockname(fd, (struct sockaddr *) &sun, &size) >= 0 &&
                   sun.sun_family == AF_UNIX && sun.sun_path[0])
                s->unix_address = g_strconcat("unix:", sun.sun_path, NULL);
}

static int listen_on(EventServer *s, const Address *address) {
        Listener *l;
        int r;

        r = listener_open(s->event, address, "event-server", server_on_accept, s, &l);
        if (r < 0)
                return r;
        server_add_listener(s, l);
        return 0;
}

static int port_of_last(const EventServer *s, uint16_t *ret) {
        g_autofree char *host = NULL;

        return socket_name(listener_get_fd(s->listeners->pdata[s->listeners->len - 1]), /* peer= */ false, &host, ret);
}

/* Both families, as far as the machine has them, on one port. */
static int listen_on_localhost(EventServer *s, uint16_t port) {
        static char *const hosts[] = { (char *) "127.0.0.1", (char *) "::1" };
        unsigned n = 0;
        int r = 0;

        for (size_t i = 0; i < ELEMENTSOF(hosts); i++) {
                Address address = { .kind = ADDRESS_TCP, .host = hosts[i], .port = port };

                r = listen_on(s, &address);
                if (r == -EADDRNOTAVAIL || r == -EAFNOSUPPORT)
                        continue;
                if (r >= 0 && port == 0)
                        r = port_of_last(s, &port);
                if (r < 0)
                        return r;
                n++;
        }
        return n > 0 ? 0 : r;
}

int event_server_listen(EventServer *s, const Address *address) {
        if (address->kind == ADDRESS_TCP && g_ascii_strcasecmp(address->host, "localhost") == 0)
                return listen_on_localhost(s, address->port);
        return listen_on(s, address);
}

int event_server_listen_fd(EventServer *s, int fd) {
        Listener *l;
        int r;

        r = listener_borrow(s->event, fd, "event-server", server_on_accept, s, &l);
        if (r < 0)
                return r;
        server_add_listener(s, l);
        return 0;
}

const char *event_server_get_address(const EventServer *s) {
        return s->unix_address ?: s->tcp_address ?: "";
}

/* ---- state and end ----------------------------------------------------------------------------------- */

const char *event_server_get_trouble(const EventServer *s) {
        return s->trouble;
}

EventServerCounters event_server_get_counters(const EventServer *s) {
        EventServerCounters counters = s->counters;

        counters.clients = s->connections.length;
        counters.dropped = storage_dropped(s->storage);
        counters.held = s->pool.held;
        return counters;
}

static bool is_database(const EventServer *s, int fd) {
        static const char *const suffixes[] = { "", "-wal", "-shm", "-journal", EXPORT_SUFFIX };
        struct stat target, own;

        if (fstat(fd, &target) < 0)
                return false;
        for (size_t i = 0; i < ELEMENTSOF(suffixes); i++) {
                g_autofree char *path = g_strconcat(s->path, suffixes[i], NULL);

                if (stat(path, &own) >= 0 && own.st_dev == target.st_dev && own.st_ino == target.st_ino)
                        return true;
        }
        return false;
}

int event_server_export(EventServer *s, int fd, CopierCallback callback, void *userdata) {
        if (is_database(s, fd))
                return -ETXTBSY;
        return storage_export(s->storage, fd, callback, userdata);
}

void event_server_stop(EventServer *s, usec_t limit, void (*stopped)(void *userdata), void *userdata) {
        if (s->stopping)
                return;
        s->stopping = true;
        s->stopped = stopped;
        s->stopped_userdata = userdata;
        g_ptr_array_set_size(s->listeners, 0);

        s->status = EVENTER_STOPPING;
        for (GList *l = s->connections.head; l; l = l->next)
                connection_send_status(l->data, s->status);
        (void) register_state(s, "engine", (Subtype) { 0 }, "\"STOPPED\"");
        update_prompt(s);
        deadline_set_relative(s->limit, limit);
        turn_end_arm(s->flush);
}
