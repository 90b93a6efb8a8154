/* SPDX-License-Identifier: Apache-2.0 */
/* Where a modbus_slave listens, and which masters it lets in (spec modbus.md 6.1, 6.3): raw clients on loopback.
 * Main thread. */

#include <sys/resource.h>

#include "tests/unit/fake-names.h"
#include "tests/unit/modbus-client.h"

/* ---- listening (6.1) --------------------------------------------------------------------------------- */

static void expect_failure(FakeHost *h, DeviceReason reason, const char *detail) {
        fake_host_start(h);
        fake_host_expect(h, "connections []");
        fake_host_wait(h, &h->done);
        g_assert_false(h->started);
        g_assert_cmpint(h->reason, ==, reason);
        g_assert_nonnull(strstr(h->detail, detail));
        g_assert_cmpint(h->link, ==, DEVICE_LINK_NONE);
}

static void test_port_in_use(void) {
        uint16_t port = free_port();
        g_autofree char *text = g_strdup_printf("%u", port),
                        *address = g_strdup_printf("127.0.0.1:%u", port);
        _cleanup_(fake_host_freep) FakeHost *holder = slave_started(&(Settings) {}, port);
        _cleanup_(fake_host_freep) FakeHost *h = slave_new(&(Settings) { .port = text });

        expect_failure(h, DEVICE_REASON_BUSY, address);
        fake_host_stop(holder);

        fake_host_start(h); /* free again */
        fake_host_expect(h, "connections []");
        fake_host_wait(h, &h->started);
}

static void test_foreign_address(void) {
        _cleanup_(fake_host_freep) FakeHost *h = slave_new(&(Settings) { .host = "192.0.2.1" });

        expect_failure(h, DEVICE_REASON_NOT_FOUND, "192.0.2.1");
}

#define NAMES "127.0.0.1,127.0.0.2,127.0.0.1,192.0.2.1.test"

/* A name: every address of it once; one that this machine does not have is passed over. */
static void test_name(void) {
        uint16_t port = free_port();
        g_autofree char *text = g_strdup_printf("%u", port);
        _cleanup_(fake_host_freep) FakeHost *h = slave_new(
                        &(Settings) { .host = NAMES, .port = text });
        _cleanup_(client_freep) Client *c = NULL;

        fake_host_start(h);
        fake_host_expect(h, "connections []");
        fake_host_wait(h, &h->started);
        c = client_new(h, port);
        client_request(c, "01 03 0000 0001", "01 03 02 0000");
}

/* One address that somebody else has is a failure, and the others are let go. */
static void test_name_in_use(void) {
        uint16_t port = free_port();
        g_autofree char *text = g_strdup_printf("%u", port);
        _cleanup_(fake_host_freep) FakeHost *holder = slave_started(&(Settings) { .host = "127.0.0.2" }, port);
        _cleanup_(fake_host_freep) FakeHost *h = slave_new(
                        &(Settings) { .host = "127.0.0.1,127.0.0.2.test", .port = text });
        _cleanup_(client_freep) Client *c = NULL;

        expect_failure(h, DEVICE_REASON_BUSY, "127.0.0.2.test");
        c = client_try(h, port, NULL);
        g_assert_cmpint(c->fd, <, 0);
}

static void test_unknown_name(void) {
        _cleanup_(fake_host_freep) FakeHost *h = slave_new(&(Settings) { .host = "none.test" });

        expect_failure(h, DEVICE_REASON_NOT_FOUND, "no such host");
}

static void test_stopped_while_resolving(void) {
        _cleanup_(fake_host_freep) FakeHost *h = slave_new(&(Settings) { .host = "block.test" });

        fake_host_start(h);
        fake_host_expect(h, "connections []");
        g_assert_cmpint(sem_wait(&fake_names_blocked), ==, 0);
        fake_host_stop(h);
        g_assert_false(h->started);
        g_assert_cmpint(sem_post(&fake_names_gate), ==, 0);
}

static int listening_socket(uint16_t *ret_port) {
        struct sockaddr_in sa = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
        socklen_t size = sizeof(sa);
        int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

        g_assert_cmpint(bind(fd, (struct sockaddr *) &sa, size), ==, 0);
        g_assert_cmpint(listen(fd, 8), ==, 0);
        g_assert_cmpint(getsockname(fd, (struct sockaddr *) &sa, &size), ==, 0);
        *ret_port = ntohs(sa.sin_port);
        return fd;
}

/* A passed socket stays open: who comes between two runs is served by the second. */
static void test_borrowed(void) {
        _cleanup_(fake_host_freep) FakeHost *h = slave_new(&(Settings) { .listen = "fd:modbus-server" });
        _cleanup_(client_freep) Client *c = NULL;
        uint16_t port;

        h->borrowed_fd = listening_socket(&port);
        for (unsigned i = 0; i < 2; i++) {
                c = client_free(c);
                c = client_new(h, port);
                fake_host_start(h);
                fake_host_expect(h, "connections []");
                expect_ids(h, 1);
                client_request(c, "01 03 0000 0001", "01 03 02 0000");
                fake_host_stop(h);
                fake_host_expect(h, "connections []");
                client_wait_end(c);
        }
        safe_close(h->borrowed_fd);
}

static void test_nothing_passed(void) {
        _cleanup_(fake_host_freep) FakeHost *h = slave_new(&(Settings) { .listen = "fd:modbus-server" });

        expect_failure(h, DEVICE_REASON_NOT_FOUND, "modbus-server");
        g_assert_nonnull(strstr(h->detail, "socket unit"));
}

/* ---- connections (6.3) ------------------------------------------------------------------------------- */

