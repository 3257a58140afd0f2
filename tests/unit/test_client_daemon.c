/* SPDX-License-Identifier: MIT */
/*
 * The client's conversation with the daemon: joining, moving, refusals and nonsense, tables that come later,
 * the end.
 */
#include "peer.h"

#include <json-c/json.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>

#include "util.h"

/* ---- joining ------------------------------------------------------------------------------------------- */

static void test_joins(void **state)
{
    struct peer peer = peer_listen("socket");
    struct image image = image_sealed(++generation, 40);
    struct json_object *tables;
    struct stat lines;

    assert_int_equal(call_hook(), 5);
    assert_int_equal(status().state, DD_CLOSED);
    open_at(&peer, 0);
    assert_int_equal(call_hook(), 5);
    peer_accept(&peer);
    expect(&peer, INTERFACE "Join");
    assert_int_equal(peer.message.n_descriptors, 1);
    assert_int_equal(fstat(peer.message.descriptors[0], &lines), 0);
    assert_int_equal(lines.st_size, DD_LINES_FILE_SIZE);
    tables = json_object_object_get(peer.call.parameters, "tables");
    assert_string_equal(json_object_to_json_string_ext(tables, JSON_C_TO_STRING_PLAIN),
                        "[{\"name\":\"on_test\",\"context\":\"test\",\"context_size\":24,\"default_verdict\":5,"
                        "\"fields\":["
                        "{\"name\":\"data\",\"offset\":0,\"size\":8,\"rights\":\"data\"},"
                        "{\"name\":\"data_end\",\"offset\":8,\"size\":8,\"rights\":\"data_end\"},"
                        "{\"name\":\"method\",\"offset\":16,\"size\":4,\"rights\":\"read\"},"
                        "{\"name\":\"status\",\"offset\":20,\"size\":4,\"rights\":\"write\"}]}]");
    assert_int_equal(status().state, DD_ALONE);
    reply_join(&peer, &image, ON_TEST_AT_64);
    expect(&peer, INTERFACE "Moved");
    assert_int_equal(moved_generation(&peer), generation);
    assert_int_equal(call_hook(), 40);
    assert_int_equal(status().state, DD_JOINED);
    assert_int_equal(status().generation, generation);
    assert_string_equal(status().error, "");
    reply(&peer, "{}");
    expect_silence(&peer);
    assert_int_equal(dd_close(), 0);
    assert_int_equal(call_hook(), 5);
    peer_die(&peer);
    image_done(&image);
}

/* The user's daemon goes: its worker waits for it there, and does not look for the system's. */
static void test_stays_with_its_daemon(void **state)
{
    struct image image = image_sealed(++generation, 40);
    struct peer peer = peer_listen("dispatchd");
    char runtime[64], *end;

    peer_die(&peer);
    strcpy(runtime, peer.path);
    assert_int_equal(mkdir(runtime, 0700), 0);
    end = strrchr(runtime, '/');
    *end = '\0';
    assert_int_equal(setenv("XDG_RUNTIME_DIR", runtime, 1), 0);
    *end = '/';
    peer = peer_listen("dispatchd/worker");
    assert_int_equal(dd_open(&(struct dd_options){ .timeout_ms = -1 }), 0);
    let_join(&peer, &image);
    wait_for_state(DD_JOINED);
    peer_die(&peer);
    wait_for_state(DD_ORPHANED);
    while (!strstr(status().error, "/worker: "))
        usleep(1000);
    assert_memory_equal(status().error, peer.path, strlen(peer.path));
    assert_int_equal(call_hook(), 40);
    assert_int_equal(dd_close(), 0);
    assert_int_equal(unsetenv("XDG_RUNTIME_DIR") | rmdir(runtime), 0);
    image_done(&image);
}

/* ---- whose daemon -------------------------------------------------------------------------------------- */

#define SOMEBODY 12345
#define SOMEBODY_ELSE 12346

static void expect_no_trust(struct peer *peer, uid_t listener, uid_t worker)
{
    char expected[160];

    snprintf(expected, sizeof expected, "%s: user %u listens, but this process, of user %u, ", peer->path, listener,
             worker);
    open_at(peer, 0);
    for (int i = 0; i < LONG_MS && !strstr(status().error, expected); i++)
        usleep(1000);
    assert_memory_equal(status().error, expected, strlen(expected));
    peer_accept(peer);
    assert_int_equal(stream_receive(peer->stream, 0), 0);       /* hung up, and not a byte before it */
    assert_int_equal(status().state, DD_ALONE);
    assert_int_equal(call_hook(), 5);
    assert_int_equal(dd_close(), 0);
}

