/* SPDX-License-Identifier: Apache-2.0 */
/* link/address: text both ways, and the names of sockets. */

#include <errno.h>
#include <netdb.h>
#include <sys/socket.h>

#include "link/address.h"

static void test_parse(void) {
        static const struct {
                const char *text;
                AddressKind kind;
                const char *host, *path;
                uint16_t port;
        } good[] = {
                { "tcp:plc.example:502", ADDRESS_TCP, "plc.example", NULL, 502 },
                { "tcp:127.0.0.1:0", ADDRESS_TCP, "127.0.0.1", NULL, 0 },
                { "tcp:[::1]:65535", ADDRESS_TCP, "::1", NULL, 65535 },
                { "tcp:[fe80::1%eth0]:23012", ADDRESS_TCP, "fe80::1%eth0", NULL, 23012 },
                { "unix:/run/gatewayd/eventer.sock", ADDRESS_UNIX, NULL, "/run/gatewayd/eventer.sock", 0 },
                { "unix:eventer.sock", ADDRESS_UNIX, NULL, "eventer.sock", 0 },
        };
        static const char *const bad[] = {
                "",          "tcp:",        "unix:",      "localhost:502", "udp:a:1",    "tcp:a",     "tcp:a:",
                "tcp::502",  "tcp:a:65536", "tcp:a:-1",   "tcp:a: 1",      "tcp:a:1x",   "tcp:::1:1", "tcp:[]:1",
                "tcp:[::1]", "tcp:[::1:1",  "tcp:[::1]1", "tcp:[::1]:",    "tcp:a:99999999999999999999",
        };
        g_autofree char *long_path = g_strdup_printf("unix:/%0108d", 0);
        Address a = { .port = 7 };

        for (size_t i = 0; i < ELEMENTSOF(good); i++) {
                g_autofree char *text = NULL, *copied = NULL;
                Address copy;

                g_assert_cmpint(address_parse(good[i].text, &a), ==, 0);
                g_assert_cmpint((int) a.kind, ==, (int) good[i].kind);
                g_assert_cmpstr(a.host, ==, good[i].host);
                g_assert_cmpstr(a.path, ==, good[i].path);
                g_assert_cmpuint(a.port, ==, good[i].port);
                text = address_format(&a);
                g_assert_cmpstr(text, ==, good[i].text);

                address_copy(&copy, &a);
                g_assert_cmpint((int) copy.kind, ==, (int) a.kind);
                copied = address_format(&copy);
                g_assert_cmpstr(copied, ==, text);
                address_done(&copy);
                address_done(&a);
        }

        a.port = 7;
        for (size_t i = 0; i < ELEMENTSOF(bad); i++)
                g_assert_cmpint(address_parse(bad[i], &a), ==, -EINVAL);
        g_assert_cmpint(address_parse(long_path, &a), ==, -EINVAL);
        g_assert_cmpuint(a.port, ==, 7); /* untouched on failure */
}

static void test_numeric(void) {
        struct addrinfo *list = NULL;
        struct sockaddr_un sun;
        g_autofree char *path = g_strnfill(107, 'x'), *too_long = g_strnfill(108, 'x');

        g_assert_cmpint(address_numeric("plc.example", 502, false, &list), ==, -ENXIO);
        g_assert_cmpint(address_numeric("localhost", 502, false, &list), ==, -ENXIO);
        g_assert_cmpint(address_numeric("", 502, false, &list), ==, -ENXIO);
        g_assert_null(list);
        g_assert_cmpint(address_numeric("::1", 502, false, &list), ==, 0);
        g_assert_cmpint(list->ai_family, ==, AF_INET6);
        freeaddrinfo(list);

        g_assert_cmpint(address_unix(path, &sun), ==, 0);
        g_assert_cmpstr(sun.sun_path, ==, path);
        g_assert_cmpint(address_unix(too_long, &sun), ==, -ENAMETOOLONG);
}

static void test_socket_name(void) {
        char *host = NULL;
        uint16_t port = 0;
        int fds[2], fd;

        g_assert_cmpint(socketpair(AF_UNIX, SOCK_STREAM, 0, fds), ==, 0);
        g_assert_cmpint(socket_name(fds[0], false, &host, &port), ==, -EAFNOSUPPORT);
        (void) close(fds[0]);
        (void) close(fds[1]);

        fd = socket(AF_INET, SOCK_STREAM, 0);
        g_assert_cmpint(socket_name(fd, true, &host, &port), ==, -ENOTCONN);
        g_assert_cmpint(socket_name(fd, false, &host, &port), ==, 0);
        g_assert_cmpstr(host, ==, "0.0.0.0");
        g_assert_cmpuint(port, ==, 0);
        g_free(host);
        (void) close(fd);
}

int main(int argc, char *argv[]) {
        g_test_init(&argc, &argv, NULL);
        g_test_add_func("/address/parse", test_parse);
        g_test_add_func("/address/numeric", test_numeric);
        g_test_add_func("/address/socket-name", test_socket_name);
        return g_test_run();
}
