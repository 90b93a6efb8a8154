/* SPDX-License-Identifier: Apache-2.0 */
/* Host names without blocking the loop: getaddrinfo() on a few worker threads, started as they are needed. A
 * name that hangs keeps its thread for as long as the name servers let it, so who must not wait for others'
 * names has a resolver of its own. Numeric addresses never get here (connector.c answers them at once). Loop
 * thread. */
#pragma once

#include <netdb.h>
#include <systemd/sd-event.h>

#include "base/macros.h"

typedef struct Resolver Resolver;
typedef struct ResolverQuery ResolverQuery;

/* n_threads: names that are looked up at the same time. */
int resolver_new(sd_event *event, unsigned n_threads, Resolver **ret);
/* Never waits. Queries under way are dropped without a call back; a stream that still waits for one must
 * be freed before. */
Resolver *resolver_free(Resolver *r);
DEFINE_CLEANUP(Resolver, resolver_free);

/* Called back once in a later turn, unless cancelled; the query is gone then. error: 0, -ENXIO (no such
 * name, or none with an address), -EHOSTUNREACH (no name server answered), or another negative errno;
 * list (SOCK_STREAM, with the port, best first) is the callee's (freeaddrinfo). The callee may free the
 * resolver. */
typedef void (*ResolverCallback)(int error, struct addrinfo *list, void *userdata);
/* -EAGAIN: too many names are waiting. */
int resolver_query(Resolver *r, const char *host, uint16_t port, ResolverCallback callback, void *userdata,
                   ResolverQuery **ret);
/* NULL accepted; a late answer is dropped. Returns NULL. */
ResolverQuery *resolver_query_cancel(ResolverQuery *q);
