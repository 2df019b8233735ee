// What Swift's Glibc module doesn't show, and system calls that report their errno in the return value.
//
// Header only: nothing here is compiled on its own. Every wrapper returns the call's result, or -errno, so
// that no code between the call and the reading of `errno` can change it. Interrupted calls (EINTR) are
// reported like any other error; LinuxSystem decides in one place which of them to repeat.
#pragma once

// No feature-test macro is defined here: with one, the types of the C library's headers would differ from those
// that other modules (Dispatch, Foundation) see, and a program could not import both. What the headers hide
// without it is reached by number below.
#include <dirent.h>
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <spawn.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <sys/uio.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <termios.h>
#include <time.h>
#include <unistd.h>

#if defined(__x86_64__)
#include <cpuid.h>
#endif

#define CLINUX static inline __attribute__((always_inline, unused))

// Numbers of the kernel's interface that the C library's headers hide or don't have yet.
#define CLINUX_MFD_CLOEXEC 1u
#define CLINUX_MFD_ALLOW_SEALING 2u
#define CLINUX_F_ADD_SEALS 1033
#define CLINUX_F_SEAL_SHRINK 2
#define CLINUX_F_SEAL_GROW 4
#ifndef MADV_POPULATE_READ
#define MADV_POPULATE_READ 22
#endif
#ifndef MADV_POPULATE_WRITE
#define MADV_POPULATE_WRITE 23
#endif

CLINUX long clinux_result(long r) { return r < 0 ? -(long)errno : r; }

// Files and descriptors.
// In a library that stands in front of these names itself they are the system's own all the same. Elsewhere they are the
// C library's, which tools that watch a program stand in front of.
#ifdef CLINUX_DIRECT
#define openat(...) syscall(SYS_openat, __VA_ARGS__)
#define close(...) syscall(SYS_close, __VA_ARGS__)
#define fcntl(...) syscall(SYS_fcntl, __VA_ARGS__)
#define read(...) syscall(SYS_read, __VA_ARGS__)
#define write(...) syscall(SYS_write, __VA_ARGS__)
#define pread(...) syscall(SYS_pread64, __VA_ARGS__)
#define pwrite(...) syscall(SYS_pwrite64, __VA_ARGS__)
#define ioctl(...) syscall(SYS_ioctl, __VA_ARGS__)
#define readlinkat(...) syscall(SYS_readlinkat, __VA_ARGS__)
#define recvmsg(...) syscall(SYS_recvmsg, __VA_ARGS__)
#endif
CLINUX long clinux_openat(int dir, const char *path, int flags, unsigned mode) {
    return clinux_result(openat(dir, path, flags, mode));
}
CLINUX long clinux_close(int fd) { return clinux_result(close(fd)); }
CLINUX void clinux_close_from(unsigned lowest) { syscall(436l /* SYS_close_range */, lowest, ~0u, 0u); }
CLINUX long clinux_dup_above(int fd, int lowest) {
    return clinux_result(fcntl(fd, F_DUPFD_CLOEXEC, lowest));
}
CLINUX long clinux_set_close_on_exec(int fd, int on) {
    return clinux_result(fcntl(fd, F_SETFD, on ? FD_CLOEXEC : 0));
}
CLINUX long clinux_get_flags(int fd) { return clinux_result(fcntl(fd, F_GETFL)); }
CLINUX long clinux_read(int fd, void *to, size_t n) { return clinux_result(read(fd, to, n)); }
CLINUX long clinux_write(int fd, const void *from, size_t n) { return clinux_result(write(fd, from, n)); }
CLINUX long clinux_pread(int fd, void *to, size_t n, uint64_t at) {
    return clinux_result(pread(fd, to, n, (off_t)at));
}
CLINUX long clinux_pwrite(int fd, const void *from, size_t n, uint64_t at) {
    return clinux_result(pwrite(fd, from, n, (off_t)at));
}
CLINUX long clinux_ioctl(int fd, unsigned long request, uintptr_t argument) {
    return clinux_result(ioctl(fd, request, argument));
}
CLINUX long clinux_fdatasync(int fd) { return clinux_result(fdatasync(fd)); }
CLINUX long clinux_ftruncate(int fd, uint64_t n) { return clinux_result(ftruncate(fd, (off_t)n)); }
CLINUX long clinux_fallocate(int fd, int mode, uint64_t at, uint64_t n) {
    return clinux_result(syscall(SYS_fallocate, fd, mode, (off_t)at, (off_t)n));
}
CLINUX long clinux_fstat(int fd, struct stat *out) { return clinux_result(fstat(fd, out)); }
// What kind of file system a file is in: statfs's f_type.
CLINUX long clinux_file_system(int fd, uint64_t *type) {
    struct statfs out;
    long result = clinux_result(fstatfs(fd, &out));
    if (result == 0) *type = (uint64_t)out.f_type & 0xffffffff;
    return result;
}
CLINUX long clinux_stat(const char *path, struct stat *out) { return clinux_result(stat(path, out)); }
CLINUX long clinux_access(const char *path, int mode) { return clinux_result(access(path, mode)); }
CLINUX long clinux_readlink(const char *path, char *to, size_t n) {
    return clinux_result(readlink(path, to, n));
}
// Fails with EEXIST where the new name is taken.
CLINUX long clinux_rename_new(const char *from, const char *to) {
    return clinux_result(syscall(SYS_renameat2, AT_FDCWD, from, AT_FDCWD, to, 1ul /* RENAME_NOREPLACE */));
}
// Takes the place of what has the new name.
CLINUX long clinux_rename(const char *from, const char *to) { return clinux_result(rename(from, to)); }
CLINUX long clinux_mkdir(const char *path, unsigned mode) { return clinux_result(mkdir(path, mode)); }
CLINUX long clinux_rmdir(const char *path) { return clinux_result(rmdir(path)); }
CLINUX long clinux_make_temporary_folder(char *path) {
    // By hand, as the header hides mkdtemp(3) without a feature-test macro.
    static const char letters[] = "abcdefghijklmnopqrstuvwxyz0123456789";
    size_t n = strlen(path);
    if (n < 6) return -(long)EINVAL;
    for (int attempt = 0; attempt < 100; attempt++) {
        unsigned char random[6];
        if (getentropy(random, sizeof random) < 0) return -(long)errno;
        for (int i = 0; i < 6; i++) path[n - 6 + (size_t)i] = letters[random[i] % 36];
        if (mkdir(path, 0700) == 0) return 0;
        if (errno != EEXIST) return -(long)errno;
    }
    return -(long)EEXIST;
}
// The name of a socket that nobody listens at: opening it fails with ENXIO, for anybody. With its time of change.
CLINUX long clinux_make_socket_name(const char *path, unsigned mode, int64_t seconds, long nanoseconds) {
    struct timespec times[2] = {{seconds, nanoseconds}, {seconds, nanoseconds}};
    long r = clinux_result(mknod(path, S_IFSOCK | 0600, 0));
    if (r < 0) return r;
    // The mask of the process doesn't apply here.
    r = clinux_result(chmod(path, mode));
    return r < 0 ? r : clinux_result(utimensat(AT_FDCWD, path, times, 0));
}
CLINUX long clinux_symlink(const char *target, const char *path) {
    return clinux_result(symlink(target, path));
}
CLINUX long clinux_unlink(const char *path) { return clinux_result(unlink(path)); }
CLINUX uint32_t clinux_mode(const struct stat *s) { return s->st_mode; }
CLINUX long clinux_has_attribute(const char *path, const char *name) {
    return syscall(SYS_getxattr, path, name, (void *)0, 0ul) >= 0;
}
CLINUX uint32_t clinux_real_user(void) { return getuid(); }
CLINUX uint32_t clinux_real_group(void) { return getgid(); }
CLINUX uint32_t clinux_mode_type(const struct stat *s) { return s->st_mode & S_IFMT; }
CLINUX uint32_t clinux_type_regular(void) { return S_IFREG; }
CLINUX uint32_t clinux_type_block(void) { return S_IFBLK; }
CLINUX uint32_t clinux_type_directory(void) { return S_IFDIR; }
CLINUX uint32_t clinux_type_socket(void) { return S_IFSOCK; }

