/* SPDX-License-Identifier: Apache-2.0 */

/* Fuzz target: any bytes as a document, and that document through a table that has a field of every type.
 * What comes out must be bounded, printable in both formats, and the same in a second run. */

#include <math.h>
#include <stdio.h>

#include "base/bounds.h"
#include "base/conf.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

typedef struct Part {
        int kind;
        const char *text;
        int64_t integer;
} Part;

typedef struct Thing {
        bool given;
        bool flag;
        int64_t integer;
        double number;
        usec_t seconds;
        const char *text, *name, *json;
        int word;
        ConfArray parts;
} Thing;

static const char *const words[] = { "one", "two", NULL };
static const ConfField a_fields[] = {
        { .name = "text", .type = CONF_TYPE_STRING, .offset = offsetof(Part, text), .flags = CONF_REQUIRED },
        {}
};
static const ConfField b_fields[] = { { .name = "integer",
                                        .type = CONF_TYPE_INTEGER,
                                        .offset = offsetof(Part, integer),
                                        .min = 1,
                                        .max = 5 },
                                      {} };
static const ConfVariant variants[] = { { "a", NULL, a_fields }, { "b", NULL, b_fields }, {} };
static const ConfField part_element = { .type = CONF_TYPE_VARIANT, .tag = "type", .variants = variants };
static const ConfField thing_fields[] = {
        { .name = "flag", .type = CONF_TYPE_BOOL, .offset = offsetof(Thing, flag), .flags = CONF_REQUIRED },
        { .name = "integer",
          .type = CONF_TYPE_INTEGER,
          .offset = offsetof(Thing, integer),
          .flags = CONF_NULLABLE,
          .null_value = -1 },
        { .name = "number",
          .type = CONF_TYPE_NUMBER,
          .offset = offsetof(Thing, number),
          .flags = CONF_EXCLUSIVE },
        { .name = "seconds",
          .type = CONF_TYPE_SECONDS,
          .offset = offsetof(Thing, seconds),
          .fallback = "0.5" },
        { .name = "text", .type = CONF_TYPE_STRING, .offset = offsetof(Thing, text), .instead = "json" },
        { .name = "name",
          .type = CONF_TYPE_STRING,
          .offset = offsetof(Thing, name),
          .flags = CONF_NAME,
          .max = 8 },
        { .name = "json", .type = CONF_TYPE_JSON, .offset = offsetof(Thing, json) },
        { .name = "word",
          .type = CONF_TYPE_ENUM,
          .offset = offsetof(Thing, word),
          .names = words,
          .fallback = "\"two\"" },
        { .name = "parts",
          .type = CONF_TYPE_ARRAY,
          .offset = offsetof(Thing, parts),
          .element = &part_element,
          .element_size = sizeof(Part) },
        {}
};
static const ConfField fields[] = { { .name = "thing",
                                      .type = CONF_TYPE_OBJECT,
                                      .flags = CONF_ONE_OF | CONF_PRESENCE,
                                      .fields = thing_fields },
                                    { .name = "other", .type = CONF_TYPE_ANY, .flags = CONF_ONE_OF },
                                    {} };

static void check(bool condition) {
        if (!condition)
                abort();
}

/* Both outputs of one run: valid JSON, whole lines. Caller frees. */
static char *output(ConfErrors *e) {
        char *lines = NULL;
        size_t n = 0;
        FILE *stream = open_memstream(&lines, &n);
        g_autofree char *json = NULL;
        JsonWriter w;
        char *all;

        conf_errors_print(e, stream);
        fclose(stream);
        check(n == 0 || lines[n - 1] == '\n');
        check(g_utf8_validate(lines, (gssize) n, NULL));

        json_writer_init_growing(&w);
        conf_errors_write_json(e, &w);
        json = json_writer_steal(&w);
        check(json_check(json, strlen(json), NULL) == 0);

        all = g_strconcat(lines, json, NULL);
        free(lines);
        return all;
}

static char *run(const uint8_t *data, size_t size, ConfForm form) {
        _cleanup_(conf_errors_freep) ConfErrors *e = conf_errors_new("fuzz");
        _cleanup_(conf_document_freep) ConfDocument *d = NULL;
        _cleanup_(conf_arena_freep) ConfArena *arena = conf_arena_new();
        Thing thing = {};
        int r;

        if (conf_document_parse((const char *) data, size, e, &d) < 0) {
                check(conf_errors_count(e, CONF_ERROR) > 0);
                return output(e);
        }

        r = conf_parse(conf_document_root(d), fields, form, arena, &thing, e);
        check(r == 0 || conf_errors_count(e, CONF_ERROR) + conf_errors_count(e, CONF_RANGE) > 0);
        if (r != -EINVAL && thing.given) {
                check(thing.word == 0 || thing.word == 1);
                check(thing.seconds <= (usec_t) (CONF_SECONDS_MAX * 1e6));
                check(thing.text || thing.json);
                conf_error_at(e, CONF_WARNING, &thing.seconds, "place");
        }
        return output(e);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
        for (ConfForm form = 0; form < _CONF_FORM_MAX; form++) {
                g_autofree char *first = run(data, size, form), *second = run(data, size, form);

                check(streq(first, second));
        }
        return 0;
}
