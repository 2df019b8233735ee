// A small NVMe driver for VFIO: reads blocks of 512 bytes at a given queue depth and says how many it had in a second.
//
//   nvme ADDRESS unmapped|mapped DEPTH COUNT
//
// "unmapped" reaches the registers with pread(2) and pwrite(2), "mapped" through a mapping of BAR 0. Completions are
// polled. Every block that was read is compared with what was written before.
#include "check.h"

#include <sys/mman.h>
#include <time.h>

enum { page = 4096, entries = 256, blocks = 256 };
static const uint64_t iova = 0x100000;
static int device;
static uint64_t registers;
static volatile uint8_t *bar;
static uint8_t *memory;

// Where things lie in the memory that the device sees.
enum { admin_sq = 0, admin_cq = page, io_sq = 2 * page, io_cq = 6 * page, identity = 7 * page, data = 8 * page };

static uint32_t load32(uint64_t at) {
    uint32_t value;
    if (bar) return *(volatile uint32_t *)(bar + at);
    NEED(pread(device, &value, 4, (off_t)(registers + at)) == 4);
    return value;
}
static void store32(uint64_t at, uint32_t value) {
    if (bar) *(volatile uint32_t *)(bar + at) = value;
    else NEED(pwrite(device, &value, 4, (off_t)(registers + at)) == 4);
}
static void store64(uint64_t at, uint64_t value) {
    store32(at, (uint32_t)value);
    store32(at + 4, (uint32_t)(value >> 32));
}
static uint64_t now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

struct queue {
    uint8_t *sq, *cq;
    unsigned size, tail, head, phase, id;
};
static struct queue admin, io;

static void submit(struct queue *q, const uint32_t command[16]) {
    memcpy(q->sq + 64 * q->tail, command, 64);
    q->tail = (q->tail + 1) % q->size;
}
static void ring_tail(struct queue *q) {
    __atomic_thread_fence(__ATOMIC_SEQ_CST);
    store32(0x1000 + 8 * q->id, q->tail);
}
// Takes a completion if there is one: its command's number, or -1.
static int take(struct queue *q) {
    volatile uint32_t *entry = (volatile uint32_t *)(q->cq + 16 * q->head);
    uint32_t last = entry[3];
    if ((last >> 16 & 1) != q->phase) return -1;
    __atomic_thread_fence(__ATOMIC_ACQUIRE);
    NEED(last >> 17 == 0);
    q->head = (q->head + 1) % q->size;
    if (q->head == 0) q->phase ^= 1;
    return (int)(last & 0xffff);
}
static void ring_head(struct queue *q) { store32(0x1000 + 8 * q->id + 4, q->head); }

static void run_admin(uint32_t opcode, uint32_t nsid, uint64_t prp, uint32_t dw10, uint32_t dw11) {
    uint32_t command[16] = {opcode, nsid, 0, 0, 0, 0, (uint32_t)prp, (uint32_t)(prp >> 32), 0, 0, dw10, dw11};
    submit(&admin, command);
    ring_tail(&admin);
    uint64_t end = now() + 5000000000u;
    while (take(&admin) < 0) NEED(now() < end);
    ring_head(&admin);
}
static void submit_block(uint32_t opcode, uint32_t number, uint32_t block) {
    uint64_t place = iova + data + 512 * number;
    uint32_t command[16] = {opcode | number << 16, 1, 0, 0, 0, 0, (uint32_t)place, (uint32_t)(place >> 32), 0, 0, block};
    submit(&io, command);
}

int main(int count, char **arguments) {
    NEED(count == 5);
    int is_mapped = strcmp(arguments[2], "mapped") == 0;
    unsigned depth = (unsigned)atoi(arguments[3]);
    uint64_t wanted = strtoull(arguments[4], 0, 10);
    NEED(depth >= 1 && depth <= 128);

    find_group(2, arguments);
    struct opened o = open_device();
    device = o.device;
    registers = o.bar.offset;
    uint16_t command = 6;
    NEED(pwrite(device, &command, 2, (off_t)o.config.offset + 4) == 2);
    if (is_mapped) {
        void *p = mmap(0, o.bar.size, PROT_READ | PROT_WRITE, MAP_SHARED, device, (off_t)o.bar.offset);
        NEED(p != MAP_FAILED);
        bar = p;
    }
    size_t size = data + blocks * 512;
    size = (size + page - 1) / page * page;
    memory = mmap(0, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    NEED(memory != MAP_FAILED);
    struct vfio_iommu_type1_dma_map map = {sizeof map, VFIO_DMA_MAP_FLAG_READ | VFIO_DMA_MAP_FLAG_WRITE,
                                           (uintptr_t)memory, iova, size};
    NEED(ioctl(o.container, VFIO_IOMMU_MAP_DMA, &map) == 0);

    store32(0x14, 0);
    uint64_t end = now() + 5000000000u;
    while (load32(0x1c) & 1) NEED(now() < end);
    admin = (struct queue){memory + admin_sq, memory + admin_cq, 32, 0, 0, 1, 0};
    io = (struct queue){memory + io_sq, memory + io_cq, entries, 0, 0, 1, 1};
    store32(0x24, 31u << 16 | 31u);
    store64(0x28, iova + admin_sq);
    store64(0x30, iova + admin_cq);
    store32(0x14, 4u << 20 | 6u << 16 | 1);
    while (!(load32(0x1c) & 1)) NEED(now() < end);
    run_admin(6, 0, iova + identity, 1, 0);
    run_admin(5, 0, iova + io_cq, (entries - 1u) << 16 | 1, 1);
    run_admin(1, 0, iova + io_sq, (entries - 1u) << 16 | 1, 1u << 16 | 1);

    // Blocks that can be told apart.
    for (uint32_t block = 0; block < blocks; block++) {
        uint32_t *words = (uint32_t *)(memory + data);
        for (uint32_t i = 0; i < 128; i++) words[i] = block << 8 | i;
        submit_block(1, 0, block);
        ring_tail(&io);
        end = now() + 5000000000u;
        while (take(&io) < 0) NEED(now() < end);
        ring_head(&io);
    }
    uint32_t asked[128];
    uint64_t done = 0, submitted = 0, begin = now();
    for (unsigned i = 0; i < depth; i++, submitted++) {
        asked[i] = (uint32_t)(submitted * 7 % blocks);
        submit_block(2, i, asked[i]);
    }
    ring_tail(&io);
    end = begin + 60000000000u;
    while (done < wanted) {
        unsigned taken = 0;
        int number;
        while (taken < depth && (number = take(&io)) >= 0) {
            uint32_t *words = (uint32_t *)(memory + data + 512 * number);
            if (words[0] != asked[number] << 8 || words[127] != (asked[number] << 8 | 127)) {
                fprintf(stderr, "block %u is wrong\n", asked[number]);
                return 1;
            }
            asked[number] = (uint32_t)(submitted++ * 7 % blocks);
            submit_block(2, (uint32_t)number, asked[number]);
            taken++;
        }
        done += taken;
        if (taken) {
            ring_head(&io);
            ring_tail(&io);
        } else NEED(now() < end);
    }
    double seconds = (double)(now() - begin) / 1e9;
    printf("%s depth %u: %.0f reads a second\n", arguments[2], depth, (double)done / seconds);
    return 0;
}
