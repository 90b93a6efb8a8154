/* SPDX-License-Identifier: Apache-2.0 */
/* Field tables: text to struct, or to the exact list of error lines. Tables of the test's own. */

#include <math.h>

#include "base/bounds.h"
#include "tests/unit/conf-lines.h"

typedef struct Inner {
        bool given;
        int64_t a;
        const char *b;
} Inner;

typedef struct Link {
        int kind;
        const char *host;
        int64_t port;
        usec_t pause;
} Link;

typedef struct Item {
        const char *name;
        double value;
} Item;

typedef struct Thing {
        bool flag;
        int64_t count, limit, any;
        double ratio;
        usec_t period, pause;
        const char *text, *name, *json;
        int color;
        Inner inner;
        ConfArray items, words;
        Link link;
        const char *host, *listen;
        int64_t port;
        int64_t hat_only;
        int64_t formal;
        int one, two;
} Thing;

static const char *const colors[] = { "red", "green", NULL };

static const ConfField inner_fields[] = {
        { .name = "a", .type = CONF_TYPE_INTEGER, .offset = offsetof(Inner, a), .fallback = "7" },
        { .name = "b", .type = CONF_TYPE_STRING, .offset = offsetof(Inner, b) },
        {}
};
static const ConfField item_fields[] = {
        { .name = "name", .type = CONF_TYPE_STRING, .offset = offsetof(Item, name), .flags = CONF_REQUIRED },
        { .name = "value", .type = CONF_TYPE_NUMBER, .offset = offsetof(Item, value), .fallback = "1.5" },
        {}
};
static const ConfField item_element = { .type = CONF_TYPE_OBJECT, .fields = item_fields };
static const ConfField word_element = { .type = CONF_TYPE_STRING };
static const ConfField tcp_fields[] = {
        { .name = "host", .type = CONF_TYPE_STRING, .offset = offsetof(Link, host), .flags = CONF_REQUIRED },
        { .name = "port",
          .type = CONF_TYPE_INTEGER,
          .offset = offsetof(Link, port),
          .flags = CONF_REQUIRED,
          .min = 1,
          .max = 65535 },
        {}
};
static const ConfField serial_fields[] = {
        { .name = "pause", .type = CONF_TYPE_SECONDS, .offset = offsetof(Link, pause) },
        {}
};
static const ConfVariant links[] = { { "TCP", NULL, tcp_fields }, { "SERIAL", NULL, serial_fields }, {} };

static const ConfField fields[] = {
        { .name = "flag", .type = CONF_TYPE_BOOL, .offset = offsetof(Thing, flag), .fallback = "true" },
        { .name = "formal",
          .type = CONF_TYPE_INTEGER,
          .offset = offsetof(Thing, formal),
          .fallback = "3",
          .hat_fallback = "4" },
        { .name = "count",
          .type = CONF_TYPE_INTEGER,
          .offset = offsetof(Thing, count),
          .min = 0,
          .max = 10 },
        { .name = "limit",
          .type = CONF_TYPE_INTEGER,
          .offset = offsetof(Thing, limit),
          .min = 1,
          .max = INFINITY,
          .flags = CONF_NULLABLE,
          .null_value = -1 },
        { .name = "any", .type = CONF_TYPE_INTEGER, .offset = offsetof(Thing, any) },
        { .name = "ratio",
          .type = CONF_TYPE_NUMBER,
          .offset = offsetof(Thing, ratio),
          .flags = CONF_EXCLUSIVE },
        { .name = "period",
          .type = CONF_TYPE_SECONDS,
          .offset = offsetof(Thing, period),
          .flags = CONF_NULLABLE },
        { .name = "pause",
          .type = CONF_TYPE_SECONDS,
          .offset = offsetof(Thing, pause),
          .flags = CONF_EXCLUSIVE,
          .fallback = "0.25" },
        { .name = "text",
          .type = CONF_TYPE_STRING,
          .offset = offsetof(Thing, text),
          .max = 4,
          .fallback = "\"abc\"" },
        { .name = "name", .type = CONF_TYPE_STRING, .offset = offsetof(Thing, name), .flags = CONF_NAME },
        { .name = "json", .type = CONF_TYPE_JSON, .offset = offsetof(Thing, json) },
        { .name = "color", .type = CONF_TYPE_ENUM, .offset = offsetof(Thing, color), .names = colors },
        { .name = "inner",
          .type = CONF_TYPE_OBJECT,
          .offset = offsetof(Thing, inner),
          .flags = CONF_PRESENCE,
          .fields = inner_fields },
        { .name = "items",
          .type = CONF_TYPE_ARRAY,
          .offset = offsetof(Thing, items),
          .element = &item_element,
          .element_size = sizeof(Item),
          .max = 3 },
        { .name = "words",
          .type = CONF_TYPE_ARRAY,
          .offset = offsetof(Thing, words),
          .element = &word_element,
          .element_size = sizeof(char *),
          .flags = CONF_NULLABLE },
        { .name = "link",
          .type = CONF_TYPE_VARIANT,
          .offset = offsetof(Thing, link),
          .tag = "type",
          .variants = links },
        { .name = "host", .type = CONF_TYPE_STRING, .offset = offsetof(Thing, host), .instead = "listen" },
        { .name = "port", .type = CONF_TYPE_INTEGER, .offset = offsetof(Thing, port), .instead = "listen" },
        { .name = "listen", .type = CONF_TYPE_STRING, .offset = offsetof(Thing, listen) },
        { .name = "hat_only",
          .type = CONF_TYPE_INTEGER,
          .offset = offsetof(Thing, hat_only),
          .flags = CONF_HAT_REQUIRED },
        { .name = "free", .type = CONF_TYPE_ANY },
        {}
};

