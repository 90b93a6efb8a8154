/* SPDX-License-Identifier: Apache-2.0 */
/* A secret in a file of its own: a credential of the service, a token of a command line. No state, any thread. */
#pragma once

/* The text of the file, without one line end behind it. -EFBIG, -EILSEQ, -ENODATA or as open(2) and read(2).
 * Caller frees. */
int secret_read(const char *path, char **ret);
/* What is wrong, in words. */
const char *secret_problem(int error);
