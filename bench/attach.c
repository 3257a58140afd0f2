/* SPDX-License-Identifier: MIT */
/*
 * How long an attach takes on an open connection, beside the least that a durable change can cost: an fdatasync of one
 * page on the file system of the database.  Both are measured in turn, in one run.
 */
#include <errno.h>
#include <fcntl.h>
#include <json-c/json.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <dispatchd.h>

#include "session.h"
#include "target.h"
#include "util.h"

#define ROUNDS 200
#define ROUNDS_QUICK 3
#define PAGE 4096

DD_TABLE(bench_attach, struct bench_context, TARGET_DEFAULT, DD_READ(value))

static int page_open(void)
{
    char path[512];
    int descriptor;

    snprintf(path, sizeof(path), "%s/page", session_directory());
    descriptor = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (descriptor < 0)
        die("cannot make %s: %s", path, strerror(errno));
    return descriptor;
}

/* Append one page, durably, as a write-ahead log does. */
static void page_sync(int descriptor)
{
    static const char page[PAGE];

    if (write(descriptor, page, sizeof(page)) != sizeof(page) || fdatasync(descriptor) < 0)
        die("cannot write a page: %s", strerror(errno));
}

/* Attach and return the link. */
static int64_t attach(void)
{
    struct json_object *parameters = json_object_new_object(), *reply;
    int64_t link;

    json_object_object_add(parameters, "table", json_object_new_string("bench_attach"));
    json_object_object_add(parameters, "key", json_object_new_int64(1));
    json_object_object_add(parameters, "program", json_object_new_string("bench_0"));
    reply = session_call("Attach", parameters, -EBADF);
    link = json_object_get_int64(json_object_object_get(reply, "link"));
    json_object_put(reply);
    return link;
}

static void detach(int64_t link)
{
    struct json_object *parameters = json_object_new_object();

    json_object_object_add(parameters, "link", json_object_new_int64(link));
    json_object_put(session_call("Detach", parameters, -EBADF));
}

static void bench(unsigned rounds, bool json)
{
    static double attach_us[ROUNDS], detach_us[ROUNDS], sync_us[ROUNDS];
    _cleanup_close_ int page = page_open();
    struct bench_context context = { 0 };
    double limit, a, d, s;

    for (unsigned round = 0; round < rounds; round++) {
        uint64_t started = now_ns(), attached, seen, detached;
        int64_t link = attach();

        attached = now_ns();
        if (bench_attach(1, &context) != TARGET_VERDICT(0))
            die("the attach was answered, and this worker does not see it");
        seen = now_ns();
        detach(link);
        detached = now_ns();
        if (bench_attach(1, &context) != TARGET_DEFAULT)
            die("the detach was answered, and this worker does not see it");
        attach_us[round] = (double)(attached - started) / 1e3;
        detach_us[round] = (double)(detached - seen) / 1e3;
        started = now_ns();
        page_sync(page);
        sync_us[round] = (double)(now_ns() - started) / 1e3;
    }
    a = median(attach_us, rounds);
    d = median(detach_us, rounds);
    s = median(sync_us, rounds);
    limit = 1.5 * s + 1000;
    if (json)
        printf("{\"rounds\":%u,\"attach_us\":%.1f,\"detach_us\":%.1f,\"fdatasync_us\":%.1f,\"limit_us\":%.1f}\n",
               rounds, a, d, s, limit);
    else
        printf("median of %u: attach %.0f us, detach %.0f us; fdatasync of a page %.0f us\n"
               "attach is at %.2f of the goal of 1.5 fdatasync + 1 ms\n", rounds, a, d, s, a / limit);
}

int main(int argc, char **argv)
{
    struct session_options options = { 0 };
    bool json = session_read_options(argc, argv,
                                     "Usage: bench/attach --daemon PROGRAM [--directory DIR] [--quick] [--json]\n"
                                     "How long an attach takes, beside an fdatasync on the same file system.",
                                     &options);

    session_open(&options);
    session_load(1);
    bench(options.quick ? ROUNDS_QUICK : ROUNDS, json);
    return 0;
}