typedef struct Run {
        ConfErrors *errors;
        ConfArena *arena;
        Thing thing;
        int r;
} Run;

static void run(Run *run, const char *text, ConfForm form) {
        _cleanup_(conf_document_freep) ConfDocument *d = NULL;

        *run = (Run) { .errors = conf_errors_new("f"), .arena = conf_arena_new() };
        g_assert_cmpint(conf_document_parse(text, strlen(text), run->errors, &d), ==, 0);
        run->r = conf_parse(conf_document_root(d), fields, form, run->arena, &run->thing, run->errors);
}

static void run_done(Run *run) {
        run->errors = conf_errors_free(run->errors);
        run->arena = conf_arena_free(run->arena);
}

static void check(const char *text, ConfForm form, int r, const char *lines) {
        _cleanup_(run_done) Run got = {};
        g_autofree char *got_lines = NULL;

        run(&got, text, form);
        got_lines = conf_lines(got.errors);
        conf_assert_lines(got_lines, lines);
        g_assert_cmpint(got.r, ==, r);
}

/* What is required, so that the cases are short. */
#define L "listen: l\n"

static void test_values(void) {
        _cleanup_(run_done) Run got = {};
        const Thing *t = &got.thing;
        const Item *items;

        run(&got,
            "{flag: false, count: 5.0, limit: null, any: 9223372036854775807, ratio: 3, period: 1.5, pause: 1.0e-9, text: '', "
            "name: ž, json: {a: [1, null]}, color: green, inner: {b: x}, items: [{name: n}, {name: m, value: 2}], words: [], "
            "link: {type: TCP, host: h, port: 1}, host: h, port: 2, free: {x: 1}, x-y: 3}",
            CONF_FORM_NATIVE);
        g_assert_cmpint(got.r, ==, 0);
        g_assert_false(t->flag);
        g_assert_cmpint(t->count, ==, 5);
        g_assert_cmpint(t->limit, ==, -1);
        g_assert_cmpint(t->any, ==, INT64_MAX);
        g_assert_cmpfloat(t->ratio, ==, 3);
        g_assert_cmpuint(t->period, ==, 1500000);
        g_assert_cmpuint(t->pause, ==, 1); /* never 0 when more than 0 */
        g_assert_cmpstr(t->text, ==, "");
        g_assert_cmpstr(t->name, ==, "ž");
        g_assert_cmpstr(t->json, ==, "{\"a\": [1, null]}");
        g_assert_cmpint(t->color, ==, 1);
        g_assert_true(t->inner.given);
        g_assert_cmpint(t->inner.a, ==, 7);
        g_assert_cmpstr(t->inner.b, ==, "x");
        g_assert_cmpuint(t->items.n, ==, 2);
        items = t->items.items;
        g_assert_cmpstr(items[0].name, ==, "n");
        g_assert_cmpfloat(items[0].value, ==, 1.5);
        g_assert_cmpfloat(items[1].value, ==, 2);
        g_assert_cmpuint(t->words.n, ==, 0);
        g_assert_nonnull(t->words.items);
        g_assert_cmpint(t->link.kind, ==, 0);
        g_assert_cmpstr(t->link.host, ==, "h");
        g_assert_cmpint(t->link.port, ==, 1);
        g_assert_cmpstr(t->host, ==, "h");
        g_assert_null(t->listen);
}

