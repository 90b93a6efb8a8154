/* SPDX-License-Identifier: Apache-2.0 */
/* The whole configuration: from the file to the checked, immutable Config. Owns the rules between its
 * parts. Loop thread, at start. */

#include <errno.h>
#include <unistd.h>

/* <config.h> of the build; "config.h" would be ours. */
#include <config.h>

#include "base/bounds.h"
#include "daemon/config-tables.h"

/* ---- life -------------------------------------------------------------------------------------------- */

static Config *config_new(const char *file) {
        Config *c = g_new0(Config, 1);

        c->n_ref = 1;
        c->arena = conf_arena_new();
        c->file = conf_arena_strdup(c->arena, file);
        c->log_level = -1;
        c->log_target = _LOG_TARGET_INVALID;
        return c;
}

Config *config_ref(Config *c) {
        c->n_ref++;
        return c;
}

Config *config_unref(Config *c) {
        if (!c || --c->n_ref > 0)
                return NULL;

        address_done(&c->event_server);
        (void) conf_arena_free(c->arena);
        g_free(c);
        return NULL;
}

/* ---- event server ------------------------------------------------------------------------------------ */

static void set_fixed(Config *c, const FixedServerConf *fixed, ConfErrors *errors) {
        Address address;

        if (!fixed->address) {
                address_set_tcp(&c->event_server, fixed->host, (uint16_t) fixed->port);
                return;
        }

        if (address_parse(fixed->address, &address) < 0) {
                conf_error_at(errors, CONF_ERROR, &fixed->address,
                              "expected tcp:HOST:PORT, tcp:[IPv6]:PORT or unix:PATH, got \"%s\"",
                              fixed->address);
                return;
        }
        c->event_server = address;
        if (address.kind == ADDRESS_TCP && address.port == 0)
                conf_error_at(errors, CONF_ERROR, &fixed->address, "expected a port from 1 to 65535, got 0");
}

/* Only of a struct without holes. */
static void set_north(Config *c, MainConf *m, ConfClaims *claims, ConfErrors *errors) {
        EventServerConf *s = &m->event_server;

        c->client_token = s->client_token;
        if (s->fixed.given) {
                c->north = NORTH_FIXED;
                set_fixed(c, &s->fixed, errors);
        } else if (s->monitor.given) {
                c->north = NORTH_MONITOR;
                c->monitor = &s->monitor;
                if (!s->monitor.component_name)
                        s->monitor.component_name = c->name;
        } else {
                c->north = NORTH_EMBEDDED;
                c->embedded = &s->embedded;
                config_verify_embedded(&s->embedded, claims, errors);
                if (s->client_token)
                        conf_error_at(errors, CONF_WARNING, &s->client_token,
                                      "without effect: the gateway needs no token for its own event server");
        }
}

/* ---- log --------------------------------------------------------------------------------------------- */

/* Python's numbers and names of levels. -1: unknown. */
static int python_level(const char *name) {
        static const struct {
                const char *name;
                int level;
        } levels[] = {
                { "CRITICAL", LOG_CRIT },   { "FATAL", LOG_CRIT },   { "ERROR", LOG_ERR },
                { "WARNING", LOG_WARNING }, { "WARN", LOG_WARNING }, { "INFO", LOG_INFO },
                { "DEBUG", LOG_DEBUG },     { "NOTSET", LOG_DEBUG },
        };

        for (size_t i = 0; i < ELEMENTSOF(levels); i++)
                if (streq(levels[i].name, name))
                        return levels[i].level;
        return -1;
}

