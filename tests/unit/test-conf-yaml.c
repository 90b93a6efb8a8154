/* SPDX-License-Identifier: Apache-2.0 */
/* The document: YAML to a tree, what is refused and how that is said, bounds. */

#include <glib/gstdio.h>

#include "base/bounds.h"
#include "tests/unit/conf-lines.h"

typedef struct Case {
        const char *text;
        const char *json;  /* the tree; NULL: no tree */
        const char *lines; /* errors and warnings */
} Case;

static char *tree(const ConfDocument *d) {
        JsonWriter w;

        json_writer_init_growing(&w);
        conf_node_write_json(conf_document_root(d), &w);
        return json_writer_steal(&w);
}

static void check(const char *text, size_t size, const char *json, const char *lines) {
        _cleanup_(conf_errors_freep) ConfErrors *e = conf_errors_new("f");
        _cleanup_(conf_document_freep) ConfDocument *d = NULL;
        g_autofree char *got = NULL;
        int r;

        r = conf_document_parse(text, size, e, &d);
        got = conf_lines(e);
        g_assert_cmpstr(got, ==, lines);
        if (json) {
                g_autofree char *value = NULL;

                g_assert_cmpint(r, ==, 0);
                value = tree(d);
                g_assert_cmpstr(value, ==, json);
        } else {
                g_assert_cmpint(r, ==, -EBADMSG);
                g_assert_null(d);
        }
}

static void check_all(const Case *cases, size_t n) {
        for (size_t i = 0; i < n; i++)
                check(cases[i].text, strlen(cases[i].text), cases[i].json, cases[i].lines);
}

static void test_scalars(void) {
        static const Case cases[] = {
                { "[null, ~, Null, '', \"\"]", "[null, null, null, \"\", \"\"]", "" },
                { "[true, False, TRUE]", "[true, false, true]", "" },
                { "[0, -1, +7, 9223372036854775807, -9223372036854775808]",
                  "[0, -1, 7, 9223372036854775807, -9223372036854775808]", "" },
                { "[9223372036854775808, 0x1F]", "[9223372036854775808, 31]", "" },
                { "[1.5, 5.0, -0.25, 1.5e+3, .5]", "[1.5, 5.0, -0.25, 1.5e+3, 0.5]", "" },
                { "[a b, 'it''s', \"tab\\t\", 12a, a:b, '10']",
                  "[\"a b\", \"it's\", \"tab\\t\", \"12a\", \"a:b\", \"10\"]", "" },
                { "{\"a\":[1,{\"b\":\"\\u017e\"}],\n\t\"c\": {}}",
                  "{\"a\": [1, {\"b\": \"\\u017e\"}], \"c\": {}}", "" },
                { "a:\n- 1\n-\n  - x\nb: |\n  text\n", "{\"a\": [1, [\"x\"]], \"b\": \"text\\n\"}", "" },
                { "\xef\xbb\xbf"
                  "a: 1\r\nb: 2\r\n",
                  "{\"a\": 1, \"b\": 2}", "" },
        };

        check_all(cases, ELEMENTSOF(cases));
}

#define OLD " in YAML 1.1, which hat-gateway reads: write "

