// Four threads use registers through one mapping at once. No access is lost: what each has counted up in a register of
// its own, and all together in one, is exact. (The sampler's registers hold what was written.)
#include "trap.h"
#include <pthread.h>

enum { threads = 4, rounds = 100000 };
static volatile uint32_t *own;
static uint64_t *shared;

static void *work(void *argument) {
    volatile uint32_t *mine = own + (uintptr_t)argument * 16;
    for (int i = 0; i < rounds / 2; i++) {
        *mine = *mine + 1;
        __atomic_fetch_add(shared, 1, __ATOMIC_SEQ_CST);
    }
    return 0;
}

int main(int count, char **arguments) {
    trap_open(count > 1 ? arguments[1] : "0000:01:00.0");
    char *bar = trap_map(0);
    own = (volatile uint32_t *)bar;
    shared = (uint64_t *)(bar + 0x800);
    *shared = 0;
    pthread_t thread[threads];
    for (uintptr_t i = 0; i < threads; i++) {
        own[i * 16] = 0;
        CHECK(pthread_create(&thread[i], 0, work, (void *)i) == 0);
    }
    for (int i = 0; i < threads; i++) CHECK(pthread_join(thread[i], 0) == 0);
    struct vfio_region_info info = trap_region(0);
    for (int i = 0; i < threads; i++) {
        uint32_t value;
        CHECK(pread(trap_device, &value, 4, (off_t)info.offset + i * 64) == 4);
        CHECK(value == rounds / 2);
    }
    CHECK(__atomic_load_n(shared, __ATOMIC_SEQ_CST) == threads * (uint64_t)(rounds / 2));
    puts("all accesses counted");
    return 0;
}
