/* SPDX-License-Identifier: Apache-2.0 */
/* Opens the event server's database and says what is wrong with it and what to do; sets a damaged one aside.
 * Keeps nothing. Loop thread, at start; the sentences also later. */

#include <errno.h>

#include "base/log.h"
#include "event/server/server-internal.h"

void server_log_store_error(const char *path, int error, const char *detail) {
        if (error == -EUCLEAN)
                log_error("The event database %s is damaged, or is none: %s. It is left where it is. Put a good copy in its place, or move "
                          "it away to start with an empty one (on_corruption: set-aside does that by itself).",
                          path, detail);
        else if (error == -EPROTONOSUPPORT)
                log_error("The event database %s was made by a newer version: %s. It was not touched. Install that version, "
                          "or move the file away to start with an empty one.",
                          path, detail);
        else if (error == -EBUSY)
                log_error("The event database %s is in use by another process: is another gatewayd running?", path);
        else
                log_error("The event database %s cannot be opened: %s. Check the folder, its permissions and the space on its "
                          "file system.",
                          path, detail);
}

void server_log_set_aside(const char *path, const char *aside) {
        log_error("The event database %s was damaged. It is now %s, and an empty one takes its place: events from before are "
                  "gone, also the last states.",
                  path, aside);
}

static int set_aside(const StoreOptions *options, Store **ret, char **ret_detail) {
        g_autofree char *name = NULL;
        int r;

        r = store_set_aside(options->path, &name);
        if (r < 0)
                return r;
        r = store_open(options, ret, ret_detail);
        if (r >= 0)
                server_log_set_aside(options->path, name);
        return r;
}

bool server_may_set_aside(const EventServerOptions *options) {
        return options->set_aside && !streq(options->store.path, ":memory:");
}

int server_open_store(const EventServerOptions *options, Store **ret) {
        g_autofree char *detail = NULL, *again = NULL;
        int r;

        r = store_open(&options->store, ret, &detail);
        if (r == -EUCLEAN && server_may_set_aside(options)) {
                r = set_aside(&options->store, ret, &again);
                if (again) {
                        g_free(detail);
                        detail = TAKE_PTR(again);
                }
        }
        if (r < 0)
                server_log_store_error(options->store.path, r, detail ?: g_strerror(-r));
        return r;
}
