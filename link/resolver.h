/* SPDX-License-Identifier: Apache-2.0 */
/* Host names without blocking the loop: getaddrinfo() on at most 4 worker threads, shared by the process. Numeric addresses
 * never get here (stream.c answers them at once). Loop thread. */
#pragma once

#include <netdb.h>
#include <systemd/sd-event.h>

#include "base/macros.h"

typedef struct Resolver Resolver;
typedef struct ResolverQuery ResolverQuery;

int resolver_new(sd_event *event, Resolver **ret);
Resolver *resolver_free(Resolver *r);   /* never waits */
DEFINE_CLEANUP(Resolver, resolver_free);

/* Called back once in a later turn, unless cancelled. error: 0 or negative errno (-ENXIO: no such name); list is the callee's
 * (freeaddrinfo). */
typedef void (*ResolverCallback)(int error, struct addrinfo *list, void *userdata);
int resolver_query(Resolver *r, const char *host, uint16_t port, ResolverCallback callback, void *userdata, ResolverQuery **ret);
ResolverQuery *resolver_query_cancel(ResolverQuery *q); /* NULL accepted; a late answer is dropped */