static void set_hat_log(Config *c, const ConfNode *log, ConfErrors *errors) {
        const ConfNode *node = conf_node_get(conf_node_get(log, "root"), "level");
        const char *name = node ? conf_node_string(node) : NULL;

        c->log_level = name ? python_level(name) : -1;
        if (node && c->log_level < 0)
                conf_error(errors, CONF_WARNING, node,
                           "expected one of \"CRITICAL\", \"ERROR\", \"WARNING\", \"INFO\", \"DEBUG\", got %s%s%s: ignored",
                           name ? "\"" : "", name ?: "something else", name ? "\"" : "");
        conf_error(errors, CONF_WARNING, log,
                   "of Python's logging configuration only root.level counts here: %s%s",
                   c->log_level >= 0 ? "the log level is " : "it gives none",
                   c->log_level >= 0 ? log_level_to_string(c->log_level) : "");
}

static void set_log(Config *c, const MainConf *m, const ConfNode *root, ConfErrors *errors) {
        const ConfNode *log = conf_node_get(root, "log");

        if (!log || conf_node_kind(log) != CONF_OBJECT)
                return;
        if (c->form == CONF_FORM_HAT) {
                set_hat_log(c, log, errors);
                return;
        }
        c->log_level = m->log.level;
        if (m->log.target >= 0)
                c->log_target = (LogTarget) m->log.target;
}

/* ---- the whole --------------------------------------------------------------------------------------- */

static void set_by_form(Config *c, const MainConf *m, const ConfNode *root) {
        const ConfNode *given = conf_node_get(conf_node_get(root, "event_server"), "require_operational");
        bool hat = c->form == CONF_FORM_HAT;

        c->layout = m->event_types >= 0 ? (EventLayout) m->event_types : hat ? LAYOUT_FLAT : LAYOUT_NAMED;
        c->require_operational = given ? m->event_server.require_operational : !hat;
}

/* ret_range: range errors that cost only their device. */
static void parse_root(Config *c, const ConfNode *root, ConfErrors *errors, size_t *ret_range) {
        _cleanup_(conf_claims_freep) ConfClaims *claims = conf_claims_new();
        MainConf *m = conf_arena_alloc(c->arena, sizeof(MainConf));
        const ConfNode *devices = conf_node_get(root, "devices");
        int r;

        c->form = config_find_form(root);
        r = conf_parse(root, config_main_fields(c->form), c->form, c->arena, m, errors);
        c->name = m->name;
        set_by_form(c, m, root);
        set_log(c, m, root, errors);
        if (m->adminer.given)
                conf_error_at(errors, CONF_WARNING, &m->adminer,
                              "ignored: the log level is set by \"log\", or by --log-level=");
        if (r != -EINVAL)
                set_north(c, m, claims, errors);

        *ret_range = 0;
        if (devices && conf_node_kind(devices) == CONF_ARRAY &&
            conf_node_length(devices) <= CONF_DEVICES_MAX)
                config_parse_devices(c, devices, claims, errors, ret_range);
        c->listen_names = conf_claims_list(claims, "passed socket", c->arena);
}

static bool is_usable(const Config *c, const ConfErrors *errors, size_t device_range) {
        size_t range = conf_errors_count(errors, CONF_RANGE);

        if (conf_errors_count(errors, CONF_ERROR) > 0)
                return false;
        return range == (c->form == CONF_FORM_HAT ? device_range : 0);
}

int config_load(const char *file, ConfErrors *errors, Config **ret) {
        _cleanup_(conf_document_freep) ConfDocument *document = NULL;
        _cleanup_(config_unrefp) Config *c = config_new(file);
        size_t device_range;

        if (conf_document_load(file, errors, &document) < 0)
                return -EBADMSG;

        parse_root(c, conf_document_root(document), errors, &device_range);
        if (!is_usable(c, errors, device_range))
                return -EBADMSG;

        *ret = TAKE_PTR(c);
        return 0;
}

int config_find(const char **ret) {
        static const char *const files[] = { CONFIG_FILE_ETC, CONFIG_FILE_LIB };

        for (size_t i = 0; i < ELEMENTSOF(files); i++)
                if (access(files[i], F_OK) == 0) {
                        *ret = files[i];
                        return 0;
                }
        *ret = files[0];
        return -ENOENT;
}

const char *const *config_listen_names(const Config *c) {
        return c->listen_names;
}