// Directories. A directory stream is an owner of its own; LinuxSystem keeps it.
CLINUX void *clinux_opendir(const char *path, int *error) {
    DIR *d = opendir(path);
    *error = d ? 0 : errno;
    return d;
}
CLINUX const char *clinux_readdir(void *stream) {
    struct dirent *e = readdir((DIR *)stream);
    return e ? e->d_name : (const char *)0;
}
CLINUX void clinux_closedir(void *stream) { closedir((DIR *)stream); }

// Memory.
CLINUX long clinux_mmap(uintptr_t at, size_t n, int protection, int flags, int fd, uint64_t offset,
                        uintptr_t *out) {
    void *p = mmap((void *)at, n, protection, flags, fd, (off_t)offset);
    if (p == MAP_FAILED) return -(long)errno;
    *out = (uintptr_t)p;
    return 0;
}
CLINUX long clinux_munmap(uintptr_t at, size_t n) { return clinux_result(munmap((void *)at, n)); }
CLINUX long clinux_mprotect(uintptr_t at, size_t n, int protection) {
    return clinux_result(mprotect((void *)at, n, protection));
}
CLINUX long clinux_madvise(uintptr_t at, size_t n, int advice) {
    return clinux_result(madvise((void *)at, n, advice));
}
CLINUX long clinux_memfd_create(const char *name, unsigned flags) {
    return clinux_result(syscall(SYS_memfd_create, name, flags));
}
CLINUX long clinux_add_seals(int fd, int seals) { return clinux_result(fcntl(fd, CLINUX_F_ADD_SEALS, seals)); }
CLINUX long clinux_page_size(void) { return sysconf(_SC_PAGESIZE); }
CLINUX int clinux_memfd_flags(void) { return CLINUX_MFD_CLOEXEC | CLINUX_MFD_ALLOW_SEALING; }
CLINUX long clinux_own_memory_read(uintptr_t from, void *to, size_t n) {
    struct iovec l = {to, n}, r = {(void *)from, n};
    return clinux_result(syscall(SYS_process_vm_readv, getpid(), &l, 1ul, &r, 1ul, 0ul));
}
CLINUX long clinux_own_memory_write(uintptr_t to, const void *from, size_t n) {
    struct iovec l = {(void *)from, n}, r = {(void *)to, n};
    return clinux_result(syscall(SYS_process_vm_writev, getpid(), &l, 1ul, &r, 1ul, 0ul));
}

// Memory of another process.
CLINUX long clinux_other_memory_read(int pid, uintptr_t from, void *to, size_t n) {
    struct iovec l = {to, n}, r = {(void *)from, n};
    return clinux_result(syscall(SYS_process_vm_readv, pid, &l, 1ul, &r, 1ul, 0ul));
}
CLINUX long clinux_other_memory_write(int pid, uintptr_t to, const void *from, size_t n) {
    struct iovec l = {(void *)from, n}, r = {(void *)to, n};
    return clinux_result(syscall(SYS_process_vm_writev, pid, &l, 1ul, &r, 1ul, 0ul));
}

// Waiting.
CLINUX long clinux_eventfd(unsigned initial, int flags) { return clinux_result(eventfd(initial, flags)); }
CLINUX int clinux_eventfd_flags(void) { return EFD_CLOEXEC | EFD_NONBLOCK; }
// Takes an eventfd's value without waiting, also where the descriptor would wait.
CLINUX long clinux_eventfd_take_now(int fd, uint64_t *out) {
    struct iovec v = {out, sizeof *out};
    return clinux_result(syscall(SYS_preadv2, (long)fd, &v, 1L, -1L, -1L, 8L /* RWF_NOWAIT */));
}
CLINUX int clinux_flag_nonblocking(void) { return O_NONBLOCK; }
CLINUX long clinux_epoll_create(void) { return clinux_result(epoll_create1(EPOLL_CLOEXEC)); }
CLINUX long clinux_epoll_control(int epoll, int operation, int fd, uint32_t events, uint64_t tag) {
    struct epoll_event e;
    memset(&e, 0, sizeof e);
    e.events = events;
    e.data.u64 = tag;
    return clinux_result(epoll_ctl(epoll, operation, fd, &e));
}
CLINUX long clinux_epoll_wait(int epoll, struct epoll_event *out, int most, int milliseconds) {
    return clinux_result(epoll_wait(epoll, out, most, milliseconds));
}
CLINUX uint32_t clinux_epoll_events(const struct epoll_event *e) { return e->events; }
CLINUX uint64_t clinux_epoll_tag(const struct epoll_event *e) { return e->data.u64; }
CLINUX uint32_t clinux_epollin(void) { return EPOLLIN; }
CLINUX uint32_t clinux_epollout(void) { return EPOLLOUT; }
CLINUX uint32_t clinux_epollerr(void) { return EPOLLERR; }
CLINUX uint32_t clinux_epollhup(void) { return EPOLLHUP; }
CLINUX uint32_t clinux_epollet(void) { return (uint32_t)EPOLLET; }
CLINUX long clinux_poll_one(int fd, short events, int milliseconds) {
    struct pollfd p = {fd, events, 0};
    long r = clinux_result(poll(&p, 1, milliseconds));
    return r > 0 ? p.revents : r;
}
CLINUX uint64_t clinux_monotonic_nanoseconds(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}
CLINUX long clinux_thread_id(void) { return clinux_result(syscall(SYS_gettid)); }
CLINUX void clinux_sleep_nanoseconds(uint64_t n) {
    struct timespec t = {(time_t)(n / 1000000000u), (long)(n % 1000000000u)};
    nanosleep(&t, (struct timespec *)0);
}

