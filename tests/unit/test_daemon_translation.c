/* SPDX-License-Identifier: MIT */
/*
 * translation.h and child.h against processes that lie.  This program is its own translator: executed again, it answers
 * with the very bytes that it is asked to work on, or does as they say; so a test decides what each stage answers.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <errno.h>
#include <event2/event.h>
#include <json-c/json.h>
#include <linux/bpf.h>
#include <signal.h>
#include <stdio.h>
#include <sys/mman.h>
#include <unistd.h>

#include "daemon.h"
#include "translation.h"
#include "translator.h"
#include "typed.h"
#include "util.h"
#include "wire.h"

/* ---- the translator ------------------------------------------------------------------------------------ */

/* What a request may ask of it instead of an answer. */
#define CRASH "crash"
#define HANG "hang"                     /* without closing the socket */
#define CLOSE_AND_HANG "close and hang"
#define STATUS "status"
#define FLOOD "flood"

static void write_all(const void *bytes, size_t size)
{
    const uint8_t *at = bytes;

    while (size > 0) {
        ssize_t n = write(STDIN_FILENO, at, size);

        if (n <= 0)
            _exit(1);
        at += n;
        size -= (size_t)n;
    }
}

static void flood(void)
{
    static uint8_t bytes[1 << 20];

    for (;;)
        write_all(bytes, sizeof(bytes));
}

static _Noreturn void answer(const void *bytes, size_t size)
{
    bool asked = size < 64;
    char word[64] = "";

    if (asked)
        memcpy(word, bytes, size);
    if (!strcmp(word, CRASH))
        raise(SIGSEGV);
    if (!strcmp(word, STATUS))
        _exit(3);
    if (!strcmp(word, FLOOD))
        flood();
    if (!strcmp(word, CLOSE_AND_HANG))
        close(STDIN_FILENO);
    if (!strcmp(word, HANG) || !strcmp(word, CLOSE_AND_HANG))
        for (;;)
            pause();
    write_all(bytes, size);
    _exit(0);
}

/* What to answer: the object of a reader's request, the canonical form of a compiler's. */
static _Noreturn void translator(const char *stage)
{
    struct wire_writer request = { 0 };
    struct wire_reader reader;
    uint8_t bytes[4096];
    const void *found;
    size_t size;
    ssize_t n;

    signal(SIGSEGV, SIG_DFL);           /* sanitizers would make it an exit */
    while ((n = read(STDIN_FILENO, bytes, sizeof(bytes))) > 0)
        wire_append(&request, bytes, (size_t)n);
    reader = (struct wire_reader){ .at = request.bytes, .left = request.size };
    if (!strcmp(stage, TRANSLATOR_READ)) {
        wire_text(&reader, 100);
    } else {
        wire_number(&reader, 1);
        wire_text(&reader, 100);
        wire_number(&reader, UINT32_MAX);
        for (uint64_t fields = wire_number(&reader, 100); fields > 0; fields--) {
            wire_text(&reader, 100);
            for (int i = 0; i < 3; i++)
                wire_number(&reader, UINT32_MAX);
        }
    }
    found = wire_bytes(&reader, &size);
    if (reader.failed)
        _exit(9);
    answer(found, size);
}

/* ---- answers ------------------------------------------------------------------------------------------- */

#define REGION_SIZE 8

/* An array of 4 values of 8 bytes, of which the program reaches `size` bytes by their distance. */
static void put_map(struct wire_writer *writer, const char *name, uint64_t size)
{
    static const uint64_t definition[] = { BPF_MAP_TYPE_ARRAY, 4, 8, 4, 0 }, inner[5];
    void *type;
    size_t type_size;
    struct typed *value = typed_integer(8, false);

    wire_put_number(writer, TRANSLATOR_REGION_MAP);
    wire_put_number(writer, size);
    wire_put_text(writer, name);
    for (size_t i = 0; i < ARRAY_LENGTH(definition); i++)
        wire_put_number(writer, definition[i]);
    for (size_t i = 0; i < ARRAY_LENGTH(inner); i++)
        wire_put_number(writer, inner[i]);
    wire_put_bytes(writer, NULL, 0);
    assert_int_equal(typed_encode(value, &type, &type_size), 0);
    wire_put_bytes(writer, type, type_size);
    free(type);
    typed_free(value);
}