static char *written(const char *text, ConfForm form) {
        _cleanup_(run_done) Run got = {};
        JsonWriter w;
        char *json;

        run(&got, text, form);
        g_assert_cmpint(got.r, ==, 0);
        json_writer_init_growing(&w);
        json_open_object(&w);
        conf_write_json(&w, fields, &got.thing);
        json_close_object(&w);
        json = json_writer_steal(&w);
        json_writer_done(&w);
        return json;
}

/* What is written is parsed as the same, and is as short as it can be. */
static void test_written(void) {
        static const struct {
                const char *text;
                ConfForm form;
                const char *json;
        } rows[] = {
                { L, CONF_FORM_NATIVE, "{\"listen\": \"l\"}" },
                { L "flag: true\ncount: 0\nformal: 3\npause: 0.25\ntext: abc", CONF_FORM_NATIVE, "{\"listen\": \"l\"}" },
                { L "hat_only: 1", CONF_FORM_HAT, "{\"formal\": 4, \"listen\": \"l\", \"hat_only\": 1}" },
                { "{flag: false, count: 5.0, limit: 7, any: -9223372036854775807, ratio: 0.1, period: 1.5, pause: 0.000001, "
                  "text: 'ab\"', name: n, json: {a: [1, null]}, color: green, inner: {b: x}, items: [{name: n}, {name: m, "
                  "value: 2}], words: [], link: {type: TCP, host: h, port: 1}, host: h, port: 2, free: {x: 1}, x-y: 3}",
                  CONF_FORM_NATIVE,
                  "{\"flag\": false, \"count\": 5, \"limit\": 7, \"any\": -9223372036854775807, \"ratio\": 0.1, \"period\": 1.5, "
                  "\"pause\": 1e-06, \"text\": \"ab\\\"\", \"name\": \"n\", \"json\": {\"a\": [1, null]}, \"color\": \"green\", "
                  "\"inner\": {\"b\": \"x\"}, \"items\": [{\"name\": \"n\"}, {\"name\": \"m\", \"value\": 2}], \"words\": [], "
                  "\"link\": {\"type\": \"TCP\", \"host\": \"h\", \"port\": 1}, \"host\": \"h\", \"port\": 2}" },
                { L "inner: {}\nwords: [a, b]\nlink: {type: SERIAL, pause: 2}", CONF_FORM_NATIVE,
                  "{\"inner\": {}, \"words\": [\"a\", \"b\"], \"link\": {\"type\": \"SERIAL\", \"pause\": 2}, \"listen\": \"l\"}" },
        };

        for (size_t i = 0; i < G_N_ELEMENTS(rows); i++) {
                g_autofree char *json = written(rows[i].text, rows[i].form), *again = NULL;

                g_assert_cmpstr(json, ==, rows[i].json);
                again = written(json, CONF_FORM_NATIVE);
                g_assert_cmpstr(again, ==, json);
        }
}

static void test_absent(void) {
        _cleanup_(run_done) Run got = {};
        const Thing *t = &got.thing;

        run(&got, L "words: null\n", CONF_FORM_NATIVE);
        g_assert_cmpint(got.r, ==, 0);
        g_assert_true(t->flag);
        g_assert_cmpint(t->count, ==, 0);
        g_assert_cmpint(t->limit, ==, -1);
        g_assert_cmpuint(t->period, ==, USEC_INFINITY);
        g_assert_cmpuint(t->pause, ==, 250000);
        g_assert_cmpstr(t->text, ==, "abc");
        g_assert_null(t->name);
        g_assert_null(t->json);
        g_assert_cmpint(t->color, ==, -1);
        g_assert_false(t->inner.given);
        g_assert_cmpint(t->inner.a, ==, 7);
        g_assert_null(t->items.items);
        g_assert_null(t->words.items);
        g_assert_cmpint(t->link.kind, ==, -1);
}

