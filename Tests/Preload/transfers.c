// read, pread and their relatives on an educational device (1234:11e8), also as the compiler's checked functions.
#include "check.h"
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/uio.h>

extern ssize_t __pread64_chk(int, void *, size_t, off_t, size_t);
extern ssize_t __pread_chk(int, void *, size_t, off_t, size_t);
extern ssize_t __read_chk(int, void *, size_t, size_t);

int main(int count, char **arguments) {
    find_group(count, arguments);
    struct opened o = open_device();
    off_t config = (off_t)o.config.offset, bar = (off_t)o.bar.offset;
    uint8_t all[4096], again[4096];
    struct stat status;
    // Out of the compiler's sight.
    void *volatile nowhere = (void *)8;
    volatile int minus = -1, many = 1025;

    CHECK(pread(o.device, all, 256, config) == 256);
    uint16_t vendor = (uint16_t)(all[0] | all[1] << 8);
    CHECK(pread64(o.device, again, 64, config) == 64 && memcmp(all, again, 64) == 0);
    CHECK(__pread_chk(o.device, again, 16, config, sizeof again) == 16 && memcmp(all, again, 16) == 0);
    CHECK(__pread64_chk(o.device, again, 16, config, sizeof again) == 16 && memcmp(all, again, 16) == 0);
    FAILS(pread(o.device, all, 4, -1), EINVAL);
    FAILS(pread(o.device, nowhere, 4, config), EFAULT);
    FAILS(pwrite(o.device, nowhere, 4, bar + 4), EFAULT);
    CHECK(pread(o.device, all, 0, config) == 0);
    FAILS(pread(o.container, all, 4, 0), EINVAL);
    FAILS(pwrite(o.group, all, 4, 0), EINVAL);

    // A list of buffers is one access for each, at one place after the other.
    uint8_t low[2], high[2];
    struct iovec two[] = {{low, 2}, {high, 2}};
    CHECK(preadv(o.device, two, 2, config) == 4 && low[0] == (vendor & 0xff) && high[0] == all[2]);
    memset(low, 0, 2);
    CHECK(preadv64(o.device, two, 2, config) == 4 && low[1] == vendor >> 8);
    CHECK(preadv2(o.device, two, 2, config, 0) == 4 && high[1] == all[3]);
    FAILS(preadv2(o.device, two, 2, config, RWF_NOWAIT), EOPNOTSUPP);
    uint32_t value = 0x11223344, answer = 0;
    struct iovec one = {&value, 4};
    CHECK(pwritev(o.device, &one, 1, bar + 4) == 4 && pread(o.device, &answer, 4, bar + 4) == 4 && answer == ~value);
    value = 5;
    CHECK(pwritev2(o.device, &one, 1, bar + 4, 0) == 4 && pread(o.device, &answer, 4, bar + 4) == 4 && answer == ~5u);
    FAILS(preadv(o.device, two, minus, config), EINVAL);
    FAILS(preadv(o.device, two, many, config), EINVAL);
    FAILS(preadv(o.device, two, 2, -1), EINVAL);
    FAILS(preadv(o.device, nowhere, 2, config), EFAULT);
    CHECK(preadv(o.device, two, 0, config) == 0);

    // Without an offset a device has a position, which starts at region 0 and can't be moved.
    uint32_t identity = 0;
    FAILS(lseek(o.device, 0, SEEK_SET), ESPIPE);
    FAILS(lseek64(o.device, 0, SEEK_CUR), ESPIPE);
    FAILS(lseek(o.container, 0, SEEK_END), ESPIPE);
    FAILS(lseek(o.device, 0, 77), EINVAL);
    CHECK(pread(o.device, &identity, 4, bar) == 4);
    CHECK(read(o.device, &answer, 4) == 4 && answer == identity);
    CHECK(__read_chk(o.device, &answer, 4, 4) == 4 && answer == ~5u);
    FAILS(ftruncate(o.container, 0), EINVAL);

    // What they look like.
    CHECK(fstat(o.container, &status) == 0 && S_ISCHR(status.st_mode) && status.st_size == 0);
    CHECK(fstat(o.group, &status) == 0 && S_ISCHR(status.st_mode));
    CHECK(fstat(o.device, &status) == 0 && (status.st_mode & S_IFMT) == 0 && status.st_rdev == 0);

    // Others go on as ever.
    int memory = memfd_create("other", 0);
    CHECK(ftruncate(memory, 8192) == 0 && lseek(memory, 10, SEEK_SET) == 10);
    CHECK(pwrite(memory, "abcd", 4, 0) == 4 && preadv(memory, two, 2, 0) == 4 && high[1] == 'd');
    close_device(&o);
    return done();
}
