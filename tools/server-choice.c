/* SPDX-License-Identifier: Apache-2.0 */
/* Which event server a command speaks to. */
#include <config.h>

#include "base/sd.h"
#include "base/secret.h"
#include "tools/server-choice.h"
#include "tools/text.h"

/* ---- token ------------------------------------------------------------------------------------------- */

static ExitStatus read_token(const char *path, char **ret) {
        int r;

        r = secret_read(path, ret);
        return r < 0 ? complain(CTL_FAILED, "Cannot read a token from %s: %s", path, secret_problem(r)) : CTL_OK;
}

/* ---- address ----------------------------------------------------------------------------------------- */

static void set_address(ServerChoice *s, const Address *a) {
        g_autofree char *text = NULL;

        address_done(&s->address);
        address_copy(&s->address, a);
        if (s->address.kind == ADDRESS_UNIX && s->address.path[0] != '/') {
                char *path = g_build_filename(runtime_directory(), s->address.path, NULL);

                g_free(s->address.path);
                s->address.path = path;
        }
        text = address_format(&s->address);
        g_free(s->name);
        s->name = text_printable(text);
}

static void set_default(ServerChoice *s) {
        set_address(s, &(Address) { .kind = ADDRESS_UNIX, .path = (char *) EVENTER_SOCKET });
}

/* Of --server=: a relative path is one of the shell's, as every other file of a command line. */
static ExitStatus set_given(ServerChoice *s, const char *text) {
        Address a = {};

        if (address_parse(text, &a) < 0 || (a.kind == ADDRESS_TCP && a.port == 0)) {
                address_done(&a);
                return complain(CTL_USAGE, "--server=%s: it is tcp:HOST:PORT or unix:PATH", text);
        }
        if (a.kind == ADDRESS_UNIX && a.path[0] != '/') {
                char *path = g_canonicalize_filename(a.path, NULL);

                g_free(a.path);
                a.path = path;
        }
        set_address(s, &a);
        address_done(&a);
        return CTL_OK;
}

/* Whether an address that another host says means that host itself. */
static bool is_local(const Address *a) {
        return a->kind == ADDRESS_UNIX || host_is_loopback(a->host);
}

/* ---- what the daemon says ---------------------------------------------------------------------------- */

static ExitStatus get_property(Client *c, char **ret) {
        return client_call_text(c,
                                &(Call) { .path = BUS_ROOT_PATH,
                                         .interface = "org.freedesktop.DBus.Properties",
                                         .member = "Get",
                                         .what = "find the event server",
                                         .timeout = READ_USEC },
                                ret, "ss", BUS_MANAGER_INTERFACE, "EventServer");
}

/* text: the property. */
static ExitStatus set_named(ServerChoice *s, const Client *c, const char *text) {
        ExitStatus status = CTL_OK;
        Address a = {};
        bool known;

        known = address_parse(text, &a) >= 0;
        if (!c->local && (!known || is_local(&a)))
                status = complain(CTL_NO_DAEMON, "The event server is only reached on the daemon's own host; "
                                                 "give its address with --server=");
        else if (known)
                set_address(s, &a);
        else
                set_default(s);
        address_done(&a);
        return status;
}

static ExitStatus set_from_daemon(ServerChoice *s, Client *c) {
        g_autofree char *text = NULL;
        ExitStatus status;

        status = get_property(c, &text);
        return status == CTL_OK ? set_named(s, c, text) : status;
}

static ExitStatus set_guess(ServerChoice *s) {
        set_default(s);
        s->guessed = true;
        return CTL_OK;
}

/* The same of a daemon that may not be there, over a bus that may not be there: then it is the socket that a
 * daemon of this host would have. */
static ExitStatus set_from_daemon_or_guess(ServerChoice *s, const Options *o) {
        _cleanup_(client_freep) Client *c = NULL;
        g_autofree char *text = NULL;
        ExitStatus status = CTL_OK;

        if (o->bus == BUS_KIND_SYSTEM && client_try_new(o, &c) < 0)
                return set_guess(s);
        if (o->bus != BUS_KIND_SYSTEM) /* somebody named it, so it must be there */
                status = client_new(o, &c);
        if (!c)
                return status;

        c->gone_is_fine = c->local;
        c->deadline = MIN(c->deadline, usec_add(now_usec(CLOCK_MONOTONIC), READ_USEC));
        status = get_property(c, &text);
        if (status == CTL_NO_DAEMON && c->gone_is_fine)
                return set_guess(s);
        return status == CTL_OK ? set_named(s, c, text) : status;
}

/* ---- public ------------------------------------------------------------------------------------------ */

ExitStatus server_choice_new(const Options *o, Client *c, ServerChoice **ret) {
        _cleanup_(server_choice_freep) ServerChoice *s = g_new0(ServerChoice, 1);
        ExitStatus status = CTL_OK;

        if (o->token_file)
                status = read_token(o->token_file, &s->token);
        if (status != CTL_OK)
                return status;

        if (o->server)
                status = set_given(s, o->server);
        else if (c)
                status = set_from_daemon(s, c);
        else
                status = set_from_daemon_or_guess(s, o);
        if (status != CTL_OK)
                return status;
        *ret = TAKE_PTR(s);
        return CTL_OK;
}

ServerChoice *server_choice_free(ServerChoice *s) {
        if (!s)
                return NULL;
        address_done(&s->address);
        g_free(s->name);
        g_free(s->token);
        g_free(s);
        return NULL;
}