static void test_types(void) {
        check("[1]", CONF_FORM_NATIVE, -EINVAL, "f:1:1: expected an object, got an array of 1\n");
        check(L "flag: 1\ncount: true\nany: 1.5\nratio: x\nperiod: '1'\ntext: 12\ncolor: 5\njson: null\n",
              CONF_FORM_NATIVE, -EINVAL,
              "f:2:7: /flag: expected true or false, got 1\n"
              "f:3:8: /count: expected an integer from 0 to 10, got true\n"
              "f:4:6: /any: expected an integer, got 1.5\n"
              "f:5:8: /ratio: expected a number greater than 0, got \"x\"\n"
              "f:6:9: /period: expected a number of seconds from 0 to 10000000, or null, got \"1\"\n"
              "f:7:7: /text: expected a string of at most 4 bytes, got 12\n"
              "f:8:8: /color: expected one of \"red\", \"green\", got 5\n");
        check(L "inner: 5\nitems: {}\nlink: []\nwords: [1, a, null]\n", CONF_FORM_NATIVE, -EINVAL,
              "f:2:8: /inner: expected an object, got 5\n"
              "f:3:8: /items: expected an array of at most 3 items, got an object\n"
              "f:4:7: /link: expected an object, got an array of 0\n"
              "f:5:9: /words/0: expected a string, got 1\n"
              "f:5:15: /words/2: expected a string, got null\n");
        check(L "flag: null\ninner:\nlimit: null\nperiod: ~\n", CONF_FORM_NATIVE, -EINVAL,
              "f:2:7: /flag: expected true or false, got null\n"
              "f:3:7: /inner: expected an object, got null: write {} for the defaults\n");
        check(L "ratio: .inf\nany: .nan\n", CONF_FORM_NATIVE, -EINVAL,
              "f:2:8: /ratio: warning: .inf is the string \".inf\" here and a number in YAML 1.1, which hat-gateway reads: write \".inf\" in "
              "quotes\n"
              "f:2:8: /ratio: expected a number greater than 0, got \".inf\"\n"
              "f:3:6: /any: warning: .nan is the string \".nan\" here and a number in YAML 1.1, which hat-gateway reads: write \".nan\" in "
              "quotes\n"
              "f:3:6: /any: expected an integer, got \".nan\"\n");
}

static void test_ranges(void) {
        check(L
              "count: 11\nlimit: 0\nany: 9223372036854775808\nratio: 0\nperiod: -0.5\npause: 0\ntext: ababa\n",
              CONF_FORM_NATIVE, -ERANGE,
              "f:2:8: /count: expected an integer from 0 to 10, got 11\n"
              "f:3:8: /limit: expected an integer of at least 1, or null, got 0\n"
              "f:4:6: /any: expected an integer, got 9223372036854775808\n"
              "f:5:8: /ratio: expected a number greater than 0, got 0\n"
              "f:6:9: /period: expected a number of seconds from 0 to 10000000, or null, got -0.5\n"
              "f:7:8: /pause: expected a number of seconds greater than 0 and at most 10000000, got 0\n"
              "f:8:7: /text: expected a string of at most 4 bytes, got 5 bytes: \"ababa\"\n");
        check(L "count: 10\nlimit: 1\nratio: 0.1\nperiod: 10000000\npause: 10000000\ntext: abab\n",
              CONF_FORM_NATIVE, 0, "");
        check(L "period: 10000000.1\nitems: [{name: a}, {name: a}, {name: a}, {}]\n", CONF_FORM_NATIVE,
              -ERANGE,
              "f:2:9: /period: expected a number of seconds from 0 to 10000000, or null, got 10000000.1\n"
              "f:3:8: /items: expected an array of at most 3 items, got an array of 4\n");
}

/* Out of range, integers stay where sums of them cannot overflow. */
static void test_stored(void) {
        _cleanup_(run_done) Run got = {};

        run(&got, L "count: 9223372036854775807\nlimit: -1.0e+300\nany: 1.0e+300\n", CONF_FORM_NATIVE);
        g_assert_cmpint(got.r, ==, -ERANGE);
        g_assert_cmpint(got.thing.count, ==, 1000000000000000);
        g_assert_cmpint(got.thing.limit, ==, -1000000000000000);
        g_assert_cmpint(got.thing.any, ==, 1000000000000000);
        g_assert_cmpuint(conf_errors_count(got.errors, CONF_RANGE), ==, 3);
        g_assert_cmpuint(conf_errors_count(got.errors, CONF_ERROR), ==, 0);
}