static void expect_trust(struct peer *peer)
{
    struct image image = image_sealed(++generation, 40);

    open_at(peer, 0);
    let_join(peer, &image);
    wait_for_state(DD_JOINED);
    assert_int_equal(dd_close(), 0);
    image_done(&image);
}

/* A worker runs what a daemon gives it: root's, or its own user's, and no other's. */
static void test_joins_root_and_its_own_user_only(void **state)
{
    const uid_t listeners[] = { 0, SOMEBODY, SOMEBODY_ELSE }, workers[] = { 0, SOMEBODY };

    if (geteuid() != 0)
        skip();
    for (size_t i = 0; i < ARRAY_LENGTH(listeners); i++)
        for (size_t j = 0; j < ARRAY_LENGTH(workers); j++) {
            struct peer peer = peer_listen_as("socket", listeners[i]);

            assert_int_equal(seteuid(workers[j]), 0);
            if (listeners[i] == 0 || listeners[i] == workers[j])
                expect_trust(&peer);
            else
                expect_no_trust(&peer, listeners[i], workers[j]);
            assert_int_equal(seteuid(0), 0);
            peer_die(&peer);
        }
}

/* The daemon dies, a new one comes with another image; meanwhile and afterwards the hook works. */
static void test_moves(void **state)
{
    struct peer peer = peer_listen("socket");
    struct image first = image_sealed(++generation, 40), second = image_sealed(++generation, 50);
    const char *old;

    open_at(&peer, 0);
    let_join(&peer, &first);
    old = dd_window_base;
    peer_die(&peer);
    wait_for_state(DD_ORPHANED);
    assert_int_equal(call_hook(), 40);
    assert_int_equal(status().generation, generation - 1);
    peer = peer_listen("socket");
    let_join(&peer, &second);
    assert_int_equal(call_hook(), 50);
    assert_int_equal(((const struct dd_window_head *)(void *)dd_window_base)->slot, 2);
    assert_false(is_mapped(old));
    assert_int_equal(dd_close(), 0);
    peer_die(&peer);
    image_done(&first);
    image_done(&second);
}

static pthread_barrier_t barrier;

static void *hold_guard(void *ret)
{
    DD_GUARDED {
        pthread_barrier_wait(&barrier);
        pthread_barrier_wait(&barrier);
        *(uint32_t *)ret = call_hook();
    }
    return NULL;
}

/* A guard of the old generation keeps its window mapped and the move unreported; the others are in the new one. */
static void test_waits_for_guards(void **state)
{
    struct peer peer = peer_listen("socket");
    struct image first = image_sealed(++generation, 40), second = image_sealed(++generation, 50);
    pthread_t thread;
    uint32_t verdict;
    char *old;

    pthread_barrier_init(&barrier, NULL, 2);
    open_at(&peer, 0);
    let_join(&peer, &first);
    old = dd_window_base;
    assert_int_equal(pthread_create(&thread, NULL, hold_guard, &verdict), 0);
    pthread_barrier_wait(&barrier);
    peer_die(&peer);
    peer = peer_listen("socket");
    peer_accept(&peer);
    expect(&peer, INTERFACE "Join");
    reply_join(&peer, &second, ON_TEST_AT_64);
    wait_for_state(DD_JOINED);
    assert_int_equal(call_hook(), 50);
    expect_silence(&peer);
    assert_true(is_mapped(old) && is_mapped(old + DD_WINDOW_TEXT));
    pthread_barrier_wait(&barrier);
    expect(&peer, INTERFACE "Moved");
    assert_false(is_mapped(old));
    pthread_join(thread, NULL);
    assert_int_equal(verdict, 50);
    assert_int_equal(dd_close(), 0);
    peer_die(&peer);
    pthread_barrier_destroy(&barrier);
    image_done(&first);
    image_done(&second);
}

/* ---- refusals ------------------------------------------------------------------------------------------ */

