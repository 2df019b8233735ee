// poll, select and epoll on VFIO's files beside others: Linux finds VFIO's always ready, and takes none into an epoll.
#include "check.h"
#include <poll.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/select.h>
#include <time.h>

int main(int count, char **arguments) {
    find_group(count, arguments);
    struct opened o = open_device();
    int quiet = eventfd(0, 0);
    NEED(quiet >= 0);
    const short always = POLLIN | POLLOUT | POLLRDNORM | POLLWRNORM;

    int files[] = {o.container, o.group, o.device};
    for (int i = 0; i < 3; i++) {
        struct pollfd one = {files[i], -1, 0};
        CHECK(poll(&one, 1, -1) == 1 && one.revents == always);
        one.events = POLLIN;
        CHECK(poll(&one, 1, 0) == 1 && one.revents == POLLIN);
        one.events = POLLPRI;
        CHECK(poll(&one, 1, 1) == 0 && one.revents == 0);
    }
    struct pollfd several[] = {
        {quiet, POLLIN, 9}, {o.device, POLLOUT, 9}, {-1, POLLIN, 9}, {o.group, POLLPRI, 9}, {quiet, POLLOUT, 9}, {777, POLLIN, 9}};
    CHECK(poll(several, 6, -1) == 3);
    CHECK(several[0].revents == 0 && several[1].revents == POLLOUT && several[2].revents == 0);
    CHECK(several[3].revents == 0 && several[4].revents == POLLOUT && several[5].revents == POLLNVAL);
    CHECK(several[1].fd == o.device);
    struct timespec moment = {0, 1000};
    CHECK(ppoll(several, 1, &moment, NULL) == 0);
    CHECK(ppoll(several, 2, NULL, NULL) == 1 && several[1].revents == POLLOUT);
    CHECK(poll(NULL, 0, 0) == 0);

    fd_set reading, writing, failing;
    FD_ZERO(&reading);
    FD_ZERO(&writing);
    FD_ZERO(&failing);
    FD_SET(o.device, &reading), FD_SET(quiet, &reading), FD_SET(o.group, &writing), FD_SET(o.device, &failing);
    int most = (o.device > quiet ? o.device : quiet) + 1;
    CHECK(select(most, &reading, &writing, &failing, NULL) == 2);
    CHECK(FD_ISSET(o.device, &reading) && !FD_ISSET(quiet, &reading) && FD_ISSET(o.group, &writing));
    CHECK(!FD_ISSET(o.device, &failing));
    FD_SET(quiet, &reading);
    CHECK(pselect(most, &reading, NULL, NULL, NULL, NULL) == 1 && FD_ISSET(o.device, &reading));
    FD_ZERO(&reading);
    FD_SET(quiet, &reading);
    struct timeval none = {0, 0};
    CHECK(select(most, &reading, NULL, NULL, &none) == 0 && !FD_ISSET(quiet, &reading));

    int epoll = epoll_create1(0);
    struct epoll_event event = {.events = EPOLLIN};
    FAILS(epoll_ctl(epoll, EPOLL_CTL_ADD, o.device, &event), EPERM);
    FAILS(epoll_ctl(epoll, EPOLL_CTL_ADD, o.container, &event), EPERM);
    FAILS(epoll_ctl(-1, EPOLL_CTL_ADD, o.device, &event), EBADF);
    CHECK(epoll_ctl(epoll, EPOLL_CTL_ADD, quiet, &event) == 0);
    close_device(&o);
    return done();
}