/* A default may be another one in the hat form. */
static void test_hat_fallback(void) {
        Run got;

        run(&got, L "formal: 9\n", CONF_FORM_NATIVE);
        g_assert_cmpint(got.thing.formal, ==, 9);
        run_done(&got);
        run(&got, L, CONF_FORM_NATIVE);
        g_assert_cmpint(got.thing.formal, ==, 3);
        run_done(&got);
        run(&got, L "hat_only: 1\n", CONF_FORM_HAT);
        g_assert_cmpint(got.thing.formal, ==, 4);
        run_done(&got);
}

static void test_keys(void) {
        check(L "flg: true\nzzz: 1\nx-zzz: 1\n", CONF_FORM_NATIVE, -ERANGE,
              "f:2:1: /flg: unknown key \"flg\", did you mean \"flag\"?\n"
              "f:3:1: /zzz: unknown key \"zzz\", expected one of \"flag\", \"formal\", \"count\", \"limit\", \"any\", \"ratio\", \"period\", \"pause\", "
              "\"text\", \"name\", \"json\", \"color\", \"inner\", \"items\", \"words\", \"link\", \"host\", \"port\", \"listen\", "
              "\"hat_only\", \"free\"\n");
        check(L "hat_only: 1\nflg: true\nzzz: 1\n", CONF_FORM_HAT, 0,
              "f:3:1: /flg: warning: unknown key \"flg\" is ignored, did you mean \"flag\"?\n"
              "f:4:1: /zzz: warning: unknown key \"zzz\" is ignored\n");
        check(L, CONF_FORM_HAT, -EINVAL, "f:1:1: /hat_only: required key is missing: expected an integer\n");
        check("items: [{value: 1}]\nhost: h\n", CONF_FORM_NATIVE, -EINVAL,
              "f:1:1: /port: required key is missing: expected an integer (or the key \"listen\" in its place)\n"
              "f:1:9: /items/0/name: required key is missing: expected a string\n");
        check("host: h\nport: 1\n" L, CONF_FORM_NATIVE, -ERANGE,
              "f:1:7: /host: cannot be given together with \"listen\": leave one of them out\n"
              "f:2:7: /port: cannot be given together with \"listen\": leave one of them out\n");
        check("a/b~c: {}\n" L, CONF_FORM_HAT, -EINVAL,
              "f:1:1: /hat_only: required key is missing: expected an integer\n"
              "f:1:1: /a~1b~0c: warning: unknown key \"a/b~c\" is ignored\n");
}

static void test_words(void) {
        check(L "color: gren\n", CONF_FORM_NATIVE, -EINVAL,
              "f:2:8: /color: expected one of \"red\", \"green\", got \"gren\", did you mean \"green\"?\n");
        check(L "color: RED\n", CONF_FORM_NATIVE, -EINVAL,
              "f:2:8: /color: expected one of \"red\", \"green\", got \"RED\", did you mean \"red\"?\n");
        check(L "link: {}\n", CONF_FORM_NATIVE, -EINVAL,
              "f:2:7: /link/type: required key is missing: expected one of \"TCP\", \"SERIAL\"\n");
        check(L "link: {type: SERAIL, a: 1}\n", CONF_FORM_NATIVE, -EINVAL,
              "f:2:14: /link/type: expected one of \"TCP\", \"SERIAL\", got \"SERAIL\", did you mean \"SERIAL\"?\n");
        check(L "link: {type: TCP, host: h, pause: 1}\n", CONF_FORM_NATIVE, -EINVAL,
              "f:2:7: /link/port: required key is missing: expected an integer from 1 to 65535\n"
              "f:2:28: /link/pause: unknown key \"pause\", expected one of \"host\", \"port\", \"type\"\n");
        check(L "name: a?\n", CONF_FORM_NATIVE, -ERANGE,
              "f:2:7: /name: expected a name without \"/\", \"?\" and \"*\", got \"a?\"\n");
        check(L "hat_only: 1\nname: a?\n", CONF_FORM_HAT, 0,
              "f:3:7: /name: warning: the name \"a?\" holds \"/\", \"?\" or \"*\", which event types use themselves\n");
        check(L "name: \"\\e[2J\\u009b\"\n", CONF_FORM_HAT, -EINVAL,
              "f:1:1: /hat_only: required key is missing: expected an integer\n"
              "f:2:7: /name: expected a name without control characters, got \"\\u001b[2J\\u009b\"\n");
}

