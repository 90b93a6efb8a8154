/* SPDX-License-Identifier: Apache-2.0 */
/* Copies one file into a descriptor on a thread of its own: the far side may be as slow as it likes. Loop
 * thread. */
#pragma once

#include <systemd/sd-event.h>

#include "base/macros.h"

typedef struct Copier Copier;
/* error: 0, or negative errno with a sentence. In a later turn; the callee may free the copier. */
typedef void (*CopierCallback)(int error, const char *detail, void *userdata);

int copier_new(sd_event *event, Copier **ret);
/* Never waits: a copy under way ends at its next piece, without a call back. */
Copier *copier_free(Copier *c);
DEFINE_CLEANUP(Copier, copier_free);

/* The file at path is removed as soon as it was opened, and also when it cannot be copied. It takes the place
 * of all that the descriptor's file holds. Where both are on one file system it leaves DISK_SPACE_LEFT (else
 * -ENOSPC). Takes fd over in any case. One at a time. */
int copier_start(Copier *c, const char *path, int fd, CopierCallback callback, void *userdata);