/* All natives: one. */
static void put_native(struct wire_writer *writer, const char *name, const char *prototype)
{
    wire_put_number(writer, 1);
    wire_put_text(writer, name);
    wire_put_text(writer, prototype);
}

/* An answer of the compiler with one relocation: its place, kind, index and addend. */
static void put_relocated(struct wire_writer *writer, const uint64_t relocation[4])
{
    wire_put_number(writer, 0);
    wire_put_number(writer, 1234);
    wire_put_number(writer, 3);
    wire_put_number(writer, TRANSLATOR_REGION_DATA);
    wire_put_number(writer, REGION_SIZE);
    wire_put_bytes(writer, "contents", REGION_SIZE);
    wire_put_number(writer, TRANSLATOR_REGION_NONE);
    put_map(writer, "counts", 32);
    put_native(writer, "checksum", "u32(const void*,u32)");
    wire_put_bytes(writer, "12345678", 8);
    wire_put_number(writer, 1);
    for (size_t i = 0; i < 4; i++)
        wire_put_number(writer, relocation[i]);
    wire_put_number(writer, 1);
    wire_put_bytes(writer, "the log\n", 8);
}

/* A good one. */
static void put_compiled(struct wire_writer *writer)
{
    put_relocated(writer, (const uint64_t[]){ 4, RELOCATION_REGION, 0, 4 });
}

/* A good answer of the reader, which makes the compiler answer `compiled`. */
static void put_read(struct wire_writer *writer, const void *compiled, size_t size)
{
    wire_put_number(writer, 0);
    wire_put_text(writer, "function");
    wire_put_text(writer, "test");
    wire_put_text(writer, "licence");
    wire_put_number(writer, 77);
    wire_put_bytes(writer, compiled, size);
}

/* `instruction`: -1 for none. */
static void put_failure_at(struct wire_writer *writer, int result, const char *rule, int instruction)
{
    wire_put_number(writer, (uint64_t)result);
    wire_put_text(writer, rule);
    wire_put_text(writer, "f\nunction");
    wire_put_number(writer, (uint64_t)(instruction + 1));
    wire_put_text(writer, "file.c");
    wire_put_number(writer, 12);
    wire_put_text(writer, "return *p;");
    wire_put_text(writer, "re\x1b" "ason");
    wire_put_text(writer, "R1=ctx");
    wire_put_text(writer, "a hint");
}

static void put_failure(struct wire_writer *writer, int result, const char *rule)
{
    put_failure_at(writer, result, rule, 5);
}

/* ---- one translation ----------------------------------------------------------------------------------- */

static struct daemon a_daemon;
static struct shared_context *context;

static int set_up(void **state)
{
    static const struct context_field field = { "value", 0, 4, CONTEXT_READ };
    struct context *description;

    a_daemon = (struct daemon){ .base = event_base_new() };
    assert_non_null(a_daemon.base);
    assert_int_equal(context_new("test", 8, &field, 1, &description, NULL), 0);
    assert_int_equal(shared_context_new(description, &context), 0);
    assert_int_equal(translations_new(&a_daemon, 1, &a_daemon.translations), 0);
    return 0;
}

static int tear_down(void **state)
{
    assert_int_equal(translations_pending(a_daemon.translations), 0);
    translations_free(a_daemon.translations);
    assert_int_equal(context->references, 1);
    shared_context_put(context);
    event_base_free(a_daemon.base);
    return 0;
}

static unsigned done_count;

static void on_done(struct translation *translation, void *userdata)
{
    done_count++;
}

static struct translation *start(const void *object, size_t size)
{
    const struct translation_options options = {
        .program = "p", .object = object, .object_size = size, .context = context, .log = true, .done = on_done,
    };
    struct translation *translation;
    struct refusal refusal = { 0 };

