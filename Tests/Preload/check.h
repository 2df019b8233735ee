// What the programs here share: they say what they expected and what came instead, go on, and end with 1 if anything
// was different. They are written for Linux; nothing in them knows that there is a library under them.
#pragma once
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include <errno.h>
#include <fcntl.h>
#include <linux/vfio.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

static int failures;

#define CHECK(what)                                                                                                    \
    do {                                                                                                               \
        errno = 0;                                                                                                     \
        if (!(what)) {                                                                                                 \
            fprintf(stderr, "%s:%d: not so: %s (%s)\n", __FILE__, __LINE__, #what, strerror(errno));                   \
            failures++;                                                                                                \
        }                                                                                                              \
    } while (0)

// A call that must fail with an errno.
#define FAILS(call, error)                                                                                             \
    do {                                                                                                               \
        errno = 0;                                                                                                     \
        long result_ = (long)(call);                                                                                   \
        if (result_ != -1 || errno != (error)) {                                                                       \
            fprintf(stderr, "%s:%d: %s: %ld, %s instead of %s\n", __FILE__, __LINE__, #call, result_, strerror(errno), \
                    strerror(error));                                                                                  \
            failures++;                                                                                                \
        }                                                                                                              \
    } while (0)

// Without which there is no point in going on.
#define NEED(what)                                                                                                     \
    do {                                                                                                               \
        if (!(what)) {                                                                                                 \
            fprintf(stderr, "%s:%d: needed: %s (%s)\n", __FILE__, __LINE__, #what, strerror(errno));                   \
            exit(1);                                                                                                   \
        }                                                                                                              \
    } while (0)

static const char *device_address = "0000:02:00.0";
static char group_path[64];

struct opened {
    int container, group, device;
    struct vfio_region_info bar, config;
};

static inline void find_group(int count, char **arguments) {
    char path[256], link[256];
    if (count > 1) device_address = arguments[1];
    snprintf(path, sizeof path, "/sys/bus/pci/devices/%s/iommu_group", device_address);
    ssize_t n = readlink(path, link, sizeof link - 1);
    NEED(n > 0);
    link[n] = 0;
    snprintf(group_path, sizeof group_path, "/dev/vfio%.20s", strrchr(link, '/'));
}

static inline struct opened open_device(void) {
    struct opened o = {.bar = {.argsz = sizeof o.bar, .index = 0}, .config = {.argsz = sizeof o.config, .index = 7}};
    NEED((o.container = open("/dev/vfio/vfio", O_RDWR | O_CLOEXEC)) >= 0);
    NEED((o.group = open(group_path, O_RDWR)) >= 0);
    NEED(ioctl(o.group, VFIO_GROUP_SET_CONTAINER, &o.container) == 0);
    NEED(ioctl(o.container, VFIO_SET_IOMMU, VFIO_TYPE1v2_IOMMU) == 0);
    NEED((o.device = ioctl(o.group, VFIO_GROUP_GET_DEVICE_FD, device_address)) >= 0);
    NEED(ioctl(o.device, VFIO_DEVICE_GET_REGION_INFO, &o.bar) == 0);
    NEED(ioctl(o.device, VFIO_DEVICE_GET_REGION_INFO, &o.config) == 0);
    uint16_t command;
    NEED(pread(o.device, &command, 2, (off_t)o.config.offset + 4) == 2);
    command |= 2;
    NEED(pwrite(o.device, &command, 2, (off_t)o.config.offset + 4) == 2);
    return o;
}

static inline void close_device(struct opened *o) {
    CHECK(close(o->device) == 0);
    CHECK(close(o->group) == 0);
    CHECK(close(o->container) == 0);
}

static inline int done(void) {
    if (failures) return 1;
    puts("as expected");
    return 0;
}
