// One kernel for parent, child and friends: what is opened in one process works in others, and is closed with its last
// copy in whatever process. Takes the name of a scenario; says what went wrong, or nothing. Works on an educational
// device (1234:11e8), whose address is the second argument.
#define _GNU_SOURCE
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/vfio.h>
#include <pthread.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#define CHECK(what)                                                                                                    \
    do {                                                                                                               \
        if (!(what)) {                                                                                                 \
            fprintf(stderr, "process %d, line %d: %s: %s\n", getpid(), __LINE__, #what, strerror(errno));              \
            _exit(1);                                                                                                  \
        }                                                                                                              \
    } while (0)

static const char *address = "0000:02:00.0";
static const char *program;

struct opened {
    int container, group, device;
    uint64_t registers, config;
};

static int open_group(void) {
    char path[256], link[256];
    snprintf(path, sizeof path, "/sys/bus/pci/devices/%s/iommu_group", address);
    ssize_t n = readlink(path, link, sizeof link - 1);
    CHECK(n > 0);
    link[n] = 0;
    snprintf(path, sizeof path, "/dev/vfio%s", strrchr(link, '/'));
    return open(path, O_RDWR);
}

static void find_regions(struct opened *o) {
    struct vfio_region_info info = {.argsz = sizeof info, .index = 0};
    CHECK(ioctl(o->device, VFIO_DEVICE_GET_REGION_INFO, &info) == 0);
    o->registers = info.offset;
    info = (struct vfio_region_info){.argsz = sizeof info, .index = VFIO_PCI_CONFIG_REGION_INDEX};
    CHECK(ioctl(o->device, VFIO_DEVICE_GET_REGION_INFO, &info) == 0);
    o->config = info.offset;
}

static void open_device(struct opened *o) {
    o->device = ioctl(o->group, VFIO_GROUP_GET_DEVICE_FD, address);
    CHECK(o->device >= 0);
    find_regions(o);
    uint16_t command = 6;
    CHECK(pwrite(o->device, &command, 2, (off_t)o->config + 4) == 2);
}

static struct opened open_all(void) {
    struct opened o;
    o.container = open("/dev/vfio/vfio", O_RDWR);
    CHECK(o.container >= 0);
    CHECK(ioctl(o.container, VFIO_GET_API_VERSION) == VFIO_API_VERSION);
    o.group = open_group();
    CHECK(o.group >= 0);
    CHECK(ioctl(o.group, VFIO_GROUP_SET_CONTAINER, &o.container) == 0);
    CHECK(ioctl(o.container, VFIO_SET_IOMMU, VFIO_TYPE1v2_IOMMU) == 0);
    open_device(&o);
    return o;
}

static void close_all(struct opened *o) {
    CHECK(close(o->device) == 0);
    CHECK(close(o->group) == 0);
    CHECK(close(o->container) == 0);
}

static uint32_t get(struct opened *o, unsigned at) {
    uint32_t value;
    CHECK(pread(o->device, &value, 4, (off_t)(o->registers + at)) == 4);
    return value;
}

static void set(struct opened *o, unsigned at, uint32_t value) {
    CHECK(pwrite(o->device, &value, 4, (off_t)(o->registers + at)) == 4);
}

// The number written comes back inverted.
static void check_liveness(struct opened *o, uint32_t value) {
    set(o, 4, value);
    CHECK(get(o, 4) == ~value);
}

static uint32_t factorial(struct opened *o, uint32_t n) {
    set(o, 8, n);
    for (int i = 0; i < 10000 && get(o, 0x20) & 1; i++) usleep(100);
    return get(o, 8);
}

static void wait_for(pid_t child) {
    int status;
    CHECK(waitpid(child, &status, 0) == child);
    if (status != 0) fprintf(stderr, "the child ended with %#x\n", status);
    CHECK(status == 0);
}

// The device copies memory of this process to its own and back to another place.
static void check_dma(struct opened *o, uint64_t iova) {
    size_t n = 4096;
    unsigned char *memory = mmap(0, 2 * n, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    CHECK(memory != MAP_FAILED);
    for (size_t i = 0; i < 2 * n; i++) memory[i] = (unsigned char)(i * 7 + (size_t)getpid());
    struct vfio_iommu_type1_dma_map map = {.argsz = sizeof map,
                                           .flags = VFIO_DMA_MAP_FLAG_READ | VFIO_DMA_MAP_FLAG_WRITE,
                                           .vaddr = (uint64_t)(uintptr_t)memory,
                                           .iova = iova,
                                           .size = 2 * n};
    CHECK(ioctl(o->container, VFIO_IOMMU_MAP_DMA, &map) == 0);
    uint64_t word = iova;
    CHECK(pwrite(o->device, &word, 8, (off_t)o->registers + 0x80) == 8);
    word = 0x40000;
    CHECK(pwrite(o->device, &word, 8, (off_t)o->registers + 0x88) == 8);
    word = 256;
    CHECK(pwrite(o->device, &word, 8, (off_t)o->registers + 0x90) == 8);
    word = 1;
    CHECK(pwrite(o->device, &word, 8, (off_t)o->registers + 0x98) == 8);
    for (int i = 0; i < 10000 && get(o, 0x98) & 1; i++) usleep(100);
    word = 0x40000;
    CHECK(pwrite(o->device, &word, 8, (off_t)o->registers + 0x80) == 8);
    word = iova + n + 64;
    CHECK(pwrite(o->device, &word, 8, (off_t)o->registers + 0x88) == 8);
    word = 3;
    CHECK(pwrite(o->device, &word, 8, (off_t)o->registers + 0x98) == 8);
    for (int i = 0; i < 10000 && get(o, 0x98) & 1; i++) usleep(100);
    CHECK(memcmp(memory, memory + n + 64, 256) == 0);
    CHECK(memory[n + 63] == (unsigned char)((n + 63) * 7 + (size_t)getpid()));
    CHECK(memory[n + 64 + 256] == (unsigned char)((n + 64 + 256) * 7 + (size_t)getpid()));
    struct vfio_iommu_type1_dma_unmap unmap = {.argsz = sizeof unmap, .iova = iova, .size = 2 * n};
    CHECK(ioctl(o->container, VFIO_IOMMU_UNMAP_DMA, &unmap) == 0 && unmap.size == 2 * n);
    CHECK(munmap(memory, 2 * n) == 0);
}

// MARK: scenarios

static void child_uses(void) {
    struct opened o = open_all();
    check_liveness(&o, 0x11111111);
    pid_t child = fork();
    CHECK(child >= 0);
    if (child == 0) {
        CHECK(get(&o, 4) == ~0x11111111u);
        check_liveness(&o, 0x22222222);
        CHECK(factorial(&o, 5) == 120);
        struct vfio_group_status status = {.argsz = sizeof status};
        CHECK(ioctl(o.group, VFIO_GROUP_GET_STATUS, &status) == 0);
        CHECK(status.flags == (VFIO_GROUP_FLAGS_VIABLE | VFIO_GROUP_FLAGS_CONTAINER_SET));
        errno = 0;
        CHECK(ioctl(o.container, VFIO_GET_API_VERSION) == 0);
        CHECK(ioctl(o.device, VFIO_DEVICE_GET_INFO, 8) == -1 && errno == EFAULT);
        void *volatile nowhere = (void *)8;
        CHECK(pread(o.device, nowhere, 4, (off_t)o.registers) == -1 && errno == EFAULT);
        CHECK(open_group() == -1 && errno == EBUSY);
        struct stat s;
        CHECK(fstat(o.group, &s) == 0 && S_ISCHR(s.st_mode));
        _exit(0);
    }
    wait_for(child);
    CHECK(get(&o, 4) == ~0x22222222u);
    CHECK(get(&o, 8) == 120);
    check_dma(&o, 0x10000);
    close_all(&o);
}

static void child_opens(void) {
    int to_parent[2], to_child[2];
    CHECK(pipe(to_parent) == 0 && pipe(to_child) == 0);
    // The child's process is where the kernel comes to live.
    pid_t child = fork();
    CHECK(child >= 0);
    char c = 0;
    if (child == 0) {
        struct opened o = open_all();
        check_dma(&o, 0x10000);
        check_liveness(&o, 0x33333333);
        CHECK(write(to_parent[1], "a", 1) == 1 && read(to_child[0], &c, 1) == 1);
        close_all(&o);
        CHECK(write(to_parent[1], "b", 1) == 1 && read(to_child[0], &c, 1) == 1);
        _exit(0);
    }
    CHECK(read(to_parent[0], &c, 1) == 1);
    CHECK(open_group() == -1 && errno == EBUSY);
    CHECK(write(to_child[1], "a", 1) == 1 && read(to_parent[0], &c, 1) == 1);
    struct opened o = open_all();
    check_dma(&o, 0x20000);
    check_liveness(&o, 0x44444444);
    CHECK(factorial(&o, 6) == 720);
    close_all(&o);
    CHECK(write(to_child[1], "b", 1) == 1);
    wait_for(child);
}

enum { calls_of_thread = 300 };
static struct opened shared_device;

static void *make_calls(void *unused) {
    (void)unused;
    for (int i = 0; i < calls_of_thread; i++) {
        // Two in one call, so that nobody comes between: the identity never changes.
        CHECK(get(&shared_device, 0) == 0x010000edu);
        struct vfio_device_info info = {.argsz = sizeof info};
        CHECK(ioctl(shared_device.device, VFIO_DEVICE_GET_INFO, &info) == 0 && info.num_regions >= 8);
    }
    return 0;
}

static void run_threads(void) {
    pthread_t threads[4];
    for (int i = 0; i < 4; i++) CHECK(pthread_create(&threads[i], 0, make_calls, 0) == 0);
    for (int i = 0; i < 4; i++) CHECK(pthread_join(threads[i], 0) == 0);
}

static void both_at_once(void) {
    shared_device = open_all();
    pid_t child = fork();
    CHECK(child >= 0);
    run_threads();
    if (child == 0) _exit(0);
    wait_for(child);
    close_all(&shared_device);
}

static void exit_closes(void) {
    for (int kill_it = 0; kill_it < 2; kill_it++) {
        // The kernel lives in this process.
        int container = open("/dev/vfio/vfio", O_RDWR);
        CHECK(container >= 0);
        int ready[2];
        CHECK(pipe(ready) == 0);
        pid_t child = fork();
        CHECK(child >= 0);
        if (child == 0) {
            struct opened o = open_all();
            check_liveness(&o, 1);
            CHECK(write(ready[1], "a", 1) == 1);
            if (kill_it) pause();
            _exit(0);
        }
        char c;
        CHECK(read(ready[0], &c, 1) == 1);
        if (kill_it) {
            CHECK(open_group() == -1 && errno == EBUSY);
            CHECK(kill(child, SIGKILL) == 0);
        }
        int status;
        CHECK(waitpid(child, &status, 0) == child);
        CHECK(kill_it ? WIFSIGNALED(status) : status == 0);
        int group = open_group();
        CHECK(group >= 0);
        CHECK(close(group) == 0 && close(container) == 0 && close(ready[0]) == 0 && close(ready[1]) == 0);
    }
}

static void copies(void) {
    int group = open_group();
    CHECK(group >= 0);
    pid_t child = fork();
    CHECK(child >= 0);
    if (child == 0) {
        usleep(200000);
        _exit(0);
    }
    // The child has a copy still.
    CHECK(close(group) == 0);
    CHECK(open_group() == -1 && errno == EBUSY);
    wait_for(child);
    group = open_group();
    CHECK(group >= 0);
    // A copy in a message that nobody has received yet counts as well.
    CHECK(close(group) == 0);
    group = open_group();
    CHECK(group >= 0 && close(group) == 0);
}

static void exec_keeps(void) {
    struct opened o = open_all();
    check_liveness(&o, 0x55555555);
    CHECK(fcntl(o.container, F_SETFD, FD_CLOEXEC) == 0);
    // A device's descriptor that a group gave is closed on exec unless the program says otherwise.
    CHECK(fcntl(o.device, F_GETFD) == FD_CLOEXEC && fcntl(o.device, F_SETFD, 0) == 0);
    pid_t child = fork();
    CHECK(child >= 0);
    if (child == 0) {
        char device[16];
        snprintf(device, sizeof device, "%d", o.device);
        execl(program, program, "inherited", address, device, (char *)0);
        _exit(2);
    }
    wait_for(child);
    CHECK(get(&o, 4) == ~0x66666666u);
    close_all(&o);
}

static void inherited(int device) {
    struct opened o = {.device = device};
    find_regions(&o);
    CHECK(get(&o, 4) == ~0x55555555u);
    check_liveness(&o, 0x66666666);
    CHECK(open_group() == -1 && errno == EBUSY);
}

static void send_descriptor(int socket, int fd) {
    char byte = 'x';
    struct iovec v = {&byte, 1};
    union {
        struct cmsghdr header;
        char room[CMSG_SPACE(sizeof(int))];
    } control = {0};
    struct msghdr m = {.msg_iov = &v, .msg_iovlen = 1, .msg_control = &control, .msg_controllen = sizeof control};
    struct cmsghdr *c = CMSG_FIRSTHDR(&m);
    c->cmsg_level = SOL_SOCKET;
    c->cmsg_type = SCM_RIGHTS;
    c->cmsg_len = CMSG_LEN(sizeof(int));
    memcpy(CMSG_DATA(c), &fd, sizeof fd);
    CHECK(sendmsg(socket, &m, 0) == 1);
}

static int receive_descriptor(int socket) {
    char byte;
    struct iovec v = {&byte, 1};
    union {
        struct cmsghdr header;
        char room[CMSG_SPACE(sizeof(int))];
    } control;
    struct msghdr m = {.msg_iov = &v, .msg_iovlen = 1, .msg_control = &control, .msg_controllen = sizeof control};
    CHECK(recvmsg(socket, &m, 0) == 1);
    struct cmsghdr *c = CMSG_FIRSTHDR(&m);
    CHECK(c && c->cmsg_type == SCM_RIGHTS);
    int fd;
    memcpy(&fd, CMSG_DATA(c), sizeof fd);
    return fd;
}

static void messages(void) {
    int pair[2];
    CHECK(socketpair(AF_UNIX, SOCK_STREAM, 0, pair) == 0);
    // Two siblings: neither inherits anything from the other, and the kernel lives in the first.
    pid_t first = fork();
    CHECK(first >= 0);
    if (first == 0) {
        struct opened o = open_all();
        check_liveness(&o, 0x77777777);
        send_descriptor(pair[0], o.container);
        send_descriptor(pair[0], o.group);
        send_descriptor(pair[0], o.device);
        char c;
        CHECK(read(pair[0], &c, 1) == 1);
        CHECK(get(&o, 4) == ~0x88888888u);
        _exit(0);
    }
    pid_t second = fork();
    CHECK(second >= 0);
    if (second == 0) {
        struct opened o;
        o.container = receive_descriptor(pair[1]);
        o.group = receive_descriptor(pair[1]);
        o.device = receive_descriptor(pair[1]);
        find_regions(&o);
        CHECK(get(&o, 4) == ~0x77777777u);
        // The group and the container are numbers within requests too.
        CHECK(ioctl(o.group, VFIO_GROUP_SET_CONTAINER, &o.container) == -1 && errno == EINVAL);
        check_dma(&o, 0x30000);
        int event = eventfd(0, 0);
        struct {
            struct vfio_irq_set set;
            int32_t event;
        } irq = {{.argsz = sizeof irq,
                  .flags = VFIO_IRQ_SET_DATA_EVENTFD | VFIO_IRQ_SET_ACTION_TRIGGER,
                  .index = VFIO_PCI_MSI_IRQ_INDEX,
                  .count = 1},
                 event};
        CHECK(ioctl(o.device, VFIO_DEVICE_SET_IRQS, &irq) == 0);
        set(&o, 0x60, 1);
        uint64_t count = 0;
        CHECK(read(event, &count, 8) == 8 && count == 1);
        check_liveness(&o, 0x88888888);
        CHECK(write(pair[1], "x", 1) == 1);
        _exit(0);
    }
    wait_for(second);
    wait_for(first);
}

static unsigned count_of(const char *folder) {
    unsigned count = 0;
    DIR *d = opendir(folder);
    CHECK(d);
    while (readdir(d)) count++;
    closedir(d);
    return count;
}

static void many_forks(void) {
    struct opened o = open_all();
    unsigned descriptors = 0, threads = 0;
    for (int i = 0; i < 500; i++) {
        pid_t child = fork();
        CHECK(child >= 0);
        if (child == 0) {
            CHECK(get(&o, 0) == 0x010000edu);
            _exit(0);
        }
        wait_for(child);
        if (i == 20) {
            usleep(100000);
            descriptors = count_of("/proc/self/fd");
            threads = count_of("/proc/self/task");
        }
    }
    for (int i = 0; i < 100; i++) {
        if (count_of("/proc/self/fd") <= descriptors && count_of("/proc/self/task") <= threads) break;
        usleep(20000);
    }
    CHECK(count_of("/proc/self/fd") <= descriptors);
    CHECK(count_of("/proc/self/task") <= threads);
    close_all(&o);
}

// What daemon(3) does, with everything open before.
static void daemonized(void) {
    struct opened o = open_all();
    check_liveness(&o, 0x99999999);
    int report[2];
    CHECK(pipe(report) == 0);
    pid_t first = fork();
    CHECK(first >= 0);
    if (first == 0) {
        pid_t middle = fork();
        CHECK(middle >= 0);
        if (middle != 0) exit(0);
        pid_t parent = getppid();
        for (int i = 0; i < 1000 && getppid() == parent; i++) usleep(1000);
        CHECK(get(&o, 4) == ~0x99999999u);
        CHECK(factorial(&o, 5) == 120);
        check_dma(&o, 0x50000);
        CHECK(write(report[1], "x", 1) == 1);
        _exit(0);
    }
    wait_for(first);
    char c;
    CHECK(read(report[0], &c, 1) == 1);
}

// The process in which the kernel lives ends, or runs another program; its child goes on.
static void kernel_ends(int how) {
    int report[2];
    CHECK(pipe(report) == 0);
    pid_t child = fork();
    CHECK(child >= 0);
    if (child == 0) {
        struct opened o = open_all();
        check_liveness(&o, 0xaaaaaaaa);
        pid_t own = getpid(), grandchild = fork();
        CHECK(grandchild >= 0);
        if (grandchild != 0) {
            if (how == 0) exit(0);
            if (how == 1) _exit(0);
            execl("/bin/true", "true", (char *)0);
            _exit(3);
        }
        for (int i = 0; i < 5000 && getppid() == own; i++) usleep(1000);
        CHECK(get(&o, 4) == ~0xaaaaaaaau);
        CHECK(factorial(&o, 4) == 24);
        check_dma(&o, 0x60000);
        CHECK(open_group() == -1 && errno == EBUSY);
        close_all(&o);
        o = open_all();
        check_liveness(&o, 0xbbbbbbbb);
        CHECK(write(report[1], "x", 1) == 1);
        _exit(0);
    }
    CHECK(close(report[1]) == 0);
    wait_for(child);
    char c;
    CHECK(read(report[0], &c, 1) == 1);
}

// Opens everything and becomes the program that uses it, as launchers do.
static void launcher(void) {
    struct opened o = open_all();
    check_liveness(&o, 0x55555555);
    CHECK(fcntl(o.device, F_SETFD, 0) == 0);
    CHECK(execl("/nonexistent/program", "program", (char *)0) == -1 && errno == ENOENT);
    // Nothing has happened.
    CHECK(get(&o, 4) == ~0x55555555u && open_group() == -1 && errno == EBUSY);
    char device[16];
    snprintf(device, sizeof device, "%d", o.device);
    execl(program, program, "inherited", address, device, (char *)0);
    _exit(2);
}

static int count_of_open(const char *ending) {
    int count = 0;
    for (int fd = 0; fd < 1024; fd++) {
        char path[64], target[512];
        snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
        ssize_t n = readlink(path, target, sizeof target - 1);
        if (n < 0) continue;
        target[n] = 0;
        size_t length = strlen(ending);
        if ((size_t)n >= length && !strcmp(target + n - length, ending)) count++;
    }
    return count;
}

// What daemons do first of all; the device with the image must not suffer.
static void closes_all(const char *image) {
    struct opened o = open_all();
    int images = count_of_open(image);
    CHECK(images > 0);
    for (int fd = 3; fd < 1024; fd++) close(fd);
    CHECK(count_of_open(image) == images);
    CHECK(close_range(3, ~0u, 0) == 0);
    CHECK(count_of_open(image) == images);
    for (int fd = 3; fd < 64; fd++) CHECK(dup2(0, fd) == fd || errno == EBUSY);
    CHECK(count_of_open(image) == images);
    for (int fd = 3; fd < 64; fd++) close(fd);
    o = open_all();
    check_liveness(&o, 0x12345678);
    close_all(&o);
}

static int put(const char *path, const char *text) {
    int file = open(path, O_WRONLY);
    CHECK(file >= 0);
    ssize_t n = write(file, text, strlen(text));
    int error = errno;
    close(file);
    errno = error;
    return n == (ssize_t)strlen(text) ? 0 : -1;
}

// A device's driver is changed, and the device reset, by processes in which the kernel isn't.
static void others_bind(void) {
    char reset[256];
    snprintf(reset, sizeof reset, "/sys/bus/pci/devices/%s/reset", address);
    struct opened o = open_all();
    check_liveness(&o, 0x77777777);
    pid_t child = fork();
    CHECK(child >= 0);
    if (child == 0) {
        CHECK(put(reset, "1") == 0);
        CHECK(put(reset, "2") == -1 && errno == EINVAL);
        _exit(0);
    }
    wait_for(child);
    uint16_t command = 6;
    CHECK(pwrite(o.device, &command, 2, (off_t)o.config + 4) == 2);
    CHECK(get(&o, 4) != ~0x77777777u);
    // As Linux does, it waits for the device's users.
    child = fork();
    CHECK(child >= 0);
    if (child == 0) {
        close_all(&o);
        CHECK(put("/sys/bus/pci/drivers/vfio-pci/unbind", address) == 0);
        CHECK(put("/sys/bus/pci/drivers/vfio-pci/unbind", address) == -1 && errno == ENODEV);
        _exit(0);
    }
    usleep(600000);
    CHECK(waitpid(child, 0, WNOHANG) == 0);
    check_liveness(&o, 0x88888888);
    close_all(&o);
    wait_for(child);
    // The container keeps the kernel in this process, which knows of it.
    o.container = open("/dev/vfio/vfio", O_RDWR);
    CHECK(open_group() == -1 && errno == ENOENT);
    // Programs of another kind: a stream's contents are written when it is closed.
    char line[512];
    snprintf(line, sizeof line,
             "echo vfio-pci > /sys/bus/pci/devices/%s/driver_override && echo %s > /sys/bus/pci/drivers/vfio-pci/bind", address,
             address);
    CHECK(system(line) == 0);
    CHECK(close(o.container) == 0);
    o = open_all();
    check_liveness(&o, 0x99999999);
    close_all(&o);
}

// A mapping keeps a device open, in whatever process it is. Works on a sampler, whose BAR 2 is memory.
static void mapping_keeps(void) {
    struct opened o = open_all();
    int report[2], go[2];
    CHECK(pipe(report) == 0 && pipe(go) == 0);
    close_all(&o);
    // The kernel stays here.
    int container = open("/dev/vfio/vfio", O_RDWR);
    CHECK(container >= 0);
    pid_t child = fork();
    CHECK(child >= 0);
    char c = 'x';
    if (child == 0) {
        o = open_all();
        struct vfio_region_info info = {.argsz = sizeof info, .index = 2};
        CHECK(ioctl(o.device, VFIO_DEVICE_GET_REGION_INFO, &info) == 0 && info.flags & VFIO_REGION_INFO_FLAG_MMAP);
        volatile uint32_t *memory = mmap(0, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, o.device, (off_t)info.offset);
        CHECK(memory != MAP_FAILED);
        memory[3] = 0x12345678;
        close_all(&o);
        CHECK(memory[3] == 0x12345678);
        CHECK(write(report[1], &c, 1) == 1 && read(go[0], &c, 1) == 1);
        CHECK(munmap((void *)memory, 4096) == 0);
        CHECK(write(report[1], &c, 1) == 1 && read(go[0], &c, 1) == 1);
        _exit(0);
    }
    CHECK(read(report[0], &c, 1) == 1);
    CHECK(open_group() == -1 && errno == EBUSY);
    CHECK(write(go[1], &c, 1) == 1 && read(report[0], &c, 1) == 1);
    o = open_all();
    close_all(&o);
    CHECK(write(go[1], &c, 1) == 1);
    wait_for(child);
}

int main(int count, char **arguments) {
    program = arguments[0];
    const char *scenario = count > 1 ? arguments[1] : "";
    if (count > 2) address = arguments[2];
    alarm(60);
    if (!strcmp(scenario, "child-uses")) child_uses();
    else if (!strcmp(scenario, "child-opens")) child_opens();
    else if (!strcmp(scenario, "both-at-once")) both_at_once();
    else if (!strcmp(scenario, "exit-closes")) exit_closes();
    else if (!strcmp(scenario, "copies")) copies();
    else if (!strcmp(scenario, "exec-keeps")) exec_keeps();
    else if (!strcmp(scenario, "inherited") && count > 3) inherited(atoi(arguments[3]));
    else if (!strcmp(scenario, "messages")) messages();
    else if (!strcmp(scenario, "many-forks")) many_forks();
    else if (!strcmp(scenario, "daemonized")) daemonized();
    else if (!strcmp(scenario, "exit-goes-on")) kernel_ends(0);
    else if (!strcmp(scenario, "quick-exit-goes-on")) kernel_ends(1);
    else if (!strcmp(scenario, "exec-goes-on")) kernel_ends(2);
    else if (!strcmp(scenario, "launcher")) launcher();
    else if (!strcmp(scenario, "others-bind")) others_bind();
    else if (!strcmp(scenario, "mapping-keeps")) mapping_keeps();
    else if (!strcmp(scenario, "closes-all") && count > 3) closes_all(arguments[3]);
    else if (!strcmp(scenario, "hold")) {
        // For shells: holds the group until its input ends.
        int group = open_group();
        if (group < 0) {
            printf("%s\n", strerror(errno));
            return 3;
        }
        printf("open\n");
        fflush(stdout);
        char c;
        while (read(0, &c, 1) > 0) {}
    } else {
        fprintf(stderr, "which scenario?\n");
        return 2;
    }
    return 0;
}
