/* SPDX-License-Identifier: Apache-2.0 */
/* The devices of a configuration: in which form they are given, by the table of their type; names that
 * are given twice, things that two claim. Loop thread, at start. */

#include "base/bounds.h"
#include "daemon/config-tables.h"

typedef struct DeviceParser {
        Config *config;
        ConfClaims *claims;
        ConfErrors *errors;
        size_t form_index;      /* the device that said which form the file is in */
        size_t index;           /* the one that is read */
        GHashTable *names;      /* `TYPE NAME` → index + 1 */
        GHashTable *tables;     /* DeviceType → ConfField[] */
        ConfField *other_table; /* for devices of no known type */
} DeviceParser;

/* ---- form -------------------------------------------------------------------------------------------- */

/* False: the device says nothing. */
static bool device_form(const ConfNode *device, ConfForm *ret) {
        bool type = conf_node_get(device, "type"), module = conf_node_get(device, "module");

        if (!type && !module)
                return false;
        *ret = type ? CONF_FORM_NATIVE : CONF_FORM_HAT;
        return true;
}

static size_t find_form(const ConfNode *devices, ConfForm *ret) {
        *ret = CONF_FORM_NATIVE;
        for (size_t i = 0; devices && conf_node_kind(devices) == CONF_ARRAY && i < conf_node_length(devices);
             i++)
                if (device_form(conf_node_item(devices, i), ret))
                        return i;
        return 0;
}

ConfForm config_find_form(const ConfNode *root) {
        ConfForm form;

        (void) find_form(conf_node_get(root, "devices"), &form);
        return form;
}

/* ---- one device -------------------------------------------------------------------------------------- */

static const ConfField *table_of(DeviceParser *p, const DeviceType *type) {
        ConfField *table;

        if (!type) {
                if (!p->other_table)
                        p->other_table = config_device_fields(NULL, p->config->form);
                return p->other_table;
        }

        table = g_hash_table_lookup(p->tables, type);
        if (!table) {
                table = config_device_fields(type, p->config->form);
                g_hash_table_insert(p->tables, (void *) type, table);
        }
        return table;
}

static bool check_form(DeviceParser *p, const ConfNode *device) {
        const ConfNode *type = conf_node_get(device, "type"), *module = conf_node_get(device, "module");
        ConfForm form = p->config->form;

        if (type && module) {
                conf_error_key(p->errors, CONF_ERROR, module,
                               "a device is given by \"type\" or by \"module\", not by both");
                return false;
        }
        if ((type || module) && !conf_node_get(device, config_selector(form))) {
                conf_error_key(p->errors, CONF_ERROR, type ?: module,
                               "a device given by \"%s\" in a file that gives /devices/%zu by \"%s\": a file has one form",
                               type ? "type" : "module", p->form_index, config_selector(form));
                return false;
        }
        return true;
}

/* A missing or mistyped selector is the table's to report. */
static const DeviceType *find_type(DeviceParser *p, const ConfNode *device) {
        ConfForm form = p->config->form;
        const ConfNode *node = conf_node_get(device, config_selector(form));
        const char *value = node ? conf_node_string(node) : NULL;
        g_autofree const char **values = NULL;
        g_autofree char *built = NULL;
        const DeviceType *type;
        const char *nearest;

        if (!value)
                return NULL;
        type = form == CONF_FORM_HAT ? device_type_find_module(value) : device_type_find(value);
        if (type)
                return type;

        values = config_selector_values(form);
        built = g_strjoinv(", ", (char **) values);
        nearest = conf_nearest(value, values);
        conf_error(p->errors, CONF_ERROR, node,
                   "device type not built in: got \"%.200s\", this build has %s%s%s%s", value,
                   built[0] ? built : "none", nearest ? "; did you mean \"" : "", nearest ?: "",
                   nearest ? "\"?" : "");
        return NULL;
}

static void check_twin(DeviceParser *p, const DeviceType *type, const DeviceHead *head) {
        g_autofree char *key = g_strdup_printf("%s %s", type->name, head->name);
        size_t first = GPOINTER_TO_SIZE(g_hash_table_lookup(p->names, key));

        if (first > 0)
                conf_error_at(p->errors, CONF_ERROR, &head->name,
                              "the name \"%s\" is that of /devices/%zu already, which is a %s too",
                              head->name, first - 1, type->name);
        else
                g_hash_table_insert(p->names, g_steal_pointer(&key), GSIZE_TO_POINTER(p->index + 1));
}

static void check_device(DeviceParser *p, const DeviceType *type, const void *conf) {
        if (type->verify)
                type->verify(conf, p->errors);
        if (type->claims)
                type->claims(conf, p->claims, p->errors);
}

/* The name is who the device is: out of range, there is no device that could be `failed`. */
static void check_name(DeviceParser *p, const DeviceHead *head) {
        size_t n = strlen(head->name);

        if (n < 1 || n > CONF_NAME_MAX)
                conf_error_at(p->errors, CONF_ERROR, &head->name,
                              "a device without a usable name cannot be shown or enabled");
}

static void parse_device(DeviceParser *p, const ConfNode *node, DeviceConfig *ret) {
        Config *c = p->config;
        bool form_right = conf_node_kind(node) != CONF_OBJECT || check_form(p, node);
        const DeviceType *type = form_right ? find_type(p, node) : NULL;
        size_t offset = config_device_offset(), range = conf_errors_count(p->errors, CONF_RANGE);
        DeviceHead *head = conf_arena_alloc(c->arena, offset + (type ? type->conf_size : 0));
        void *conf = (uint8_t *) head + offset;
        int r;

        if (!form_right)
                return;
        r = conf_parse(node, table_of(p, type), c->form, c->arena, head, p->errors);
        if (type && head->name)
                check_twin(p, type, head);
        if (head->name && c->form == CONF_FORM_HAT)
                check_name(p, head);
        if (!type)
                return;
        if (r != -EINVAL)
                check_device(p, type, conf);

        *ret = (DeviceConfig) {
                .type = type,
                .name = head->name,
                .description = head->description,
                .conf = conf,
        };
        if (conf_errors_count(p->errors, CONF_RANGE) > range)
                ret->error = conf_arena_strdup(c->arena, conf_errors_first(p->errors, CONF_RANGE, node)
                                                                         ?: "a value is out of range");
}

void config_parse_devices(Config *c, const ConfNode *devices, ConfClaims *claims, ConfErrors *errors,
                          size_t *ret_range) {
        DeviceParser p = {
                .config = c,
                .claims = claims,
                .errors = errors,
                .names = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL),
                .tables = g_hash_table_new_full(NULL, NULL, NULL, g_free),
        };
        size_t range = conf_errors_count(errors, CONF_RANGE), n = devices ? conf_node_length(devices) : 0;
        ConfForm form;

        p.form_index = find_form(devices, &form);
        c->devices = conf_arena_alloc(c->arena, MAX(n, 1U) * sizeof(DeviceConfig));
        c->n_devices = n;
        for (p.index = 0; p.index < n; p.index++)
                parse_device(&p, conf_node_item(devices, p.index), &c->devices[p.index]);

        g_hash_table_unref(p.names);
        g_hash_table_unref(p.tables);
        g_free(p.other_table);
        *ret_range = conf_errors_count(errors, CONF_RANGE) - range;
}