    assert_int_equal(translation_start(a_daemon.translations, &options, &translation, &refusal), 0);
    return translation;
}

static void wait_for_all(void)
{
    while (translations_pending(a_daemon.translations) > 0)
        assert_int_equal(event_base_loop(a_daemon.base, EVLOOP_ONCE), 0);
}

static struct translation *translate(const void *object, size_t size)
{
    struct translation *translation = start(object, size);

    wait_for_all();
    return translation;
}

static const char *parameter(const struct translation *translation, const char *name)
{
    return json_object_get_string(json_object_object_get(translation->refusal.parameters, name));
}

static void assert_succeeds(const void *object, size_t size)
{
    struct translation *translation = translate(object, size);

    assert_int_equal(translation->result, 0);
    translation_free(translation);
}

static void assert_fails(const void *object, size_t size, const char *error, const char *reason)
{
    struct translation *translation = translate(object, size);

    assert_true(translation->result < 0);
    assert_string_equal(translation->refusal.error, error);
    assert_string_equal(parameter(translation, "program"), "p");
    if (!strstr(parameter(translation, "reason"), reason))
        fail_msg("\"%s\" does not say \"%s\"", parameter(translation, "reason"), reason);
    translation_free(translation);
}

/* ---- tests --------------------------------------------------------------------------------------------- */

static void test_good_answers(void **state)
{
    struct wire_writer compiled = { 0 }, read = { 0 };
    struct translation *translation;

    put_compiled(&compiled);
    put_read(&read, compiled.bytes, compiled.size);
    translation = translate(read.bytes, read.size);
    assert_int_equal(translation->result, 0);
    assert_string_equal(translation->function, "function");
    assert_string_equal(translation->licence, "licence");
    assert_int_equal(translation->instructions, 77);
    assert_int_equal(translation->processed, 1234);
    assert_int_equal(translation->regions, 3);
    assert_string_equal(translation->region[2].name, "counts");
    assert_int_equal(translation->region[2].definition.max_entries, 4);
    assert_int_equal(translation->region[2].value->type[0].kind, TYPED_UNSIGNED);
    assert_int_equal(translation->region[0].size, REGION_SIZE);
    assert_memory_equal(translation->region[0].contents, "contents", REGION_SIZE);
    assert_null(translation->region[1].contents);
    assert_int_equal(translation->natives, 1);
    assert_string_equal(translation->native[0].name, "checksum");
    assert_string_equal(translation->native[0].prototype, "u32(const void*,u32)");
    assert_int_equal(translation->code.size, 8);
    assert_memory_equal(translation->code.bytes, "12345678", 8);
    assert_int_equal(translation->code.relocations, 1);
    assert_int_equal(translation->code.relocation[0].addend, 4);
    assert_ptr_equal(translation->context, context);
    assert_string_equal(translation->log, "(the beginning is left out)\nthe log\n");
    translation_free(translation);
    free(compiled.bytes);
    free(read.bytes);
}

static void test_processes_that_fail(void **state)
{
    static const struct {
        const char *word, *reason;
    } ways[] = {
        { CRASH, "was ended by signal 11" },
        { STATUS, "ended with status 3" },
        { HANG, "took more than 5 s" },
        { CLOSE_AND_HANG, "was ended by signal 9" },
        { FLOOD, "answered with too much" },
        { "", "makes no sense" },
        { "nonsense", "makes no sense" },
    };

    for (size_t i = 0; i < ARRAY_LENGTH(ways); i++) {
        struct wire_writer read = { 0 };

        assert_fails(ways[i].word, strlen(ways[i].word), "TranslationFailed", ways[i].reason);
        put_read(&read, ways[i].word, strlen(ways[i].word));
        assert_fails(read.bytes, read.size, "TranslationFailed", ways[i].reason);
        free(read.bytes);
    }
}

