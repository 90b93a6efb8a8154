/* SPDX-License-Identifier: Apache-2.0 */
/* For tests of configuration: the error lines as one text. */
#pragma once

#include <stdio.h>

#include "base/conf.h"

/* What conf_errors_print() writes. Caller frees. */
static inline char *conf_lines(ConfErrors *e) {
        char *text = NULL;
        size_t size = 0;
        FILE *stream = open_memstream(&text, &size);
        char *copy;

        conf_errors_print(e, stream);
        fclose(stream);
        copy = g_strdup(text);
        free(text);
        return copy;
}

/* Says what differs line by line, and lets the test go on. */
static inline void conf_assert_lines(const char *got, const char *expected) {
        if (streq(got, expected))
                return;
        g_test_message("got:\n%s\nexpected:\n%s", got, expected);
        g_test_fail();
}

static inline char *conf_json(ConfErrors *e) {
        JsonWriter w;

        json_writer_init_growing(&w);
        conf_errors_write_json(e, &w);
        return json_writer_steal(&w);
}
