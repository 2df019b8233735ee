// Opens a device through its group and maps one of its regions. For the programs that touch mapped registers.
#pragma once
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <linux/vfio.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

#define CHECK(what)                                                                                                    \
    do {                                                                                                               \
        if (!(what)) {                                                                                                 \
            fprintf(stderr, "%s:%d: %s: %s\n", __FILE__, __LINE__, #what, strerror(errno));                            \
            exit(1);                                                                                                   \
        }                                                                                                              \
    } while (0)

static int trap_container, trap_group, trap_device;

static void trap_open(const char *address) {
    char path[256], link[256];
    snprintf(path, sizeof path, "/sys/bus/pci/devices/%s/iommu_group", address);
    ssize_t n = readlink(path, link, sizeof link - 1);
    CHECK(n > 0);
    link[n] = 0;
    snprintf(path, sizeof path, "/dev/vfio%s", strrchr(link, '/'));
    CHECK((trap_container = open("/dev/vfio/vfio", O_RDWR)) >= 0);
    CHECK((trap_group = open(path, O_RDWR)) >= 0);
    CHECK(ioctl(trap_group, VFIO_GROUP_SET_CONTAINER, &trap_container) == 0);
    CHECK(ioctl(trap_container, VFIO_SET_IOMMU, VFIO_TYPE1v2_IOMMU) == 0);
    CHECK((trap_device = ioctl(trap_group, VFIO_GROUP_GET_DEVICE_FD, address)) >= 0);
    struct vfio_region_info config = {.argsz = sizeof config, .index = VFIO_PCI_CONFIG_REGION_INDEX};
    CHECK(ioctl(trap_device, VFIO_DEVICE_GET_REGION_INFO, &config) == 0);
    uint16_t command;
    CHECK(pread(trap_device, &command, 2, (off_t)config.offset + 4) == 2);
    command |= 6;
    CHECK(pwrite(trap_device, &command, 2, (off_t)config.offset + 4) == 2);
}

static struct vfio_region_info trap_region(unsigned index) {
    struct vfio_region_info info = {.argsz = sizeof info, .index = index};
    CHECK(ioctl(trap_device, VFIO_DEVICE_GET_REGION_INFO, &info) == 0);
    return info;
}

static void *trap_map(unsigned index) {
    struct vfio_region_info info = trap_region(index);
    CHECK(info.flags & VFIO_REGION_INFO_FLAG_MMAP);
    void *p = mmap(0, info.size, PROT_READ | PROT_WRITE, MAP_SHARED, trap_device, (off_t)info.offset);
    CHECK(p != MAP_FAILED);
    return p;
}
