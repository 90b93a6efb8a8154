/* SPDX-License-Identifier: Apache-2.0 */
/* What the service manager hands to the daemon: passed sockets by name, directories;
 * base/fd-store.h is about descriptors that were stored. Loop thread. */
#pragma once

#include "base/macros.h"

/* Passed listening sockets by FileDescriptorName=. Owns the descriptors. */
typedef struct ListenFds ListenFds;

/* Adopts $LISTEN_FDS (the variables are unset), sets close-on-exec and non-blocking; a second one of a
 * name is closed with a warning. */
int listen_fds_new(ListenFds **ret);
ListenFds *listen_fds_free(ListenFds *l);
DEFINE_CLEANUP(ListenFds, listen_fds_free);
/* Borrowed: a listening stream socket that stays open and is never shut down. -ENOENT: none of that name
 * was passed, -ENOTSOCK: not a listening stream socket. */
int listen_fds_get(const ListenFds *l, const char *name);
/* One whose name begins so goes to the caller, with its name, until -ENOENT. */
int listen_fds_take(ListenFds *l, const char *prefix, char **ret_name);
/* Closes and logs every descriptor whose name is not among those (used: NULL-terminated). */
void listen_fds_close_unknown(ListenFds *l, const char *const *used);

/* $STATE_DIRECTORY and $RUNTIME_DIRECTORY (the first of a list), else the given default. Borrowed. */
const char *state_directory(void);
const char *runtime_directory(void);
