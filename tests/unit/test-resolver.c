/* SPDX-License-Identifier: Apache-2.0 */
/* link/resolver over a stand-in for getaddrinfo(); real threads, meant for the thread sanitizer, too. */

#include <errno.h>
#include <netinet/in.h>

#include "link/resolver.h"
#include "tests/unit/fake-names.h"
#include "tests/unit/loop.h"

typedef struct Fixture {
        sd_event *event;
        Resolver *resolver;
        unsigned n_calls;
        int error;
        unsigned n_addresses;
        uint32_t first;
        uint16_t port;
        bool free; /* callback frees the resolver */
} Fixture;

static void on_answer(int error, struct addrinfo *list, void *userdata) {
        Fixture *f = userdata;

        f->n_calls++;
        f->error = error;
        f->n_addresses = 0;
        g_assert_true((error < 0) == !list);
        for (const struct addrinfo *i = list; i; i = i->ai_next) {
                const struct sockaddr_in *sin = (const struct sockaddr_in *) i->ai_addr;

                if (f->n_addresses++ > 0 || i->ai_family != AF_INET)
                        continue;
                f->first = ntohl(sin->sin_addr.s_addr);
                f->port = ntohs(sin->sin_port);
        }
        if (list)
                freeaddrinfo(list);
        if (f->free)
                f->resolver = resolver_free(f->resolver);
}

static ResolverQuery *ask(Fixture *f, const char *host) {
        ResolverQuery *q = NULL;

        g_assert_cmpint(resolver_query(f->resolver, host, 502, on_answer, f, &q), ==, 0);
        g_assert_nonnull(q);
        return q;
}

static void wait_blocked(unsigned n) {
        struct timespec end;

        (void) clock_gettime(CLOCK_REALTIME, &end);
        end.tv_sec += 10;
        for (; n > 0; n--)
                g_assert_cmpint(sem_timedwait(&fake_names_blocked, &end), ==, 0);
}

static void set_up(Fixture *f, gconstpointer unused) {
        (void) sem_init(&fake_names_gate, 0, 0);
        (void) sem_init(&fake_names_blocked, 0, 0);
        f->event = loop_new();
        g_assert_cmpint(resolver_new(f->event, 4, &f->resolver), ==, 0);
}

static void tear_down(Fixture *f, gconstpointer unused) {
        f->resolver = resolver_free(f->resolver);
        f->event = sd_event_unref(f->event);
}

static void test_answers(Fixture *f, gconstpointer unused) {
        ask(f, "10.1.2.3,127.0.0.1,::1.test");
        g_assert_cmpuint(f->n_calls, ==, 0);
        LOOP_UNTIL(f->event, f->n_calls == 1);
        g_assert_cmpint(f->error, ==, 0);
        g_assert_cmpuint(f->n_addresses, ==, 3);
        g_assert_cmpuint(f->first, ==, 0x0a010203);
        g_assert_cmpuint(f->port, ==, 502);

        ask(f, "none.test");
        LOOP_UNTIL(f->event, f->n_calls == 2);
        g_assert_cmpint(f->error, ==, -ENXIO);

        ask(f, "again.test");
        LOOP_UNTIL(f->event, f->n_calls == 3);
        g_assert_cmpint(f->error, ==, -EHOSTUNREACH);
}

/* Through the system's own getaddrinfo(), on the stack that the worker gives it. */
static void test_localhost(Fixture *f, gconstpointer unused) {
        ask(f, "localhost");
        LOOP_UNTIL(f->event, f->n_calls == 1);
        g_assert_cmpint(f->error, ==, 0);
        g_assert_cmpuint(f->n_addresses, >=, 1);
}

static void test_threads(Fixture *f, gconstpointer unused) {
        struct timespec soon;

        for (unsigned i = 0; i < 6; i++)
                ask(f, "block.test");
        wait_blocked(4);
        loop_settle(f->event);
        g_assert_cmpuint(f->n_calls, ==, 0);
        (void) clock_gettime(CLOCK_REALTIME, &soon);
        soon.tv_sec += soon.tv_nsec >= 950000000;
        soon.tv_nsec = (soon.tv_nsec + 50000000) % 1000000000;
        g_assert_cmpint(sem_timedwait(&fake_names_blocked, &soon), ==, -1); /* no fifth thread */
        for (unsigned i = 0; i < 6; i++)
                (void) sem_post(&fake_names_gate);
        LOOP_UNTIL(f->event, f->n_calls == 6);
}

static void test_two(Fixture *f, gconstpointer unused) {
        _cleanup_(resolver_freep) Resolver *other = NULL;
        ResolverQuery *q;

        for (unsigned i = 0; i < 6; i++)
                ask(f, "block.test");
        wait_blocked(4);
        g_assert_cmpint(resolver_new(f->event, 1, &other), ==, 0);
        g_assert_cmpint(resolver_query(other, "10.1.2.3.test", 502, on_answer, f, &q), ==, 0);
        LOOP_UNTIL(f->event, f->n_calls == 1);
        g_assert_cmpuint(f->first, ==, 0x0a010203);
        for (unsigned i = 0; i < 6; i++)
                (void) sem_post(&fake_names_gate);
        LOOP_UNTIL(f->event, f->n_calls == 7);
}

static void test_cancel(Fixture *f, gconstpointer unused) {
        ResolverQuery *running[4], *waiting;

        for (unsigned i = 0; i < 4; i++)
                running[i] = ask(f, "block.test");
        wait_blocked(4);
        waiting = ask(f, "10.1.2.3.test");
        g_assert_null(resolver_query_cancel(waiting));
        g_assert_null(resolver_query_cancel(running[1]));
        g_assert_null(resolver_query_cancel(NULL));
        ask(f, "10.1.2.4.test");
        for (unsigned i = 0; i < 4; i++)
                (void) sem_post(&fake_names_gate);
        LOOP_UNTIL(f->event, f->n_calls == 4); /* three of the four, and the last */
        loop_settle(f->event);
        g_assert_cmpuint(f->n_calls, ==, 4);
}

static void test_free(Fixture *f, gconstpointer unused) {
        usec_t start;

        for (unsigned i = 0; i < 10; i++)
                ask(f, "block.test");
        wait_blocked(4);
        start = now_usec(CLOCK_MONOTONIC);
        f->resolver = resolver_free(f->resolver);
        g_assert_cmpuint(now_usec(CLOCK_MONOTONIC) - start, <, 30 * USEC_PER_SEC);
        for (unsigned i = 0; i < 4; i++)
                (void) sem_post(&fake_names_gate);
        loop_settle(f->event);
        g_assert_cmpuint(f->n_calls, ==, 0);
}

static void test_free_inside(Fixture *f, gconstpointer unused) {
        f->free = true;
        ask(f, "10.1.2.3.test");
        ask(f, "10.1.2.4.test");
        LOOP_UNTIL(f->event, f->n_calls == 1);
        loop_settle(f->event);
        g_assert_cmpuint(f->n_calls, ==, 1);
        g_assert_null(f->resolver);
}

int main(int argc, char *argv[]) {
        g_test_init(&argc, &argv, NULL);
#define ADD(name, func) g_test_add("/resolver/" name, Fixture, NULL, set_up, func, tear_down)
        ADD("answers", test_answers);
        ADD("localhost", test_localhost);
        ADD("threads", test_threads);
        ADD("two", test_two);
        ADD("cancel", test_cancel);
        ADD("free", test_free);
        ADD("free-inside", test_free_inside);
        return g_test_run();
}
