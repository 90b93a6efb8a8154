/* SPDX-License-Identifier: Apache-2.0 */
/* Owns the listeners and, before there are any, the query for their addresses. Loop thread. */

#include <errno.h>
#include <netdb.h>

#include "link/listener-set.h"

struct ListenerSet {
        sd_event *event; /* the owner's */
        const char *description;
        ListenerAccept accept;
        ListenerSetOpened opened;
        void *userdata;
        ResolverQuery *query;
        GPtrArray *listeners; /* Listener */
};

static ListenerSet *listener_set_new(sd_event *event, const char *description, ListenerAccept accept,
                                     ListenerSetOpened opened, void *userdata) {
        ListenerSet *s = g_new(ListenerSet, 1);

        *s = (ListenerSet) {
                .event = event,
                .description = description,
                .accept = accept,
                .opened = opened,
                .userdata = userdata,
                .listeners = g_ptr_array_new(),
        };
        return s;
}

static void set_close(ListenerSet *s) {
        for (size_t i = 0; i < s->listeners->len; i++)
                (void) listener_free(s->listeners->pdata[i]);
        g_ptr_array_set_size(s->listeners, 0);
}

/* A names file may name an address twice. */
static bool addrinfo_is_repeated(const struct addrinfo *list, const struct addrinfo *a) {
        for (const struct addrinfo *i = list; i != a; i = i->ai_next)
                if (i->ai_addrlen == a->ai_addrlen && memcmp(i->ai_addr, a->ai_addr, a->ai_addrlen) == 0)
                        return true;
        return false;
}

static int set_open_all(ListenerSet *s, const struct addrinfo *list) {
        int error = -ENXIO;

        for (const struct addrinfo *a = list; a; a = a->ai_next) {
                Listener *l;
                int r;

                if (addrinfo_is_repeated(list, a))
                        continue;
                r = listener_open_sockaddr(s->event, a->ai_addr, a->ai_addrlen, s->description, s->accept,
                                           s->userdata, &l);
                if (r >= 0)
                        g_ptr_array_add(s->listeners, l);
                else if (r == -EADDRNOTAVAIL || r == -EAFNOSUPPORT)
                        error = r;
                else
                        return r;
        }
        return s->listeners->len > 0 ? 0 : error;
}

static void set_on_resolved(int error, struct addrinfo *list, void *userdata) {
        ListenerSet *s = userdata;

        s->query = NULL;
        if (error >= 0) {
                error = set_open_all(s, list);
                freeaddrinfo(list);
        }
        if (error < 0)
                set_close(s);
        s->opened(error, s->userdata);
}

int listener_set_open(sd_event *event, Resolver *resolver, const Address *address, const char *description,
                      ListenerAccept accept, ListenerSetOpened opened, void *userdata, ListenerSet **ret) {
        _cleanup_(listener_set_freep) ListenerSet *s = NULL;
        Listener *l;
        int r;

        s = listener_set_new(event, description, accept, opened, userdata);
        r = listener_open(event, address, description, accept, userdata, &l);
        if (r == -ENXIO) { /* a name */
                r = resolver_query(resolver, address->host, address->port, set_on_resolved, s, &s->query);
                if (r < 0)
                        return r;
                *ret = TAKE_PTR(s);
                return 0;
        }
        if (r < 0)
                return r;

        g_ptr_array_add(s->listeners, l);
        *ret = TAKE_PTR(s);
        return 1;
}

int listener_set_borrow(sd_event *event, int fd, const char *description, ListenerAccept accept, void *userdata,
                        ListenerSet **ret) {
        Listener *l;
        int r;

        r = listener_borrow(event, fd, description, accept, userdata, &l);
        if (r < 0)
                return r;

        *ret = listener_set_new(event, description, accept, NULL, userdata);
        g_ptr_array_add((*ret)->listeners, l);
        return 1;
}

ListenerSet *listener_set_free(ListenerSet *s) {
        if (!s)
                return NULL;

        (void) resolver_query_cancel(s->query);
        set_close(s);
        g_ptr_array_unref(s->listeners);
        g_free(s);
        return NULL;
}
