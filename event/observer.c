/* SPDX-License-Identifier: Apache-2.0 */
/* Messages of the observer and the part of one component: spec wire.md 6, 7.1, 7.2. Pure; owned by
 * monitor-client.c. */

#include "event/observer.h"

#include <errno.h>
#include <math.h>

#include "event/chatter.h"
#include "event/sbs.h"

struct Observer {
        Chatter chatter;
        const ObserverHandler *handler;
        void *userdata;
        char *name, *group;
        Buffer output, body;
        GArray *components; /* of ObserverComponent, of the last message */
        ObserverState state;
        bool ready;
        bool has_token; /* what we answer */
        int64_t token;
        bool has_returned; /* a token that we gave back, and the monitor may not have heard that */
        int64_t returned;
        bool returned_echoed; /* it had heard our answer before */
        bool has_own; /* the rest: our entry in the last message */
        bool has_requested, has_echo;
        int64_t requested, echo;
};

/* ---- event servers ----------------------------------------------------------------------------------- */

void observer_event_server_done(ObserverEventServer *s) {
        g_free(s->host);
        g_free(s->token);
        *s = (ObserverEventServer) {};
}

bool observer_event_server_equal(const ObserverEventServer *a, const ObserverEventServer *b) {
        return a->server_id == b->server_id && a->port == b->port && g_strcmp0(a->host, b->host) == 0 &&
               g_strcmp0(a->token, b->token) == 0;
}

/* A text without NUL. */
static int get_text(JsonSpan object, const char *key, char **ret) {
        g_autofree char *text = NULL;
        JsonSpan value;
        size_t size;

        if (json_get(object, key, &value) < 0 || json_unescape(value, &text, &size) < 0 || strlen(text) != size)
                return -ENOENT;
        *ret = TAKE_PTR(text);
        return 0;
}

static int get_integer(JsonSpan object, const char *key, int64_t *ret) {
        JsonSpan value;

        if (json_get(object, key, &value) < 0 || json_to_int64(value, ret) < 0)
                return -ENOENT;
        return 0;
}

static int event_server_parse(JsonSpan data, ObserverEventServer *s) {
        JsonSpan address, token;
        int64_t port;

        if (get_integer(data, "server_id", &s->server_id) < 0 || json_get(data, "eventer_server", &address) < 0 ||
            get_text(address, "host", &s->host) < 0 || get_integer(address, "port", &port) < 0 || port < 1 ||
            port > UINT16_MAX)
                return -ENOENT;
        s->port = (uint16_t) port;
        if (json_get(data, "server_token", &token) < 0 || json_kind(token) == JSON_NULL)
                return 0;
        return get_text(data, "server_token", &s->token);
}

int observer_find_event_server(const ObserverComponent *components, size_t n, const char *group,
                               const char *client_token, ObserverEventServer *ret) {
        for (size_t i = 0; i < n; i++) {
                const ObserverComponent *c = &components[i];
                ObserverEventServer s = {};

                if (!c->has_group || !subtype_is(c->group, group) || !observer_component_is_active(c))
                        continue;
                if (event_server_parse(c->data, &s) < 0 || (client_token && g_strcmp0(client_token, s.token) != 0)) {
                        observer_event_server_done(&s);
                        return -ENOENT;
                }
                *ret = s;
                return 0;
        }
        return -ENOENT;
}

/* ---- what is sent ------------------------------------------------------------------------------------ */

/* Always everything (wire.md 6.2). */
static void observer_send(Observer *o) {
        buffer_clear(&o->body);
        sbs_write_string(&o->body, o->name, strlen(o->name));
        sbs_write_string(&o->body, o->group, strlen(o->group));
        sbs_write_string(&o->body, "null", 4);
        sbs_write_integer(&o->body, o->has_token);
        if (o->has_token)
                sbs_write_integer(&o->body, o->token);
        sbs_write_boolean(&o->body, o->ready);
        (void) chatter_send(&o->chatter, true, "HatObserver.MsgClient", buffer_begin(&o->body), buffer_size(&o->body),
                            &o->output);
}

