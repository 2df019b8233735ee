// Makes virtual functions by sysfs, uses one, and takes them away again, as scripts do. Takes the address of a physical
// function with room for four.
#include "check.h"
#include <sys/stat.h>

static char folder[256];

static int put(const char *name, const char *text) {
    char path[320];
    snprintf(path, sizeof path, "%s/%s", folder, name);
    int file = open(path, O_WRONLY);
    if (file < 0) return -1;
    ssize_t n = write(file, text, strlen(text));
    int error = errno;
    close(file);
    errno = error;
    return n == (ssize_t)strlen(text) ? 0 : -1;
}

static int number(const char *name) {
    char path[320], text[32] = "";
    snprintf(path, sizeof path, "%s/%s", folder, name);
    int file = open(path, O_RDONLY);
    if (file < 0) return -1;
    ssize_t n = read(file, text, sizeof text - 1);
    close(file);
    return n > 0 ? atoi(text) : -1;
}

static const char *target(const char *name) {
    static char link[256];
    char path[320];
    snprintf(path, sizeof path, "%s/%s", folder, name);
    ssize_t n = readlink(path, link, sizeof link - 1);
    if (n < 0) return "none";
    link[n] = 0;
    return strrchr(link, '/') + 1;
}

int main(int count, char **arguments) {
    find_group(count, arguments);
    snprintf(folder, sizeof folder, "/sys/bus/pci/devices/%s", device_address);
    CHECK(number("sriov_totalvfs") == 4 && number("sriov_numvfs") == 0);
    FAILS(put("sriov_numvfs", "5"), ERANGE);
    FAILS(put("sriov_numvfs", "many"), EINVAL);
    CHECK(put("sriov_numvfs", "2\n") == 0);
    CHECK(number("sriov_numvfs") == 2);
    FAILS(put("sriov_numvfs", "3"), EBUSY);
    CHECK(number("sriov_numvfs") == 2);
    char first[64], path[320];
    snprintf(first, sizeof first, "%s", target("virtfn0"));
    CHECK(strcmp(first, "none") != 0 && strcmp(target("virtfn1"), "none") != 0);
    CHECK(strcmp(target("virtfn2"), "none") == 0);
    snprintf(path, sizeof path, "/sys/bus/pci/devices/%s/physfn", first);
    CHECK(access(path, F_OK) == 0);
    // Reading it with a descriptor that could write changes nothing.
    snprintf(path, sizeof path, "%s/sriov_numvfs", folder);
    int file = open(path, O_RDWR);
    CHECK(file >= 0 && close(file) == 0 && number("sriov_numvfs") == 2);

    // One of them, through its own group.
    char *of_function[] = {arguments[0], first};
    char physical[64];
    snprintf(physical, sizeof physical, "%s", device_address);
    find_group(2, of_function);
    char node[256];
    snprintf(node, sizeof node, "%s", group_path);
    FAILS(access(node, F_OK), ENOENT);
    snprintf(path, sizeof path, "echo vfio-pci > /sys/bus/pci/devices/%s/driver_override && "
             "echo %s > /sys/bus/pci/drivers_probe", first, first);
    CHECK(system(path) == 0);
    CHECK(access(node, F_OK) == 0);
    struct opened o = open_device();
    close_device(&o);

    device_address = physical;
    CHECK(put("sriov_numvfs", "0") == 0 && number("sriov_numvfs") == 0);
    CHECK(strcmp(target("virtfn0"), "none") == 0);
    snprintf(path, sizeof path, "/sys/bus/pci/devices/%s", first);
    FAILS(access(path, F_OK), ENOENT);
    FAILS(access(node, F_OK), ENOENT);
    // A shell in another process, and again.
    char line[320];
    snprintf(line, sizeof line, "echo 4 > %s/sriov_numvfs", folder);
    CHECK(system(line) == 0);
    CHECK(number("sriov_numvfs") == 4 && strcmp(target("virtfn3"), "none") != 0);
    return done();
}