/* Text from a process is cleaned before anybody sees it. */
static void assert_rejected(const struct wire_writer *object)
{
    struct translation *translation = translate(object->bytes, object->size);

    assert_int_equal(translation->result, -EINVAL);
    assert_string_equal(translation->refusal.error, "ProgramRejected");
    assert_string_equal(parameter(translation, "function"), "f?unction");
    assert_string_equal(parameter(translation, "instruction"), "5");
    assert_string_equal(parameter(translation, "file"), "file.c");
    assert_string_equal(parameter(translation, "line"), "12");
    assert_string_equal(parameter(translation, "source"), "return *p;");
    assert_string_equal(parameter(translation, "rule"), "rule");
    assert_string_equal(parameter(translation, "reason"), "re?ason");
    assert_string_equal(parameter(translation, "registers"), "R1=ctx");
    assert_string_equal(parameter(translation, "hint"), "a hint");
    translation_free(translation);
}

/* Whichever process finds it: an instruction is refused with all there is to say, else it is the object. */
static void test_refusals(void **state)
{
    struct wire_writer whole = { 0 }, failure = { 0 }, read = { 0 };

    put_failure_at(&whole, EINVAL, "rule", -1);
    assert_fails(whole.bytes, whole.size, "ObjectInvalid", "re?ason");
    put_failure(&failure, EINVAL, "rule");
    assert_rejected(&failure);
    put_read(&read, failure.bytes, failure.size);
    assert_rejected(&read);
    free(whole.bytes);
    free(failure.bytes);
    free(read.bytes);
}

static void test_failures_of_the_process_itself(void **state)
{
    struct wire_writer memory = { 0 }, sandbox = { 0 };

    put_failure(&memory, ENOMEM, "limit");
    put_failure(&sandbox, EPERM, TRANSLATOR_SANDBOX);
    assert_fails(memory.bytes, memory.size, "TranslationFailed", "re?ason");
    assert_fails(sandbox.bytes, sandbox.size, "TranslationFailed", "re?ason");
    free(memory.bytes);
    free(sandbox.bytes);
}

/* Any number of them at once; each has its outcome. */
static void translate_all(struct translation **translation, size_t count)
{
    done_count = 0;
    wait_for_all();
    assert_int_equal(done_count, count);
    for (size_t i = 0; i < count; i++)
        translation_free(translation[i]);
}

static void assert_sane(const struct translation *translation)
{
    const struct code *code = &translation->code;

    if (translation->result < 0) {
        assert_non_null(translation->refusal.error);
        return;
    }
    assert_true(code->size > 0 && translation->regions <= BYTECODE_REGIONS_MAX);
    for (size_t i = 0; i < code->relocations; i++) {
        assert_true(code->relocation[i].at + sizeof(int32_t) <= code->size);
        if (code->relocation[i].kind == RELOCATION_REGION) {
            assert_true(code->relocation[i].index < translation->regions);
            assert_true(translation->region[code->relocation[i].index].size > 0);
        }
    }
}

static void on_sane(struct translation *translation, void *userdata)
{
    done_count++;
    assert_sane(translation);
}

/* Answers cut off at each byte, and with each byte changed, in either stage: an outcome always, never an insane one. */
static void test_damaged_answers(void **state)
{
    struct wire_writer compiled = { 0 }, read = { 0 };
    struct translation *translation[2048];
    size_t count = 0;

    put_compiled(&compiled);
    put_read(&read, compiled.bytes, compiled.size);
    assert_true(read.size * 2 < ARRAY_LENGTH(translation));
    for (size_t i = 0; i < read.size; i++) {
        const uint8_t good = read.bytes[i];

        translation[count] = start(read.bytes, i);
        translation[count++]->done = on_sane;
        read.bytes[i] ^= (uint8_t)(1 << i % 8);
        translation[count] = start(read.bytes, read.size);
        translation[count++]->done = on_sane;
        read.bytes[i] = good;
    }
    translate_all(translation, count);
    free(compiled.bytes);
    free(read.bytes);
}

