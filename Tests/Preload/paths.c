// What tells of files: /sys and /dev look as on a machine with the device, by whatever call and from wherever.
#include "check.h"
#include <dirent.h>
#include <ftw.h>
#include <glob.h>
#include <limits.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/types.h>

extern int __xstat(int, const char *, struct stat *);
extern int __lxstat64(int, const char *, struct stat64 *);
extern int __fxstat(int, int, struct stat *);
extern int __fxstatat(int, int, const char *, struct stat *, int);
extern char *__realpath_chk(const char *, char *, size_t);
extern ssize_t __readlink_chk(const char *, char *, size_t, size_t);
extern ssize_t __readlinkat_chk(int, const char *, char *, size_t, size_t);
extern char *__getcwd_chk(char *, size_t, size_t);

static int walked_nodes, walked_wrong;

static int step(const char *path, const struct stat *status, int type, struct FTW *place) {
    if (strncmp(path, "/dev/vfio", 9) != 0) walked_wrong++;
    if (place->level > 0 && path[place->base - 1] != '/') walked_wrong++;
    if (type == FTW_F && S_ISCHR(status->st_mode)) walked_nodes++;
    if (type == FTW_F && S_ISSOCK(status->st_mode)) walked_wrong++;
    return 0;
}

static int old_step(const char *path, const struct stat *status, int type) {
    return strncmp(path, "/sys/kernel/iommu_groups", 24) != 0 || type == FTW_NS || status == NULL;
}

// Everything that tells of the container's node.
static void container(void) {
    const char *path = "/dev/vfio/vfio";
    struct stat s;
    struct stat64 s64;
    struct statx x;
    dev_t number = makedev(10, 196);
#define NODE(what, status) CHECK((what) == 0 && S_ISCHR(status.st_mode) && status.st_rdev == number && status.st_size == 0)
    NODE(stat(path, &s), s);
    NODE(lstat(path, &s), s);
    NODE(stat64(path, &s64), s64);
    NODE(fstatat(AT_FDCWD, path, &s, 0), s);
    NODE(__xstat(1, path, &s), s);
    NODE(__lxstat64(1, path, &s64), s64);
    NODE(__fxstatat(1, AT_FDCWD, path, &s, 0), s);
    int fd = open(path, O_RDWR);
    NEED(fd >= 0);
    NODE(fstat(fd, &s), s);
    NODE(fstat64(fd, &s64), s64);
    NODE(fstatat(fd, "", &s, AT_EMPTY_PATH), s);
    NODE(__fxstat(1, fd, &s), s);
    memset(&x, 0xff, sizeof x);
    CHECK(statx(AT_FDCWD, path, 0, STATX_BASIC_STATS, &x) == 0 && S_ISCHR(x.stx_mode));
    CHECK(x.stx_rdev_major == 10 && x.stx_rdev_minor == 196 && x.stx_size == 0);
    CHECK(statx(AT_FDCWD, path, 0, STATX_TYPE, &x) == 0 && S_ISCHR(x.stx_mode) && x.stx_rdev_minor == 196);
    memset(&x, 0xff, sizeof x);
    CHECK(statx(fd, "", AT_EMPTY_PATH, STATX_BASIC_STATS, &x) == 0 && S_ISCHR(x.stx_mode) && x.stx_rdev_minor == 196);
    char link[PATH_MAX], name[64];
    snprintf(name, sizeof name, "/proc/self/fd/%d", fd);
    ssize_t n = readlink(name, link, sizeof link);
    CHECK(n == 14 && memcmp(link, path, 14) == 0);
    CHECK(close(fd) == 0);
    CHECK(stat("/dev/null", &s) == 0 && S_ISCHR(s.st_mode) && s.st_rdev == makedev(1, 3));

    CHECK(access(path, R_OK | W_OK) == 0 && faccessat(AT_FDCWD, path, F_OK, 0) == 0);
    CHECK(euidaccess(path, R_OK) == 0 && eaccess(path, R_OK) == 0);
    FAILS(access("/dev/vfio/99", F_OK), ENOENT);
    FAILS(open("/dev/vfio/99", O_RDWR), ENOENT);
    FAILS(open("/dev/vfio/vfio", O_RDWR | O_DIRECTORY), ENOTDIR);
    FAILS(open("/dev/vfio/vfio", O_RDWR | O_CREAT | O_EXCL, 0600), EEXIST);
    FAILS(open("/dev/vfio/vfio/below", O_RDWR), ENOTDIR);
}