// Sockets.
CLINUX long clinux_unix_socket(int type) {
    return clinux_result(socket(AF_UNIX, type | SOCK_CLOEXEC, 0));
}
CLINUX long clinux_unix_pair(int type, int out[2]) {
    return clinux_result(socketpair(AF_UNIX, type | SOCK_CLOEXEC, 0, out));
}
CLINUX int clinux_sock_stream(void) { return SOCK_STREAM; }
CLINUX long clinux_unix_address(struct sockaddr_un *a, const char *path, size_t n) {
    if (n == 0 || n >= sizeof a->sun_path) return -(long)ENAMETOOLONG;
    memset(a, 0, sizeof *a);
    a->sun_family = AF_UNIX;
    memcpy(a->sun_path, path, n);
    return 0;
}
CLINUX long clinux_unix_connect(int fd, const char *path, size_t n) {
    struct sockaddr_un a;
    long r = clinux_unix_address(&a, path, n);
    return r < 0 ? r : clinux_result(connect(fd, (struct sockaddr *)&a, sizeof a));
}
CLINUX long clinux_unix_bind(int fd, const char *path, size_t n) {
    struct sockaddr_un a;
    long r = clinux_unix_address(&a, path, n);
    return r < 0 ? r : clinux_result(bind(fd, (struct sockaddr *)&a, sizeof a));
}
// Names in no folder: they begin with a zero byte. What the other end of a connected socket is called is told also
// when that end is gone.
CLINUX long clinux_unix_bind_hidden(int fd, const void *name, size_t n) {
    struct sockaddr_un a;
    if (n >= sizeof a.sun_path) return -(long)ENAMETOOLONG;
    memset(&a, 0, sizeof a);
    a.sun_family = AF_UNIX;
    memcpy(a.sun_path + 1, name, n);
    return clinux_result(bind(fd, (struct sockaddr *)&a, (socklen_t)(offsetof(struct sockaddr_un, sun_path) + 1 + n)));
}
CLINUX long clinux_unix_hidden_peer(int fd, void *name, size_t room) {
    struct sockaddr_un a;
    socklen_t length = sizeof a;
    if (getpeername(fd, (struct sockaddr *)&a, &length) < 0) return -(long)errno;
    size_t head = offsetof(struct sockaddr_un, sun_path) + 1;
    if (a.sun_family != AF_UNIX || length <= head || a.sun_path[0] != 0) return 0;
    size_t n = length - head < room ? length - head : room;
    memcpy(name, a.sun_path + 1, n);
    return (long)n;
}
CLINUX int clinux_peer_process(int fd) {
    struct { int pid; unsigned user, group; } c = {0, 0, 0};
    socklen_t length = sizeof c;
    return getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &c, &length) < 0 ? 0 : c.pid;
}
CLINUX long clinux_listen(int fd, int backlog) { return clinux_result(listen(fd, backlog)); }
CLINUX long clinux_accept(int fd) {
    return clinux_result(syscall(SYS_accept4, fd, (void *)0, (void *)0, SOCK_CLOEXEC));
}
// TCP on 127.0.0.1.
CLINUX long clinux_tcp_socket(int waits) {
    return clinux_result(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | (waits ? 0 : SOCK_NONBLOCK), 0));
}
CLINUX struct sockaddr_in clinux_loopback_address(uint16_t port) {
    struct sockaddr_in a;
    memset(&a, 0, sizeof a);
    a.sin_family = AF_INET;
    a.sin_port = htons(port);
    a.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    return a;
}
CLINUX long clinux_loopback_bind(int fd, uint16_t port) {
    struct sockaddr_in a = clinux_loopback_address(port);
    int one = 1;
    // A port is free again as soon as its server has ended.
    if (setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one) < 0) return -(long)errno;
    return clinux_result(bind(fd, (struct sockaddr *)&a, sizeof a));
}
CLINUX long clinux_loopback_connect(int fd, uint16_t port) {
    struct sockaddr_in a = clinux_loopback_address(port);
    return clinux_result(connect(fd, (struct sockaddr *)&a, sizeof a));
}
CLINUX long clinux_socket_port(int fd) {
    struct sockaddr_in a;
    socklen_t n = sizeof a;
    memset(&a, 0, sizeof a);
    if (getsockname(fd, (struct sockaddr *)&a, &n) < 0) return -(long)errno;
    return ntohs(a.sin_port);
}
CLINUX long clinux_send_now(int fd, const void *bytes, size_t n) {
    return clinux_result(send(fd, bytes, n, MSG_NOSIGNAL | MSG_DONTWAIT));
}
CLINUX long clinux_shutdown_sending(int fd) { return clinux_result(shutdown(fd, SHUT_WR)); }

CLINUX long clinux_sendmsg(int fd, const struct msghdr *m) {
    return clinux_result(sendmsg(fd, m, MSG_NOSIGNAL));
}
CLINUX long clinux_recvmsg(int fd, struct msghdr *m) {
    // By number: what a library puts in front of recvmsg(3) isn't meant for our own messages.
    return clinux_result(syscall(SYS_recvmsg, (long)fd, m, (long)MSG_CMSG_CLOEXEC));
}
// The descriptors that came with a message, one by one; -1 behind the last. Messages of recvmmsg(2) lie 64 bytes apart.
CLINUX int clinux_passed_descriptor(const struct msghdr *m, unsigned index) {
    if (!m->msg_control) return -1;
    for (struct cmsghdr *c = CMSG_FIRSTHDR(m); c; c = CMSG_NXTHDR((struct msghdr *)m, c)) {
        if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS || c->cmsg_len < CMSG_LEN(0)) continue;
        unsigned count = (unsigned)((c->cmsg_len - CMSG_LEN(0)) / sizeof(int));
        if (index < count) {
            int fd;
            memcpy(&fd, CMSG_DATA(c) + index * sizeof(int), sizeof fd);
            return fd;
        }
        index -= count;
    }
    return -1;
}
CLINUX struct msghdr *clinux_message_of_many(void *messages, unsigned index) {
    return (struct msghdr *)((char *)messages + index * 64ul);
}
CLINUX int clinux_control_truncated(const struct msghdr *m) { return (m->msg_flags & MSG_CTRUNC) != 0; }

