// Numbers of one open file: dup and its relatives, fcntl, close_range, vfork. An educational device by its group.
#include "check.h"
#include <sys/stat.h>
#include <sys/wait.h>

static int is_container(int number) { return ioctl(number, VFIO_GET_API_VERSION) == VFIO_API_VERSION; }

int main(int count, char **arguments) {
    find_group(count, arguments);

    // Each of several numbers stands for the same container; it goes with the last.
    int a = open("/dev/vfio/vfio", O_RDWR);
    NEED(a >= 0);
    int b = dup(a), c = fcntl(a, F_DUPFD, 100), d = fcntl(a, F_DUPFD_CLOEXEC, 200), e = dup3(a, 300, O_CLOEXEC);
    CHECK(b >= 0 && c >= 100 && d >= 200 && e == 300);
    CHECK(dup2(a, 301) == 301 && dup2(301, 301) == 301);
    CHECK(is_container(b) && is_container(c) && is_container(d) && is_container(300) && is_container(301));
    CHECK((fcntl(d, F_GETFD) & FD_CLOEXEC) && (fcntl(e, F_GETFD) & FD_CLOEXEC) && !(fcntl(c, F_GETFD) & FD_CLOEXEC));
    CHECK(fcntl(c, F_SETFD, FD_CLOEXEC) == 0 && fcntl(c, F_GETFD) == FD_CLOEXEC && fcntl(b, F_GETFD) == 0);
    FAILS(dup3(a, a, 0), EINVAL);
    FAILS(dup3(a, 302, 0x7), EINVAL);
    FAILS(dup2(a, -1), EBADF);
    FAILS(dup(-1), EBADF);
    CHECK(close(a) == 0);
    FAILS(ioctl(a, VFIO_GET_API_VERSION), EBADF);
    FAILS(close(a), EBADF);
    CHECK(is_container(b) && is_container(300));

    // A group given to a container by another of its numbers, and the device by another of the group's.
    int group = open(group_path, O_RDWR);
    NEED(group >= 0);
    FAILS(open(group_path, O_RDWR), EBUSY);
    int other = dup(group);
    CHECK(close(group) == 0);
    // The group is still open.
    FAILS(open(group_path, O_RDWR), EBUSY);
    CHECK(ioctl(other, VFIO_GROUP_SET_CONTAINER, &c) == 0);
    CHECK(ioctl(b, VFIO_SET_IOMMU, VFIO_TYPE1v2_IOMMU) == 0);
    FAILS(ioctl(300, VFIO_SET_IOMMU, VFIO_TYPE1v2_IOMMU), EINVAL);
    int device = ioctl(other, VFIO_GROUP_GET_DEVICE_FD, device_address);
    CHECK(device >= 0);
    CHECK((fcntl(device, F_GETFD) & FD_CLOEXEC) == FD_CLOEXEC);
    int again = dup(device);
    CHECK(close(device) == 0);
    struct vfio_device_info info = {.argsz = sizeof info};
    CHECK(ioctl(again, VFIO_DEVICE_GET_INFO, &info) == 0 && (info.flags & VFIO_DEVICE_FLAGS_PCI));
    // The device keeps the group's file open.
    CHECK(close(other) == 0);
    FAILS(open(group_path, O_RDWR), EBUSY);
    // Another file put over the last number of the device: the device goes, and the group with it.
    int null = open("/dev/null", O_RDWR);
    CHECK(dup2(null, again) == again);
    FAILS(ioctl(again, VFIO_DEVICE_GET_INFO, &info), ENOTTY);
    CHECK(write(again, "x", 1) == 1);
    group = open(group_path, O_RDWR);
    CHECK(group >= 0);
    CHECK(close(group) == 0 && close(again) == 0);
    // One of ours put over another file, and over another of ours.
    CHECK(dup2(b, null) == null && is_container(null));
    group = open(group_path, O_RDWR);
    CHECK(dup2(b, group) == group && is_container(group));
    int fresh = open(group_path, O_RDWR);
    CHECK(fresh >= 0);
    CHECK(close(fresh) == 0);

    // How it was opened, and what can be changed of that.
    int reader = open("/dev/vfio/vfio", O_RDONLY | O_NONBLOCK);
    CHECK(reader >= 0);
    CHECK((fcntl(reader, F_GETFL) & (O_ACCMODE | O_NONBLOCK)) == (O_RDONLY | O_NONBLOCK));
    CHECK((fcntl(b, F_GETFL) & (O_ACCMODE | O_NONBLOCK)) == O_RDWR);
    CHECK(fcntl(b, F_SETFL, O_NONBLOCK) == 0 && (fcntl(c, F_GETFL) & (O_ACCMODE | O_NONBLOCK)) == (O_RDWR | O_NONBLOCK));
    FAILS(fcntl(b, F_GETPIPE_SZ), EBADF);
    FAILS(fcntl(b, F_GET_SEALS), EINVAL);
    FAILS(fcntl(-1, F_GETFL), EBADF);
    CHECK(close(reader) == 0);

    // Ranges.
    CHECK(dup2(b, 400) == 400 && dup2(b, 401) == 401 && dup2(b, 402) == 402);
    CHECK(close_range(400, 401, 0) == 0);
    FAILS(ioctl(400, VFIO_GET_API_VERSION), EBADF);
    CHECK(is_container(402));
    CHECK(close_range(402, 402, CLOSE_RANGE_CLOEXEC) == 0 && is_container(402) && fcntl(402, F_GETFD) == FD_CLOEXEC);
    FAILS(close_range(5, 4, 0), EINVAL);

    // What a child of vfork closes, the parent keeps.
    pid_t child = vfork();
    if (child == 0) {
        close(b);
        close_range(3, ~0u, 0);
        _exit(0);
    }
    int status = 1;
    CHECK(waitpid(child, &status, 0) == child && status == 0);
    CHECK(is_container(b) && is_container(402));
    CHECK(open("/dev/null", O_RDONLY) >= 0);

    closefrom(3);
    FAILS(ioctl(b, VFIO_GET_API_VERSION), EBADF);
    FAILS(fcntl(402, F_GETFD), EBADF);
    // Nothing has held the group.
    group = open(group_path, O_RDWR);
    CHECK(group == 3);

    // A stream closes the number by itself.
    FILE *stream = fdopen(group, "r+");
    CHECK(stream != NULL && fileno(stream) == 3);
    CHECK(fclose(stream) == 0);
    group = open(group_path, O_RDWR);
    CHECK(group == 3);
    stream = fopen("/dev/vfio/vfio", "r+");
    CHECK(stream != NULL && is_container(fileno(stream)));
    CHECK(stream == NULL || fclose(stream) == 0);
    return done();
}
