/* SPDX-License-Identifier: Apache-2.0 */
/* Stands in for getaddrinfo() in the program that includes it, so that no test asks a name server:
 * "A,B.test" has the numeric addresses A and B in this order, "none.test" does not exist, "again.test"
 * gets no answer, "block.test" blocks until fake_names_gate is posted and is 127.0.0.1 then. Everything
 * else is the real function's. Any thread. */
#pragma once

#include <dlfcn.h>
#include <netdb.h>
#include <semaphore.h>

#include "base/macros.h"

static sem_t fake_names_gate;    /* the program initialises both with 0 */
static sem_t fake_names_blocked; /* posted by each thread that blocks */

typedef int (*GetAddrInfo)(const char *, const char *, const struct addrinfo *, struct addrinfo **);

static int fake_list(GetAddrInfo real, const char *host, const char *service, const struct addrinfo *hints,
                     struct addrinfo **ret) {
        g_autofree char *names = g_strndup(host, strlen(host) - strlen(".test"));
        g_auto(GStrv) numeric = g_strsplit(names, ",", -1);
        struct addrinfo *list = NULL, **end = &list;

        for (char **p = numeric; *p; p++) {
                int code = real(*p, service, hints, end);

                g_assert_cmpint(code, ==, 0);
                end = &(*end)->ai_next;
        }
        *ret = list; /* freeaddrinfo() frees one by one */
        return 0;
}

int getaddrinfo(const char *host, const char *service, const struct addrinfo *hints, struct addrinfo **ret) {
        GetAddrInfo real;

        *(void **) &real = dlsym(RTLD_NEXT, "getaddrinfo");
        if (!g_str_has_suffix(host, ".test") || (hints->ai_flags & AI_NUMERICHOST))
                return real(host, service, hints, ret);
        if (streq(host, "none.test"))
                return EAI_NONAME;
        if (streq(host, "again.test"))
                return EAI_AGAIN;
        if (streq(host, "block.test")) {
                (void) sem_post(&fake_names_blocked);
                while (sem_wait(&fake_names_gate) < 0)
                        ;
                return real("127.0.0.1", service, hints, ret);
        }
        return fake_list(real, host, service, hints, ret);
}