// One message with descriptors. `count` is at most CLINUX_MOST_DESCRIPTORS.
#define CLINUX_MOST_DESCRIPTORS 16
CLINUX long clinux_send_descriptors(int fd, const void *bytes, size_t n, const int *fds, unsigned count) {
    union {
        struct cmsghdr header;
        char space[CMSG_SPACE(sizeof(int) * CLINUX_MOST_DESCRIPTORS)];
    } control;
    struct iovec v = {(void *)bytes, n};
    struct msghdr m;
    memset(&m, 0, sizeof m);
    m.msg_iov = &v;
    m.msg_iovlen = 1;
    if (count > CLINUX_MOST_DESCRIPTORS) return -(long)EINVAL;
    if (count) {
        memset(&control, 0, sizeof control);
        m.msg_control = &control;
        m.msg_controllen = CMSG_SPACE(sizeof(int) * count);
        struct cmsghdr *c = CMSG_FIRSTHDR(&m);
        c->cmsg_level = SOL_SOCKET;
        c->cmsg_type = SCM_RIGHTS;
        c->cmsg_len = CMSG_LEN(sizeof(int) * count);
        memcpy(CMSG_DATA(c), fds, sizeof(int) * count);
    }
    return clinux_sendmsg(fd, &m);
}
// `fds` has room for CLINUX_MOST_DESCRIPTORS. If the kernel had to drop descriptors, those that came are
// closed and -EMSGSIZE is returned.
CLINUX long clinux_receive_descriptors(int fd, void *bytes, size_t n, int *fds, unsigned *count) {
    union {
        struct cmsghdr header;
        char space[CMSG_SPACE(sizeof(int) * CLINUX_MOST_DESCRIPTORS)];
    } control;
    struct iovec v = {bytes, n};
    struct msghdr m;
    memset(&m, 0, sizeof m);
    m.msg_iov = &v;
    m.msg_iovlen = 1;
    m.msg_control = &control;
    m.msg_controllen = sizeof control;
    *count = 0;
    long r = clinux_recvmsg(fd, &m);
    if (r < 0) return r;
    for (struct cmsghdr *c = CMSG_FIRSTHDR(&m); c; c = CMSG_NXTHDR(&m, c)) {
        if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS) continue;
        size_t have = (c->cmsg_len - CMSG_LEN(0)) / sizeof(int);
        for (size_t i = 0; i < have; i++) {
            int one;
            memcpy(&one, CMSG_DATA(c) + i * sizeof(int), sizeof one);
            if (*count < CLINUX_MOST_DESCRIPTORS) fds[(*count)++] = one;
            else close(one);
        }
    }
    if (clinux_control_truncated(&m)) {
        for (unsigned i = 0; i < *count; i++) close(fds[i]);
        *count = 0;
        return -(long)EMSGSIZE;
    }
    return r;
}

// Bytes without descriptors.
CLINUX long clinux_send(int fd, const void *bytes, size_t n) {
    return clinux_result(send(fd, bytes, n, MSG_NOSIGNAL));
}
// Receives bytes alone; descriptors that come with them are closed by the kernel. Quicker than recvmsg(2).
CLINUX long clinux_receive(int fd, void *bytes, size_t n, int waits) {
    return clinux_result(recv(fd, bytes, n, waits ? 0 : MSG_DONTWAIT));
}
// Two stretches of bytes as one.
CLINUX long clinux_send_two(int fd, const void *first, size_t n, const void *second, size_t k) {
    struct iovec v[2] = {{(void *)first, n}, {(void *)second, k}};
    struct msghdr m;
    memset(&m, 0, sizeof m);
    m.msg_iov = v;
    m.msg_iovlen = 2;
    return clinux_sendmsg(fd, &m);
}
// How long a send may wait for room before it ends with -EAGAIN or part of the bytes.
CLINUX long clinux_set_send_timeout(int fd, uint32_t milliseconds) {
    struct timeval t = {(time_t)(milliseconds / 1000), (suseconds_t)(milliseconds % 1000 * 1000)};
    return clinux_result(setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &t, sizeof t));
}
// Receives bytes and all descriptors that come with them. The first CLINUX_MOST_DESCRIPTORS are handed over in
// `fds`, further ones are closed and counted in `surplus`. Unlike above no byte is lost where descriptors are,
// so that a stream stays in step. Also counts one where the kernel had to drop descriptors itself.
#define CLINUX_SCM_MAX_FD 253
CLINUX long clinux_receive_message(int fd, void *bytes, size_t n, int waits, int *fds, unsigned *count,
                                   unsigned *surplus) {
    union {
        struct cmsghdr header;
        char space[CMSG_SPACE(sizeof(int) * CLINUX_SCM_MAX_FD)];
    } control;
    struct iovec v = {bytes, n};
    struct msghdr m;
    memset(&m, 0, sizeof m);
    m.msg_iov = &v;
    m.msg_iovlen = 1;
    m.msg_control = &control;
    m.msg_controllen = sizeof control;
    *count = 0;
    *surplus = 0;
    long r = clinux_result(recvmsg(fd, &m, MSG_CMSG_CLOEXEC | (waits ? 0 : MSG_DONTWAIT)));
    if (r < 0 || m.msg_controllen == 0) return r;
    for (struct cmsghdr *c = CMSG_FIRSTHDR(&m); c; c = CMSG_NXTHDR(&m, c)) {
        if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS) continue;
        size_t have = (c->cmsg_len - CMSG_LEN(0)) / sizeof(int);
        for (size_t i = 0; i < have; i++) {
            int one;
            memcpy(&one, CMSG_DATA(c) + i * sizeof(int), sizeof one);
            if (*count < CLINUX_MOST_DESCRIPTORS) fds[(*count)++] = one;
            else { close(one); ++*surplus; }
        }
    }
    if (clinux_control_truncated(&m)) ++*surplus;
    return r;
}
// How long sending and receiving wait; then they return -EAGAIN. 0 waits for ever.
CLINUX long clinux_socket_timeout(int fd, uint64_t milliseconds) {
    struct timeval t = {(time_t)(milliseconds / 1000), (suseconds_t)(milliseconds % 1000 * 1000)};
    if (setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &t, sizeof t) < 0) return -(long)errno;
    return clinux_result(setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &t, sizeof t));
}
CLINUX long clinux_shutdown(int fd) { return clinux_result(shutdown(fd, SHUT_RDWR)); }

