/* SPDX-License-Identifier: MIT */
#include "sandbox.h"

#include <errno.h>
#include <linux/capability.h>
#include <linux/close_range.h>
#include <seccomp.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "util.h"

#ifdef __has_feature
#define HAS_FEATURE(feature) __has_feature(feature)
#else
#define HAS_FEATURE(feature) 0
#endif
#if defined(__SANITIZE_ADDRESS__) || HAS_FEATURE(address_sanitizer)
#define UNDER_ADDRESS_SANITIZER 1
#define ADDRESS_SPACE RLIM_INFINITY     /* such a process has terabytes from its start */
#else
#define UNDER_ADDRESS_SANITIZER 0
#define ADDRESS_SPACE SANDBOX_MEMORY_MAX
#endif

/* The hard limit of processor time is one second more: SIGXCPU comes at the soft one, and says what it was. */
static int limit(int resource, rlim_t maximum)
{
    const struct rlimit limits = { maximum, resource == RLIMIT_CPU ? maximum + 1 : maximum };

    return RETURN_ERRNO(setrlimit((__rlimit_resource_t)resource, &limits));
}

static int set_limits(unsigned seconds)
{
    const struct {
        int resource;
        rlim_t maximum;
    } limits[] = {
        { RLIMIT_AS, ADDRESS_SPACE },
        { RLIMIT_CPU, seconds },
        { RLIMIT_NOFILE, 0 },           /* the one that is open stays so */
        { RLIMIT_FSIZE, 0 },
        { RLIMIT_NPROC, 0 },
        { RLIMIT_CORE, 0 },
    };
    int r = 0;

    for (size_t i = 0; r >= 0 && i < ARRAY_LENGTH(limits); i++)
        r = limit(limits[i].resource, limits[i].maximum);
    return r;
}

/* A daemon that root has started has them all.  Where there are none left, a host may well refuse capset(2). */
static int drop_capabilities(void)
{
    static const struct __user_cap_data_struct none[_LINUX_CAPABILITY_U32S_3];
    struct __user_cap_data_struct held[_LINUX_CAPABILITY_U32S_3];
    struct __user_cap_header_struct header = { .version = _LINUX_CAPABILITY_VERSION_3, .pid = 0 };

    /* To the first that does not exist; without CAP_SETPCAP none can be dropped, nor gained: nothing is executed. */
    for (unsigned long bound = 0; prctl(PR_CAPBSET_DROP, bound, 0, 0, 0) == 0; bound++)
        ;
    if (syscall(SYS_capget, &header, held) < 0)
        return -errno;
    if (memcmp(held, none, sizeof(none)) == 0)
        return 0;
    return (int)RETURN_ERRNO(syscall(SYS_capset, &header, none));
}

static int set_process(void)
{
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0 || prctl(PR_SET_PDEATHSIG, SIGKILL) < 0 ||
        prctl(PR_SET_DUMPABLE, 0) < 0)
        return -errno;
    return 0;
}

/* The low half of an argument: what the kernel takes of an int, whatever the caller left above it. */
#define INT(number, mask, value) \
    { .arg = (number), .op = SCMP_CMP_MASKED_EQ, .datum_a = (uint32_t)(mask), .datum_b = (uint32_t)(value) }

/* What is allowed: the conversation, memory (anonymous, never executable), and the end. */
static const struct rule {
    int call;
    unsigned conditions;
    struct scmp_arg_cmp condition[3];
} rules[] = {
    { SCMP_SYS(read), 1, { INT(0, -1, STDIN_FILENO) } },
    { SCMP_SYS(write), 1, { INT(0, -1, STDIN_FILENO) } },
    { SCMP_SYS(mmap), 3, { INT(2, PROT_EXEC, 0), INT(3, MAP_ANONYMOUS, MAP_ANONYMOUS), INT(4, -1, -1) } },
    { SCMP_SYS(brk), 0, { { 0 } } },
    { SCMP_SYS(munmap), 0, { { 0 } } },
    { SCMP_SYS(mremap), 0, { { 0 } } },
    { SCMP_SYS(madvise), 1, { INT(2, -1, MADV_DONTNEED) } },    /* free(3) */
    { SCMP_SYS(madvise), 1, { INT(2, -1, MADV_HUGEPAGE) } },    /* the verifier's states; malloc(3), if told to */
    { SCMP_SYS(futex), 0, { { 0 } } },
    { SCMP_SYS(sysinfo), 0, { { 0 } } },        /* qsort(3) asks how much memory there is */
    { SCMP_SYS(exit), 0, { { 0 } } },
    { SCMP_SYS(exit_group), 0, { { 0 } } },
#if UNDER_ADDRESS_SANITIZER
    { SCMP_SYS(madvise), 1, { INT(2, -1, MADV_NOHUGEPAGE) } },  /* these two: its notes on new memory */
    { SCMP_SYS(madvise), 1, { INT(2, -1, MADV_DONTDUMP) } },
    { SCMP_SYS(sigaltstack), 0, { { 0 } } },    /* at every exit */
#endif
};

static int add_rules(scmp_filter_ctx filter)
{
    int r = 0;

    for (size_t i = 0; r >= 0 && i < ARRAY_LENGTH(rules); i++)
        r = seccomp_rule_add_array(filter, SCMP_ACT_ALLOW, rules[i].call, rules[i].conditions, rules[i].condition);
    return r;
}

static int set_filter(void)
{
    scmp_filter_ctx filter = seccomp_init(SCMP_ACT_KILL_PROCESS);
    int r;

    if (!filter)
        return -ENOMEM;
    r = add_rules(filter);
    if (r >= 0)
        r = seccomp_load(filter);
    seccomp_release(filter);
    return r;
}

int sandbox_enter(unsigned seconds, const char **reterr_what)
{
    int r;

    *reterr_what = "close_range";
    r = RETURN_ERRNO(close_range(STDIN_FILENO + 1, ~0u, 0));
    if (r < 0)
        return r;
    *reterr_what = "resource limits";
    r = set_limits(seconds);
    if (r < 0)
        return r;
    *reterr_what = "capset";
    r = drop_capabilities();
    if (r < 0)
        return r;
    *reterr_what = "prctl";
    r = set_process();
    if (r < 0)
        return r;
    *reterr_what = "a seccomp filter";
    return set_filter();
}
