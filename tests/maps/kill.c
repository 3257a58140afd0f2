/* SPDX-License-Identifier: MIT */
/*
 * Four processes change one map; one of them is killed, or stopped, at any instruction.  The others go on: they get
 * -EBUSY at worst.  Then the dead one's seat is recovered, as the daemon does it, and all that had been done is there.
 *
 *      kill [--rounds N] [--seed N] [--only WORD]
 *
 * In every other round the victim is taken a random number of steps further, instruction by instruction, while the others
 * run on; so it is killed at each instruction of a change alike, however long it takes.  The map stays the same for all
 * rounds: what one leaks, or leaves locked, adds up.
 *
 * The last case is the test's own test: where nobody recovers the dead, it must fail.
 */
#include <errno.h>
#include <getopt.h>
#include <linux/bpf.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/wait.h>
#include <unistd.h>

#include "kill.h"
#include "util.h"

#define ROUNDS 12
#define ROUNDS_MORE 100         /* at most, until one victim was inside a change */
#define STEPS 1500              /* instructions: more than any change takes */
#define WHILE_AWAY 5            /* attempts that each of the others makes while the victim is away */
#define AFTERWARDS 20           /* operations that each does when it is well again */
#define PATIENCE 100000         /* attempts without a success: then it will never have one */
#define WATCHDOG 600            /* seconds: only for what never ends */

