/* SPDX-License-Identifier: Apache-2.0 */
/* Owns an inotify descriptor and the list of names that are waited for in each watched directory. After each
 * change that matters all watches are made anew: a change may have put another directory in the way. Loop
 * thread. */

#include <errno.h>
#include <limits.h>
#include <sys/inotify.h>
#include <sys/stat.h>

#include "link/path-watch.h"

#define LINKS_MAX 40U /* as the kernel */
#define CHANGES (IN_CREATE | IN_MOVED_TO | IN_MOVED_FROM | IN_DELETE | IN_ATTRIB | IN_DELETE_SELF | IN_MOVE_SELF)
#define CHANGES_OF_ITSELF (IN_DELETE_SELF | IN_MOVE_SELF | IN_UNMOUNT | IN_IGNORED | IN_Q_OVERFLOW)

/* One name on the way. */
typedef struct Step {
        int wd;
        char *name;
} Step;

struct PathWatch {
        sd_event *event;
        sd_event_source *source;
        const char *description;
        PathWatchCallback callback;
        void *userdata;
        char *path;     /* absolute */
        GArray *steps;  /* Step */
        int fd;
};

static void step_clear(void *step) {
        g_free(((Step *) step)->name);
}

/* Where a walk is: a directory without links, and what comes behind it. */
typedef struct Walk {
        char *directory;
        char *rest;
        unsigned links;
} Walk;

static void walk_set(char **p, char *value) {
        g_free(*p);
        *p = value;
}

/* The next name; NULL: there is none. Caller frees. */
static char *walk_next(Walk *w) {
        const char *begin = w->rest + strspn(w->rest, "/");
        size_t n = strcspn(begin, "/");
        char *name;

        if (n == 0)
                return NULL;
        name = g_strndup(begin, n);
        walk_set(&w->rest, g_strdup(begin + n));
        return name;
}

static bool walk_follow(Walk *w, const char *link) {
        char target[PATH_MAX];
        ssize_t n;

        n = readlink(link, target, sizeof(target) - 1);
        if (n <= 0 || ++w->links > LINKS_MAX)
                return false;
        target[n] = '\0';
        walk_set(&w->rest, g_strconcat(target, "/", w->rest, NULL));
        if (target[0] == '/')
                walk_set(&w->directory, g_strdup("/"));
        return true;
}

/* One name further. Returns whether it is there. */
static bool walk_step(PathWatch *p, Walk *w, char *name) {
        g_autofree char *path = NULL;
        struct stat st;
        Step step;

        if (streq(name, ".") || streq(name, "..")) {
                if (streq(name, ".."))
                        walk_set(&w->directory, g_path_get_dirname(w->directory));
                g_free(name);
                return true;
        }

        path = g_build_filename(w->directory, name, NULL);
        step = (Step) { inotify_add_watch(p->fd, w->directory, CHANGES | IN_ONLYDIR), name };
        g_array_append_val(p->steps, step);

        if (lstat(path, &st) < 0)
                return false;
        if (S_ISLNK(st.st_mode))
                return walk_follow(w, path);
        walk_set(&w->directory, TAKE_PTR(path));
        return true;
}

/* Watches the whole way, as far as it exists. Each directory is watched before it is looked into, so that
 * nothing is missed. Returns whether the file is there. */
static bool watch_walk(PathWatch *p) {
        Walk w = { .directory = g_strdup("/"), .rest = g_strdup(p->path) };
        bool there = true;
        char *name;

        g_array_set_size(p->steps, 0);
        while (there && (name = walk_next(&w)))
                there = walk_step(p, &w, name);

        g_free(w.directory);
        g_free(w.rest);
        return there;
}

static int watch_on_io(sd_event_source *source, int fd, uint32_t revents, void *userdata);

static void watch_close(PathWatch *p) {
        p->source = sd_event_source_disable_unref(p->source);
        p->fd = safe_close(p->fd);
}

/* A descriptor without the watches of before. On failure the old one stays, if there is one. */
static int watch_open(PathWatch *p) {
        _cleanup_(safe_closep) int fd = inotify_init1(IN_NONBLOCK | IN_CLOEXEC);
        sd_event_source *source;
        int r;

        if (fd < 0)
                return -errno;
        r = sd_event_add_io(p->event, &source, fd, EPOLLIN, watch_on_io, p);
        if (r < 0)
                return r;
        (void) sd_event_source_set_description(source, p->description);

        watch_close(p);
        p->source = source;
        p->fd = TAKE_FD(fd);
        return 0;
}

static bool watch_concerns(const PathWatch *p, const struct inotify_event *e) {
        if (e->mask & CHANGES_OF_ITSELF)
                return true;
        if (e->len == 0)
                return false;
        for (guint i = 0; i < p->steps->len; i++) {
                const Step *step = &g_array_index(p->steps, Step, i);

                if (step->wd == e->wd && streq(step->name, e->name))
                        return true;
        }
        return false;
}

/* Takes what the kernel has. Returns whether any of it matters. */
static bool watch_read(const PathWatch *p) {
        union {
                struct inotify_event event; /* for its alignment */
                char bytes[16384];
        } buffer;
        bool concerned = false;
        ssize_t n = read(p->fd, &buffer, sizeof(buffer));

        for (ssize_t at = 0; n - at >= (ssize_t) sizeof(struct inotify_event);) {
                const struct inotify_event *e = (const struct inotify_event *) (const void *) (buffer.bytes + at);

                concerned = concerned || watch_concerns(p, e);
                at += (ssize_t) (sizeof(*e) + e->len);
        }
        return concerned;
}

static int watch_on_io(sd_event_source *source, int fd, uint32_t revents, void *userdata) {
        PathWatch *p = userdata;

        if (!watch_read(p))
                return 0;

        (void) watch_open(p); /* the old one does as well: watches that are not needed any more harm nobody */
        if (watch_walk(p))
                p->callback(p->userdata); /* may free p */
        return 0;
}

int path_watch_new(sd_event *event, const char *path, const char *description, PathWatchCallback callback,
                   void *userdata, PathWatch **ret) {
        _cleanup_(path_watch_freep) PathWatch *p = g_new0(PathWatch, 1);
        int r;

        p->event = sd_event_ref(event);
        p->description = description;
        p->callback = callback;
        p->userdata = userdata;
        p->path = g_path_is_absolute(path) ? g_strdup(path) : g_strconcat("/proc/self/cwd/", path, NULL);
        p->fd = -EBADF;
        p->steps = g_array_new(FALSE, FALSE, sizeof(Step));
        g_array_set_clear_func(p->steps, step_clear);

        r = watch_open(p);
        if (r < 0)
                return r;
        (void) watch_walk(p);

        *ret = TAKE_PTR(p);
        return 0;
}

PathWatch *path_watch_free(PathWatch *p) {
        if (!p)
                return NULL;

        watch_close(p);
        g_array_unref(p->steps);
        g_free(p->path);
        sd_event_unref(p->event);
        g_free(p);
        return NULL;
}