// The process.
CLINUX uint64_t clinux_descriptor_limit(void) {
    struct rlimit limit = {0, 0};
    getrlimit(RLIMIT_NOFILE, &limit);
    return limit.rlim_cur;
}
CLINUX long clinux_set_descriptor_limit(uint64_t soft) {
    struct rlimit limit = {0, 0};
    getrlimit(RLIMIT_NOFILE, &limit);
    limit.rlim_cur = soft;
    return clinux_result(setrlimit(RLIMIT_NOFILE, &limit));
}
CLINUX long clinux_random64(uint64_t *value) { return clinux_result(getentropy(value, sizeof *value)); }
CLINUX long clinux_memlock_limit(uint64_t *soft, uint64_t *hard) {
    struct rlimit l;
    long r = clinux_result(getrlimit(RLIMIT_MEMLOCK, &l));
    *soft = l.rlim_cur == RLIM_INFINITY ? UINT64_MAX : (uint64_t)l.rlim_cur;
    *hard = l.rlim_max == RLIM_INFINITY ? UINT64_MAX : (uint64_t)l.rlim_max;
    return r;
}
CLINUX long clinux_set_memlock_limit(uint64_t soft, uint64_t hard) {
    struct rlimit l = {soft, hard};
    return clinux_result(setrlimit(RLIMIT_MEMLOCK, &l));
}
// Changes one bit of the calling thread's effective capabilities (capget(2), version 3: two 32-bit words a set).
CLINUX long clinux_set_capability(int capability, int held) {
    struct { uint32_t version; int pid; } head = {0x20080522, 0};
    struct { uint32_t effective, permitted, inheritable; } data[2];
    long r = clinux_result(syscall(SYS_capget, &head, data));
    if (r < 0) return r;
    uint32_t bit = (uint32_t)1 << (capability % 32);
    if (held) data[capability / 32].effective |= bit;
    else data[capability / 32].effective &= ~bit;
    return clinux_result(syscall(SYS_capset, &head, data));
}
CLINUX uint32_t clinux_effective_user(void) { return geteuid(); }
CLINUX void clinux_flush_streams(void) { fflush((FILE *)0); }
CLINUX int clinux_is_terminal(int fd) { return isatty(fd); }
CLINUX int clinux_terminal_columns(int fd) {
    struct winsize w;
    return ioctl(fd, TIOCGWINSZ, &w) == 0 && w.ws_col > 0 ? w.ws_col : 80;
}
CLINUX int clinux_terminal_rows(int fd) {
    struct winsize w;
    return ioctl(fd, TIOCGWINSZ, &w) == 0 && w.ws_row > 0 ? w.ws_row : 24;
}
// Keys come one by one, unseen, and none of them is a signal. `saved` has room for a struct termios, which gets what
// was before.
CLINUX long clinux_terminal_take_keys(int fd, void *saved) {
    struct termios *before = (struct termios *)saved;
    long r = clinux_result(tcgetattr(fd, before));
    if (r < 0) return r;
    struct termios now = *before;
    now.c_lflag &= ~(tcflag_t)(ICANON | ECHO | ISIG | IEXTEN);
    now.c_cc[VMIN] = 0;
    now.c_cc[VTIME] = 0;
    return clinux_result(tcsetattr(fd, TCSANOW, &now));
}
CLINUX long clinux_terminal_restore(int fd, const void *saved) {
    return clinux_result(tcsetattr(fd, TCSANOW, (const struct termios *)saved));
}
CLINUX size_t clinux_terminal_state_size(void) { return sizeof(struct termios); }
// Starts a program found in PATH with its input and output on /dev/null, and waits for it. Returns its exit
// code, 128 + the signal that ended it, or -errno.
CLINUX long clinux_run_quietly(char *const arguments[]) {
    extern char **environ;
    posix_spawn_file_actions_t actions;
    pid_t child;
    int status;
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_addopen(&actions, 0, "/dev/null", O_RDONLY, 0);
    posix_spawn_file_actions_addopen(&actions, 1, "/dev/null", O_WRONLY, 0);
    posix_spawn_file_actions_addopen(&actions, 2, "/dev/null", O_WRONLY, 0);
    int r = posix_spawnp(&child, arguments[0], &actions, (const posix_spawnattr_t *)0, arguments, environ);
    posix_spawn_file_actions_destroy(&actions);
    if (r != 0) return -(long)r;
    while (waitpid(child, &status, 0) < 0)
        if (errno != EINTR) return -(long)errno;
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

// Starts a program that nobody waits for, in a session of its own, its streams on /dev/null. Returns 0 or -errno.
CLINUX long clinux_start_in_background(char *const arguments[]) {
    extern char **environ;
    posix_spawn_file_actions_t actions;
    posix_spawnattr_t attributes;
    pid_t child;
    posix_spawn_file_actions_init(&actions);
    for (int fd = 0; fd < 3; fd++) posix_spawn_file_actions_addopen(&actions, fd, "/dev/null", O_RDWR, 0);
    posix_spawnattr_init(&attributes);
    posix_spawnattr_setflags(&attributes, (short)0x80 /* POSIX_SPAWN_SETSID */);
    int r = posix_spawn(&child, arguments[0], &actions, &attributes, arguments, environ);
    posix_spawnattr_destroy(&attributes);
    posix_spawn_file_actions_destroy(&actions);
    return -(long)r;
}

// Starts a program found in PATH, in a process group of its own, its input from /dev/null and both of its outputs into
// a pipe, whose other end becomes `*output`. Returns the process's number, or -errno.
CLINUX long clinux_start_reading(char *const arguments[], int *output) {
    extern char **environ;
    posix_spawn_file_actions_t actions;
    posix_spawnattr_t attributes;
    pid_t child;
    int ends[2];
    if (syscall(SYS_pipe2, ends, O_CLOEXEC) < 0) return -(long)errno;
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_addopen(&actions, 0, "/dev/null", O_RDONLY, 0);
    posix_spawn_file_actions_adddup2(&actions, ends[1], 1);
    posix_spawn_file_actions_adddup2(&actions, ends[1], 2);
    posix_spawnattr_init(&attributes);
    posix_spawnattr_setpgroup(&attributes, 0);
    posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETPGROUP);
    int r = posix_spawnp(&child, arguments[0], &actions, &attributes, arguments, environ);
    posix_spawnattr_destroy(&attributes);
    posix_spawn_file_actions_destroy(&actions);
    close(ends[1]);
    if (r != 0) {
        close(ends[0]);
        return -(long)r;
    }
    *output = ends[0];
    return child;
}

// Waits so long for a child that leads a process group, and then ends the group. Returns whether it had to.
CLINUX int clinux_end_child(pid_t child, int milliseconds) {
    int status;
    struct timespec pause = {0, 1000000};
    for (; milliseconds > 0; milliseconds--) {
        pid_t r = waitpid(child, &status, WNOHANG);
        if (r == child || (r < 0 && errno != EINTR)) return 0;
        nanosleep(&pause, (struct timespec *)0);
    }
    kill(-child, SIGKILL);
    while (waitpid(child, &status, 0) < 0 && errno == EINTR) {}
    return 1;
}