static void test_nearest(void) {
        static const char *const words[] = { "port", "host", "request_timeout", "a", NULL };

        g_assert_cmpstr(conf_nearest("prot", words), ==, "port");
        g_assert_cmpstr(conf_nearest("Port", words), ==, "port");
        g_assert_cmpstr(conf_nearest("requst_timeot", words), ==, "request_timeout");
        g_assert_cmpstr(conf_nearest("request_timeouts", words), ==, "request_timeout");
        g_assert_null(conf_nearest("b", words));
        g_assert_null(conf_nearest("", words));
        g_assert_null(conf_nearest("something", words));
}

/* ---- errors ------------------------------------------------------------------------------------------ */

/* verify() has only the struct: places survive the document. */
static void test_places(void) {
        _cleanup_(run_done) Run got = {};
        g_autofree char *lines = NULL, *json = NULL;
        const Item *items;
        int unknown;

        run(&got, L "items:\n- {name: a}\n- name: b\n  value: 3\nlink: {type: SERIAL}\n", CONF_FORM_NATIVE);
        g_assert_cmpint(got.r, ==, 0);
        items = got.thing.items.items;
        conf_error_at(got.errors, CONF_RANGE, &items[1].value, "value");
        conf_error_at(got.errors, CONF_WARNING, &items[0].name, "name");
        conf_error_at(got.errors, CONF_ERROR, &items[0].value, "not given");
        conf_error_at(got.errors, CONF_ERROR, &got.thing.link.kind, "tag");
        conf_error_at(got.errors, CONF_ERROR, &got.thing.inner, "absent object");
        conf_error_at(got.errors, CONF_ERROR, &got.thing.inner.a, "absent below");
        conf_error_missing(got.errors, CONF_ERROR, &items[1].name, "other", "missing");
        conf_error_at(got.errors, CONF_ERROR, &unknown, "nowhere");
        conf_error(got.errors, CONF_ERROR, NULL, "file");
        conf_error_position(got.errors, CONF_ERROR, 9, 0, "line");
        lines = conf_lines(got.errors);
        conf_assert_lines(lines, "f: nowhere\n"
                                 "f: file\n"
                                 "f:1:1: /inner: absent object\n"
                                 "f:1:1: /inner/a: absent below\n"
                                 "f:3:3: /items/0/value: not given\n"
                                 "f:3:10: /items/0/name: warning: name\n"
                                 "f:4:3: /items/1/other: missing\n"
                                 "f:5:10: /items/1/value: value\n"
                                 "f:6:14: /link/type: tag\n"
                                 "f:9: line\n");

        json = conf_json(got.errors);
        g_assert_true(g_str_has_prefix(
                        json,
                        "[{\"file\": \"f\", \"line\": null, \"column\": null, \"path\": null, \"severity\": \"error\", "
                        "\"message\": \"nowhere\"}, "));
        g_assert_nonnull(strstr(
                        json,
                        "{\"file\": \"f\", \"line\": 3, \"column\": 10, \"path\": \"/items/0/name\", \"severity\": \"warning\", "
                        "\"message\": \"name\"}"));
        g_assert_nonnull(strstr(
                        json,
                        "{\"file\": \"f\", \"line\": 5, \"column\": 10, \"path\": \"/items/1/value\", \"severity\": \"error\", "
                        "\"message\": \"value\"}"));
}

