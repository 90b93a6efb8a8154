/* SPDX-License-Identifier: Apache-2.0 */
/* Build tool: what the field tables say, as files to install. `generate schema native|hat`, `generate reference`. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "daemon/config.h"

int main(int argc, char *argv[]) {
        if (argc == 3 && streq(argv[1], "schema") && streq(argv[2], "native"))
                config_print_schema(CONF_FORM_NATIVE, stdout);
        else if (argc == 3 && streq(argv[1], "schema") && streq(argv[2], "hat"))
                config_print_schema(CONF_FORM_HAT, stdout);
        else if (argc == 2 && streq(argv[1], "reference"))
                config_print_reference(stdout);
        else {
                fputs("usage: generate schema native|hat | generate reference\n", stderr);
                return EXIT_FAILURE;
        }
        return fflush(stdout) == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
