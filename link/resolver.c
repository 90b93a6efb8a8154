/* SPDX-License-Identifier: Apache-2.0 */
/* A Worker whose jobs are getaddrinfo() calls. Only resolver_query_run() is on a worker thread, and
 * resolver_query_drop() may be. */

#include <errno.h>

#include "base/bounds.h"
#include "base/worker.h"
#include "link/resolver.h"

struct Resolver {
        Worker *worker;
};

struct ResolverQuery {
        WorkerJob job;
        Resolver *resolver;
        char *host, service[6];
        ResolverCallback callback;
        void *userdata;
        int error;
        struct addrinfo *list;
};

static void resolver_query_free(ResolverQuery *q) {
        if (q->list)
                freeaddrinfo(q->list);
        g_free(q->host);
        g_free(q);
}

static int errno_from_gai(int code, int saved_errno) {
        switch (code) {
        case 0:
                return 0;
        case EAI_NONAME:
        case EAI_NODATA:
        case EAI_ADDRFAMILY:
                return -ENXIO;
        case EAI_AGAIN:
        case EAI_FAIL:
                return -EHOSTUNREACH;
        case EAI_MEMORY:
                return -ENOMEM;
        case EAI_SYSTEM:
                return saved_errno > 0 ? -saved_errno : -EIO;
        default:
                return -EINVAL;
        }
}

/* No AI_ADDRCONFIG: at boot the interface that will carry the connection may not have its address yet. */
static void resolver_query_run(WorkerJob *job) {
        ResolverQuery *q = (ResolverQuery *) job;
        const struct addrinfo hints = {
                .ai_family = AF_UNSPEC,
                .ai_socktype = SOCK_STREAM,
                .ai_flags = AI_NUMERICSERV,
        };
        int code;

        code = getaddrinfo(q->host, q->service, &hints, &q->list);
        q->error = errno_from_gai(code, errno);
        if (q->error < 0)
                q->list = NULL;
}

static void resolver_query_done(WorkerJob *job) {
        ResolverQuery *q = (ResolverQuery *) job;

        q->callback(q->error, TAKE_PTR(q->list), q->userdata);
        resolver_query_free(q);
}

static void resolver_query_drop(WorkerJob *job) {
        resolver_query_free((ResolverQuery *) job);
}

int resolver_new(sd_event *event, unsigned n_threads, Resolver **ret) {
        Worker *worker;
        int r;

        /* Every device may wait for a name at the same time. */
        r = worker_new(event, "resolver", n_threads, CONF_DEVICES_MAX, &worker);
        if (r < 0)
                return r;

        *ret = g_new(Resolver, 1);
        **ret = (Resolver) { .worker = worker };
        return 0;
}

Resolver *resolver_free(Resolver *r) {
        if (!r)
                return NULL;

        r->worker = worker_free(r->worker);
        g_free(r);
        return NULL;
}

int resolver_query(Resolver *resolver, const char *host, uint16_t port, ResolverCallback callback,
                   void *userdata, ResolverQuery **ret) {
        ResolverQuery *q;
        int r;

        q = g_new(ResolverQuery, 1);
        *q = (ResolverQuery) {
                .job = {
                        .run = resolver_query_run,
                        .done = resolver_query_done,
                        .drop = resolver_query_drop,
                },
                .resolver = resolver,
                .host = g_strdup(host),
                .callback = callback,
                .userdata = userdata,
        };
        (void) g_snprintf(q->service, sizeof(q->service), "%u", port);

        r = worker_submit(resolver->worker, &q->job);
        if (r < 0) {
                resolver_query_free(q);
                return r;
        }

        *ret = q;
        return 0;
}

ResolverQuery *resolver_query_cancel(ResolverQuery *q) {
        if (q)
                worker_cancel(q->resolver->worker, &q->job);
        return NULL;
}