// The same nodes by relative names.
static void relative(void) {
    struct stat s;
    int folder = open("/dev/vfio", O_RDONLY | O_DIRECTORY);
    NEED(folder >= 0);
    CHECK(fstatat(folder, "vfio", &s, 0) == 0 && S_ISCHR(s.st_mode));
    int fd = openat(folder, "vfio", O_RDWR);
    CHECK(fd >= 0 && ioctl(fd, VFIO_GET_API_VERSION) == 0);
    close(fd);
    char here[PATH_MAX], *start = getcwd(here, sizeof here), text[PATH_MAX], small[10];
    NEED(start != NULL);
    CHECK(chdir("/dev/vfio") == 0);
    CHECK(getcwd(text, sizeof text) == text && strcmp(text, "/dev/vfio") == 0);
    CHECK(__getcwd_chk(text, sizeof text, sizeof text) == text && strcmp(text, "/dev/vfio") == 0);
    CHECK(getcwd(small, 10) == small && strcmp(small, "/dev/vfio") == 0);
    errno = 0;
    CHECK(getcwd(small, 9) == NULL && errno == ERANGE);
    char *own = get_current_dir_name();
    CHECK(own && strcmp(own, "/dev/vfio") == 0);
    free(own);
    own = getcwd(NULL, 0);
    CHECK(own && strcmp(own, "/dev/vfio") == 0);
    free(own);
    ssize_t n = readlink("/proc/self/cwd", text, sizeof text);
    CHECK(n == 9 && memcmp(text, "/dev/vfio", 9) == 0);
    n = readlink("/proc/self/cwd", text, 4);
    CHECK(n == 4 && memcmp(text, "/dev", 4) == 0);
    n = __readlink_chk("/proc/self/cwd", text, sizeof text, sizeof text);
    CHECK(n == 9);
    CHECK(realpath("vfio", text) == text && strcmp(text, "/dev/vfio/vfio") == 0);
    fd = open("vfio", O_RDWR);
    CHECK(fd >= 0 && ioctl(fd, VFIO_GET_API_VERSION) == 0);
    close(fd);
    CHECK(stat("vfio", &s) == 0 && S_ISCHR(s.st_mode));
    CHECK(chdir(here) == 0 && close(folder) == 0);
}

static void listings(void) {
    DIR *stream = opendir("/dev/vfio");
    NEED(stream != NULL);
    int nodes = 0, folders = 0;
    struct dirent *entry;
    while ((entry = readdir(stream))) {
        CHECK(entry->d_type == DT_CHR || entry->d_type == DT_DIR);
        if (entry->d_type == DT_CHR) nodes++;
        else folders++;
    }
    CHECK(nodes >= 2 && folders >= 2);
    closedir(stream);
    struct dirent **list;
    int n = scandir("/dev/vfio", &list, NULL, alphasort), found = 0;
    CHECK(n == nodes + folders);
    for (int i = 0; i < n; i++) {
        if (list[i]->d_type == DT_CHR) found++;
        free(list[i]);
    }
    CHECK(found == nodes);
    if (n > 0) free(list);

    glob_t names;
    CHECK(glob("/sys/bus/pci/devices/*/vendor", 0, NULL, &names) == 0 && names.gl_pathc >= 1);
    for (size_t i = 0; i < names.gl_pathc; i++) CHECK(strncmp(names.gl_pathv[i], "/sys/bus/pci/devices/", 21) == 0);
    CHECK(glob("/dev/nul?", GLOB_APPEND, NULL, &names) == 0);
    CHECK(strcmp(names.gl_pathv[names.gl_pathc - 1], "/dev/null") == 0);
    globfree(&names);
    CHECK(glob("/dev/vfio/nothing*", 0, NULL, &names) == GLOB_NOMATCH);

    CHECK(nftw("/dev/vfio", step, 10, FTW_PHYS) == 0 && walked_nodes >= nodes && walked_wrong == 0);
    CHECK(ftw("/sys/kernel/iommu_groups", old_step, 10) == 0);
}

static void links(const char *address) {
    char path[256], text[PATH_MAX], again[PATH_MAX];
    snprintf(path, sizeof path, "/sys/bus/pci/devices/%s", address);
    CHECK(realpath(path, text) == text && strncmp(text, "/sys/devices/", 13) == 0 && strstr(text, address));
    CHECK(__realpath_chk(path, again, sizeof again) == again && strcmp(text, again) == 0);
    char *own = canonicalize_file_name(path);
    CHECK(own && strcmp(own, text) == 0);
    free(own);
    int folder = open(path, O_RDONLY | O_DIRECTORY);
    NEED(folder >= 0);
    ssize_t n = readlinkat(folder, "driver", text, sizeof text);
    CHECK(n > 9 && memcmp(text + n - 9, "/vfio-pci", 9) == 0 && text[0] == '.');
    CHECK(__readlinkat_chk(folder, "driver", again, sizeof again, sizeof again) == n);
    char name[64];
    snprintf(name, sizeof name, "/proc/self/fd/%d", folder);
    n = readlink(name, text, sizeof text);
    CHECK(n > 13 && memcmp(text, "/sys/devices/", 13) == 0);
    int vendor = openat(folder, "vendor", O_RDONLY);
    n = read(vendor, text, sizeof text);
    CHECK(n == 7 && memcmp(text, "0x", 2) == 0);
    close(vendor);
    close(folder);
    errno = 0;
    CHECK(realpath("/dev/vfio/none", text) == NULL && errno == ENOENT);
    FAILS(readlink("/dev/vfio/vfio", text, sizeof text), EINVAL);
    FILE *file;
    CHECK((file = fopen("/sys/bus/pci/devices/none/vendor", "r")) == NULL && errno == ENOENT);
    snprintf(path, sizeof path, "/sys/bus/pci/devices/%s/class", address);
    file = fopen(path, "re");
    CHECK(file != NULL && fgets(text, sizeof text, file) && memcmp(text, "0x", 2) == 0);
    if (file) fclose(file);
}

int main(int count, char **arguments) {
    find_group(count, arguments);
    container();
    relative();
    listings();
    links(device_address);
    return done();
}
