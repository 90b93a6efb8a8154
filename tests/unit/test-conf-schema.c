/* SPDX-License-Identifier: Apache-2.0 */
/* JSON Schema and reference page of a field table. That the schema accepts and refuses what the parser
 * does is shown by tests/interop/test_schema.py with a real validator. */

#include <math.h>

#include "tests/unit/conf-lines.h"

static const char *const colors[] = { "red", "green", NULL };

static char *schema(const ConfField *fields, ConfForm form) {
        JsonWriter w;

        json_writer_init_growing(&w);
        json_open_object(&w);
        conf_schema_write(&w, fields, form);
        json_close_object(&w);
        return json_writer_steal(&w);
}

/* The schema of one field, in the native form. */
static void check_field(const ConfField *field, const char *expected) {
        const ConfField fields[] = { *field, {} };
        g_autofree char *got = schema(fields, CONF_FORM_NATIVE), *wanted = NULL;

        wanted = g_strdup_printf(
                        "{\"type\": \"object\", \"properties\": {\"k\": %s}, \"patternProperties\": {\"^x-\": true}, "
                        "\"additionalProperties\": false}",
                        expected);
        g_assert_cmpint(json_check(got, strlen(got), NULL), ==, 0);
        g_assert_cmpstr(got, ==, wanted);
}

#define FIELD(...) (&(const ConfField) { .name = "k", __VA_ARGS__ })

static void test_scalars(void) {
        check_field(FIELD(.type = CONF_TYPE_BOOL, .fallback = "true"),
                    "{\"default\": true, \"type\": \"boolean\"}");
        check_field(FIELD(.type = CONF_TYPE_INTEGER, .min = 1, .max = 65535, .help = "port"),
                    "{\"description\": \"port\", \"type\": \"integer\", \"minimum\": 1, \"maximum\": 65535}");
        check_field(FIELD(.type = CONF_TYPE_INTEGER, .max = INFINITY, .flags = CONF_NULLABLE),
                    "{\"type\": [\"integer\", \"null\"], \"minimum\": 0}");
        check_field(FIELD(.type = CONF_TYPE_INTEGER), "{\"type\": \"integer\"}");
        check_field(FIELD(.type = CONF_TYPE_NUMBER, .flags = CONF_EXCLUSIVE, .min = 0.5, .max = 2),
                    "{\"type\": \"number\", \"exclusiveMinimum\": 0.5, \"maximum\": 2}");
        check_field(FIELD(.type = CONF_TYPE_SECONDS, .help = "pause", .unit = "s"),
                    "{\"description\": \"pause (s)\", \"type\": \"number\", \"minimum\": 0, \"maximum\": 10000000}");
        check_field(FIELD(.type = CONF_TYPE_STRING, .min = 1, .max = 128),
                    "{\"type\": \"string\", \"minLength\": 1, \"maxLength\": 128}");
        check_field(FIELD(.type = CONF_TYPE_STRING, .pattern = "^a$", .fallback = "\"a\""),
                    "{\"default\": \"a\", \"type\": \"string\", \"pattern\": \"^a$\"}");
        check_field(FIELD(.type = CONF_TYPE_ENUM, .names = colors), "{\"enum\": [\"red\", \"green\"]}");
        check_field(FIELD(.type = CONF_TYPE_ENUM, .names = colors, .flags = CONF_NULLABLE),
                    "{\"enum\": [\"red\", \"green\", null]}");
        check_field(FIELD(.type = CONF_TYPE_ANY), "{}");
        check_field(FIELD(.type = CONF_TYPE_JSON), "{}");
        check_field(FIELD(.type = CONF_TYPE_ANY, .ref = "#/$defs/x"), "{\"$ref\": \"#/$defs/x\"}");
}

static void test_forms(void) {
        static const ConfField fields[] = {
                { .name = "a", .type = CONF_TYPE_STRING, .flags = CONF_REQUIRED | CONF_NAME },
                { .name = "b", .type = CONF_TYPE_ANY, .flags = CONF_HAT_REQUIRED },
                {}
        };
        g_autofree char *native = schema(fields, CONF_FORM_NATIVE), *hat = schema(fields, CONF_FORM_HAT);

        g_assert_cmpstr(native, ==,
                        "{\"type\": \"object\", \"properties\": {\"a\": {\"type\": \"string\", \"pattern\": "
                        "\"^[^/?*\\\\x00-\\\\x1f\\\\x7f-\\\\x9f]*$\"}, \"b\": {}}, \"required\": [\"a\"], "
                        "\"patternProperties\": {\"^x-\": true}, \"additionalProperties\": false}");
        g_assert_cmpstr(hat, ==,
                        "{\"type\": \"object\", \"properties\": {\"a\": {\"type\": \"string\", \"pattern\": "
                        "\"^[^\\\\x00-\\\\x1f\\\\x7f-\\\\x9f]*$\"}, \"b\": {}}, \"required\": [\"a\", \"b\"]}");
}

