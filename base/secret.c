/* SPDX-License-Identifier: Apache-2.0 */
/* Reads a secret. No state, any thread. */
#include "base/secret.h"

#include <errno.h>
#include <fcntl.h>

#include "base/bounds.h"
#include "base/macros.h"

int secret_read(const char *path, char **ret) {
        g_autofree char *text = g_malloc0(CONF_CREDENTIAL_MAX + 2);
        _cleanup_(safe_closep) int fd = -EBADF;
        size_t n = 0;

        fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY);
        if (fd < 0)
                return -errno;
        for (;;) {
                ssize_t got = read(fd, text + n, CONF_CREDENTIAL_MAX + 1 - n);

                if (got < 0 && errno == EINTR)
                        continue;
                if (got < 0)
                        return -errno;
                n += (size_t) got;
                if (n > CONF_CREDENTIAL_MAX)
                        return -EFBIG;
                if (got == 0)
                        break;
        }
        if (n > 0 && text[n - 1] == '\n')
                text[--n] = '\0';
        if (strlen(text) != n || !g_utf8_validate(text, -1, NULL))
                return -EILSEQ;
        if (n == 0)
                return -ENODATA;

        *ret = TAKE_PTR(text);
        return 0;
}

const char *secret_problem(int error) {
        switch (error) {
        case -EFBIG:
                return "larger than 64 KiB";
        case -EILSEQ:
                return "not UTF-8 text";
        case -ENODATA:
                return "empty";
        default:
                return g_strerror(-error);
        }
}