static void test_connections(void) {
        uint16_t port = free_port();
        _cleanup_(fake_host_freep) FakeHost *h = slave_started(&(Settings) {}, port);
        Client *first = client_new(h, port), *second;
        g_autofree char *one = connection_json(1, port, "127.0.0.1", first->port), *two = NULL, *line = NULL;

        line = g_strdup_printf("connections [%s]", one);
        fake_host_expect(h, line);
        second = client_new(h, port);
        two = connection_json(2, port, "127.0.0.1", second->port);
        g_free(line);
        line = g_strdup_printf("connections [%s, %s]", one, two);
        fake_host_expect(h, line);

        g_assert_cmpuint(h->device->type->n_parts(h->device), ==, 2);
        g_assert_cmpuint(((const ModbusConnection *) h->device->type->part(h->device, 1))->id, ==, 2);

        first = client_free(first);
        g_free(line);
        line = g_strdup_printf("connections [%s]", two);
        fake_host_expect(h, line);
        second = client_free(second);
        fake_host_expect(h, "connections []");
}

static void test_remote_hosts(void) {
        uint16_t port = free_port();
        _cleanup_(fake_host_freep) FakeHost *h = slave_started(
                        &(Settings) { .remote_hosts = "['127.0.0.2', localhost]" }, port);
        _cleanup_(client_freep) Client *refused = client_new(h, port), *again = client_new(h, port);
        _cleanup_(client_freep) Client *c = client_try(h, port, "127.0.0.2");

        client_wait_end(refused);
        client_wait_end(again);
        expect_ids(h, 1);
        client_request(c, "01 03 0000 0001", "01 03 02 0000");
        fake_host_expect_nothing(h, 10 * MS);
}

static void test_max_connections(void) {
        uint16_t port = free_port();
        _cleanup_(fake_host_freep) FakeHost *h = slave_started(&(Settings) { .max_connections = "1" }, port);
        Client *first = client_new(h, port), *second;

        expect_ids(h, 1);
        second = client_new(h, port);
        client_wait_end(second);
        second = client_free(second);
        first = client_free(first);
        fake_host_expect(h, "connections []");
        second = client_new(h, port);
        expect_ids(h, 2);
        second = client_free(second);
        fake_host_expect(h, "connections []");
}

static void test_nobody(void) {
        static const Settings rows[] = { { .remote_hosts = "[]" }, { .max_connections = "0" } };

        for (size_t i = 0; i < G_N_ELEMENTS(rows); i++) {
                uint16_t port = free_port();
                Settings s = rows[i];
                _cleanup_(fake_host_freep) FakeHost *h = slave_started(&s, port);
                _cleanup_(client_freep) Client *c = client_new(h, port);

                client_wait_end(c);
                fake_host_expect_nothing(h, 10 * MS);
        }
}

static void free_client(void *c) {
        (void) client_free(c);
}

/* No limit in the configuration, yet the gateway's descriptors are not all for masters. */
static void test_descriptors(void) {
        static const rlim_t few = 48;
        uint16_t port = free_port();
        _cleanup_(fake_host_freep) FakeHost *h = slave_started(&(Settings) {}, port);
        g_autoptr(GPtrArray) clients = g_ptr_array_new_with_free_func(free_client);
        struct rlimit before, low;
        Client *c;

        g_assert_cmpint(getrlimit(RLIMIT_NOFILE, &before), ==, 0);
        low = (struct rlimit) { .rlim_cur = few, .rlim_max = before.rlim_max };
        g_assert_cmpint(setrlimit(RLIMIT_NOFILE, &low), ==, 0);
        do {
                guint seen = h->registered->len;

                c = client_new(h, port);
                g_ptr_array_add(clients, c);
                while (!c->ended && h->registered->len == seen)
                        client_turn(c);
        } while (!c->ended);
        g_assert_cmpint(setrlimit(RLIMIT_NOFILE, &before), ==, 0);

        g_assert_cmpint(c->fd, >=, (int) (few - few / 4 - 1));
        g_assert_cmpuint(h->device->type->n_parts(h->device), ==, clients->len - 1);
        client_request(clients->pdata[0], "01 03 0000 0001", "01 03 02 0000");
        c = client_new(h, port); /* and now there is room */
        g_ptr_array_add(clients, c);
        client_request(c, "01 03 0000 0001", "01 03 02 0000");
}

int main(int argc, char *argv[]) {
        g_test_init(&argc, &argv, NULL);
        log_setup(LOG_TARGET_STDERR, LOG_ERR);
        g_assert_cmpint(sem_init(&fake_names_gate, 0, 0), ==, 0);
        g_assert_cmpint(sem_init(&fake_names_blocked, 0, 0), ==, 0);

        g_test_add_func("/modbus-slave-listen/port-in-use", test_port_in_use);
        g_test_add_func("/modbus-slave-listen/foreign-address", test_foreign_address);
        g_test_add_func("/modbus-slave-listen/name", test_name);
        g_test_add_func("/modbus-slave-listen/name-in-use", test_name_in_use);
        g_test_add_func("/modbus-slave-listen/unknown-name", test_unknown_name);
        g_test_add_func("/modbus-slave-listen/stopped-while-resolving", test_stopped_while_resolving);
        g_test_add_func("/modbus-slave-listen/borrowed", test_borrowed);
        g_test_add_func("/modbus-slave-listen/nothing-passed", test_nothing_passed);
        g_test_add_func("/modbus-slave-listen/connections", test_connections);
        g_test_add_func("/modbus-slave-listen/remote-hosts", test_remote_hosts);
        g_test_add_func("/modbus-slave-listen/max-connections", test_max_connections);
        g_test_add_func("/modbus-slave-listen/nobody", test_nobody);
        g_test_add_func("/modbus-slave-listen/descriptors", test_descriptors);

        return g_test_run();
}
