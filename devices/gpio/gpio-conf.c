/* SPDX-License-Identifier: Apache-2.0 */
/* Configuration of the device type gpio (spec gpio.md 1): the field table and the checks between fields.
 * Loop thread, at start. */

#include "devices/gpio/gpio-conf.h"

#include "base/bounds.h"
#include "devices/gpio/gpio-chip.h"


#define LINES_MAX 512
#define DEBOUNCE_SECONDS_MAX 10
#define NODES "/dev/"

static const char *const direction_names[] = { [GPIO_INPUT] = "INPUT", [GPIO_OUTPUT] = "OUTPUT", NULL };
DEFINE_STRING_TABLE(gpio_direction, GpioDirection, direction_names);

static const char *const bias_names[] = { "AS_IS", "DISABLED", "PULL_UP", "PULL_DOWN", NULL };
DEFINE_STRING_TABLE(gpio_bias, GpioBias, bias_names);
static const char *const detect_names[] = { "BOTH", "RISING", "FALLING", "NONE", NULL };
static const char *const drive_names[] = { "PUSH_PULL", "OPEN_DRAIN", "OPEN_SOURCE", NULL };

static const ConfField counter_fields[] = {
        CONF_KEY(GpioCounterConf, interval, CONF_TYPE_SECONDS, .flags = CONF_REQUIRED | CONF_EXCLUSIVE,
                 .max = CONF_SECONDS_MAX, .unit = "s", .help = "the count is reported so often"),
        {}
};

static const ConfField line_fields[] = {
        CONF_KEY(GpioLineConf, name, CONF_TYPE_STRING, .flags = CONF_REQUIRED, .max = CONF_DATA_NAME_MAX,
                 .help = "name in event types"),
        CONF_KEY(GpioLineConf, line, CONF_TYPE_JSON, .flags = CONF_REQUIRED,
                 .help = "offset on the chip, from 0 on, or the line's own name there"),
        CONF_KEY(GpioLineConf, direction, CONF_TYPE_ENUM, .flags = CONF_REQUIRED, .names = direction_names,
                 .help = "INPUT: its changes become events; OUTPUT: events set it"),
        CONF_KEY(GpioLineConf, active_low, CONF_TYPE_BOOL, .fallback = "false",
                 .help = "values are logical: 1 is active"),
        CONF_KEY(GpioLineConf, bias, CONF_TYPE_ENUM, .fallback = "\"AS_IS\"", .names = bias_names,
                 .help = "resistor inside the chip"),
        CONF_KEY(GpioLineConf, edge, CONF_TYPE_ENUM, .names = detect_names,
                 .help = "input: which changes are reported; default BOTH; NONE: the value is only polled"),
        CONF_KEY(GpioLineConf, poll_interval, CONF_TYPE_SECONDS, .flags = CONF_NULLABLE | CONF_EXCLUSIVE,
                 .max = CONF_SECONDS_MAX, .unit = "s",
                 .help = "input: read again so often too; required with edge NONE, for chips without interrupts"),
        CONF_KEY(GpioLineConf, debounce, CONF_TYPE_SECONDS, .max = DEBOUNCE_SECONDS_MAX, .unit = "s",
                 .help = "input: a change counts once the line was stable so long; default 0"),
        CONF_KEY(GpioLineConf, counter, CONF_TYPE_OBJECT, .flags = CONF_NULLABLE | CONF_PRESENCE,
                 .fields = counter_fields, .help = "input: counts active edges; needs edge BOTH or RISING"),
        CONF_KEY(GpioLineConf, drive, CONF_TYPE_ENUM, .names = drive_names, .help = "output: default PUSH_PULL"),
        CONF_KEY(GpioLineConf, initial, CONF_TYPE_JSON,
                 .help = "output: 0 or 1, the value when the line is taken; default 0; null: the one that it has"),
        CONF_KEY(GpioLineConf, safe, CONF_TYPE_JSON,
                 .help = "output: 0 or 1, the value before the line is given back: device disabled, event server gone, daemon stopping; "
                         "null, the default: as it is, and what a released line does is up to the kernel"),
        {}
};

static const ConfField line_element = { .type = CONF_TYPE_OBJECT, .fields = line_fields };