static void test_is_refused(void **state)
{
    struct peer peer = peer_listen("socket");
    struct image image = image_sealed(++generation, 40);

    open_at(&peer, 0);
    peer_accept(&peer);
    expect(&peer, INTERFACE "Join");
    reply_error(&peer, INTERFACE "ContextMismatch",
                "{\"table\":\"on_test\",\"context\":\"test\",\"reason\":\"it has 3 fields\"}");
    wait_for_state(DD_REFUSED);
    assert_non_null(strstr(status().error, "ContextMismatch"));
    assert_non_null(strstr(status().error, "it has 3 fields"));
    assert_int_equal(call_hook(), 5);
    let_join(&peer, &image);            /* asked again, the daemon agrees */
    wait_for_state(DD_JOINED);
    assert_string_equal(status().error, "");
    assert_int_equal(call_hook(), 40);
    assert_int_equal(dd_close(), 0);
    peer_die(&peer);
    image_done(&image);
}

/* Answers that a hostile or broken daemon may give: each leaves the worker where it was. */
static void test_bad_answers(void **state)
{
    static const char *const entries[] = {
        "[]",
        "[{\"table\":\"other\",\"offset\":64}]",
        "[{\"table\":\"on_test\",\"offset\":60}]",
        "[{\"table\":\"on_test\",\"offset\":-8}]",
        "[{\"table\":\"on_test\",\"offset\":8192}]",
        "[{\"table\":\"on_test\",\"offset\":9223372036854775800}]",
        "[{\"table\":\"on_test\",\"offset\":\"64\"}]",
        "[{\"table\":null,\"offset\":64}]",
        "{}",
    };
    struct peer peer = peer_listen("socket");
    struct image good = image_sealed(++generation, 40);
    struct image next = image_sealed(++generation, 50);
    const char *base;

    open_at(&peer, 0);
    let_join(&peer, &good);
    base = dd_window_base;
    for (size_t i = 0; i < ARRAY_LENGTH(entries); i++) {
        peer_hang_up(&peer);
        peer_accept(&peer);
        expect(&peer, INTERFACE "Join");
        reply_join(&peer, &next, entries[i]);
        wait_readable(stream_descriptor(peer.stream), "the worker goes on");
        assert_true(stream_receive(peer.stream, 0) <= 0);
        assert_ptr_equal(dd_window_base, base);
        assert_int_equal(call_hook(), 40);
        assert_true(strlen(status().error) > 0);
        let_join(&peer, &good);
    }
    peer_hang_up(&peer);
    peer_accept(&peer);
    expect(&peer, INTERFACE "Join");
    reply(&peer, "{\"generation\":99,\"text_size\":8192,\"entries\":" ON_TEST_AT_64 "}");      /* no descriptors */
    wait_for_state(DD_REFUSED);
    assert_ptr_equal(dd_window_base, base);
    peer_hang_up(&peer);
    let_join(&peer, &next);
    assert_int_equal(call_hook(), 50);
    assert_int_equal(dd_close(), 0);
    peer_die(&peer);
    image_done(&good);
    image_done(&next);
}

static void test_noise(void **state)
{
    static const char *const noise[] = {
        "not json", "{}", "[]", "{\"parameters\":{\"generation\":1}}", "{\"error\":7}",
        "{\"parameters\":{\"generation\":1.5,\"text_size\":8192,\"entries\":[]}}",
        "{\"continues\":true,\"parameters\":{\"generation\":1,\"text_size\":8192,\"entries\":[]}}",
    };
    struct peer peer = peer_listen("socket");
    struct image image = image_sealed(++generation, 40);

    open_at(&peer, 0);
    for (size_t i = 0; i < ARRAY_LENGTH(noise); i++) {
        peer_hang_up(&peer);
        peer_accept(&peer);
        expect(&peer, INTERFACE "Join");
        assert_int_equal(write(stream_descriptor(peer.stream), noise[i], strlen(noise[i]) + 1), strlen(noise[i]) + 1);
        wait_readable(stream_descriptor(peer.stream), "the worker goes on");
        assert_true(stream_receive(peer.stream, 0) <= 0);
        assert_int_equal(status().state, i == 0 ? DD_ALONE : DD_ORPHANED);
        let_join(&peer, &image);
    }
    /* An answer that nobody asked for ends the conversation, and nothing else. */
    reply(&peer, "{}");
    let_join(&peer, &image);
    assert_int_equal(call_hook(), 40);
    assert_int_equal(dd_close(), 0);
    peer_die(&peer);
    image_done(&image);
}

/* ---- tables that come later ---------------------------------------------------------------------------- */

static struct dd_table make_table(const char *name)
{
    static const struct dd_field field = { "method", offsetof(struct test, method), 4, DD_FIELD_READ, 0 };

