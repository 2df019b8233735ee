// Many threads open, copy, use and close at once, beside files of other kinds. Nothing mixes numbers up: a call on one's
// own number always finds one's own file.
#include "check.h"
#include <pthread.h>
#include <sys/eventfd.h>

enum { threads = 8, rounds = 400 };
static int wrong;

static void complain(const char *what) {
    fprintf(stderr, "%s: %s\n", what, strerror(errno));
    __atomic_fetch_add(&wrong, 1, __ATOMIC_RELAXED);
}

static void *work(void *argument) {
    long seed = (long)argument;
    for (int round = 0; round < rounds; round++) {
        int container = open("/dev/vfio/vfio", O_RDWR | O_CLOEXEC);
        int event = eventfd((unsigned)seed + 1, EFD_CLOEXEC | EFD_NONBLOCK);
        int copy = dup(container), another = fcntl(event, F_DUPFD_CLOEXEC, 0);
        if (container < 0 || event < 0 || copy < 0 || another < 0) complain("opening");
        if (ioctl(copy, VFIO_GET_API_VERSION) != VFIO_API_VERSION) complain("the copy");
        uint64_t value = 0;
        if (read(another, &value, 8) != 8 || value != (uint64_t)seed + 1) complain("the event's copy");
        if (close(container)) complain("closing");
        if (ioctl(copy, VFIO_CHECK_EXTENSION, VFIO_TYPE1v2_IOMMU) != 1) complain("the copy alone");
        // An own number changes its nature, there and back.
        if (dup2(copy, event) != event || ioctl(event, VFIO_GET_API_VERSION) != VFIO_API_VERSION) complain("put over");
        if (dup2(another, event) != event || write(event, &value, 8) != 8) complain("put back");
        errno = 0;
        if (ioctl(another, VFIO_GET_API_VERSION) != -1 || errno != ENOTTY) complain("an event that is a container");
        if (close(copy) || close(event) || close(another)) complain("closing copies");
    }
    return NULL;
}

int main(int count, char **arguments) {
    find_group(count, arguments);
    pthread_t all[threads];
    for (long i = 0; i < threads; i++) NEED(pthread_create(&all[i], NULL, work, (void *)i) == 0);
    for (int i = 0; i < threads; i++) pthread_join(all[i], NULL);
    CHECK(wrong == 0);
    // All numbers are free again.
    int next = open("/dev/null", O_RDONLY);
    CHECK(next == 3);
    return done();
}