/* ---- the part ---------------------------------------------------------------------------------------- */

static void observer_enter(Observer *o, ObserverState state) {
        if (o->state == state)
                return;
        o->state = state;
        o->handler->state(state, o->userdata);
}

/* Takes our answer back. The same token may still be asked for in states from before, and what they echo
 * would be the old answer: it counts again only when the monitor has said that it knows. */
static void observer_give_back(Observer *o, bool echoed) {
        if (!o->has_token)
                return;
        o->has_token = false;
        o->has_returned = true;
        o->returned = o->token;
        o->returned_echoed = echoed;
}

static void observer_hear_return(Observer *o) {
        if (!o->has_returned || !o->has_own)
                return;
        if (o->has_echo && o->echo == o->returned)
                o->returned_echoed = true;
        else if (o->returned_echoed)
                o->has_returned = false;
}

static bool observer_is_asked(const Observer *o) {
        return o->has_own && o->has_requested && !(o->has_returned && o->requested == o->returned);
}

static void observer_confirm(Observer *o) {
        if (!o->has_token || o->token != o->requested) {
                o->has_token = true;
                o->token = o->requested;
                observer_send(o);
        }
        observer_enter(o, OBSERVER_CONFIRM);
}

/* The monitor has heard our answer. The reference keeps a token that is not wanted any more; as long as we
 * answer it the monitor blesses nobody else of the group (wire.md 8), so it is given back. */
static void observer_confirmed(Observer *o) {
        bool asked = observer_is_asked(o);

        if (asked && o->requested == o->token) {
                observer_enter(o, OBSERVER_ACTIVE);
                return;
        }
        if (!asked) {
                observer_give_back(o, true);
                observer_send(o);
        }
        observer_enter(o, OBSERVER_IDLE);
}

/* One look at what the monitor wants, and at most one step for each state on the way (wire.md 7.1). */
static void observer_step(Observer *o) {
        if (o->state == OBSERVER_ACTIVE && (!o->ready || !observer_is_asked(o) || o->requested != o->token))
                observer_enter(o, OBSERVER_ENDING);
        if (o->state == OBSERVER_CONFIRM) {
                if (!o->ready)
                        observer_enter(o, OBSERVER_IDLE);
                else if (o->has_own && o->has_echo && o->echo == o->token)
                        observer_confirmed(o);
        }
        if (o->state == OBSERVER_IDLE && o->ready && observer_is_asked(o))
                observer_confirm(o);
}

void observer_set_ready(Observer *o, bool ready) {
        if (o->ready == ready)
                return;
        o->ready = ready;
        if (!ready && (o->state == OBSERVER_IDLE || o->state == OBSERVER_CONFIRM))
                observer_give_back(o, false);
        observer_send(o);
        observer_step(o);
}

void observer_set_ended(Observer *o) {
        if (o->state != OBSERVER_ENDING)
                return;
        observer_give_back(o, true);
        observer_send(o);
        observer_enter(o, OBSERVER_IDLE);
        observer_step(o);
}

ObserverState observer_get_state(const Observer *o) {
        return o->state;
}

/* ---- what comes -------------------------------------------------------------------------------------- */

static int read_optional_float(SbsReader *r, double *ret) {
        unsigned has;
        int res;

        *ret = NAN;
        res = sbs_read_choice(r, 2, &has);
        if (res < 0)
                return res;
        return has ? sbs_read_float(r, ret) : 0;
}

