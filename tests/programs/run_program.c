/* SPDX-License-Identifier: MIT */
/*
 * Run one program of real/ on the cases that its source names, in each way that there is:
 *
 *      run_program SOURCE OBJECT.o     verified, translated and run; and interpreted
 *      run_program SOURCE OBJECT.so    as the host's compiler made it
 *
 * It prints what is wrong, a line each, and ends with 1 if anything is.
 */
#include <dlfcn.h>
#include <errno.h>
#include <link.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "cases.h"
#include "interpreter.h"
#include "machine.h"
#include "object.h"
#include "packet_context.h"

#define PAGE 4096
#define STEPS_MAX 10000000

/* A program that has its variables and can be run. */
struct instance {
    const char *path;                   /* of the object */
    const char *name;                   /* of the program, as its source is named */
    void *library;                      /* native */
    struct context *context;            /* all others */
    struct bytecode *bytecode;
    struct machine machine;             /* jit */
    struct interpreter *interpreter;
};

/* ---- native ---- */

/* Overwrite a constant of the library. */
static int set_native(void *library, const struct setting *setting)
{
    uint8_t *at = dlsym(library, setting->name);
    uint64_t value = strtoull(setting->value, NULL, 0);
    ElfW(Sym) *symbol = NULL;
    Dl_info info;

    if (!at || !dladdr1(at, &info, (void **)&symbol, RTLD_DL_SYMENT) || !symbol ||
        mprotect(at - (uintptr_t)at % PAGE, 2 * PAGE, PROT_READ | PROT_WRITE) < 0) {
        printf("# no variable %s\n", setting->name);
        return -ENOENT;
    }
    memcpy(at, &value, symbol->st_size);
    return 0;
}

static int begin_native(struct instance *instance, const struct test_case *first)
{
    int r = 0;

    instance->library = dlopen(instance->path, RTLD_NOW | RTLD_LOCAL);
    if (!instance->library || !dlsym(instance->library, instance->name)) {
        printf("# %s\n", dlerror());
        return -ENOENT;
    }
    for (unsigned i = 0; i < first->settings && r == 0; i++)
        r = set_native(instance->library, &first->setting[i]);
    return r;
}

static int run_native(struct instance *instance, struct packet *packet, uint32_t key, uint32_t *ret)
{
    union {
        void *symbol;
        uint32_t (*run)(struct packet *packet, uint32_t key);
    } program = { dlsym(instance->library, instance->name) };

    *ret = program.run(packet, key);
    return 0;
}

/* ---- from an object ---- */

static void *read_file(const char *path, size_t *ret_size)
{
    void *bytes = malloc(OBJECT_SIZE_MAX);
    FILE *file = fopen(path, "rb");

    if (!bytes || !file) {
        fprintf(stderr, "%s cannot be read\n", path);
        exit(2);
    }
    *ret_size = fread(bytes, 1, OBJECT_SIZE_MAX, file);
    fclose(file);
    return bytes;
}

static int read_bytecode(struct instance *instance, const struct test_case *first, struct jit_error *error)
{
    size_t size;
    void *bytes = read_file(instance->path, &size);
    struct object *object = NULL;
    uint32_t program;
    int r = object_read(bytes, size, &object, error);

    for (unsigned i = 0; i < first->settings && r == 0; i++)
        r = object_set(object, first->setting[i].name, first->setting[i].value, error);
    if (r == 0)
        r = object_find(object, instance->name, &program, error);
    if (r == 0)
        r = object_bytecode(object, program, &instance->bytecode, error);
    object_free(object);
    free(bytes);
    return r;
}

static void print_error(const struct jit_error *error)
{
    printf("# refused (%s): %s\n", error->rule ? error->rule : "?", error->text);
    if (error->registers[0])
        printf("# %s\n", error->registers);
}

static int begin_jit(struct instance *instance, const struct test_case *first)
{
    struct jit_error error = { 0 };
    struct code code = { 0 };
    int r = read_bytecode(instance, first, &error);

    if (r == 0)
        r = packet_context(&instance->context);
    if (r == 0)
        r = compile(instance->bytecode, instance->context, architecture_native(), NULL, &code, &error);
    if (r == 0)
        r = machine_load(instance->bytecode, &code, &instance->machine, &error);
    if (r < 0)
        print_error(&error);
    code_clear(&code);
    return r;
}

static int run_jit(struct instance *instance, struct packet *packet, uint32_t key, uint32_t *ret)
{
    *ret = (uint32_t)instance->machine.run(packet, key);
    return 0;
}

static int begin_interpreter(struct instance *instance, const struct test_case *first)
{
    struct jit_error error = { 0 };
    int r = read_bytecode(instance, first, &error);

    if (r < 0) {
        print_error(&error);
        return r;
    }
    instance->interpreter = interpreter_new(instance->bytecode, STEPS_MAX);
    return instance->interpreter ? 0 : -ENOMEM;
}

