/* SPDX-License-Identifier: Apache-2.0 */
/* Descriptor numbers that select() can wait for, for libraries that do: a greater one ends the process. Some
 * are kept free from the start, so that who opens thousands of others leaves them. Any thread. */
#pragma once

#include "base/macros.h"

#define LOW_FDS_KEPT 16U /* more serial lines than one gateway has */

/* Once, at the start; without it none are kept. */
void low_fd_reserve(void);
/* fd under such a number; the old one is closed, also on failure. -EMFILE: there is none. */
int low_fd_take(int fd);
/* Closes what low_fd_take() gave. Its number is kept again. -EBADF is accepted. */
void low_fd_release(int fd);