// Starts a program found in PATH with this process's own streams, hands on the signals that are meant for it, and waits
// for its end. Returns its status as waitpid(2) has it, or -errno. Called before there are threads. Where `stand_in` is a
// signal, it is held back from the program where `replaced` is held back now, and that one never is.
CLINUX long clinux_run_program(char *const arguments[], char *const environment[], int replaced, int stand_in) {
    posix_spawnattr_t attributes;
    sigset_t held, former, handed;
    pid_t child;
    int status;
    sigemptyset(&held);
    sigaddset(&held, SIGINT);
    sigaddset(&held, SIGQUIT);
    sigaddset(&held, SIGTERM);
    sigaddset(&held, SIGHUP);
    sigaddset(&held, SIGUSR1);
    sigaddset(&held, SIGUSR2);
    sigaddset(&held, SIGCHLD);
    pthread_sigmask(SIG_BLOCK, &held, &former);
    handed = former;
    if (stand_in > 0) {
        if (sigismember(&former, replaced) == 1) sigaddset(&handed, stand_in);
        else sigdelset(&handed, stand_in);
        sigdelset(&handed, replaced);
    }
    posix_spawnattr_init(&attributes);
    posix_spawnattr_setsigmask(&attributes, &handed);
    posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSIGMASK);
    int r = posix_spawnp(&child, arguments[0], (posix_spawn_file_actions_t *)0, &attributes, arguments,
                         environment);
    posix_spawnattr_destroy(&attributes);
    if (r != 0) {
        pthread_sigmask(SIG_SETMASK, &former, (sigset_t *)0);
        return -(long)r;
    }
    for (;;) {
        pid_t ended = waitpid(child, &status, WNOHANG);
        if (ended < 0 && errno != EINTR) return -(long)errno;
        if (ended == child) break;
        siginfo_t info;
        int number = sigwaitinfo(&held, &info);
        // What a terminal's keys send goes to the whole group of processes: the program has it already.
        if (number > 0 && number != SIGCHLD && info.si_code != SI_KERNEL) kill(child, number);
    }
    pthread_sigmask(SIG_SETMASK, &former, (sigset_t *)0);
    return status;
}
// Starts a process that writes a text to a file in one write(2) and ends with its errno as its code, 0 for none. Returns
// the process's number. Nothing of ours stays open in it, and no terminal reaches it: it may have to wait for ever.
// Between fork(2) and the end it makes nothing but system calls, so there may be other threads.
CLINUX long clinux_start_write(const char *path, const char *text, size_t count) {
    pid_t child = fork();
    if (child != 0) return clinux_result(child);
    setsid();
    syscall(SYS_prctl, 15 /* PR_SET_NAME */, "vfio-write", 0, 0, 0);
    int null = open("/dev/null", O_RDWR);
    for (int fd = 0; fd < 3; fd++)
        if (null < 0) close(fd);
        else if (null != fd) dup2(null, fd);
    if (syscall(436 /* close_range */, 3u, ~0u, 0) < 0)
        for (int fd = 3; fd < 4096; fd++) close(fd);
    // As a shell's redirection opens it; attributes of sysfs have nothing that could be cut off.
    int fd = open(path, O_WRONLY | O_TRUNC);
    if (fd < 0) _exit(errno);
    long written = write(fd, text, count);
    _exit(written < 0 ? errno : written == (long)count ? 0 : EIO);
}
// Whether a child has ended: its status as waitpid(2) has it, plus 1; 0 if it hasn't, or -errno.
CLINUX long clinux_look_for_end(int child) {
    int status = 0;
    pid_t ended = waitpid(child, &status, WNOHANG);
    return ended < 0 ? -(long)errno : ended == 0 ? 0 : (long)status + 1;
}
CLINUX int clinux_exit_code(int status) { return WIFEXITED(status) ? WEXITSTATUS(status) : -1; }
CLINUX int clinux_ending_signal(int status) { return WIFSIGNALED(status) ? WTERMSIG(status) : 0; }
CLINUX char **clinux_all_environment(void) {
    extern char **environ;
    return environ;
}

// Signals as something to wait for. A set has a bit for each signal, number 1 first.
CLINUX sigset_t clinux_signal_set(uint64_t signals) {
    sigset_t set;
    sigemptyset(&set);
    for (int number = 1; number <= 64; number++)
        if (signals >> (number - 1) & 1) sigaddset(&set, number);
    return set;
}
// Holds the signals back from this thread and those that it starts from then on (1), or lets them come again (0).
CLINUX long clinux_hold_signals(uint64_t signals, int hold) {
    sigset_t set = clinux_signal_set(signals);
    return -(long)pthread_sigmask(hold ? SIG_BLOCK : SIG_UNBLOCK, &set, (sigset_t *)0);
}
CLINUX long clinux_signalfd(uint64_t signals) {
    sigset_t set = clinux_signal_set(signals);
    return clinux_result(signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK));
}
// The number of a signal that came, 0 if none did, or -errno.
CLINUX long clinux_signal_take(int fd) {
    struct signalfd_siginfo info;
    long r = clinux_result(read(fd, &info, sizeof info));
    if (r == -EAGAIN) return 0;
    return r < 0 ? r : (long)info.ssi_signo;
}
CLINUX long clinux_signal_send(int process, int number) { return clinux_result(kill(process, number)); }

// Volatile accesses: never dropped, merged, split or moved across one another by the compiler.
CLINUX uint8_t clinux_load8(uintptr_t p) { return *(const volatile uint8_t *)p; }
CLINUX uint16_t clinux_load16(uintptr_t p) { return *(const volatile uint16_t *)p; }
CLINUX uint32_t clinux_load32(uintptr_t p) { return *(const volatile uint32_t *)p; }
CLINUX uint64_t clinux_load64(uintptr_t p) { return *(const volatile uint64_t *)p; }
CLINUX void clinux_store8(uintptr_t p, uint8_t v) { *(volatile uint8_t *)p = v; }
CLINUX void clinux_store16(uintptr_t p, uint16_t v) { *(volatile uint16_t *)p = v; }
CLINUX void clinux_store32(uintptr_t p, uint32_t v) { *(volatile uint32_t *)p = v; }
CLINUX void clinux_store64(uintptr_t p, uint64_t v) { *(volatile uint64_t *)p = v; }

// One aligned 64-bit word that threads share: acquire on loads, release on stores.
CLINUX uint64_t clinux_atomic_load(uintptr_t p) {
    return __atomic_load_n((const uint64_t *)p, __ATOMIC_ACQUIRE);
}
CLINUX void clinux_atomic_store(uintptr_t p, uint64_t v) {
    __atomic_store_n((uint64_t *)p, v, __ATOMIC_RELEASE);
}
CLINUX uint64_t clinux_atomic_add(uintptr_t p, uint64_t v) {
    return __atomic_fetch_add((uint64_t *)p, v, __ATOMIC_ACQ_REL);
}
CLINUX void clinux_atomic_or(uintptr_t p, uint64_t v) {
    __atomic_fetch_or((uint64_t *)p, v, __ATOMIC_ACQ_REL);
}
CLINUX uint64_t clinux_atomic_clear(uintptr_t p, uint64_t v) {
    return __atomic_fetch_and((uint64_t *)p, ~v, __ATOMIC_ACQ_REL);
}

// The same without any order: for statistics and switches.
CLINUX uint64_t clinux_relaxed_load(uintptr_t p) {
    return __atomic_load_n((const uint64_t *)p, __ATOMIC_RELAXED);
}
CLINUX void clinux_relaxed_store(uintptr_t p, uint64_t v) {
    __atomic_store_n((uint64_t *)p, v, __ATOMIC_RELAXED);
}
CLINUX void clinux_relaxed_add(uintptr_t p, uint64_t v) {
    __atomic_fetch_add((uint64_t *)p, v, __ATOMIC_RELAXED);
}
CLINUX void clinux_relaxed_or(uintptr_t p, uint64_t v) {
    __atomic_fetch_or((uint64_t *)p, v, __ATOMIC_RELAXED);
}
CLINUX void clinux_relaxed_clear(uintptr_t p, uint64_t v) {
    __atomic_fetch_and((uint64_t *)p, ~v, __ATOMIC_RELAXED);
}
CLINUX void clinux_relaxed_raise(uintptr_t p, uint64_t v) {
    uint64_t now = __atomic_load_n((const uint64_t *)p, __ATOMIC_RELAXED);
    while (now < v && !__atomic_compare_exchange_n((uint64_t *)p, &now, v, 1, __ATOMIC_RELAXED,
                                                   __ATOMIC_RELAXED)) {
    }
}

