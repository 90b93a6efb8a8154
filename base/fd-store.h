/* SPDX-License-Identifier: Apache-2.0 */
/* Descriptors that outlive the process: the service manager has a copy of each and passes it to the next
 * start (sd_notify(3), FDSTORE=1). Without one they outlive only what uses them. Loop thread. */
#pragma once

#include "base/sd.h"

/* Owns the descriptors. */
typedef struct FdStore FdStore;

/* With what an earlier process stored, taken out of passed. */
FdStore *fd_store_new(ListenFds *passed);
/* The service manager keeps its copies. */
FdStore *fd_store_free(FdStore *s);
DEFINE_CLEANUP(FdStore, fd_store_free);

/* Takes fd, on success. -EEXIST; -ENOSPC: there are FD_STORE_MAX; -EINVAL: name has a byte that is not
 * printable ASCII, or a colon; -ENAMETOOLONG. */
int fd_store_add(FdStore *s, const char *name, int fd);
/* Borrowed. -ENOENT. */
int fd_store_get(const FdStore *s, const char *name);
/* Closes those that are not wanted, here and at the service manager. */
void fd_store_filter(FdStore *s, bool (*is_wanted)(const char *name, void *userdata), void *userdata);