static void test_relocations_are_checked(void **state)
{
    static const uint64_t bad[][4] = {
        { 5, RELOCATION_REGION, 0, 0 },
        { UINT64_MAX, RELOCATION_REGION, 0, 0 },
        { 4, RELOCATION_REGION, 1, 0 },
        { 4, RELOCATION_REGION, 3, 0 },
        { 4, RELOCATION_REGION, 63, 0 },
        { 4, RELOCATION_REGION, 64, 0 },
        { 4, RELOCATION_REGION, 0, (uint64_t)1 << 31 },
        { 4, RELOCATION_REGION, 0, (uint64_t)1 << 40 },
        { 4, RELOCATION_REGION, 2, 33 },
        { 4, RELOCATION_MAP, 64, 0 },
        { 4, RELOCATION_MAP, 0, 0 },
        { 4, RELOCATION_MAP, 2, 8 },
        { 4, RELOCATION_RUNTIME, 1 << 30, 0 },
        { 4, RELOCATION_LINKAGE, 1 << 30, 0 },
        { 4, RELOCATION_NATIVE, 1, 0 },
        { 4, RELOCATION_NATIVE, 64, 0 },
        { 4, RELOCATION_NATIVE, 0, 8 },
        { 4, RELOCATION_KINDS, 0, 0 },
    };

    static const uint64_t good[][4] = {
        { 0, RELOCATION_REGION, 0, REGION_SIZE }, { 4, RELOCATION_REGION, 2, 32 }, { 4, RELOCATION_MAP, 2, 0 },
        { 4, RELOCATION_RUNTIME, 0, 0 }, { 4, RELOCATION_LINKAGE, 0, 0 },
        { 4, RELOCATION_NATIVE, 0, 0 },
    };

    for (size_t i = 0; i < ARRAY_LENGTH(bad); i++) {
        struct wire_writer compiled = { 0 }, read = { 0 };

        put_relocated(&compiled, bad[i]);
        put_read(&read, compiled.bytes, compiled.size);
        assert_fails(read.bytes, read.size, "TranslationFailed", "makes no sense");
        free(compiled.bytes);
        free(read.bytes);
    }
    for (size_t i = 0; i < ARRAY_LENGTH(good); i++) {
        struct wire_writer compiled = { 0 }, read = { 0 };

        put_relocated(&compiled, good[i]);
        put_read(&read, compiled.bytes, compiled.size);
        assert_succeeds(read.bytes, read.size);
        free(compiled.bytes);
        free(read.bytes);
    }
}

/*
 * A program's code reaches the elements of arrays by their distance,
 * so more of them than there are would be others' memory.
 */
static void test_maps_are_checked(void **state)
{
    static const struct { const char *name; uint64_t size; } bad[] = {
        { "", 32 }, { "a name", 32 }, { "counts", 1 << 20 }, { "counts", UINT64_MAX },
    };

    for (size_t i = 0; i < ARRAY_LENGTH(bad); i++) {
        struct wire_writer compiled = { 0 }, read = { 0 };

        wire_put_number(&compiled, 0);
        wire_put_number(&compiled, 1234);
        wire_put_number(&compiled, 1);
        put_map(&compiled, bad[i].name, bad[i].size);
        wire_put_number(&compiled, 0);
        wire_put_bytes(&compiled, "12345678", 8);
        wire_put_number(&compiled, 0);
        put_read(&read, compiled.bytes, compiled.size);
        assert_fails(read.bytes, read.size, "TranslationFailed", "makes no sense");
        free(compiled.bytes);
        free(read.bytes);
    }
}

static void test_natives_are_checked(void **state)
{
    static const struct { const char *name, *prototype; } bad[] = {
        { "", "u32(u32)" }, { "a name", "u32(u32)" }, { "f", "" }, { "f", "u32" }, { "f", "u32 (u32)" },
        { "f", "uint32_t(u32)" }, { "f", "u32(double)" },
    };

    for (size_t i = 0; i < ARRAY_LENGTH(bad); i++) {
        struct wire_writer compiled = { 0 }, read = { 0 };

        wire_put_number(&compiled, 0);
        wire_put_number(&compiled, 1234);
        wire_put_number(&compiled, 0);
        put_native(&compiled, bad[i].name, bad[i].prototype);
        wire_put_bytes(&compiled, "12345678", 8);
        wire_put_number(&compiled, 0);
        put_read(&read, compiled.bytes, compiled.size);
        assert_fails(read.bytes, read.size, "TranslationFailed", "makes no sense");
        free(compiled.bytes);
        free(read.bytes);
    }
}