const ConfField gpio_fields[] = {
        CONF_KEY(GpioConf, chip, CONF_TYPE_STRING, .flags = CONF_REQUIRED, .min = 1, .max = CONF_DATA_NAME_MAX,
                 .help = "gpiochip0, /dev/gpiochip0, or the label of the chip"),
        CONF_KEY(GpioConf, connect_delay, CONF_TYPE_SECONDS, .flags = CONF_EXCLUSIVE, .fallback = "5",
                 .max = CONF_SECONDS_MAX, .unit = "s",
                 .help = "pause before trying again when the chip is missing or a line is busy"),
        CONF_KEY(GpioConf, lines, CONF_TYPE_ARRAY, .flags = CONF_REQUIRED, .min = 1, .max = LINES_MAX,
                 .element = &line_element, .element_size = sizeof(GpioLineConf), .help = "lines of the chip"),
        {}
};

/* ---- values that are JSON ---------------------------------------------------------------------------- */

static JsonSpan span(const char *json) {
        return (JsonSpan) { json, strlen(json) };
}

/* An offset, or a name (caller frees; *ret_name NULL: the offset counts). */
static bool line_parse(const char *json, unsigned *ret_offset, char **ret_name) {
        int64_t offset;
        size_t size;
        char *name;

        if (json_to_int64(span(json), &offset) >= 0) {
                *ret_offset = (unsigned) offset;
                *ret_name = NULL;
                return offset >= 0 && offset <= INT32_MAX;
        }
        if (json_unescape(span(json), &name, &size) < 0)
                return false;
        if (size == 0 || strlen(name) != size) {
                g_free(name);
                return false;
        }
        *ret_name = name;
        return true;
}

/* 0, 1, GPIO_KEEP for null; -EINVAL: something else. */
static int level_parse(const char *json) {
        int64_t value;

        if (json_kind(span(json)) == JSON_NULL)
                return GPIO_KEEP;
        return json_to_int64(span(json), &value) >= 0 && (value == 0 || value == 1) ? (int) value : -EINVAL;
}

/* ---- checks ------------------------------------------------------------------------------------------ */

static void verify_foreign(const GpioLineConf *l, ConfErrors *e) {
        const struct {
                bool given;
                GpioDirection direction;
                const void *field;
                const char *name;
        } keys[] = {
                { l->edge >= 0, GPIO_INPUT, &l->edge, "edge" },
                { l->poll_interval != USEC_INFINITY, GPIO_INPUT, &l->poll_interval, "poll_interval" },
                { l->debounce != USEC_INFINITY, GPIO_INPUT, &l->debounce, "debounce" },
                { l->counter.given, GPIO_INPUT, &l->counter, "counter" },
                { l->drive >= 0, GPIO_OUTPUT, &l->drive, "drive" },
                { l->initial, GPIO_OUTPUT, &l->initial, "initial" },
                { l->safe, GPIO_OUTPUT, &l->safe, "safe" },
        };

        for (size_t i = 0; i < ELEMENTSOF(keys); i++)
                if (keys[i].given && (int) keys[i].direction != l->direction)
                        conf_error_at(e, CONF_ERROR, keys[i].field, "%s is for direction %s only", keys[i].name,
                                      gpio_direction_to_string(keys[i].direction));
}

static void verify_input(const GpioLineConf *l, ConfErrors *e) {
        if (l->edge == GPIO_DETECT_NONE && l->poll_interval == USEC_INFINITY)
                conf_error_missing(e, CONF_ERROR, &l->edge, "poll_interval", "required with edge NONE");
        if (l->counter.given && (l->edge == GPIO_DETECT_NONE || l->edge == GPIO_DETECT_FALLING))
                conf_error_at(e, CONF_ERROR, &l->counter, "counter needs edge BOTH or RISING");
}

static void verify_output(const GpioLineConf *l, ConfErrors *e) {
        const char *const *const levels[] = { &l->initial, &l->safe };

        for (size_t i = 0; i < ELEMENTSOF(levels); i++)
                if (*levels[i] && level_parse(*levels[i]) == -EINVAL)
                        conf_error_at(e, CONF_ERROR, levels[i], "expected 0, 1 or null, got %s", *levels[i]);
}

