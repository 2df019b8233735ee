// A program with signals of its own that touches mapped registers: its handler for SIGSEGV, blocked signals, another
// stack, jumps out of the handler. It sees what it would see on a machine with the hardware.
#include "trap.h"
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <sys/wait.h>

static volatile uint32_t *bar;
static sigjmp_buf back;
static volatile int calls, on_other_stack;
static void *volatile fault;
static char other[65536];

static void touch(void) {
    uint32_t value = bar[0];
    bar[0] = value + 1;
    CHECK(bar[0] == value + 1);
}

static void jump(int number, siginfo_t *info, void *context) {
    (void)context;
    char here;
    calls++;
    CHECK(number == SIGSEGV);
    fault = info->si_addr;
    on_other_stack = &here >= other && &here < other + sizeof other;
    touch();
    siglongjmp(back, 1);
}

static void simple(int number) {
    CHECK(number == SIGSEGV);
    calls++;
    siglongjmp(back, 1);
}

static void skip(int number, siginfo_t *info, void *context) {
    (void)number, (void)info, (void)context;
    calls++;
    // Gives the page to the program; the access is done again.
    CHECK(mmap((void *)0x10000000, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0) !=
          MAP_FAILED);
}

static volatile int *volatile nowhere = (volatile int *)16;
static void crash(void) { *nowhere = 1; }

// The signal that ends a child that does something; 0 if it ends by itself, with 0.
static int ends(void (*body)(void)) {
    fflush(0);
    pid_t child = fork();
    CHECK(child >= 0);
    if (child == 0) {
        body();
        _exit(0);
    }
    int status;
    CHECK(waitpid(child, &status, 0) == child);
    return WIFSIGNALED(status) ? WTERMSIG(status) : WEXITSTATUS(status) ? -1 : 0;
}

static void set(void (*handler)(int, siginfo_t *, void *), int flags) {
    struct sigaction action = {.sa_flags = flags | SA_SIGINFO};
    action.sa_sigaction = handler;
    CHECK(sigaction(SIGSEGV, &action, 0) == 0);
}

static void crash_blocked(void) {
    sigset_t all;
    sigfillset(&all);
    sigprocmask(SIG_BLOCK, &all, 0);
    set(jump, 0);
    crash();
}

static void crash_plain(void) {
    signal(SIGSEGV, SIG_DFL);
    crash();
}

static void crash_ignored(void) {
    signal(SIGSEGV, SIG_IGN);
    raise(SIGSEGV);
    touch();
    crash();
}

static void crash_twice(void) {
    munmap((void *)0x10000000, 4096);
    set(skip, SA_RESETHAND);
    *(volatile int *)0x10000000 = 1;
    munmap((void *)0x10000000, 4096);
    *(volatile int *)0x10000000 = 1;
}

#if defined(__x86_64__)
static void unknown(void) {
    signal(SIGSEGV, SIG_DFL);
    __asm__ volatile("flds (%0)\n\tfstp %%st(0)" ::"r"(bar));
}
#endif

static void jump_bus(int number, siginfo_t *info, void *context) {
    (void)context;
    CHECK(number == SIGBUS);
    fault = info->si_addr;
    siglongjmp(back, 1);
}

// Switches the device's memory on or off.
static void set_memory(int on) {
    struct vfio_region_info config = trap_region(VFIO_PCI_CONFIG_REGION_INDEX);
    uint16_t command;
    CHECK(pread(trap_device, &command, 2, (off_t)config.offset + 4) == 2);
    command = (uint16_t)(on ? command | 2 : command & ~2);
    CHECK(pwrite(trap_device, &command, 2, (off_t)config.offset + 4) == 2);
}

static void *thread(void *argument) {
    (void)argument;
    sigset_t all;
    sigfillset(&all);
    CHECK(pthread_sigmask(SIG_BLOCK, &all, 0) == 0);
    for (int i = 0; i < 100; i++) touch();
    return 0;
}

static void on_user(int number) {
    (void)number;
    touch();
    calls++;
}