static void test_yaml_1_1(void) {
        static const Case cases[] = {
                { "a: yes", "{\"a\": \"yes\"}",
                  "f:1:4: /a: warning: yes is the string \"yes\" here and true" OLD
                  "\"yes\" in quotes, or true\n" },
                { "a: Off", "{\"a\": \"Off\"}",
                  "f:1:4: /a: warning: Off is the string \"Off\" here and false" OLD
                  "\"Off\" in quotes, or false\n" },
                { "a: 010", "{\"a\": 10}", "f:1:4: /a: warning: 010 is 10 here and 8" OLD "10, or 8\n" },
                { "a: 09", "{\"a\": 9}",
                  "f:1:4: /a: warning: 09 is 9 here and a string" OLD "9, or \"09\" in quotes\n" },
                { "a: 0o17", "{\"a\": 15}",
                  "f:1:4: /a: warning: 0o17 is 15 here and a string" OLD "15, or \"0o17\" in quotes\n" },
                { "a: 1:30", "{\"a\": \"1:30\"}",
                  "f:1:4: /a: warning: 1:30 is the string \"1:30\" here and 90" OLD
                  "\"1:30\" in quotes, or 90\n" },
                { "a: 1:30.5", "{\"a\": \"1:30.5\"}",
                  "f:1:4: /a: warning: 1:30.5 is the string \"1:30.5\" here and a number" OLD
                  "\"1:30.5\" in quotes\n" },
                { "a: 1e3", "{\"a\": 1e3}",
                  "f:1:4: /a: warning: 1e3 is 1000.0 here and a string" OLD
                  "1000.0, or \"1e3\" in quotes\n" },
                { "a: 1e-9", "{\"a\": 1e-9}",
                  "f:1:4: /a: warning: 1e-9 is 1.0e-09 here and a string" OLD
                  "1.0e-09, or \"1e-9\" in quotes\n" },
                { "a: 1_000", "{\"a\": \"1_000\"}",
                  "f:1:4: /a: warning: 1_000 is the string \"1_000\" here and 1000" OLD
                  "\"1_000\" in quotes, or 1000\n" },
                { "a: 0b101", "{\"a\": \"0b101\"}",
                  "f:1:4: /a: warning: 0b101 is the string \"0b101\" here and 5" OLD
                  "\"0b101\" in quotes, or 5\n" },
                { "a: 2024-02-30", "{\"a\": \"2024-02-30\"}",
                  "f:1:4: /a: warning: 2024-02-30 is the string \"2024-02-30\" here and a date" OLD
                  "\"2024-02-30\" in quotes\n" },
                { "a: .inf", "{\"a\": \".inf\"}",
                  "f:1:4: /a: warning: .inf is the string \".inf\" here and a number" OLD
                  "\".inf\" in quotes\n" },
                { "a: -.5", "{\"a\": -0.5}",
                  "f:1:4: /a: warning: -.5 is -0.5 here and a string" OLD "-0.5, or \"-.5\" in quotes\n" },
                { "a: =", "{\"a\": \"=\"}",
                  "f:1:4: /a: warning: = is the string \"=\" here and a sign of its own" OLD
                  "\"=\" in quotes\n" },
                { "on: 1", "{\"on\": 1}",
                  "f:1:1: /on: warning: on is the string \"on\" here and true" OLD
                  "\"on\" in quotes, or true\n" },
                /* Never the value of what may be a secret. */
                { "client_token: 0123", "{\"client_token\": 123}",
                  "f:1:15: /client_token: warning: YAML 1.1, which hat-gateway reads, takes this for something else: write it in quotes\n" },
                /* Not different. */
                { "[007, 00, 1.0e+3, 'yes', y, n, -1, 1., 1-2, 12:60, 1.2.3.4, 2024-1-1, 0x1f, \"010\", 0.5, +1]",
                  NULL, NULL },
        };

        check_all(cases, ELEMENTSOF(cases) - 1);

        {
                _cleanup_(conf_errors_freep) ConfErrors *e = conf_errors_new("f");
                _cleanup_(conf_document_freep) ConfDocument *d = NULL;
                const char *text = cases[ELEMENTSOF(cases) - 1].text;
                g_autofree char *lines = NULL;

                g_assert_cmpint(conf_document_parse(text, strlen(text), e, &d), ==, 0);
                lines = conf_lines(e);
                g_assert_cmpstr(lines, ==, "");
        }
}

static void test_refused(void) {
        static const Case cases[] = {
                { "", NULL, "f:1:1: the file is empty: expected an object\n" },
                { "# nothing\n", NULL, "f:1:1: the file is empty: expected an object\n" },
                { "a: 1\n---\nb: 2\n", NULL,
                  "f:2:1: a second document begins here: a configuration is one document\n" },
                { "a: 1\n...\n---\n", NULL,
                  "f:3:1: a second document begins here: a configuration is one document\n" },
                /* These leave a tree. */
                { "a: 1\nb: 2\na: 3\n", "{\"a\": 1, \"b\": 2}",
                  "f:3:1: /a: key \"a\" is given a second time, first at line 1\n" },
                { "a: {b: 1, b: [1, 2]}", "{\"a\": {\"b\": 1}}",
                  "f:1:11: /a/b: key \"b\" is given a second time, first at line 1\n" },
                { "a: !!int 3\nb: !x {}\n", "{\"a\": 3, \"b\": {}}",
                  "f:1:4: /a: YAML tags are not accepted, got \"tag:yaml.org,2002:int\": leave it out\n"
                  "f:2:4: /b: YAML tags are not accepted, got \"!x\": leave it out\n" },
                { "x-a: &a {b: 1}\nc:\n  <<: *a\n  d: 2\n", "{\"x-a\": {\"b\": 1}, \"c\": {\"d\": 2}}",
                  "f:3:3: /c/<<: merge keys (<<) are not accepted: write the keys out, or name a whole value with an alias\n" },
                { "'<<': 1\n", "{\"<<\": 1}", "" },
                { "1: a\nnull: b\n", "{\"1\": \"a\", \"null\": \"b\"}",
                  "f:1:1: /1: expected a string as key, got 1: put it in quotes\n"
                  "f:2:1: /null: expected a string as key, got null: put it in quotes\n" },
                { "a: \"x\\0y\"\n", "{\"a\": \"x\"}",
                  "f:1:4: /a: a NUL character cannot stand in a string\n" },
                { "~/x: \"a\\0\"", "{\"~/x\": \"a\"}",
                  "f:1:6: /~0~1x: a NUL character cannot stand in a string\n" },
                /* These do not. */
                { "? [a]\n: b\n", NULL, "f:1:3: expected a string as key, got an array\n" },
                { "a: *b\n", NULL, "f:1:4: alias \"b\": no anchor of this name stands before it\n" },
                { "a: &a [*a]\n", NULL, "f:1:8: alias \"a\" stands inside the value that it names\n" },
                { "a: [1, 2\nb: 3\n", NULL,
                  "f:2:2: YAML syntax: did not find expected ',' or ']', while parsing a flow sequence that began at line 1, column 4\n" },
                { "a: 1\n\tb: 2\n", NULL,
                  "f:2:1: YAML syntax: found a tab character that violates indentation, while scanning a plain scalar that began at "
                  "line 1, column 4\n" },
                { "a: @x\n", NULL,
                  "f:1:4: YAML syntax: this character cannot stand here (no tabs for indentation, and quotes around text that begins "
                  "with @, ` or %)\n" },
                { "ž: 1\nž: ä\x01\n", NULL,
                  "f:2:5: YAML syntax: control characters are not allowed (U+0001)\n" },
                { "a: ž\xff\n", NULL, "f:1:5: the byte 0xff is not UTF-8: save the file in UTF-8\n" },
        };

        check_all(cases, ELEMENTSOF(cases));
        check("a: 1\nb: \0", 9, NULL, "f:2:4: a NUL character cannot stand in a text file\n");
}