    return (struct dd_table){ .name = name, .context = "struct test", .field = &field, .fields = 1,
                              .context_size = sizeof(struct test), .default_verdict = 9 };
}

static size_t tables_in(const struct peer *peer)
{
    return json_object_array_length(json_object_object_get(peer->call.parameters, "tables"));
}

static void test_declares_later(void **state)
{
    struct peer peer = peer_listen("socket");
    struct image image = image_sealed(++generation, 40);
    struct dd_table late = make_table("late"), unfit = make_table("unfit"), wrong = make_table("wrong");

    open_at(&peer, 0);
    let_join(&peer, &image);
    assert_int_equal(dd_table_register(&late), 0);
    assert_int_equal(dd_table_register(&late), -EEXIST);
    assert_int_equal(dd_table_call(&late, 1, NULL), 9);
    expect(&peer, INTERFACE "Declare");
    assert_int_equal(tables_in(&peer), 1);
    reply(&peer, "{\"entries\":[{\"table\":\"late\",\"offset\":128}]}");
    for (int i = 0; i < LONG_MS && dd_table_call(&late, 1, NULL) != 41; i++)
        usleep(1000);
    assert_int_equal(dd_table_call(&late, 1, NULL), 41);
    assert_int_equal(dd_table_register(&unfit), 0);
    expect(&peer, INTERFACE "Declare");
    reply_error(&peer, INTERFACE "ContextMismatch", "{\"table\":\"unfit\",\"context\":\"test\",\"reason\":\"no\"}");
    expect_silence(&peer);
    assert_int_equal(dd_table_call(&unfit, 1, NULL), 9);
    assert_int_equal(status().state, DD_JOINED);
    assert_non_null(strstr(status().error, "unfit"));
    wrong.entry[0] = late.entry[0] = NULL;
    wrong.entry[0] = late.entry[1];          /* any function */
    wrong.prototype = "double(double)";
    assert_int_equal(dd_table_register(&wrong), -EINVAL);
    assert_non_null(strstr(status().error, "call \"wrong\": its prototype"));
    assert_non_null(strstr(status().error, "unfit"));
    /* It does not keep the process from joining again, and is asked for again by itself. */
    peer_hang_up(&peer);
    peer_accept(&peer);
    expect(&peer, INTERFACE "Join");
    assert_int_equal(tables_in(&peer), 2);
    reply_join(&peer, &image, "[{\"table\":\"on_test\",\"offset\":64},{\"table\":\"late\",\"offset\":128}]");
    expect(&peer, INTERFACE "Moved");
    reply(&peer, "{}");
    expect(&peer, INTERFACE "Declare");
    assert_int_equal(tables_in(&peer), 1);
    reply(&peer, "{\"entries\":[{\"table\":\"unfit\",\"offset\":192}]}");
    for (int i = 0; i < LONG_MS && dd_table_call(&unfit, 1, NULL) != 42; i++)
        usleep(1000);
    assert_int_equal(dd_table_call(&unfit, 1, NULL), 42);
    dd_table_unregister(&late);
    dd_table_unregister(&unfit);
    assert_int_equal(dd_close(), 0);
    peer_die(&peer);
    image_done(&image);
}

static void test_bad_tables(void **state)
{
    struct dd_field field = { "method", 16, 4, DD_FIELD_READ, 0 };
    const struct dd_field bad_fields[] = {
        { "method", 16, 3, DD_FIELD_READ, 0 }, { "method", 16, 16, DD_FIELD_READ, 0 },
        { "method", 21, 4, DD_FIELD_READ, 0 }, { "method", 0xfffffffc, 4, DD_FIELD_READ, 0 },
        { "method", 16, 4, 0, 0 }, { "method", 16, 4, 5, 0 },
        { "method", 16, 4, DD_FIELD_DATA, 0 }, { NULL, 16, 4, DD_FIELD_READ, 0 }, { "", 16, 4, DD_FIELD_READ, 0 },
    };
    struct dd_table table = make_table("ok");

    table.field = &field;
    for (size_t i = 0; i < ARRAY_LENGTH(bad_fields); i++) {
        field = bad_fields[i];
        assert_int_equal(dd_table_register(&table), -EINVAL);
    }
    table = make_table("space in it");
    assert_int_equal(dd_table_register(&table), -EINVAL);
    table = make_table("0123456789012345678901234567890123456789012345678901234567890123");
    assert_int_equal(dd_table_register(&table), -EINVAL);
    table = make_table("no_context");
    table.context = NULL;
    assert_int_equal(dd_table_register(&table), -EINVAL);
    assert_non_null(strstr(status().error, "no_context"));
    assert_int_equal(dd_table_register(NULL), -EINVAL);
    dd_table_unregister(NULL);
}

