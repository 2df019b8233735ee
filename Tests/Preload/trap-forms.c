// All forms in which C touches memory, on registers that hold what was written: each is tried on the mapped registers
// and on plain memory, and must leave the same. The registers are looked at with pread(2).
#include "trap.h"

struct bits {
    volatile uint32_t a : 3, b : 9, c : 20;
};

static char *bar, *plain;
static off_t at;

static void compare(const char *what) {
    static char seen[0x1000];
    CHECK(pread(trap_device, seen, sizeof seen, at) == sizeof seen);
    for (size_t i = 0; i < sizeof seen; i++)
        if (seen[i] != plain[i]) {
            fprintf(stderr, "%s: byte %zu is %02x, not %02x\n", what, i, seen[i] & 255, plain[i] & 255);
            exit(1);
        }
}

#define BOTH(what, ...)                                                                                                \
    do {                                                                                                               \
        for (int side = 0; side < 2; side++) {                                                                         \
            char *p = side ? plain : bar;                                                                              \
            (void)p;                                                                                                   \
            __VA_ARGS__;                                                                                               \
        }                                                                                                              \
        compare(what);                                                                                                 \
    } while (0)

#define FORMS(type)                                                                                                    \
    BOTH(#type " store", *(volatile type *)(p + 64) = (type)0x89abcdef01234567ull);                                    \
    BOTH(#type " |=", *(volatile type *)(p + 64) |= (type)0x70);                                                       \
    BOTH(#type " &=", *(volatile type *)(p + 64) &= (type) ~0x11);                                                     \
    BOTH(#type " ^=", *(volatile type *)(p + 64) ^= (type)0x5a);                                                       \
    BOTH(#type " +=", *(volatile type *)(p + 64) += (type)200);                                                        \
    BOTH(#type " -=", *(volatile type *)(p + 64) -= (type)77);                                                         \
    BOTH(#type " *=", *(volatile type *)(p + 64) *= (type)3);                                                          \
    BOTH(#type " <<=", *(volatile type *)(p + 64) <<= 1);                                                              \
    BOTH(#type " >>=", *(volatile type *)(p + 64) >>= 2);                                                              \
    BOTH(#type " ++", ++*(volatile type *)(p + 64));                                                                   \
    BOTH(#type " --", --*(volatile type *)(p + 64));                                                                   \
    BOTH(#type " not", *(volatile type *)(p + 64) = (type) ~*(volatile type *)(p + 64));                               \
    BOTH(#type " negative", *(volatile type *)(p + 64) = (type)(0 - *(volatile type *)(p + 64)));                      \
    BOTH(#type " copied", *(volatile type *)(p + 128) = *(volatile type *)(p + 64));                                   \
    BOTH(#type " exchange",                                                                                            \
         *(volatile type *)(p + 136) = __atomic_exchange_n((type *)(p + 64), (type)0x77, __ATOMIC_SEQ_CST));           \
    BOTH(#type " fetch_add",                                                                                           \
         *(volatile type *)(p + 144) = __atomic_fetch_add((type *)(p + 64), (type)9, __ATOMIC_SEQ_CST));               \
    BOTH(#type " fetch_or",                                                                                            \
         *(volatile type *)(p + 152) = __atomic_fetch_or((type *)(p + 64), (type)0x44, __ATOMIC_SEQ_CST));             \
    BOTH(#type " fetch_and", __atomic_fetch_and((type *)(p + 64), (type)0x6f, __ATOMIC_SEQ_CST));                      \
    BOTH(#type " compare", type seen = *(volatile type *)(p + 64); int done = __atomic_compare_exchange_n(             \
                               (type *)(p + 64), &seen, (type)0x21, 0, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST);            \
         CHECK(done); seen = 0; done = __atomic_compare_exchange_n((type *)(p + 64), &seen, (type)1, 0,                \
                                                                   __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST);                \
         CHECK(!done && seen == (type)0x21));                                                                          \
    BOTH(#type " test", if (*(volatile type *)(p + 64) & (type)0x20) *(volatile type *)(p + 160) = 1);                 \
    BOTH(#type " if", *(volatile uint8_t *)(p + 168) = *(volatile type *)(p + 64) > (type)0x20)

__attribute__((noinline)) static void sum(char *p) {
    uint64_t total = 0;
    uint32_t *words = (uint32_t *)p;
    for (int i = 0; i < 64; i++) total += words[i];
    *(volatile uint64_t *)(p + 0xf00) = total;
}

int main(int count, char **arguments) {
    trap_open(count > 1 ? arguments[1] : "0000:01:00.0");
    bar = trap_map(0);
    at = (off_t)trap_region(0).offset;
    plain = aligned_alloc(4096, 0x1000);
    CHECK(plain);
    memset(plain, 0, 0x1000);
    compare("nothing");
    FORMS(uint8_t);
    FORMS(uint16_t);
    FORMS(uint32_t);
    FORMS(uint64_t);
    FORMS(int8_t);
    FORMS(int16_t);
    FORMS(int32_t);
    FORMS(int64_t);
    BOTH("signs", *(volatile int64_t *)(p + 176) = *(volatile int8_t *)(p + 64);
         *(volatile int64_t *)(p + 184) = *(volatile int16_t *)(p + 64);
         *(volatile int64_t *)(p + 192) = *(volatile int32_t *)(p + 64);
         *(volatile int32_t *)(p + 200) = *(volatile int8_t *)(p + 64));
    BOTH("bit fields", struct bits *b = (struct bits *)(p + 208); b->a = 5; b->b = 300; b->c = 0xabcde; b->a++;
         b->b ^= 17; b->c -= b->a);
    BOTH("floating point", *(volatile float *)(p + 216) = 1.5f; *(volatile double *)(p + 224) = 2.25;
         *(volatile float *)(p + 232) = *(volatile float *)(p + 216);
         *(volatile double *)(p + 240) = *(volatile double *)(p + 224));
    static char source[0x800];
    for (size_t i = 0; i < sizeof source; i++) source[i] = (char)(i * 7 + i / 256);
    static const size_t sizes[] = {1, 2, 3, 4, 5, 7, 8, 9, 15, 16, 17, 31, 32, 33, 63, 64, 65, 100, 127, 128, 129, 200,
                                   255, 256, 257, 500, 511, 512, 513, 1000, 1024, 2047};
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        for (int shift = 0; shift < 4; shift += 3) {
            size_t n = sizes[i];
            char what[64];
            snprintf(what, sizeof what, "memcpy of %zu, by %d", n, shift);
            BOTH(what, memcpy(p + 0x400 + shift, source, n));
            char back[0x800];
            memcpy(back, bar + 0x400 + shift, n);
            CHECK(memcmp(back, source, n) == 0);
            snprintf(what, sizeof what, "memset of %zu, by %d", n, shift);
            BOTH(what, memset(p + 0x400 + shift, (int)n, n));
            snprintf(what, sizeof what, "memmove of %zu, by %d", n, shift);
            BOTH(what, memmove(p + 0x300 + shift, p + 0x400, n / 2));
        }
    }
    BOTH("sum", sum(p));
    BOTH("string instructions", void *to = p + 0x700; const void *from = source; size_t n = 300;
         __asm__ volatile("rep movsb" : "+D"(to), "+S"(from), "+c"(n)::"memory"); n = 20;
         __asm__ volatile("rep stosl" : "+D"(to), "+c"(n) : "a"(0x12345678) : "memory"));
    // The second page of this region is plain memory to the device; what is written there is seen at once.
    *(volatile uint32_t *)(bar + 0x1000) = 0x5eed;
    uint32_t there;
    CHECK(pread(trap_device, &there, 4, at + 0x1000) == 4 && there == 0x5eed);
    CHECK(*(volatile uint32_t *)(bar + 0x1000) == 0x5eed);
    puts("all forms agree");
    return 0;
}
