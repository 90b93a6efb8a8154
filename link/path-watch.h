/* SPDX-License-Identifier: Apache-2.0 */
/* Tells when a file that is missing comes, by inotify on every directory that leads to it, symbolic links and
 * missing parents included: a serial adapter that is plugged in again below /dev/serial/by-id. No polling.
 * Loop thread. */
#pragma once

#include <systemd/sd-event.h>

#include "base/macros.h"

typedef struct PathWatch PathWatch;
/* Something on the way to the file has changed and the file is there: it was made, moved there, or its owner
 * or mode changed. Comes from the loop; the callee may free the watch. It may come when nothing changed that
 * matters. */
typedef void (*PathWatchCallback)(void *userdata);

/* Watches from now on; what happens after this call is told. So: first the watch, then the attempt. A
 * directory that may not be read is not watched. description (a literal) names the source. */
int path_watch_new(sd_event *event, const char *path, const char *description, PathWatchCallback callback,
                   void *userdata, PathWatch **ret);
PathWatch *path_watch_free(PathWatch *p);
DEFINE_CLEANUP(PathWatch, path_watch_free);