/* Its memories besides the regions are the context's fields and the packet, at addresses of its own. */
static int run_interpreter(struct instance *instance, struct packet *packet, uint32_t key, uint32_t *ret)
{
    struct interpreter *interpreter = instance->interpreter;
    const uint8_t *bytes = packet->data;
    uint32_t size = (uint32_t)(packet->data_end - packet->data);
    struct jit_error error = { 0 };
    struct packet copy = *packet;
    uint64_t r1, data, r0 = 0;
    int r;

    interpreter->memories = instance->bytecode->regions;
    r1 = interpreter_add(interpreter, "context", &copy, sizeof(copy), true);
    data = interpreter_add(interpreter, "packet", (void *)(uintptr_t)bytes, size, false);
    copy.data = (const uint8_t *)(uintptr_t)data;
    copy.data_end = copy.data + size;
    r = interpreter_run(interpreter, r1, key, &r0, &error);
    if (r < 0)
        print_error(&error);
    *packet = copy;
    packet->data = bytes;
    packet->data_end = bytes + size;
    *ret = (uint32_t)r0;
    return r;
}

static void end(struct instance *instance)
{
    if (instance->library)
        dlclose(instance->library);
    interpreter_free(instance->interpreter);
    machine_clear(&instance->machine);
    bytecode_free(instance->bytecode);
    context_free(instance->context);
    *instance = (struct instance){ .path = instance->path, .name = instance->name };
}

/* ---- cases ---- */

static const struct way {
    const char *name, *suffix;
    int (*begin)(struct instance *instance, const struct test_case *first);
    int (*run)(struct instance *instance, struct packet *packet, uint32_t key, uint32_t *ret);
} ways[] = {
    { "native", ".so", begin_native, run_native },
    { "jit", ".o", begin_jit, run_jit },
    { "interpreter", ".o", begin_interpreter, run_interpreter },
};

/* A page that packets end at, and behind it one that nobody may touch. */
static uint8_t *guarded_page(void)
{
    uint8_t *page = mmap(NULL, 2 * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

    if (page == MAP_FAILED || mprotect(page + PAGE, PAGE, PROT_NONE) < 0) {
        perror("mmap");
        exit(2);
    }
    return page;
}

static void print_packet(const char *what, uint32_t verdict, const struct packet *packet)
{
    printf("#   %s: %u offset=%#llx size=%u status=%#x value=%#llx small=%#x tiny=%#x\n", what, verdict, packet->offset,
           packet->size, packet->status, packet->value, packet->small, packet->tiny);
}

static int run_case(const struct way *way, struct instance *instance, const struct test_case *c, const char *source)
{
    static uint8_t *page;
    struct packet packet = c->before, expected = c->after;
    uint32_t verdict = 0;

    if (!page)
        page = guarded_page();
    packet.data_end = expected.data_end = page + PAGE;
    packet.data = expected.data = packet.data_end - c->size;
    memcpy(page + PAGE - c->size, c->bytes, c->size);
    if (way->run(instance, &packet, c->key, &verdict) == 0 && verdict == c->verdict &&
        memcmp(&packet, &expected, sizeof(packet)) == 0)
        return 0;
    printf("# %s:%u: by %s\n", source, c->line, way->name);
    print_packet("expected", c->verdict, &expected);
    print_packet("got", verdict, &packet);
    return 1;
}

static int run_cases(const struct way *way, struct instance *instance, const char *source,
                     const struct test_case *cases, size_t count)
{
    int failed = 0;

    for (size_t i = 0; i < count; i++) {
        if (cases[i].anew) {
            end(instance);
            if (way->begin(instance, &cases[i]) < 0) {
                printf("# %s: by %s: it cannot be run\n", source, way->name);
                return 1;
            }
        }
        failed |= run_case(way, instance, &cases[i], source);
    }
    end(instance);
    return failed;
}

int main(int argc, char **argv)
{
    struct test_case *cases;
    struct instance instance = { .path = argc == 3 ? argv[2] : NULL };
    const char *suffix = argc == 3 ? strrchr(argv[2], '.') : NULL, *source;
    char name[64];
    size_t count;
    int failed = 0;

    if (!suffix) {
        fprintf(stderr, "usage: run_program SOURCE OBJECT\n");
        return 2;
    }
    source = strrchr(argv[1], '/') ? strrchr(argv[1], '/') + 1 : argv[1];
    snprintf(name, sizeof(name), "%.*s", (int)strcspn(source, "."), source);
    instance.name = name;
    cases = cases_read(argv[1], &count);
    for (size_t i = 0; i < sizeof(ways) / sizeof(ways[0]); i++)
        if (strcmp(suffix, ways[i].suffix) == 0)
            failed |= run_cases(&ways[i], &instance, source, cases, count);
    if (count == 0) {
        printf("# %s: it expects nothing\n", source);
        failed = 1;
    }
    cases_free(cases, count);
    return failed;
}