static void test_aliases(void) {
        static const Case cases[] = {
                { "a: &x {p: [1, 2]}\nb: *x\nc: [*x]\n",
                  "{\"a\": {\"p\": [1, 2]}, \"b\": {\"p\": [1, 2]}, \"c\": [{\"p\": [1, 2]}]}", "" },
                { "a: &x 1\nb: &x 2\nc: *x\n", "{\"a\": 1, \"b\": 2, \"c\": 2}", "" },
                { "&k a: 1\nb: *k\n", "{\"a\": 1, \"b\": \"a\"}", "" },
        };
        _cleanup_(conf_errors_freep) ConfErrors *e = conf_errors_new("f");
        _cleanup_(conf_document_freep) ConfDocument *d = NULL;
        static const char text[] = "a: &x {p: [1, 2]}\nb: [*x]\n";
        const ConfNode *copy;
        g_autofree char *lines = NULL;

        check_all(cases, ELEMENTSOF(cases));

        /* The pointer is that of the use; the place is the alias, and what is below stands where it is
         * written. */
        g_assert_cmpint(conf_document_parse(text, strlen(text), e, &d), ==, 0);
        copy = conf_node_item(conf_node_get(conf_document_root(d), "b"), 0);
        conf_error(e, CONF_ERROR, copy, "alias");
        conf_error(e, CONF_ERROR, conf_node_item(conf_node_get(copy, "p"), 1), "two");
        lines = conf_lines(e);
        g_assert_cmpstr(lines, ==, "f:1:15: /b/0/p/1: two\nf:2:5: /b/0: alias\n");
}

/* ---- bounds ------------------------------------------------------------------------------------------ */

static void check_bounded(const GString *text, const char *lines) {
        gint64 start = g_get_monotonic_time();

        check(text->str, text->len, NULL, lines);
        /* Generous: sanitizers, a busy machine. */
        g_assert_cmpint(g_get_monotonic_time() - start, <, 30 * G_USEC_PER_SEC);
}

static void test_billion_laughs(void) {
        g_autoptr(GString) text = g_string_new("a: &a [lol, lol, lol, lol, lol, lol, lol, lol, lol, lol]\n");

        for (char c = 'b'; c <= 'j'; c++)
                g_string_append_printf(text, "%c: &%c [*%c, *%c, *%c, *%c, *%c, *%c, *%c, *%c, *%c, *%c]\n",
                                       c, c, c - 1, c - 1, c - 1, c - 1, c - 1, c - 1, c - 1, c - 1, c - 1,
                                       c - 1);
        check_bounded(text,
                      "f:6:36: more than 1000000 values (aliases expanded), the limit of a configuration\n");
}

static char *nested(unsigned levels) {
        GString *text = g_string_new(NULL);

        for (unsigned i = 0; i < levels; i++)
                g_string_append_c(text, '[');
        for (unsigned i = 0; i < levels; i++)
                g_string_append_c(text, ']');
        return g_string_free(text, FALSE);
}

