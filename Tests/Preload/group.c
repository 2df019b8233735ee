// Opens an educational device (1234:11e8) through its group, as VFIO programs do, and makes it work: identity, liveness
// check, factorial with an interrupt, DMA both ways. Takes the device's address. Prints what it found.
#include <errno.h>
#include <fcntl.h>
#include <linux/vfio.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

#define CHECK(what)                                                                                                    \
    do {                                                                                                               \
        if (!(what)) {                                                                                                 \
            fprintf(stderr, "line %d: %s: %s\n", __LINE__, #what, strerror(errno));                                    \
            return 1;                                                                                                  \
        }                                                                                                              \
    } while (0)

int main(int count, char **arguments) {
    const char *address = count > 1 ? arguments[1] : "0000:02:00.0";
    char path[256], link[256];
    snprintf(path, sizeof path, "/sys/bus/pci/devices/%s/iommu_group", address);
    ssize_t n = readlink(path, link, sizeof link - 1);
    CHECK(n > 0);
    link[n] = 0;
    snprintf(path, sizeof path, "/dev/vfio%s", strrchr(link, '/'));
    int container = open("/dev/vfio/vfio", O_RDWR);
    CHECK(container >= 0);
    CHECK(ioctl(container, VFIO_GET_API_VERSION) == VFIO_API_VERSION);
    int group = open(path, O_RDWR);
    CHECK(group >= 0);
    struct vfio_group_status status = {.argsz = sizeof status};
    CHECK(ioctl(group, VFIO_GROUP_GET_STATUS, &status) == 0 && (status.flags & VFIO_GROUP_FLAGS_VIABLE));
    CHECK(ioctl(group, VFIO_GROUP_SET_CONTAINER, &container) == 0);
    CHECK(ioctl(container, VFIO_SET_IOMMU, VFIO_TYPE1v2_IOMMU) == 0);
    int device = ioctl(group, VFIO_GROUP_GET_DEVICE_FD, address);
    CHECK(device >= 0);
    struct vfio_region_info bar = {.argsz = sizeof bar, .index = 0}, config = {.argsz = sizeof config, .index = 7};
    CHECK(ioctl(device, VFIO_DEVICE_GET_REGION_INFO, &bar) == 0);
    CHECK(ioctl(device, VFIO_DEVICE_GET_REGION_INFO, &config) == 0);
    uint16_t command;
    CHECK(pread(device, &command, 2, (off_t)config.offset + 4) == 2);
    command |= 6;
    CHECK(pwrite(device, &command, 2, (off_t)config.offset + 4) == 2);
    uint32_t identity, value = 0x12345678, answer;
    CHECK(pread(device, &identity, 4, (off_t)bar.offset) == 4);
    CHECK(pwrite(device, &value, 4, (off_t)bar.offset + 4) == 4);
    CHECK(pread(device, &answer, 4, (off_t)bar.offset + 4) == 4);
    CHECK(answer == ~value);
    printf("identity %08x\n", identity);

    // An interrupt at the end of a factorial.
    int event = eventfd(0, EFD_NONBLOCK);
    struct {
        struct vfio_irq_set head;
        int event;
    } irq = {{sizeof irq, VFIO_IRQ_SET_DATA_EVENTFD | VFIO_IRQ_SET_ACTION_TRIGGER, VFIO_PCI_MSI_IRQ_INDEX, 0, 1}, event};
    CHECK(ioctl(device, VFIO_DEVICE_SET_IRQS, &irq) == 0);
    value = 0x80;
    CHECK(pwrite(device, &value, 4, (off_t)bar.offset + 0x20) == 4);
    value = 5;
    CHECK(pwrite(device, &value, 4, (off_t)bar.offset + 8) == 4);
    uint64_t events = 0;
    for (int i = 0; i < 1000 && read(event, &events, 8) != 8; i++) usleep(1000);
    CHECK(events == 1);
    CHECK(pread(device, &answer, 4, (off_t)bar.offset + 8) == 4);
    printf("5! is %u\n", answer);

    // Memory to the device and back.
    size_t size = 1 << 20;
    uint8_t *memory = mmap(0, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    CHECK(memory != MAP_FAILED);
    struct vfio_iommu_type1_dma_map map = {sizeof map, VFIO_DMA_MAP_FLAG_READ | VFIO_DMA_MAP_FLAG_WRITE,
                                           (uintptr_t)memory, 0x100000, size};
    CHECK(ioctl(container, VFIO_IOMMU_MAP_DMA, &map) == 0);
    strcpy((char *)memory, "there and back");
    uint64_t steps[2][4] = {{0x100000, 0x40000, 16, 1}, {0x40000, 0x101000, 16, 3}};
    for (int step = 0; step < 2; step++) {
        for (int i = 0; i < 4; i++)
            CHECK(pwrite(device, &steps[step][i], 8, (off_t)bar.offset + 0x80 + 8 * i) == 8);
        uint64_t busy = 1;
        for (int i = 0; i < 1000 && (busy & 1); i++) {
            CHECK(pread(device, &busy, 8, (off_t)bar.offset + 0x98) == 8);
            if (busy & 1) usleep(1000);
        }
        CHECK(!(busy & 1));
    }
    printf("%s\n", (char *)memory + 0x1000);
    CHECK(close(device) == 0 && close(group) == 0 && close(container) == 0);
    return 0;
}