static void test_first(void) {
        _cleanup_(conf_errors_freep) ConfErrors *e = conf_errors_new("f");
        _cleanup_(conf_document_freep) ConfDocument *d = NULL;
        static const char text[] = "a: {b: 1, c: 2}\nab: 3\n";
        const ConfNode *root, *a;
        g_autofree char *json = NULL;

        json = conf_json(e);
        g_assert_cmpstr(json, ==, "[]");
        g_assert_cmpint(conf_document_parse(text, strlen(text), e, &d), ==, 0);
        root = conf_document_root(d);
        a = conf_node_get(root, "a");
        conf_error(e, CONF_RANGE, conf_node_get(root, "ab"), "other");
        conf_error(e, CONF_RANGE, conf_node_get(a, "c"), "second");
        conf_error(e, CONF_RANGE, conf_node_get(a, "b"), "first");
        conf_error(e, CONF_WARNING, a, "warning");
        g_assert_cmpstr(conf_errors_first(e, CONF_RANGE, a), ==, "/a/b: first");
        g_assert_cmpstr(conf_errors_first(e, CONF_WARNING, a), ==, "/a: warning");
        g_assert_null(conf_errors_first(e, CONF_ERROR, a));
        g_assert_cmpuint(conf_errors_count(e, CONF_RANGE), ==, 3);
}

static void test_claims(void) {
        _cleanup_(run_done) Run got = {};
        _cleanup_(conf_claims_freep) ConfClaims *c = conf_claims_new();
        g_autofree char *lines = NULL;
        const char *const *words, *const *list;

        run(&got, L "words: [a, b, a, a]\n", CONF_FORM_NATIVE);
        words = got.thing.words.items;
        conf_claim(c, got.errors, "line", "1", &words[0]);
        conf_claim(c, got.errors, "line", "2", &words[1]);
        conf_claim(c, got.errors, "other", "1", &words[1]);
        conf_claim(c, got.errors, "line", "1", &words[2]);
        conf_claim(c, got.errors, "line", "1", &words[3]);
        lines = conf_lines(got.errors);
        conf_assert_lines(lines, "f:2:15: /words/2: line \"1\" is already taken by /words/0 (line 2)\n"
                                 "f:2:18: /words/3: line \"1\" is already taken by /words/0 (line 2)\n");
        g_assert_cmpuint(conf_errors_count(got.errors, CONF_ERROR), ==, 2);

        list = conf_claims_list(c, "line", got.arena);
        g_assert_cmpstr(list[0], ==, "1");
        g_assert_cmpstr(list[1], ==, "2");
        g_assert_null(list[2]);
}

/* One line each, whatever stands in the file; never more than the bound. */
static void test_lines(void) {
        g_autoptr(GString) many = g_string_new(L);
        _cleanup_(run_done) Run got = {};
        g_autofree char *lines = NULL;

        check("\"a\\nb\": 1\n" L, CONF_FORM_NATIVE, -ERANGE,
              "f:1:1: /a\\nb: unknown key \"a\\nb\", expected one of \"flag\", \"formal\", \"count\", \"limit\", \"any\", \"ratio\", \"period\", \"pause\", "
              "\"text\", \"name\", \"json\", \"color\", \"inner\", \"items\", \"words\", \"link\", \"host\", \"port\", \"listen\", "
              "\"hat_only\", \"free\"\n");

        for (unsigned i = 0; i < CONF_ERRORS_MAX + 5; i++)
                g_string_append_printf(many, "zzzzz%u: 1\n", i);
        run(&got, many->str, CONF_FORM_NATIVE);
        lines = conf_lines(got.errors);
        g_assert_true(g_str_has_suffix(lines, "\nf: 5 more messages are not shown\n"));
        g_assert_cmpuint(conf_errors_count(got.errors, CONF_ERROR), ==, CONF_ERRORS_MAX + 5);
}

int main(int argc, char *argv[]) {
        g_test_init(&argc, &argv, NULL);

        g_test_add_func("/conf/values", test_values);
        g_test_add_func("/conf/written", test_written);
        g_test_add_func("/conf/absent", test_absent);
        g_test_add_func("/conf/types", test_types);
        g_test_add_func("/conf/ranges", test_ranges);
        g_test_add_func("/conf/stored", test_stored);
        g_test_add_func("/conf/keys", test_keys);
        g_test_add_func("/conf/hat-fallback", test_hat_fallback);
        g_test_add_func("/conf/words", test_words);
        g_test_add_func("/conf/nearest", test_nearest);
        g_test_add_func("/conf/places", test_places);
        g_test_add_func("/conf/first", test_first);
        g_test_add_func("/conf/claims", test_claims);
        g_test_add_func("/conf/lines", test_lines);
        return g_test_run();
}