static const ConfField tcp_fields[] = {
        { .name = "port", .type = CONF_TYPE_INTEGER, .flags = CONF_REQUIRED, .help = "where" },
        {}
};
static const ConfField serial_fields[] = { {} };
static const ConfVariant links[] = { { "TCP", "network", tcp_fields },
                                     { "SERIAL", NULL, serial_fields },
                                     {} };
static const ConfField element = { .type = CONF_TYPE_OBJECT, .fields = tcp_fields };

static void test_containers(void) {
        check_field(FIELD(.type = CONF_TYPE_ARRAY, .max = 2, .element = &element),
                    "{\"type\": \"array\", \"minItems\": 0, \"maxItems\": 2, \"items\": {\"type\": \"object\", \"properties\": {\"port\": "
                    "{\"description\": \"where\", \"type\": \"integer\"}}, \"required\": [\"port\"], \"patternProperties\": {\"^x-\": true}, "
                    "\"additionalProperties\": false}}");
        check_field(FIELD(.type = CONF_TYPE_VARIANT, .tag = "type", .variants = links),
                    "{\"type\": \"object\", \"properties\": {\"type\": {\"enum\": [\"TCP\", \"SERIAL\"]}}, \"required\": [\"type\"], \"allOf\": ["
                    "{\"if\": {\"type\": \"object\", \"properties\": {\"type\": {\"const\": \"TCP\"}}}, \"then\": {\"description\": \"network\", "
                    "\"properties\": {\"type\": {\"const\": \"TCP\"}, \"port\": {\"description\": \"where\", \"type\": \"integer\"}}, "
                    "\"required\": [\"type\", \"port\"], \"patternProperties\": {\"^x-\": true}, \"additionalProperties\": false}}, "
                    "{\"if\": {\"type\": \"object\", \"properties\": {\"type\": {\"const\": \"SERIAL\"}}}, \"then\": {\"properties\": {\"type\": "
                    "{\"const\": \"SERIAL\"}}, \"required\": [\"type\"], \"patternProperties\": {\"^x-\": true}, "
                    "\"additionalProperties\": false}}]}");
}

/* Rules between the keys of one object. */
static void test_rules(void) {
        static const ConfField fields[] = { { .name = "host", .type = CONF_TYPE_ANY, .instead = "listen" },
                                            { .name = "port", .type = CONF_TYPE_ANY, .instead = "listen" },
                                            { .name = "listen", .type = CONF_TYPE_ANY },
                                            { .name = "a", .type = CONF_TYPE_ANY, .flags = CONF_ONE_OF },
                                            { .name = "b", .type = CONF_TYPE_ANY, .flags = CONF_ONE_OF },
                                            { .name = "*", .type = CONF_TYPE_ANY },
                                            {} };
        g_autofree char *got = schema(fields, CONF_FORM_NATIVE);

        g_assert_cmpstr(got, ==,
                        "{\"type\": \"object\", \"properties\": {\"host\": {}, \"port\": {}, \"listen\": {}, \"a\": {}, \"b\": {}}, \"allOf\": ["
                        "{\"oneOf\": [{\"required\": [\"a\"]}, {\"required\": [\"b\"]}]}, "
                        "{\"oneOf\": [{\"required\": [\"listen\"], \"not\": {\"anyOf\": [{\"required\": [\"host\"]}, {\"required\": [\"port\"]}]}}, "
                        "{\"required\": [\"host\", \"port\"], \"not\": {\"required\": [\"listen\"]}}]}]}");
}

static void test_reference(void) {
        static const ConfField fields[] = {
                { .name = "count",
                  .type = CONF_TYPE_INTEGER,
                  .min = 1,
                  .max = 9,
                  .fallback = "3",
                  .unit = "pieces",
                  .help = "how many" },
                { .name = "link",
                  .type = CONF_TYPE_VARIANT,
                  .flags = CONF_REQUIRED,
                  .tag = "type",
                  .variants = links,
                  .help = "the link" },
                { .name = "items", .type = CONF_TYPE_ARRAY, .element = &element },
                {}
        };
        char *text = NULL;
        size_t size = 0;
        FILE *stream = open_memstream(&text, &size);

        conf_reference_write(stream, "Žito", fields);
        fclose(stream);
        g_assert_cmpstr(text, ==,
                        "Žito\n----\n\n"
                        "``count``\n    an integer from 1 to 9 (pieces); default ``3``.\n    How many.\n\n"
                        "``link``\n    an object; required.\n    The link.\n\n"
                        "    With ``type: TCP``:\n\n"
                        "    ``port``\n        an integer; required.\n        Where.\n\n"
                        "    With ``type: SERIAL``:\n\n"
                        "``items``\n    an array; optional.\n\n"
                        "    Each item: an object with\n\n"
                        "    ``port``\n        an integer; required.\n        Where.\n\n");
        free(text);
}

int main(int argc, char *argv[]) {
        g_test_init(&argc, &argv, NULL);

        g_test_add_func("/conf-schema/scalars", test_scalars);
        g_test_add_func("/conf-schema/forms", test_forms);
        g_test_add_func("/conf-schema/containers", test_containers);
        g_test_add_func("/conf-schema/rules", test_rules);
        g_test_add_func("/conf-schema/reference", test_reference);
        return g_test_run();
}
