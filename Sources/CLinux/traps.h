// What a handler of faults needs: the registers in a signal's frame, sets of signals, actions, other stacks.
//
// Header only, as clinux.h. A set of signals is one word here, bit 0 for signal 1.
#pragma once

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdint.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <ucontext.h>
#include <unistd.h>

#define CLINUX static inline __attribute__((always_inline, unused))

// The general registers in a frame: on x86-64 rax, rcx, rdx, rbx, rsp, rbp, rsi, rdi, r8 to r15, rip, rflags; on arm64
// x0 to x30, sp, pc, pstate.
#if defined(__x86_64__)
CLINUX void clinux_frame_read(const void *context, uint64_t *out) {
    static const unsigned char order[18] = {13, 14, 12, 11, 15, 10, 9, 8, 0, 1, 2, 3, 4, 5, 6, 7, 16, 17};
    const ucontext_t *u = context;
    for (int i = 0; i < 18; i++) out[i] = (uint64_t)u->uc_mcontext.gregs[order[i]];
}
CLINUX void clinux_frame_write(void *context, const uint64_t *in) {
    static const unsigned char order[18] = {13, 14, 12, 11, 15, 10, 9, 8, 0, 1, 2, 3, 4, 5, 6, 7, 16, 17};
    ucontext_t *u = context;
    for (int i = 0; i < 18; i++) u->uc_mcontext.gregs[order[i]] = (greg_t)in[i];
}
// The processor's extended state in a frame, as XSAVE writes it; only its first 512 bytes count if *features is 0.
CLINUX uintptr_t clinux_frame_extended(const void *context, uint64_t *features, uint32_t *n) {
    const ucontext_t *u = context;
    const char *p = (const char *)u->uc_mcontext.fpregs;
    uint32_t magic;
    *features = 0;
    *n = 512;
    if (!p) return 0;
    memcpy(&magic, p + 464, 4);
    if (magic == 0x46505853) {
        memcpy(features, p + 472, 8);
        memcpy(n, p + 480, 4);
    }
    return (uintptr_t)p;
}
CLINUX uint64_t clinux_segment_base_fs(void) { return (uint64_t)pthread_self(); }
CLINUX uint64_t clinux_segment_base_gs(void) {
    uint64_t base = 0;
    syscall(SYS_arch_prctl, 0x1004 /* ARCH_GET_GS */, &base);
    return base;
}
#elif defined(__aarch64__)
CLINUX void clinux_frame_read(const void *context, uint64_t *out) {
    const ucontext_t *u = context;
    for (int i = 0; i < 31; i++) out[i] = u->uc_mcontext.regs[i];
    out[31] = u->uc_mcontext.sp;
    out[32] = u->uc_mcontext.pc;
    out[33] = u->uc_mcontext.pstate;
}
CLINUX void clinux_frame_write(void *context, const uint64_t *in) {
    ucontext_t *u = context;
    for (int i = 0; i < 31; i++) u->uc_mcontext.regs[i] = in[i];
    u->uc_mcontext.sp = in[31];
    u->uc_mcontext.pc = in[32];
    u->uc_mcontext.pstate = in[33];
}
// Where a frame keeps v0 to v31, 16 bytes each; 0 if it doesn't.
CLINUX uintptr_t clinux_frame_vectors(void *context) {
    ucontext_t *u = context;
    unsigned char *p = (unsigned char *)u->uc_mcontext.__reserved;
    unsigned char *end = p + sizeof u->uc_mcontext.__reserved;
    while (p + 16 <= end) {
        uint32_t magic, n;
        memcpy(&magic, p, 4);
        memcpy(&n, p + 4, 4);
        if (magic == 0x46508001) return (uintptr_t)(p + 16);
        if (magic == 0 || n < 16) break;
        p += n;
    }
    return 0;
}
#endif

// What is blocked when the handler of a frame returns.
CLINUX uint64_t clinux_frame_mask(const void *context) {
    uint64_t mask;
    memcpy(&mask, &((const ucontext_t *)context)->uc_sigmask, sizeof mask);
    return mask;
}
CLINUX void clinux_frame_set_mask(void *context, uint64_t mask) {
    memcpy(&((ucontext_t *)context)->uc_sigmask, &mask, sizeof mask);
}

