// Binds a device to drivers by sysfs, as scripts do: what each write answers, and what /sys and /dev show afterwards.
#include "check.h"
#include <sys/stat.h>

static int put(const char *path, const char *text) {
    int file = open(path, O_WRONLY);
    if (file < 0) return -1;
    ssize_t n = write(file, text, strlen(text));
    int error = errno;
    close(file);
    errno = error;
    return n == (ssize_t)strlen(text) ? 0 : -1;
}

static const char *driver(const char *address) {
    static char link[256];
    char path[256];
    snprintf(path, sizeof path, "/sys/bus/pci/devices/%s/driver", address);
    ssize_t n = readlink(path, link, sizeof link - 1);
    if (n < 0) return "none";
    link[n] = 0;
    return strrchr(link, '/') + 1;
}

int main(int count, char **arguments) {
    find_group(count, arguments);
    const char *unbind = "/sys/bus/pci/drivers/vfio-pci/unbind", *bind = "/sys/bus/pci/drivers/vfio-pci/bind";
    char override[256], own[256], text[64];
    snprintf(override, sizeof override, "/sys/bus/pci/devices/%s/driver_override", device_address);
    snprintf(own, sizeof own, "/sys/bus/pci/drivers/vfio-pci/%s", device_address);
    CHECK(strcmp(driver(device_address), "vfio-pci") == 0 && access(own, F_OK) == 0);

    FAILS(put(unbind, "0000:7f:00.0"), ENODEV);
    FAILS(put(unbind, "rubbish"), ENODEV);
    // The same file by the device's own link.
    snprintf(text, sizeof text, "/sys/bus/pci/devices/%s/driver/unbind", device_address);
    CHECK(put(text, device_address) == 0);
    CHECK(strcmp(driver(device_address), "none") == 0);
    FAILS(access(own, F_OK), ENOENT);
    FAILS(open(group_path, O_RDWR), ENOENT);
    FAILS(put(unbind, device_address), ENODEV);

    // vfio-pci takes only what it is told to.
    FAILS(put(bind, device_address), ENODEV);
    CHECK(put(override, "vfio-pci\n") == 0);
    int file = open(override, O_RDONLY);
    CHECK(read(file, text, sizeof text) == 9 && memcmp(text, "vfio-pci\n", 9) == 0);
    close(file);
    snprintf(text, sizeof text, "%s\n", device_address);
    CHECK(put(bind, text) == 0);
    CHECK(strcmp(driver(device_address), "vfio-pci") == 0 && access(own, F_OK) == 0);
    FAILS(put(bind, device_address), EBUSY);
    struct opened o = open_device();
    close_device(&o);

    // As dpdk-devbind.py and driverctl do it.
    CHECK(put(unbind, device_address) == 0);
    CHECK(chdir("/sys/bus/pci") == 0);
    CHECK(put("drivers_probe", device_address) == 0);
    CHECK(strcmp(driver(device_address), "vfio-pci") == 0);
    CHECK(put(unbind, device_address) == 0 && put(override, "\n") == 0);
    CHECK(put("/sys/bus/pci/drivers/vfio-pci/new_id", "1234 11e8") == 0);
    CHECK(strcmp(driver(device_address), "vfio-pci") == 0);
    FAILS(put("/sys/bus/pci/drivers/vfio-pci/new_id", "1234 11e8"), EEXIST);
    FAILS(put("/sys/bus/pci/drivers/vfio-pci/new_id", "what"), EINVAL);
    o = open_device();
    close_device(&o);
    return done();
}
