// What calls cost, in nanoseconds, each the least of several rounds: one line "name nanoseconds" for each. Run by
// itself it tells of calls that have nothing to do with VFIO; with an NVMe disk's address, under `vfio run`, of that
// disk's registers and requests too.
//
//   costs [ADDRESS]
#include "check.h"

#include <sys/mman.h>
#include <sys/syscall.h>
#include <time.h>

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
    NEED(null >= 0);
    char byte = 0;
    MEASURE("getppid", 15, 20000, syscall(SYS_getppid));
    MEASURE("close", 15, 20000, close(-1));
    MEASURE("ioctl", 15, 20000, ioctl(null, FIONREAD, &byte));
    MEASURE("pread", 15, 20000, (void)!pread(null, &byte, 1, 0));
    MEASURE("write", 15, 20000, (void)!write(null, &byte, 1));
    // Work that makes no calls of ours: memory taken, filled and given back.
    MEASURE("work", 15, 2000, {
        char *memory = malloc(4096);
        NEED(memory);
        memset(memory, i, 4096);
        __asm__ volatile("" : : "r"(memory) : "memory");
        free(memory);
    });
    if (count < 2) return 0;

    find_group(count, arguments);
    struct opened o = open_device();
    struct vfio_device_info info = {.argsz = sizeof info};
    MEASURE("GET_API_VERSION", 15, 20000, ioctl(o.container, VFIO_GET_API_VERSION));
    MEASURE("DEVICE_GET_INFO", 15, 20000, ioctl(o.device, VFIO_DEVICE_GET_INFO, &info));
    uint32_t value;
    MEASURE("register-pread", 15, 20000, (void)!pread(o.device, &value, 4, (off_t)o.bar.offset + 8));
    MEASURE("register-pwrite", 15, 20000, (void)!pwrite(o.device, &value, 4, (off_t)o.bar.offset + 0x14));
    if (!(o.bar.flags & VFIO_REGION_INFO_FLAG_MMAP)) return 0;
    volatile uint32_t *registers =
        mmap(0, o.bar.size, PROT_READ | PROT_WRITE, MAP_SHARED, o.device, (off_t)o.bar.offset);
    NEED(registers != MAP_FAILED);
    MEASURE("register-load", 15, 5000, (void)registers[2]);
    MEASURE("register-store", 15, 5000, registers[5] = 0);
    return 0;
}