static int read_component(SbsReader *r, ObserverComponent *c) {
        const char *data;
        size_t size;

        if (sbs_read_integer(r, &c->cid) < 0 || sbs_read_integer(r, &c->mid) < 0 ||
            sbs_read_optional_string(r, &c->has_name, &c->name.text, &c->name.size) < 0 ||
            sbs_read_optional_string(r, &c->has_group, &c->group.text, &c->group.size) < 0 ||
            sbs_read_string(r, &data, &size) < 0 ||
            json_check(data, size, &c->data) < 0 || sbs_read_integer(r, &c->rank) < 0 ||
            sbs_read_optional_integer(r, &c->has_requested, &c->requested) < 0 ||
            read_optional_float(r, &c->timestamp) < 0 ||
            sbs_read_optional_integer(r, &c->has_token, &c->token) < 0 ||
            sbs_read_boolean(r, &c->ready) < 0)
                return -EBADMSG;
        return 0;
}

static int process_components(Observer *o, SbsReader *r) {
        const ObserverComponent *own = NULL, *all;
        int64_t cid, mid;
        size_t n;

        if (sbs_read_integer(r, &cid) < 0 || sbs_read_integer(r, &mid) < 0 || sbs_read_count(r, &n) < 0)
                return -EBADMSG;
        if (n > OBSERVER_COMPONENTS_MAX)
                return -EMSGSIZE;
        g_array_set_size(o->components, 0);
        for (size_t i = 0; i < n; i++) {
                ObserverComponent c;

                if (read_component(r, &c) < 0)
                        return -EBADMSG;
                g_array_append_val(o->components, c);
        }

        all = (const ObserverComponent *) (const void *) o->components->data;
        for (size_t i = 0; i < n && !own; i++)
                if (all[i].cid == cid && all[i].mid == mid)
                        own = &all[i];
        o->has_own = own;
        o->has_requested = own && own->has_requested;
        o->requested = own ? own->requested : 0;
        o->has_echo = own && own->has_token;
        o->echo = own ? own->token : 0;
        observer_hear_return(o);
        observer_step(o);
        o->handler->components(all, n, own, o->userdata);
        return 0;
}

static int observer_process(Observer *o, const ChatterMessage *m) {
        SbsReader r = { .at = m->data, .end = m->data + m->size };

        if (chatter_message_is(m, "HatObserver.MsgServer"))
                return process_components(o, &r);
        if (chatter_message_is(m, "HatObserver.MsgClose"))
                return -ESHUTDOWN;
        return -EPROTO;
}

int64_t observer_receive(Observer *o, const uint8_t *data, size_t size, usec_t now) {
        size_t used = 0;

        for (;;) {
                ChatterMessage m;
                size_t n;
                int r;

                r = chatter_receive(&o->chatter, data + used, size - used, now, &o->output, &n, &m);
                if (r < 0)
                        return r;
                if (n == 0)
                        return (int64_t) used;
                used += n;
                if (r == 0)
                        continue;
                r = observer_process(o, &m);
                if (r < 0)
                        return r;
        }
}

/* ---- life -------------------------------------------------------------------------------------------- */

Observer *observer_new(usec_t now, usec_t ping_delay, usec_t ping_timeout, const char *name, const char *group,
                       const ObserverHandler *handler, void *userdata) {
        Observer *o = g_new0(Observer, 1);

        chatter_init(&o->chatter, now);
        o->chatter.ping_delay = ping_delay;
        o->chatter.ping_timeout = ping_timeout;
        o->chatter.frame_max = OBSERVER_FRAME_MAX;
        o->name = g_strdup(name);
        o->group = g_strdup(group);
        o->handler = handler;
        o->userdata = userdata;
        o->components = g_array_new(FALSE, FALSE, sizeof(ObserverComponent));
        observer_send(o);
        return o;
}

Observer *observer_free(Observer *o) {
        if (!o)
                return NULL;
        buffer_done(&o->output);
        buffer_done(&o->body);
        g_array_unref(o->components);
        g_free(o->name);
        g_free(o->group);
        g_free(o);
        return NULL;
}

Buffer *observer_output(Observer *o) {
        return &o->output;
}

usec_t observer_deadline(const Observer *o) {
        return chatter_deadline(&o->chatter);
}

int observer_elapse(Observer *o, usec_t now) {
        return chatter_elapse(&o->chatter, now, &o->output);
}