static void test_another_context(void **state)
{
    struct wire_writer read = { 0 };
    struct translation *translation;

    wire_put_number(&read, 0);
    wire_put_text(&read, "function");
    wire_put_text(&read, "other");
    wire_put_text(&read, "");
    wire_put_number(&read, 1);
    wire_put_bytes(&read, "x", 1);
    translation = translate(read.bytes, read.size);
    assert_string_equal(translation->refusal.error, "UnknownContext");
    assert_string_equal(parameter(translation, "context"), "other");
    translation_free(translation);
    free(read.bytes);
}

/* Freed while queued and while running: nobody hears of it again. */
static void test_freed_on_the_way(void **state)
{
    struct translation *translation[3 * TRANSLATIONS_RUNNING_MAX];

    for (size_t i = 0; i < ARRAY_LENGTH(translation); i++)
        translation[i] = start(HANG, strlen(HANG));
    for (int i = 0; i < 20; i++)
        event_base_loop(a_daemon.base, EVLOOP_NONBLOCK);
    done_count = 0;
    for (size_t i = 0; i < ARRAY_LENGTH(translation); i++)
        translation_free(translation[i]);
    wait_for_all();
    assert_int_equal(done_count, 0);
}

static void test_too_much_at_once(void **state)
{
    const size_t size = TRANSLATIONS_BYTES_MAX / 2 + 1;
    void *object = mmap(NULL, size, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    const struct translation_options options = {
        .object = object, .object_size = size, .context = context, .done = on_done,
    };
    struct translation *first, *second;
    struct refusal refusal = { 0 };

    assert_ptr_not_equal(object, MAP_FAILED);
    assert_int_equal(translation_start(a_daemon.translations, &options, &first, &refusal), 0);
    assert_int_equal(translation_start(a_daemon.translations, &options, &second, &refusal), -EDQUOT);
    assert_string_equal(refusal.error, "LimitExceeded");
    refusal_done(&refusal);
    translation_free(first);
    assert_int_equal(translation_start(a_daemon.translations, &options, &second, &refusal), 0);
    translation_free(second);
    munmap(object, size);
}

/* The end of the daemon: each is told. */
static void test_end(void **state)
{
    struct translation *translation[2 * TRANSLATIONS_RUNNING_MAX];

    for (size_t i = 0; i < ARRAY_LENGTH(translation); i++)
        translation[i] = start(HANG, strlen(HANG));
    for (int i = 0; i < 20; i++)
        event_base_loop(a_daemon.base, EVLOOP_NONBLOCK);
    done_count = 0;
    translations_free(a_daemon.translations);
    assert_int_equal(done_count, ARRAY_LENGTH(translation));
    for (size_t i = 0; i < ARRAY_LENGTH(translation); i++) {
        assert_int_equal(translation[i]->result, -ECANCELED);
        translation_free(translation[i]);
    }
    assert_int_equal(translations_new(&a_daemon, 1, &a_daemon.translations), 0);
}

#define TEST(function) cmocka_unit_test_setup_teardown(function, set_up, tear_down)

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        TEST(test_good_answers), TEST(test_processes_that_fail), TEST(test_refusals),
        TEST(test_failures_of_the_process_itself), TEST(test_damaged_answers), TEST(test_relocations_are_checked),
        TEST(test_maps_are_checked), TEST(test_natives_are_checked), TEST(test_another_context),
        TEST(test_freed_on_the_way), TEST(test_too_much_at_once), TEST(test_end),
    };

    if (argc == 4 && !strcmp(argv[1], TRANSLATOR_OPTION))
        translator(argv[2]);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