/* Offsets and names are two ways to say the same: only a request shows whether they do. */
static void verify_place(const GpioLineConf *l, GHashTable *places, ConfErrors *e) {
        g_autofree char *name = NULL, *key = NULL;
        unsigned offset;

        if (!l->line)
                return;
        if (!line_parse(l->line, &offset, &name)) {
                conf_error_at(e, CONF_ERROR, &l->line, "expected an offset from 0 on or the name of a line, got %s", l->line);
                return;
        }
        key = name ? g_strconcat("=", name, NULL) : g_strdup_printf("%u", offset);
        if (!g_hash_table_add(places, TAKE_PTR(key)))
                conf_error_at(e, CONF_ERROR, &l->line, "duplicate line %s", l->line);
}

void gpio_conf_verify(const void *conf, ConfErrors *e) {
        const GpioConf *c = conf;
        const GpioLineConf *lines = c->lines.items;
        g_autoptr(GHashTable) names = g_hash_table_new(g_str_hash, g_str_equal);
        g_autoptr(GHashTable) places = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL);

        for (size_t i = 0; i < c->lines.n; i++) {
                const GpioLineConf *l = &lines[i];

                if (l->name && !g_hash_table_add(names, (void *) l->name))
                        conf_error_at(e, CONF_ERROR, &l->name, "duplicate name \"%s\"", l->name);
                verify_place(l, places, e);
                verify_foreign(l, e);
                if (l->direction == GPIO_INPUT)
                        verify_input(l, e);
                else
                        verify_output(l, e);
        }
}

/* As far as the configuration says: a name and a path of a node are one chip, a label may be another word
 * for it. A line that one device has twice is told already. */
void gpio_conf_claims(const void *conf, ConfClaims *c, ConfErrors *e) {
        const GpioConf *g = conf;
        const GpioLineConf *lines = g->lines.items;
        const char *chip = g_str_has_prefix(g->chip, NODES) && gpio_chip_is_node(g->chip + strlen(NODES))
                         ? g->chip + strlen(NODES)
                         : g->chip;
        g_autoptr(GHashTable) own = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL);

        for (size_t i = 0; i < g->lines.n; i++) {
                g_autofree char *name = NULL, *key = NULL;
                unsigned offset;

                if (!lines[i].line || !line_parse(lines[i].line, &offset, &name))
                        continue;
                key = name ? g_strdup_printf("%s line \"%s\"", chip, name) : g_strdup_printf("%s line %u", chip, offset);
                if (g_hash_table_add(own, g_strdup(key)))
                        conf_claim(c, e, "GPIO line", key, &lines[i].line);
        }
}

/* ---- what a line is to be ---------------------------------------------------------------------------- */

GpioDetect gpio_line_detect(const GpioLineConf *l) {
        return l->edge < 0 ? GPIO_DETECT_BOTH : (GpioDetect) l->edge;
}

/* The kernel debounces what has edges. */
static bool line_debounced_by_kernel(const GpioLineConf *l) {
        return gpio_lines_debounce() && gpio_line_detect(l) != GPIO_DETECT_NONE;
}

usec_t gpio_line_debounce(const GpioLineConf *l) {
        return l->debounce == USEC_INFINITY || line_debounced_by_kernel(l) ? 0 : l->debounce;
}

/* To debounce it, every edge is looked at, whichever is reported. */
static GpioDetect line_request_detect(const GpioLineConf *l) {
        GpioDetect wanted = gpio_line_detect(l);

        return gpio_line_debounce(l) > 0 && wanted != GPIO_DETECT_NONE ? GPIO_DETECT_BOTH : wanted;
}

GpioLineSettings gpio_line_settings(const GpioLineConf *l) {
        GpioLineSettings s = {
                .output = l->direction == GPIO_OUTPUT,
                .active_low = l->active_low,
                .bias = (GpioBias) l->bias,
                .detect = line_request_detect(l),
                .debounce = l->debounce != USEC_INFINITY && line_debounced_by_kernel(l) ? l->debounce : 0,
                .drive = l->drive < 0 ? GPIO_DRIVE_PUSH_PULL : (GpioDrive) l->drive,
                .initial = l->initial ? level_parse(l->initial) : 0,
                .alone = gpio_lines_can_outlive() && l->direction == GPIO_OUTPUT && gpio_line_safe(l) == GPIO_KEEP,
                .former = -EBADF,
        };
        char *name = NULL;

        (void) line_parse(l->line, &s.offset, &name);
        s.name = name;
        return s;
}

int gpio_line_safe(const GpioLineConf *l) {
        return l->safe ? level_parse(l->safe) : GPIO_KEEP;
}