static void test_depth(void) {
        g_autofree char *most = nested(CONF_DEPTH_MAX), *more = nested(CONF_DEPTH_MAX + 1),
                        *far = nested(1000000);
        static const char refused[] = "f:1:65: arrays and objects nested deeper than 64 levels\n";
        g_autoptr(GString) alias = g_string_new("a: &a ");

        {
                _cleanup_(conf_errors_freep) ConfErrors *e = conf_errors_new("f");
                _cleanup_(conf_document_freep) ConfDocument *d = NULL;

                g_assert_cmpint(conf_document_parse(most, strlen(most), e, &d), ==, 0);
        }
        check(more, strlen(more), NULL, refused);
        check(far, strlen(far), NULL, refused);

        /* 63 levels of the anchor below the root are good, one more by an alias inside an array is not. */
        most[0] = most[2 * CONF_DEPTH_MAX - 1] = ' ';
        g_string_append_printf(alias, "%s\nb: *a\nc: [*a]\n", most);
        check(alias->str, alias->len, NULL, "f:3:5: arrays and objects nested deeper than 64 levels\n");
}

static void test_nodes(void) {
        g_autoptr(GString) text = g_string_new("[0");

        for (unsigned i = 1; i < CONF_NODES_MAX - 1; i++)
                g_string_append(text, ",0");
        g_string_append(text, "]");
        {
                _cleanup_(conf_errors_freep) ConfErrors *e = conf_errors_new("f");
                _cleanup_(conf_document_freep) ConfDocument *d = NULL;

                g_assert_cmpint(conf_document_parse(text->str, text->len, e, &d), ==, 0);
                g_assert_cmpuint(conf_node_length(conf_document_root(d)), ==, CONF_NODES_MAX - 1);
        }

        g_string_truncate(text, text->len - 1);
        g_string_append(text, ",0]");
        check_bounded(text,
                      "f:1:2000000: more than 1000000 values (aliases expanded), the limit of a configuration\n");
}

static void test_size(void) {
        g_autoptr(GString) text = g_string_sized_new(CONF_SIZE_MAX + 8), key = g_string_new(NULL);

        g_string_append(text, "a: 1\n#");
        while (text->len <= CONF_SIZE_MAX)
                g_string_append_c(text, 'x');
        check_bounded(text, "f: larger than 16 MiB, the limit of a configuration file\n");

        g_string_assign(key, "? ");
        for (unsigned i = 0; i <= CONF_KEY_MAX; i++)
                g_string_append_c(key, 'k');
        g_string_append(key, "\n: 1\n");
        check(key->str, key->len, NULL, "f:1:3: a key of 1025 bytes, the limit is 1024\n");
}

static void test_load(void) {
        _cleanup_(conf_errors_freep) ConfErrors *e = conf_errors_new("g");
        _cleanup_(conf_document_freep) ConfDocument *d = NULL, *other = NULL;
        g_autofree char *name = NULL, *lines = NULL;
        int fd;

        fd = g_file_open_tmp("test-conf-XXXXXX", &name, NULL);
        g_assert_cmpint(fd, >=, 0);
        (void) safe_close(fd);
        g_assert_true(g_file_set_contents(name, "a: 1\n", -1, NULL));
        g_assert_cmpint(conf_document_load(name, e, &d), ==, 0);
        g_assert_cmpuint(conf_node_length(conf_document_root(d)), ==, 1);
        g_assert_nonnull(conf_node_get(conf_document_root(d), "a"));

        g_assert_true(g_file_set_contents(name, "", 0, NULL));
        g_assert_cmpint(conf_document_load(name, e, &other), ==, -EBADMSG);
        g_assert_cmpint(g_unlink(name), ==, 0);

        g_assert_cmpint(conf_document_load(name, e, &other), ==, -ENOENT);
        g_assert_cmpint(conf_document_load("/", e, &other), ==, -EISDIR);
        g_assert_null(other);
        lines = conf_lines(e);
        g_assert_cmpstr(lines, ==,
                        "g: cannot be read: No such file or directory\ng: cannot be read: Is a directory\n"
                        "g:1:1: the file is empty: expected an object\n");
}

int main(int argc, char *argv[]) {
        g_test_init(&argc, &argv, NULL);

        g_test_add_func("/conf-yaml/scalars", test_scalars);
        g_test_add_func("/conf-yaml/yaml-1.1", test_yaml_1_1);
        g_test_add_func("/conf-yaml/refused", test_refused);
        g_test_add_func("/conf-yaml/aliases", test_aliases);
        g_test_add_func("/conf-yaml/billion-laughs", test_billion_laughs);
        g_test_add_func("/conf-yaml/depth", test_depth);
        g_test_add_func("/conf-yaml/nodes", test_nodes);
        g_test_add_func("/conf-yaml/size", test_size);
        g_test_add_func("/conf-yaml/load", test_load);
        return g_test_run();
}