static const struct subject subjects[] = {
#define KEYED(kind, key, value, entries, flags) \
    { #kind, { BPF_MAP_TYPE_##kind, key, value, entries, flags }, kill_keyed_act, NULL, kill_keyed_check }
    KEYED(HASH, 4, 64, 40, 0),
    KEYED(LRU_HASH, 4, 64, 64, 0),
    KEYED(LPM_TRIE, 8, 64, 40, BPF_F_NO_PREALLOC),
    KEYED(ARRAY, 4, 256, 40, 0),
    KEYED(PERCPU_HASH, 4, 64, 40, 0),
    KEYED(PERCPU_ARRAY, 4, 64, 40, 0),
    { "LRU_HASH, crowded", { BPF_MAP_TYPE_LRU_HASH, 4, 64, 64, 0 }, kill_crowded_act, NULL, kill_crowded_check },
    { "QUEUE", { BPF_MAP_TYPE_QUEUE, 0, 8, 16, 0 }, kill_queue_act, NULL, kill_queue_check },
    { "STACK", { BPF_MAP_TYPE_STACK, 0, 8, 16, 0 }, kill_queue_act, NULL, kill_queue_check },
    { "RINGBUF", { BPF_MAP_TYPE_RINGBUF, 0, 0, 4096, 0 }, kill_ring_act, kill_ring_attend, kill_ring_check },
};

/* Has one lock: who is killed in a change leaves nothing to the others. */
static const struct subject control = {
    "control", { BPF_MAP_TYPE_QUEUE, 0, 8, 16, 0 }, kill_queue_act, NULL, kill_queue_check,
};

struct stage {
    const struct subject *subject;
    struct fixture fixture;
    struct record *records;     /* ACTORS, and one of the parent's */
    bool *stop;                 /* shared: actors end when it is set */
    struct actor parent;
    pid_t pid[ACTORS];
    unsigned line;              /* of the first actor of this round: each process has one of its own */
    unsigned half_done;         /* victims that were inside a change */
    bool without_recovery;
};

uint64_t kill_value(struct actor *actor, uint32_t key)
{
    return (uint64_t)(actor->index + 1) << 56 | (uint64_t)key << 32 | ++actor->record->sequence;
}

bool kill_result(struct actor *actor, long result, long allowed)
{
    if (result != 0 && result != allowed && result != -EBUSY)
        actor->record->failure = (uint32_t)-result;
    if (result != -EBUSY)
        __atomic_fetch_add(&actor->record->successes, 1, __ATOMIC_SEQ_CST);
    __atomic_fetch_add(&actor->record->attempts, 1, __ATOMIC_SEQ_CST);
    return result == 0;
}

/* ---- processes ---- */

static struct actor actor_of(struct stage *stage, unsigned index, uint64_t seed)
{
    return (struct actor){ &stage->fixture, &stage->records[index], stage->records, fixture_thread(stage->line + index),
                           { seed }, index };
}

/* The child ends with its parent, however that ends: actors go on for ever. */
static pid_t fork_attached(void)
{
    pid_t parent = getpid(), pid = fork();

    if (pid < 0)
        fixture_fail("fork: %s", strerror(errno));
    if (pid == 0 && (prctl(PR_SET_PDEATHSIG, SIGKILL) < 0 || getppid() != parent))
        _exit(1);
    return pid;
}

static void start(struct stage *stage, unsigned index, uint64_t seed)
{
    pid_t pid = fork_attached();

    if (pid == 0) {
        struct actor actor = actor_of(stage, index, seed);

        while (!__atomic_load_n(stage->stop, __ATOMIC_SEQ_CST) && !actor.record->failure)
            stage->subject->act(&actor);
        _exit(0);
    }
    stage->pid[index] = pid;
}

static void attend(struct stage *stage)
{
    if (stage->subject->attend)
        stage->subject->attend(&stage->parent);
    for (unsigned i = 0; i < ACTORS; i++)
        if (stage->records[i].failure)
            fixture_fail("%s: an operation of actor %u says %s", stage->subject->name, i,
                         strerror((int)stage->records[i].failure));
    sched_yield();
}

/* Until each actor but `away` (ACTORS: none) has made so many attempts more, or done so many operations. */
static void wait_for(struct stage *stage, unsigned away, uint64_t attempts, uint64_t successes)
{
    for (unsigned i = 0; i < ACTORS; i++) {
        const struct record *record = &stage->records[i];
        uint64_t tried = record->attempts, done = record->successes;

        while (i != away && (__atomic_load_n(&record->attempts, __ATOMIC_SEQ_CST) < tried + attempts ||
                             __atomic_load_n(&record->successes, __ATOMIC_SEQ_CST) < done + successes)) {
            if (record->attempts - tried > PATIENCE && record->successes == done)
                fixture_fail("%s: actor %u gets nothing done any more", stage->subject->name, i);
            attend(stage);
        }
    }
}

/* ---- the victim ---- */

static void check_stopped(pid_t pid)
{
    int status;

    if (waitpid(pid, &status, __WALL) != pid || !WIFSTOPPED(status))
        fixture_fail("the victim does not stop: %#x", (unsigned)status);
}

/* Leaves it stopped, some instructions after where it was. */
static void step(struct stage *stage, pid_t pid, uint32_t steps)
{
    if (ptrace(PTRACE_SEIZE, pid, NULL, NULL) < 0 || ptrace(PTRACE_INTERRUPT, pid, NULL, NULL) < 0)
        fixture_fail("ptrace: %s", strerror(errno));
    check_stopped(pid);
    for (uint32_t i = 0; i < steps; i++) {
        if (ptrace(PTRACE_SINGLESTEP, pid, NULL, NULL) < 0)
            fixture_fail("ptrace: %s", strerror(errno));
        check_stopped(pid);
        if (i % 16 == 0)
            attend(stage);
    }
}

static void spin(uint32_t turns)
{
    for (uint32_t i = 0; i < turns; i++)
        __asm__ volatile("pause");
}

static void recover(struct stage *stage, unsigned victim)
{
    struct seat *seat = fixture_seat(&stage->fixture, stage->line + victim);

    stage->half_done += seat && seat->journal.map != 0;
    if (!stage->without_recovery)
        fixture_recover(&stage->fixture, stage->line + victim);
    else if (seat)
        seat->owner = 0;
}

static void kill_victim(struct stage *stage, unsigned victim, bool stepped)
{
    pid_t pid = stage->pid[victim];

    if (stepped)
        step(stage, pid, random_below(&stage->parent.random, STEPS));
    else
        spin(random_below(&stage->parent.random, 2000));
    kill(pid, SIGKILL);
    waitpid(pid, NULL, __WALL);
    stage->pid[victim] = 0;
    wait_for(stage, victim, WHILE_AWAY, 0);
    recover(stage, victim);
    wait_for(stage, victim, 0, AFTERWARDS);
}

static void stop_victim(struct stage *stage, unsigned victim, bool stepped)
{
    pid_t pid = stage->pid[victim];
    struct seat *seat;

    if (stepped) {
        step(stage, pid, random_below(&stage->parent.random, STEPS));
    } else {
        spin(random_below(&stage->parent.random, 2000));
        kill(pid, SIGSTOP);
        if (waitpid(pid, NULL, WUNTRACED) != pid)
            fixture_fail("the victim does not stop");
    }
    seat = fixture_seat(&stage->fixture, stage->line + victim);
    stage->half_done += seat && seat->journal.map != 0;
    wait_for(stage, victim, WHILE_AWAY, 0);
    if (stepped)
        ptrace(PTRACE_DETACH, pid, NULL, NULL);
    else
        kill(pid, SIGCONT);
    wait_for(stage, ACTORS, 0, AFTERWARDS);
}

/* ---- rounds ---- */

static void end_all(struct stage *stage)
{
    __atomic_store_n(stage->stop, true, __ATOMIC_SEQ_CST);
    for (unsigned i = 0; i < ACTORS; i++) {
        while (stage->pid[i] && waitpid(stage->pid[i], NULL, WNOHANG) == 0)
            attend(stage);
        fixture_recover(&stage->fixture, stage->line + i);
    }
    attend(stage);
}

static void round_run(struct stage *stage, unsigned round, bool stopped)
{
    struct random *random = &stage->parent.random;
    unsigned victim = random_below(random, ACTORS);

    *stage->stop = false;
    stage->line += ACTORS;
    for (unsigned i = 0; i < ACTORS; i++)
        start(stage, i, random_next(random));
    wait_for(stage, ACTORS, 1, 0);
    (stopped ? stop_victim : kill_victim)(stage, victim, round % 2);
    end_all(stage);
    stage->subject->check(&stage->parent, stopped ? ACTORS : victim);
    stage->records[victim].pending = false;
}

/* A test in which nobody was inside a change has tried nothing. */
static void rounds_run(struct stage *stage, unsigned rounds, bool stopped)
{
    unsigned round = 0;

    while (round < rounds || (stage->half_done == 0 && round < rounds + ROUNDS_MORE))
        round_run(stage, round++, stopped);
    printf("# %u of %u victims were inside a change\n", stage->half_done, round);
    if (stage->half_done == 0)
        fixture_fail("%s: no victim was inside a change", stage->subject->name);
}

static void *shared(size_t size)
{
    void *memory = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);

    if (memory == MAP_FAILED)
        fixture_fail("mmap: %s", strerror(errno));
    return memory;
}