// Order between memory that a device reads or writes and the device's registers. On x86-64 the processor
// keeps these orders by itself and the fence only binds the compiler; arm64 needs `dmb` for the outer domain.
CLINUX void clinux_device_write_fence(void) {
#if defined(__aarch64__)
    __asm__ volatile("dmb oshst" ::: "memory");
#else
    __asm__ volatile("" ::: "memory");
#endif
}
CLINUX void clinux_device_read_fence(void) {
#if defined(__aarch64__)
    __asm__ volatile("dmb oshld" ::: "memory");
#else
    __asm__ volatile("" ::: "memory");
#endif
}
CLINUX void clinux_full_fence(void) { __atomic_thread_fence(__ATOMIC_SEQ_CST); }
CLINUX void clinux_spin_hint(void) {
#if defined(__x86_64__)
    __builtin_ia32_pause();
#elif defined(__aarch64__)
    __asm__ volatile("yield");
#endif
}

// Copies that another agent may race with: word by word, never the compiler's own memcpy of plain memory.
CLINUX void clinux_copy(uintptr_t to, uintptr_t from, size_t n) {
    __asm__ volatile("" ::: "memory");
    memmove((void *)to, (const void *)from, n);
    __asm__ volatile("" ::: "memory");
}
CLINUX void clinux_zero(uintptr_t to, size_t n) {
    __asm__ volatile("" ::: "memory");
    memset((void *)to, 0, n);
    __asm__ volatile("" ::: "memory");
}