int main(int count, char **arguments) {
    trap_open(count > 1 ? arguments[1] : "0000:01:00.0");
    // Asked for before anything is mapped, and after it.
    set(jump, 0);
    bar = trap_map(0);
    touch();
    if (sigsetjmp(back, 1) == 0) crash();
    CHECK(calls == 1 && fault == (void *)16);
    // Jumping out has unblocked it: again, and again.
    for (volatile int i = 0; i < 3; i++) {
        if (sigsetjmp(back, 1) == 0) crash();
        touch();
    }
    CHECK(calls == 4);
    struct sigaction seen;
    CHECK(sigaction(SIGSEGV, 0, &seen) == 0 && seen.sa_sigaction == jump && (seen.sa_flags & 0xf0ffffff) == SA_SIGINFO);
    CHECK((void *)signal(SIGSEGV, simple) == (void *)jump);
    if (sigsetjmp(back, 1) == 0) crash();
    CHECK(calls == 5);

    // On a stack of its own; registers are touched from there too.
    stack_t stack = {.ss_sp = other, .ss_size = sizeof other};
    CHECK(sigaltstack(&stack, 0) == 0);
    set(jump, SA_ONSTACK);
    touch();
    if (sigsetjmp(back, 1) == 0) crash();
    CHECK(calls == 6 && on_other_stack);
    set(jump, 0);
    if (sigsetjmp(back, 1) == 0) crash();
    CHECK(calls == 7 && !on_other_stack);

    // A handler that repairs the cause and returns.
    set(skip, 0);
    *(volatile int *)0x10000000 = 5;
    CHECK(calls == 8 && *(volatile int *)0x10000000 == 5);

    // errno is the program's own.
    errno = 4711;
    touch();
    CHECK(errno == 4711);

    // Everything blocked, in this thread and in another; the mask is told as it was set.
    sigset_t all, old;
    sigfillset(&all);
    CHECK(sigprocmask(SIG_SETMASK, &all, 0) == 0);
    touch();
    CHECK(sigprocmask(SIG_SETMASK, 0, &old) == 0);
    CHECK(sigismember(&old, SIGSEGV) == 1 && sigismember(&old, SIGUSR1) == 1);
    // One that is sent meanwhile waits.
    set(jump, 0);
    CHECK(raise(SIGSEGV) == 0);
    touch();
    CHECK(calls == 8);
    sigset_t none;
    sigemptyset(&none);
    if (sigsetjmp(back, 0) == 0) CHECK(sigprocmask(SIG_SETMASK, &none, 0) == 0);
    CHECK(calls == 9);
    CHECK(sigprocmask(SIG_SETMASK, &none, 0) == 0);
    sigset_t only;
    sigemptyset(&only);
    sigaddset(&only, SIGSEGV);
    CHECK(sigprocmask(SIG_BLOCK, &only, &old) == 0 && sigismember(&old, SIGSEGV) == 0);
    CHECK(sigprocmask(SIG_UNBLOCK, &only, &old) == 0 && sigismember(&old, SIGSEGV) == 1);
    CHECK(sigismember(&old, SIGSTKFLT) == 0);
    pthread_t other_thread;
    CHECK(pthread_create(&other_thread, 0, thread, 0) == 0 && pthread_join(other_thread, 0) == 0);

    // A handler for something else that blocks everything and touches registers.
    struct sigaction user = {.sa_handler = on_user};
    sigfillset(&user.sa_mask);
    CHECK(sigaction(SIGUSR1, &user, 0) == 0);
    CHECK(raise(SIGUSR1) == 0 && calls == 10);
    CHECK(sigaction(SIGUSR1, 0, &seen) == 0 && sigismember(&seen.sa_mask, SIGSEGV) == 1);

    // What the kernel does where the program can't be told.
    CHECK(ends(crash_plain) == SIGSEGV);
    CHECK(ends(crash_blocked) == SIGSEGV);
    CHECK(ends(crash_twice) == SIGSEGV);
    CHECK(ends(crash_ignored) == SIGSEGV);

#if defined(__x86_64__)
    // An instruction that isn't known is a fault as any other, after a message.
    CHECK(ends(unknown) == SIGSEGV);
#endif

    // With the device's memory switched off nobody answers.
    struct sigaction bus = {.sa_flags = SA_SIGINFO};
    bus.sa_sigaction = jump_bus;
    CHECK(sigaction(SIGBUS, &bus, 0) == 0);
    set_memory(0);
    if (sigsetjmp(back, 1) == 0) {
        (void)bar[1];
        CHECK(!"the device answered");
    }
    CHECK(fault == bar + 1);
    set_memory(1);
    touch();

    // Waiting with everything blocked but one, whose handler touches registers.
    sigset_t waiting;
    sigfillset(&waiting);
    sigdelset(&waiting, SIGUSR1);
    CHECK(sigprocmask(SIG_SETMASK, &all, 0) == 0);
    CHECK(raise(SIGUSR1) == 0 && calls == 10);
    CHECK(sigsuspend(&waiting) == -1 && errno == EINTR && calls == 11);
    CHECK(sigprocmask(SIG_SETMASK, &none, 0) == 0);

    // A system call that is given a register's address can't reach it.
    CHECK(read(trap_group, (void *)bar, 4) < 0);
    int zero = open("/dev/zero", O_RDONLY);
    CHECK(read(zero, (void *)bar, 4) == -1 && errno == EFAULT);

    // Less than was mapped may be unmapped, and forbidden.
    char *page = (char *)bar;
    CHECK(mprotect(page, 4096, PROT_READ) == 0);
    set(jump, 0);
    (void)bar[0];
    int before = calls;
    if (sigsetjmp(back, 1) == 0) {
        signal(SIGSEGV, simple);
        bar[0] = 1;
    }
    CHECK(calls == before + 1);
    CHECK(mprotect(page, 4096, PROT_READ | PROT_WRITE) == 0);
    touch();
    CHECK(munmap(page + 0x1000, 0x2000) == 0);
    touch();
    *(volatile uint32_t *)(page + 0x3000) = 9;
    CHECK(*(volatile uint32_t *)(page + 0x3000) == 9);
    if (sigsetjmp(back, 1) == 0) *(volatile uint32_t *)(page + 0x1000) = 1;
    CHECK(calls == before + 2);
    char *moved = mremap(page, 4096, 4096, MREMAP_MAYMOVE | MREMAP_FIXED, page + 0x1000);
    CHECK(moved == page + 0x1000);
    bar = (volatile uint32_t *)moved;
    touch();
    // Something else in its place.
    CHECK(mmap(moved, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0) == moved);
    CHECK(bar[0] == 0);
    // A mapping keeps the device open.
    char *again = trap_map(0);
    bar = (volatile uint32_t *)again;
    CHECK(close(trap_device) == 0);
    touch();
    CHECK(munmap(again, 0x4000) == 0);
    puts("signals are the program's own");
    return 0;
}