/* In a process of its own, as a failure ends it. */
static bool subject_run(const struct subject *subject, unsigned rounds, uint64_t seed, bool stopped,
                        bool without_recovery)
{
    int status;
    pid_t pid = fork_attached();

    if (pid == 0) {
        struct stage stage = { .subject = subject, .without_recovery = without_recovery };

        alarm(WATCHDOG + rounds);
        setpgid(0, 0);
        fixture_make(&subject->definition, &stage.fixture);
        stage.records = shared((ACTORS + 1) * sizeof(*stage.records));
        stage.stop = shared(sizeof(*stage.stop));
        stage.parent = actor_of(&stage, ACTORS, seed);
        stage.line += ACTORS;   /* its own is none of those that follow */
        rounds_run(&stage, rounds, stopped);
        exit(0);
    }
    waitpid(pid, &status, 0);
    kill(-pid, SIGKILL);        /* what a failure has left */
    return status == 0;
}

int main(int argc, char **argv)
{
    static const struct option table[] = {
        { "rounds", required_argument, NULL, 'r' },
        { "seed", required_argument, NULL, 's' },
        { "only", required_argument, NULL, 'o' },
        { 0 },
    };
    unsigned rounds = ROUNDS;
    uint64_t seed = 1;
    const char *only = "";
    bool passed;
    int failed = 0;

    for (int letter; (letter = getopt_long(argc, argv, "", table, NULL)) != -1;)
        switch (letter) {
        case 'r':
            rounds = (unsigned)strtoul(optarg, NULL, 0);
            break;
        case 's':
            seed = strtoull(optarg, NULL, 0);
            break;
        case 'o':
            only = optarg;
            break;
        default:
            return 2;
        }
    setvbuf(stdout, NULL, _IOLBF, 0);
    printf("1..%zu\n", 2 * ARRAY_LENGTH(subjects) + 1);
    for (size_t i = 0; i < 2 * ARRAY_LENGTH(subjects); i++) {
        const struct subject *subject = &subjects[i / 2];

        passed = !strstr(subject->name, only) || subject_run(subject, rounds, seed, i % 2, false);
        printf("%s - %s: a process is %s\n", passed ? "ok" : "not ok", subject->name, i % 2 ? "stopped" : "killed");
        failed |= !passed;
    }
    passed = !strstr(control.name, only) || !subject_run(&control, ROUNDS_MORE, seed, false, true);
    printf("%s - a lock that is left behind would be seen\n", passed ? "ok" : "not ok");
    return failed || !passed;
}
