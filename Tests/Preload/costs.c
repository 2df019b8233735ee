// What calls cost, in nanoseconds, each the least of several rounds: one line "name nanoseconds" for each. Run by
// itself it tells of calls that have nothing to do with VFIO; with an NVMe disk's address, under `vfio run`, of that
// disk's registers and requests too.
//
//   costs [ADDRESS]
#include <errno.h>
#include <fcntl.h>
#include <linux/vfio.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#define CHECK(what)                                                                                                    \
    do {                                                                                                               \
        if (!(what)) {                                                                                                 \
            fprintf(stderr, "line %d: %s: %s\n", __LINE__, #what, strerror(errno));                                    \
            exit(1);                                                                                                   \
        }                                                                                                              \
    } while (0)

static uint64_t now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

#define MEASURE(name, rounds, operations, call)                                                                        \
    do {                                                                                                               \
        double least = 1e18;                                                                                           \
        for (int round = 0; round < (rounds); round++) {                                                               \
            uint64_t begin = now();                                                                                    \
            for (int i = 0; i < (operations); i++) call;                                                               \
            double each = (double)(now() - begin) / (operations);                                                      \
            if (each < least) least = each;                                                                            \
        }                                                                                                              \
        printf("%s %.2f\n", name, least);                                                                              \
    } while (0)

int main(int count, char **arguments) {
    int null = open("/dev/null", O_RDWR);
    CHECK(null >= 0);
    char byte = 0;
    MEASURE("getppid", 15, 20000, syscall(SYS_getppid));
    MEASURE("close", 15, 20000, close(-1));
    MEASURE("ioctl", 15, 20000, ioctl(null, FIONREAD, &byte));
    MEASURE("pread", 15, 20000, (void)!pread(null, &byte, 1, 0));
    MEASURE("write", 15, 20000, (void)!write(null, &byte, 1));
    // Work that makes no calls of ours: memory taken, filled and given back.
    MEASURE("work", 15, 2000, {
        char *memory = malloc(4096);
        CHECK(memory);
        memset(memory, i, 4096);
        __asm__ volatile("" : : "r"(memory) : "memory");
        free(memory);
    });
    if (count < 2) return 0;

    char path[256], link[256];
    snprintf(path, sizeof path, "/sys/bus/pci/devices/%s/iommu_group", arguments[1]);
    ssize_t n = readlink(path, link, sizeof link - 1);
    CHECK(n > 0);
    link[n] = 0;
    snprintf(path, sizeof path, "/dev/vfio%s", strrchr(link, '/'));
    int container = open("/dev/vfio/vfio", O_RDWR), group = open(path, O_RDWR);
    CHECK(container >= 0 && group >= 0);
    CHECK(ioctl(group, VFIO_GROUP_SET_CONTAINER, &container) == 0);
    CHECK(ioctl(container, VFIO_SET_IOMMU, VFIO_TYPE1v2_IOMMU) == 0);
    int device = ioctl(group, VFIO_GROUP_GET_DEVICE_FD, arguments[1]);
    CHECK(device >= 0);
    struct vfio_region_info bar = {.argsz = sizeof bar, .index = 0}, config = {.argsz = sizeof config, .index = 7};
    CHECK(ioctl(device, VFIO_DEVICE_GET_REGION_INFO, &bar) == 0);
    CHECK(ioctl(device, VFIO_DEVICE_GET_REGION_INFO, &config) == 0);
    uint16_t command = 6;
    CHECK(pwrite(device, &command, 2, (off_t)config.offset + 4) == 2);
    struct vfio_device_info info = {.argsz = sizeof info};
    MEASURE("GET_API_VERSION", 15, 20000, ioctl(container, VFIO_GET_API_VERSION));
    MEASURE("DEVICE_GET_INFO", 15, 20000, ioctl(device, VFIO_DEVICE_GET_INFO, &info));
    uint32_t value;
    MEASURE("register-pread", 15, 20000, (void)!pread(device, &value, 4, (off_t)bar.offset + 8));
    MEASURE("register-pwrite", 15, 20000, (void)!pwrite(device, &value, 4, (off_t)bar.offset + 0x14));
    if (!(bar.flags & VFIO_REGION_INFO_FLAG_MMAP)) return 0;
    volatile uint32_t *registers =
        mmap(0, bar.size, PROT_READ | PROT_WRITE, MAP_SHARED, device, (off_t)bar.offset);
    CHECK(registers != MAP_FAILED);
    MEASURE("register-load", 15, 5000, (void)registers[2]);
    MEASURE("register-store", 15, 5000, registers[5] = 0);
    return 0;
}