/* ---- event loops, closing ------------------------------------------------------------------------------ */

static void *answer_slowly(void *unused)
{
    struct peer *peer = unused;

    peer_accept(peer);
    expect(peer, INTERFACE "Join");
    return NULL;
}

static void test_without_thread(void **state)
{
    struct peer peer = peer_listen("socket");
    struct image image = image_sealed(++generation, 40);
    pthread_t thread;

    assert_int_equal(dd_fd(), -EBADF);
    assert_int_equal(dd_process(), -EBADF);
    open_at(&peer, DD_NO_THREAD);
    assert_true(dd_fd() >= 0);
    assert_int_equal(pthread_create(&thread, NULL, answer_slowly, &peer), 0);
    pthread_join(thread, NULL);
    assert_int_equal(dd_process(), 0);                  /* no answer yet: returns all the same */
    assert_int_equal(call_hook(), 5);
    reply_join(&peer, &image, ON_TEST_AT_64);
    while (status().state != DD_JOINED) {
        wait_readable(dd_fd(), "the descriptor says nothing");
        assert_int_equal(dd_process(), 0);
    }
    assert_int_equal(call_hook(), 40);
    peer_die(&peer);
    wait_readable(dd_fd(), "the descriptor says nothing of the end");
    while (status().state != DD_ORPHANED) {
        wait_readable(dd_fd(), "the descriptor says nothing of the end");
        dd_process();
    }
    peer = peer_listen("socket");
    wait_readable(dd_fd(), "the timer does not wake");
    for (int i = 0; i < 100 && poll(&(struct pollfd){ .fd = peer.listener, .events = POLLIN }, 1, 0) == 0; i++) {
        wait_readable(dd_fd(), "the timer does not wake");
        dd_process();
    }
    peer_accept(&peer);
    assert_int_equal(dd_close(), 0);
    peer_die(&peer);
    image_done(&image);
}

static void test_options(void **state)
{
    struct dd_options options = { .flags = 2 };
    struct {
        struct dd_options options;
        uint64_t unknown;
    } longer = { { .size = sizeof longer }, 1 };
    char path[200];

    assert_int_equal(dd_open(&options), -EINVAL);
    assert_int_equal(dd_open(&longer.options), -EINVAL);
    options = (struct dd_options){ .size = 4 };
    assert_int_equal(dd_open(&options), -EINVAL);
    memset(path, 'x', sizeof path - 1);
    path[sizeof path - 1] = '\0';
    options = (struct dd_options){ .socket = path };
    assert_int_equal(dd_open(&options), -ENAMETOOLONG);
    assert_int_equal(status().state, DD_CLOSED);
    assert_int_equal(dd_close(), -EALREADY);
}

static void test_close(void **state)
{
    struct peer peer = peer_listen("socket");
    struct image image = image_sealed(++generation, 40);

    for (int i = 0; i < 3; i++) {
        const char *base;

        open_at(&peer, 0);
        assert_int_equal(dd_open(NULL), -EALREADY);
        let_join(&peer, &image);        /* the same daemon and generation each time */
        assert_int_equal(call_hook(), 40);
        base = dd_window_base;
        DD_GUARDED {
            assert_int_equal(dd_close(), -EDEADLK);
        }
        assert_int_equal(dd_close(), 0);
        assert_int_equal(call_hook(), 5);
        assert_false(is_mapped(base));
    }
    peer_die(&peer);
    image_done(&image);
}

/* ---- all ----------------------------------------------------------------------------------------------- */

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_options),
        cmocka_unit_test(test_joins),
        cmocka_unit_test(test_stays_with_its_daemon),
        cmocka_unit_test(test_joins_root_and_its_own_user_only),
        cmocka_unit_test(test_moves),
        cmocka_unit_test(test_waits_for_guards),
        cmocka_unit_test(test_is_refused),
        cmocka_unit_test(test_bad_answers),
        cmocka_unit_test(test_noise),
        cmocka_unit_test(test_bad_tables),
        cmocka_unit_test(test_declares_later),
        cmocka_unit_test(test_without_thread),
        cmocka_unit_test(test_close),
    };

    return cmocka_run_group_tests(tests, make_directory, remove_directory);
}