CLINUX uintptr_t clinux_signal_address(const void *info) { return (uintptr_t)((const siginfo_t *)info)->si_addr; }
CLINUX int clinux_signal_code(const void *info) { return ((const siginfo_t *)info)->si_code; }
CLINUX void clinux_signal_make_fault(void *info, uintptr_t address) {
    siginfo_t *i = info;
    i->si_code = SEGV_MAPERR;
    i->si_addr = (void *)address;
}
// Sends this thread a signal with what comes with another.
CLINUX long clinux_signal_again(int number, const void *info) {
    siginfo_t copy;
    memcpy(&copy, info, sizeof copy);
    copy.si_signo = number;
    long r = syscall(SYS_rt_tgsigqueueinfo, (long)getpid(), (long)syscall(SYS_gettid), (long)number, &copy);
    return r < 0 ? -(long)errno : r;
}
// Sends this thread a SIGBUS for an address, as for memory that isn't there.
CLINUX long clinux_signal_bus_error(uintptr_t address) {
    siginfo_t info;
    memset(&info, 0, sizeof info);
    info.si_code = BUS_ADRERR;
    info.si_addr = (void *)address;
    return clinux_signal_again(SIGBUS, &info);
}

// Actions, as sigaction(2) has them. The handler is 0 for SIG_DFL, 1 for SIG_IGN.
CLINUX void clinux_action_read(const void *action, uintptr_t *handler, uint64_t *mask, int *flags) {
    const struct sigaction *a = action;
    *handler = a->sa_flags & SA_SIGINFO ? (uintptr_t)a->sa_sigaction : (uintptr_t)a->sa_handler;
    memcpy(mask, &a->sa_mask, sizeof *mask);
    *flags = a->sa_flags;
}
CLINUX void clinux_action_write(void *action, uintptr_t handler, uint64_t mask, int flags) {
    struct sigaction *a = action;
    memset(a, 0, sizeof *a);
    if (flags & SA_SIGINFO) a->sa_sigaction = (void (*)(int, siginfo_t *, void *))handler;
    else a->sa_handler = (void (*)(int))handler;
    memcpy(&a->sa_mask, &mask, sizeof mask);
    a->sa_flags = flags;
}
CLINUX long clinux_action_size(void) { return (long)sizeof(struct sigaction); }
CLINUX long clinux_set_size(void) { return (long)sizeof(sigset_t); }
CLINUX void clinux_call_handler(uintptr_t handler, int number, void *info, void *context, int with_info) {
    if (with_info) ((void (*)(int, void *, void *))handler)(number, info, context);
    else ((void (*)(int))handler)(number);
}

CLINUX int clinux_sa_onstack(void) { return SA_ONSTACK; }
CLINUX int clinux_sa_restart(void) { return SA_RESTART; }
CLINUX int clinux_sa_siginfo(void) { return SA_SIGINFO; }
CLINUX int clinux_sa_nodefer(void) { return (int)SA_NODEFER; }
CLINUX int clinux_sa_resethand(void) { return (int)SA_RESETHAND; }

// The lowest bit of a word that nobody has, taken; -1 if all are.
CLINUX int clinux_take_bit(uintptr_t word) {
    uint64_t now = __atomic_load_n((uint64_t *)word, __ATOMIC_RELAXED);
    while (~now) {
        int bit = __builtin_ctzll(~now);
        if (__atomic_compare_exchange_n((uint64_t *)word, &now, now | 1ull << bit, 0, __ATOMIC_ACQUIRE,
                                        __ATOMIC_RELAXED))
            return bit;
    }
    return -1;
}

// Calls a function on another stack, which ends at `top`.
CLINUX void clinux_call_on_stack(uintptr_t top, void (*body)(void *), void *context) {
#if defined(__x86_64__)
    __asm__ volatile("movq %%rsp, %%rbx\n\tmovq %[top], %%rsp\n\tcallq *%[body]\n\tmovq %%rbx, %%rsp"
                     : "+D"(context)
                     : [body] "r"(body), [top] "r"(top)
                     : "rbx", "rax", "rcx", "rdx", "rsi", "r8", "r9", "r10", "r11", "cc", "memory", "xmm0",
                       "xmm1", "xmm2", "xmm3", "xmm4", "xmm5", "xmm6", "xmm7", "xmm8", "xmm9", "xmm10",
                       "xmm11", "xmm12", "xmm13", "xmm14", "xmm15");
#elif defined(__aarch64__)
    register void *x0 __asm__("x0") = context;
    __asm__ volatile("mov x19, sp\n\tmov sp, %[top]\n\tblr %[body]\n\tmov sp, x19"
                     : "+r"(x0)
                     : [body] "r"(body), [top] "r"(top)
                     : "x1", "x2", "x3", "x4", "x5", "x6", "x7", "x8", "x9", "x10", "x11", "x12", "x13", "x14",
                       "x15", "x16", "x17", "x18", "x19", "x30", "cc", "memory", "v0", "v1", "v2", "v3", "v4",
                       "v5", "v6", "v7", "v16", "v17", "v18", "v19", "v20", "v21", "v22", "v23", "v24", "v25",
                       "v26", "v27", "v28", "v29", "v30", "v31");
#else
#error "unknown processor"
#endif
}

#undef CLINUX
