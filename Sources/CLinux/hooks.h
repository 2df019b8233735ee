// For the library that stands in front of the C library: what programs hand to the names that it interposes.
#pragma once

#include <dirent.h>
#include <errno.h>
#include <ftw.h>
#include <glob.h>
#include <poll.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/select.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

#define CLINUX static inline __attribute__((always_inline, unused))

CLINUX int clinux_folder_of(void *stream) { return dirfd((DIR *)stream); }
CLINUX const char *clinux_name_of(const struct dirent *entry) { return entry->d_name; }
CLINUX uint64_t clinux_device_number(uint32_t major, uint32_t minor) { return makedev(major, minor); }
CLINUX int clinux_number_of(void *stream) { return fileno((FILE *)stream); }

// Makes a structure of stat(2) that of a device's node. Its rights stay.
CLINUX void clinux_shape_node(struct stat *s, uint32_t major, uint32_t minor) {
    s->st_mode = S_IFCHR | (s->st_mode & 0777);
    // The time of change says which node it is; that is nobody else's concern.
    s->st_mtim = s->st_atim = s->st_ctim;
    s->st_rdev = makedev(major, minor);
    s->st_size = 0;
    s->st_blocks = 0;
}
// That of a file without a name: one that a request made.
CLINUX void clinux_shape_nameless(struct stat *s) {
    s->st_mode = 0600;
    s->st_rdev = 0;
    s->st_size = 0;
    s->st_blocks = 0;
}

// In the child after fork(2); the C library's pthread_atfork is not in its shared part.
extern int __register_atfork(void (*prepare)(void), void (*parent)(void), void (*child)(void), void *library);
CLINUX int clinux_at_fork_child(void (*child)(void)) {
    return __register_atfork((void (*)(void))0, (void (*)(void))0, child, (void *)0);
}

// ftw(3) and nftw(3): the paths that the program's function is called with are cut at their beginning, and nodes
// look like nodes.
struct clinux_walk {
    void *step;
    size_t cut;
    int has_places;
    int (*shape)(struct stat *);
};
struct clinux_walk_place {
    int base, level;
};
static inline __attribute__((unused)) struct clinux_walk *clinux_walk(void) {
    static __thread struct clinux_walk walk;
    return &walk;
}
static int clinux_walk_step(const char *path, const struct stat *status, int type, struct clinux_walk_place *place) {
    struct clinux_walk *walk = clinux_walk();
    struct stat shaped = *status;
    if (type == FTW_F) walk->shape(&shaped);
    if (!walk->has_places)
        return ((int (*)(const char *, const struct stat *, int))walk->step)(path + walk->cut, &shaped, type);
    struct clinux_walk_place seen = {place->base - (int)walk->cut, place->level};
    return ((int (*)(const char *, const struct stat *, int, struct clinux_walk_place *))walk->step)(
        path + walk->cut, &shaped, type, &seen);
}
// `real` is nftw, or ftw where flags are below 0.
CLINUX int clinux_walk_tree(void *real, const char *path, size_t cut, void *step, int most, int flags,
                            int (*shape)(struct stat *)) {
    struct clinux_walk outer = *clinux_walk();
    struct clinux_walk inner = {step, cut, flags >= 0, shape};
    *clinux_walk() = inner;
    int result = flags >= 0 ? ((int (*)(const char *, void *, int, int))real)(path, (void *)clinux_walk_step, most, flags)
                            : ((int (*)(const char *, void *, int))real)(path, (void *)clinux_walk_step, most);
    *clinux_walk() = outer;
    return result;
}

#undef CLINUX