// Where the processor's extended state (XSAVE, in its standard form) keeps a component; 0 if it has none.
CLINUX uint32_t clinux_extended_state_offset(unsigned component) {
#if defined(__x86_64__)
    unsigned a, b, c, d;
    // Without OSXSAVE the kernel saves none of it.
    if (!__get_cpuid(1, &a, &b, &c, &d) || !(c & (1u << 27))) return 0;
    unsigned low, high;
    __asm__ volatile("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
    if (component > 31 || !(low >> component & 1)) return 0;
    if (!__get_cpuid_count(13, component, &a, &b, &c, &d)) return 0;
    return b;
#else
    (void)component;
    return 0;
#endif
}

// A lock that also exists in Embedded Swift.
CLINUX void clinux_lock_init(pthread_mutex_t *m) { pthread_mutex_init(m, (const pthread_mutexattr_t *)0); }
CLINUX void clinux_lock_destroy(pthread_mutex_t *m) { pthread_mutex_destroy(m); }
CLINUX void clinux_lock(pthread_mutex_t *m) { pthread_mutex_lock(m); }
CLINUX int clinux_try_lock(pthread_mutex_t *m) { return pthread_mutex_trylock(m) == 0; }
CLINUX void clinux_unlock(pthread_mutex_t *m) { pthread_mutex_unlock(m); }

// The locks that a thread holds, for the check of their order (LockPlace). Called from one place only: each object
// file has a variable of its own.
CLINUX uint64_t *clinux_held_locks(void) {
    static _Thread_local uint64_t held[64];
    return held;
}

// A condition of the monotonic clock: nobody waits longer or shorter because the clock on the wall was set.
CLINUX void clinux_condition_init(pthread_cond_t *c) {
    pthread_condattr_t attributes;
    pthread_condattr_init(&attributes);
    pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
    pthread_cond_init(c, &attributes);
    pthread_condattr_destroy(&attributes);
}
CLINUX void clinux_condition_destroy(pthread_cond_t *c) { pthread_cond_destroy(c); }
CLINUX void clinux_condition_wake_all(pthread_cond_t *c) { pthread_cond_broadcast(c); }
CLINUX void clinux_condition_wait(pthread_cond_t *c, pthread_mutex_t *m) { pthread_cond_wait(c, m); }
CLINUX void clinux_condition_wait_until(pthread_cond_t *c, pthread_mutex_t *m, uint64_t nanoseconds) {
    struct timespec t = {(time_t)(nanoseconds / 1000000000u), (long)(nanoseconds % 1000000000u)};
    pthread_cond_timedwait(c, m, &t);
}

// Threads.
// A thread of ours gets no signals but those that it raises itself: the others are for threads of the program.
CLINUX long clinux_thread_start(pthread_t *t, void *(*body)(void *), void *context) {
    sigset_t all, former;
    sigfillset(&all);
    sigdelset(&all, SIGSEGV);
    sigdelset(&all, SIGBUS);
    sigdelset(&all, SIGFPE);
    sigdelset(&all, SIGILL);
    sigdelset(&all, SIGTRAP);
    pthread_sigmask(SIG_SETMASK, &all, &former);
    long r = -(long)pthread_create(t, (const pthread_attr_t *)0, body, context);
    pthread_sigmask(SIG_SETMASK, &former, (sigset_t *)0);
    return r;
}
CLINUX void clinux_thread_detach(pthread_t t) { pthread_detach(t); }

// A word of each thread's own.
CLINUX long clinux_key_create(void) {
    pthread_key_t key;
    long r = pthread_key_create(&key, (void (*)(void *))0);
    return r ? -r : (long)key;
}
CLINUX uintptr_t clinux_key_value(long key) { return (uintptr_t)pthread_getspecific((pthread_key_t)key); }
CLINUX void clinux_key_set(long key, uintptr_t value) { pthread_setspecific((pthread_key_t)key, (void *)value); }

// Processes.
CLINUX int clinux_process(void) { return getpid(); }
CLINUX long clinux_at_fork(void (*before)(void), void (*parent)(void), void (*child)(void)) {
    return -(long)pthread_atfork(before, parent, child);
}
// Lets any process of the same user reach this one's memory where Yama would forbid it; no other kernel knows this.
CLINUX void clinux_allow_tracing(void) { syscall(SYS_prctl, 0x59616d61l /* PR_SET_PTRACER */, -1l, 0l, 0l, 0l); }
CLINUX long clinux_lock_file(int fd) { return clinux_result(syscall(SYS_flock, (long)fd, 2l /* LOCK_EX */)); }
CLINUX long clinux_try_locking_file(int fd) {
    return clinux_result(syscall(SYS_flock, (long)fd, 2l | 4l /* LOCK_EX | LOCK_NB */));
}
// A child that isn't one to its parent: nobody's process to wait for, in a session of its own. Returns 1 in it, 0 in the
// caller, or -errno.
CLINUX long clinux_fork_away(void) {
    pid_t child = fork();
    if (child < 0) return -(long)errno;
    if (child == 0) {
        setsid();
        pid_t grandchild = fork();
        if (grandchild == 0) return 1;
        syscall(SYS_exit_group, grandchild < 0 ? errno : 0);
    }
    int status = 0;
    while (waitpid(child, &status, 0) < 0)
        if (errno != EINTR) break;
    return WIFEXITED(status) && WEXITSTATUS(status) > 0 ? -(long)WEXITSTATUS(status) : 0;
}
CLINUX void clinux_exit_at_once(int status) { syscall(SYS_exit_group, status); }
CLINUX long clinux_pipe(int *ends) { return clinux_result(syscall(SYS_pipe2, ends, O_CLOEXEC)); }
CLINUX void clinux_name_thread(const char *name) { syscall(SYS_prctl, 15l /* PR_SET_NAME */, name, 0l, 0l, 0l); }

CLINUX long clinux_thread_join(pthread_t t) { return -(long)pthread_join(t, (void **)0); }
CLINUX uint64_t clinux_thread_identity(void) { return (uint64_t)pthread_self(); }
CLINUX int clinux_thread_is_self(pthread_t t) { return pthread_equal(t, pthread_self()); }

// Only the first 64 processors.
CLINUX long clinux_bind_thread(uint64_t processors) {
    return clinux_result(syscall(SYS_sched_setaffinity, 0, sizeof processors, &processors));
}

// The same for many readers or one writer.
CLINUX void clinux_rwlock_init(pthread_rwlock_t *m) {
    pthread_rwlock_init(m, (const pthread_rwlockattr_t *)0);
}
CLINUX void clinux_rwlock_destroy(pthread_rwlock_t *m) { pthread_rwlock_destroy(m); }
CLINUX void clinux_rwlock_read(pthread_rwlock_t *m) { pthread_rwlock_rdlock(m); }
CLINUX void clinux_rwlock_write(pthread_rwlock_t *m) { pthread_rwlock_wrlock(m); }
CLINUX int clinux_rwlock_try_write(pthread_rwlock_t *m) { return pthread_rwlock_trywrlock(m) == 0; }
CLINUX void clinux_rwlock_unlock(pthread_rwlock_t *m) { pthread_rwlock_unlock(m); }

// Memory that somebody else may take away: mappings of files that others can cut short. A touch beyond the file's
// end raises SIGBUS; in one of these ranges the handler puts zeros in the whole range's place and the access goes
// on. Elsewhere what was there before decides. All of it is used by one Swift file only: the variables are that
// file's own.
struct clinux_guarded_range {
    uintptr_t start, end; // end is 0 for a free place
    uintptr_t lost;       // not 0 once the memory was taken away
};
#define CLINUX_MOST_GUARDED 131072u
struct clinux_guard {
    struct clinux_guarded_range *ranges;
    unsigned count;
    uint64_t lost;
    struct sigaction former;
};
// A variable inside a function: Swift emits no other kind from a header.
static inline __attribute__((unused)) struct clinux_guard *clinux_guard(void) {
    static struct clinux_guard guard;
    return &guard;
}
static void clinux_bus_error(int number, siginfo_t *info, void *context) {
    struct clinux_guard *g = clinux_guard();
    uintptr_t at = (uintptr_t)info->si_addr;
    unsigned n = __atomic_load_n(&g->count, __ATOMIC_ACQUIRE);
    for (unsigned i = 0; i < n; i++) {
        struct clinux_guarded_range *r = &g->ranges[i];
        uintptr_t end = __atomic_load_n(&r->end, __ATOMIC_ACQUIRE), start = r->start;
        if (at < start || at >= end) continue;
        int error = errno;
        void *p = mmap((void *)start, end - start, PROT_READ | PROT_WRITE,
                       MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED | MAP_NORESERVE, -1, 0);
        errno = error;
        if (p == MAP_FAILED) break;
        __atomic_store_n(&r->lost, 1, __ATOMIC_RELEASE);
        __atomic_fetch_add(&g->lost, 1, __ATOMIC_ACQ_REL);
        return;
    }
    if (g->former.sa_flags & SA_SIGINFO) {
        g->former.sa_sigaction(number, info, context);
    } else if (g->former.sa_handler != SIG_DFL && g->former.sa_handler != SIG_IGN) {
        g->former.sa_handler(number);
    } else {
        // The access is repeated and ends the process, as it would have without us.
        signal(SIGBUS, SIG_DFL);
    }
}
CLINUX long clinux_guard_start(void) {
    uintptr_t at = 0;
    long r = clinux_mmap(0, CLINUX_MOST_GUARDED * sizeof(struct clinux_guarded_range), PROT_READ | PROT_WRITE,
                         MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0, &at);
    if (r < 0) return r;
    clinux_guard()->ranges = (struct clinux_guarded_range *)at;
    struct sigaction action;
    memset(&action, 0, sizeof action);
    action.sa_sigaction = clinux_bus_error;
    action.sa_flags = SA_SIGINFO | SA_ONSTACK;
    sigemptyset(&action.sa_mask);
    return clinux_result(sigaction(SIGBUS, &action, &clinux_guard()->former));
}
// The caller holds a lock and knows that place `i` is free and below CLINUX_MOST_GUARDED.
CLINUX void clinux_guard_add(unsigned i, uintptr_t start, size_t n) {
    clinux_guard()->ranges[i].start = start;
    clinux_guard()->ranges[i].lost = 0;
    __atomic_store_n(&clinux_guard()->ranges[i].end, start + n, __ATOMIC_RELEASE);
    if (i >= clinux_guard()->count) __atomic_store_n(&clinux_guard()->count, i + 1, __ATOMIC_RELEASE);
}
CLINUX void clinux_guard_remove(unsigned i) {
    __atomic_store_n(&clinux_guard()->ranges[i].end, 0, __ATOMIC_RELEASE);
}
CLINUX int clinux_guard_is_lost(unsigned i) {
    return __atomic_load_n(&clinux_guard()->ranges[i].lost, __ATOMIC_ACQUIRE) != 0;
}
CLINUX uint64_t clinux_guard_lost_count(void) { return __atomic_load_n(&clinux_guard()->lost, __ATOMIC_ACQUIRE); }
CLINUX unsigned clinux_guard_limit(void) { return CLINUX_MOST_GUARDED; }

CLINUX int clinux_has_function(const char *name) { return dlsym((void *)0, name) != 0; }
// For a library that stands in front of the C library: the next function of a name behind it (RTLD_NEXT), and the
// thread's error number. What programs hand to it is in hooks.h.
CLINUX void *clinux_next_function(const char *name) { return dlsym((void *)-1l, name); }
// What the program itself or one of its libraries has under a name (RTLD_DEFAULT).
CLINUX void *clinux_program_symbol(const char *name) { return dlsym((void *)0, name); }
CLINUX int clinux_errno(void) { return errno; }
CLINUX void clinux_set_errno(int error) { errno = error; }
CLINUX const char *clinux_environment(const char *name) { return getenv(name); }
CLINUX int clinux_at_current_folder(void) { return AT_FDCWD; }
CLINUX int clinux_map_fixed(void) { return MAP_FIXED; }
CLINUX int clinux_map_fixed_noreplace(void) { return MAP_FIXED_NOREPLACE; }
CLINUX int clinux_map_anonymous(void) { return MAP_ANONYMOUS | MAP_NORESERVE; }
CLINUX int clinux_map_populate(void) { return MAP_POPULATE; }
CLINUX uintptr_t clinux_map_failed(void) { return (uintptr_t)MAP_FAILED; }
// A second mapping of the same shared pages at a given place: mremap(2) with an old length of 0.
CLINUX long clinux_map_again(uintptr_t from, uintptr_t at, size_t n) {
    long r = syscall(SYS_mremap, from, 0ul, n, 3ul /* MREMAP_MAYMOVE | MREMAP_FIXED */, at);
    return r == -1 ? -(long)errno : 0;
}

#ifdef CLINUX_DIRECT
#undef openat
#undef close
#undef fcntl
#undef read
#undef write
#undef pread
#undef pwrite
#undef ioctl
#undef readlinkat
#undef recvmsg
#endif
#undef CLINUX
