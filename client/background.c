/* SPDX-License-Identifier: MIT */
/* See background.h. */
#include "background.h"

#include <errno.h>
#include <pthread.h>
#include <semaphore.h>

#include "library.h"

#define STACK_BYTES ((size_t)256 << 10)

/*
 * The longest wait.  Where the application has closed our descriptors nobody can wake us, and the file that we wait for
 * stays open for as long as we wait.
 */
#define HEARTBEAT_MS 1000

/*
 * Posted by the thread as soon as it runs.  What comes before is not ours and may allocate memory, which nothing keeps
 * from happening during a fork; the C library's own allocator survives that in the child, a sanitizer's does not.
 */
static sem_t started;

static void *run(void *unused)
{
    (void)unused;
    sem_post(&started);
    pthread_setname_np(pthread_self(), "dispatchd");
    library_lock();
    while (!library.thread_stop) {
        int epoll = library.membership.wakeup.epoll;

        library_unlock();
        wakeup_wait(epoll, HEARTBEAT_MS);
        library_lock();
        if (!library.thread_stop)
            membership_process(&library.membership);
    }
    library_unlock();
    return NULL;
}

/* A process with much thread-local storage needs more than our stack: then the usual one. */
static int create(pthread_t *ret)
{
    pthread_attr_t attributes;
    int r;

    r = pthread_attr_init(&attributes);
    if (r != 0)
        return -r;
    r = pthread_attr_setstacksize(&attributes, STACK_BYTES);
    if (r == 0)
        r = pthread_create(ret, &attributes, run, NULL);
    pthread_attr_destroy(&attributes);
    if (r == EINVAL)
        r = pthread_create(ret, NULL, run, NULL);
    return -r;
}

/* The lock's holder has all signals blocked, and a thread inherits that. */
int background_start(void)
{
    int r;

    library.thread_stop = false;
    sem_init(&started, 0, 0);
    r = create(&library.thread);
    if (r < 0)
        return r;
    while (sem_wait(&started) < 0)
        ;                           /* interrupted by a debugger */
    library.thread_running = true;
    return 0;
}

void background_stop(void)
{
    pthread_t thread = library.thread;

    if (!library.thread_running)
        return;
    library.thread_running = false;
    library.thread_stop = true;
    if (wakeup_is_ours(&library.membership.wakeup))
        wakeup_at(&library.membership.wakeup, 0);
    library_unlock();
    pthread_join(thread, NULL);
    library_lock();
}
