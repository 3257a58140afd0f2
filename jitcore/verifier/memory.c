/* SPDX-License-Identifier: MIT */
/* Instructions that access memory, and what may be accessed. */

#include "memory.h"

#include <errno.h>
#include <linux/bpf.h>
#include <stdio.h>
#include <string.h>

#include "stack.h"

struct access {
    unsigned reg;               /* that holds the pointer */
    const struct value *pointer;
    int32_t offset;             /* added to it, bytes */
    uint32_t size;              /* bytes */
    bool write, atomic;
};

/* ---- what may be accessed ---- */

static const char *verb(const struct access *access)
{
    return access->write ? "writes" : "reads";
}

/* Bytes 0 to `size` of an object. */
static int check_bounds(struct analysis *analysis, const struct access *access, uint32_t size, const char *object)
{
    int64_t lowest = value_lowest(access->pointer) + access->offset;
    int64_t highest = value_highest(access->pointer) + access->offset + (int64_t)access->size;

    if (lowest >= 0 && highest <= (int64_t)size)
        return 0;
    return message_refuse(analysis, "bounds",
                          scalar_is_constant(&access->pointer->number) ? NULL : MESSAGE_COMPARE,
                          "%s bytes %lld to %lld of %s, which has %u", verb(access), (long long)lowest,
                          (long long)highest - 1, object, size);
}

static int check_region(struct analysis *analysis, const struct access *access)
{
    const struct bytecode_region *region = &analysis->bytecode->region[access->pointer->region];

    if (access->write && (region->kind == REGION_CONSTANT || region->map_flags & BPF_F_RDONLY_PROG))
        return message_refuse(analysis, "read-only", "make the variable not const", "writes to %s, which is read-only",
                              region->name);
    if ((!access->write || access->atomic) && region->map_flags & BPF_F_WRONLY_PROG)
        return message_refuse(analysis, "write-only", NULL, "reads from %s, which programs may only write",
                              region->name);
    return check_bounds(analysis, access, access->pointer->size, region->name);
}

static int check_memory(struct analysis *analysis, const struct access *access)
{
    if (access->write && access->pointer->read_only)
        return message_refuse(analysis, "read-only", NULL, "writes to memory that is read-only, through R%u",
                              access->reg);
    return check_bounds(analysis, access, access->pointer->size, "that memory");
}

/*
 * `range` bytes from the variable part on are there; none before the packet's first.  Of a pointer that was not
 * compared (range 0) it is not known that its variable part is in the packet: bytes before that may be behind the
 * packet's end.
 */
static int check_packet(struct analysis *analysis, const struct access *access)
{
    const struct value *pointer = access->pointer;
    int64_t start = (int64_t)pointer->offset + access->offset, end = start + access->size;

    if (access->write)
        return message_refuse(analysis, "packet-store", NULL, "writes to the packet, which is read-only");
    analysis_demand(analysis, DEMAND_ACCESS, access->reg);
    if (pointer->range > 0 && start + pointer->number.full.smin >= 0 && end <= (int64_t)pointer->range)
        return 0;
    return message_refuse(analysis, "packet-bounds",
                          "compare the pointer with data_end first: if (p + size > data_end) return",
                          "reads bytes %lld to %lld of the packet%s, of which %u are known to be there",
                          (long long)start, (long long)end - 1,
                          scalar_is_constant(&pointer->number) ? "" : ", counted from a variable offset",
                          pointer->range);
}

/* "\"size\" (4 bytes at 16)"; nothing for NULL. */
#define FIELD_FORMAT_SIZE (CONTEXT_NAME_MAX + 64)
static const char *format_field(const struct context_field *field, char buffer[FIELD_FORMAT_SIZE])
{
    buffer[0] = '\0';
    if (field)
        snprintf(buffer, FIELD_FORMAT_SIZE, "\"%s\" (%u bytes at %u)", field->name, field->size, field->offset);
    return buffer;
}

static int refuse_field(struct analysis *analysis, const struct access *access, int64_t offset)
{
    const struct context *context = analysis->context;
    const struct context_field *before = NULL, *behind = NULL;
    char text[2][FIELD_FORMAT_SIZE];

    for (uint32_t i = 0; i < context->fields && !behind; i++)
        *(context->field[i].offset <= offset ? &before : &behind) = &context->field[i];
    if (!before && !behind)
        return message_refuse(analysis, "context", NULL, "%u bytes at offset %lld of context \"%s\": it declares no "
                              "field", access->size, (long long)offset, context->name);
    return message_refuse(analysis, "context", NULL,
                          "%u bytes at offset %lld of context \"%s\" are not inside a field that the hook declares; "
                          "near it: %s%s%s",
                          access->size, (long long)offset, context->name, format_field(before, text[0]),
                          before && behind ? " and " : "", format_field(behind, text[1]));
}

static const struct context_field *find_field(const struct analysis *analysis, const struct access *access)
{
    int64_t offset = (int64_t)access->pointer->offset + access->offset;

    return offset < 0 ? NULL : context_find(analysis->context, (uint32_t)offset, access->size);
}

static int check_context(struct analysis *analysis, const struct access *access)
{
    const struct context_field *field = find_field(analysis, access);
    const char *context = analysis->context->name;

    if (!scalar_is_constant(&access->pointer->number))
        return message_refuse(analysis, "context-variable", "use one field at a time",
                              "accesses the context at an offset that is not a constant");
    if (!field)
        return refuse_field(analysis, access, (int64_t)access->pointer->offset + access->offset);
    if (access->write && field->rights != CONTEXT_WRITE)
        return message_refuse(analysis, "context", NULL,
                              "stores to field \"%s\" of context \"%s\", which the hook declares read-only",
                              field->name, context);
    if ((field->rights == CONTEXT_DATA || field->rights == CONTEXT_DATA_END) && access->size != field->size)
        return message_refuse(analysis, "context", NULL,
                              "loads %u bytes of field \"%s\" of context \"%s\", a pointer; load all its %u bytes "
                              "at once", access->size, field->name, context, field->size);
    return 0;
}

static int refuse_type(struct analysis *analysis, const struct access *access)
{
    const struct value *pointer = access->pointer;

    if (value_is_or_null(pointer))
        return message_refuse(analysis, "null", "check the pointer for NULL first", "%s through R%u, %s",
                              verb(access), access->reg, value_type_name(pointer->type));
    return message_refuse(analysis, "pointer", NULL, "%s through R%u, which is %s", verb(access), access->reg,
                          value_type_name(pointer->type));
}

static bool is_aligned(const struct access *access)
{
    const struct tnum *bits = &access->pointer->number.tnum;
    uint64_t start = bits->value + (uint64_t)(int64_t)access->pointer->offset + (uint64_t)(int64_t)access->offset;

    return ((start | bits->mask) & (access->size - 1)) == 0;
}

static int check_atomic(struct analysis *analysis, const struct access *access)
{
    enum value_type type = access->pointer->type;

    if (type != VALUE_STACK && type != VALUE_MAP_VALUE && type != VALUE_MEMORY)
        return value_is_or_null(access->pointer) ? refuse_type(analysis, access) :
               message_refuse(analysis, "atomic", NULL,
                              "atomic operation through R%u, %s: only the stack, variables and maps can be changed so",
                              access->reg, value_type_name(type));
    if (!is_aligned(access))
        return message_refuse(analysis, "alignment", "align the variable to its size",
                              "atomic operation at an offset that is not, or not known to be, a multiple of %u bytes",
                              access->size);
    return 0;
}

static int check(struct analysis *analysis, const struct access *access)
{
    int r = access->atomic ? check_atomic(analysis, access) : 0;

    if (r < 0)
        return r;
    switch (access->pointer->type) {
    case VALUE_STACK:
        return stack_check(analysis, access->pointer, access->offset, access->size);
    case VALUE_CTX:
        return check_context(analysis, access);
    case VALUE_MAP_VALUE:
        return check_region(analysis, access);
    case VALUE_MEMORY:
        return check_memory(analysis, access);
    case VALUE_PACKET:
        return check_packet(analysis, access);
    default:
        return refuse_type(analysis, access);
    }
}

int memory_check_bytes(struct analysis *analysis, unsigned reg, uint32_t size, enum memory_use use)
{
    const struct value *pointer = analysis_register(analysis, reg);
    struct access access = { reg, pointer, 0, size, use != MEMORY_READ, false };

    if (pointer->type == VALUE_CTX)
        return refuse_type(analysis, &access);
    if (pointer->type != VALUE_STACK || size == 0)
        return check(analysis, &access);
    return use == MEMORY_READ ? stack_read_bytes(analysis, pointer, size) :
                                stack_write_bytes(analysis, pointer, size, use == MEMORY_WRITE);
}

/* ---- loads ---- */

/* .rodata is sealed: what is in it is known. */
static struct scalar constant_at(const struct bytecode_region *region, uint32_t offset, unsigned size)
{
    uint64_t number = 0;

    if (region->contents)
        memcpy(&number, region->contents + offset, size);
    return scalar_constant(number);
}

static struct value load_region(const struct analysis *analysis, const struct access *access)
{
    const struct bytecode_region *region = &analysis->bytecode->region[access->pointer->region];
    int64_t offset = value_lowest(access->pointer) + access->offset;

    if (region->kind == REGION_CONSTANT && scalar_is_constant(&access->pointer->number))
        return value_number(constant_at(region, (uint32_t)offset, access->size));
    return value_number(scalar_loaded(access->size));
}

static struct value load_context(const struct analysis *analysis, const struct access *access)
{
    const struct context_field *field = find_field(analysis, access);

    if (field && field->rights == CONTEXT_DATA)
        return value_pointer(VALUE_PACKET);
    if (field && field->rights == CONTEXT_DATA_END)
        return value_pointer(VALUE_PACKET_END);
    return value_number(scalar_loaded(access->size));
}

static int load(struct analysis *analysis, const struct access *access, struct value *ret)
{
    switch (access->pointer->type) {
    case VALUE_STACK:
        return stack_load(analysis, access->pointer, access->offset, access->size, ret);
    case VALUE_CTX:
        *ret = load_context(analysis, access);
        return 0;
    case VALUE_MAP_VALUE:
        *ret = load_region(analysis, access);
        return 0;
    default:
        *ret = value_number(scalar_loaded(access->size));
        return 0;
    }
}

int memory_process_load(struct analysis *analysis)
{
    struct instruction i = analysis_instruction(analysis);
    unsigned source = instruction_source(i), destination = instruction_destination(i);
    struct access access = { source, analysis_register(analysis, source), i.offset, instruction_access_size(i), false,
                             false };
    struct value value;
    int r = analysis_read(analysis, source);

    if (r == 0)
        r = check(analysis, &access);
    if (r == 0)
        r = load(analysis, &access, &value);
    if (r < 0)
        return r;
    if (instruction_access_signed(i))
        value = value_number(scalar_sign_extend(&value.number, access.size));
    *analysis_register(analysis, destination) = value;
    analysis->at++;
    return ANALYSIS_GOES_ON;
}

/* ---- stores ---- */

static int refuse_leak(struct analysis *analysis, const struct access *access, const struct value *value)
{
    return message_refuse(analysis, "pointer-leak", "only the stack can hold pointers",
                          "stores %s through R%u, %s: others would see the address", value_type_name(value->type),
                          access->reg, value_type_name(access->pointer->type));
}

static int store(struct analysis *analysis, const struct access *access, struct value *value)
{
    if (access->pointer->type == VALUE_STACK)
        return stack_store(analysis, access->pointer, access->offset, access->size, value);
    return value_is_pointer(value) ? refuse_leak(analysis, access, value) : 0;
}

int memory_process_store(struct analysis *analysis)
{
    struct instruction i = analysis_instruction(analysis);
    unsigned source = instruction_source(i), destination = instruction_destination(i);
    struct access access = { destination, analysis_register(analysis, destination), i.offset,
                             instruction_access_size(i), true, false };
    struct value immediate = value_number(scalar_constant((uint64_t)(int64_t)i.immediate));
    bool from_register = instruction_class(i) == CLASS_STX;
    int r = analysis_read(analysis, destination);

    if (r == 0 && from_register)
        r = analysis_read(analysis, source);
    if (r == 0)
        r = check(analysis, &access);
    if (r == 0)
        r = store(analysis, &access, from_register ? analysis_register(analysis, source) : &immediate);
    if (r < 0)
        return r;
    analysis->at++;
    return ANALYSIS_GOES_ON;
}

/* ---- atomics ---- */

/* The registers that an atomic operation puts into memory, or compares with it, are numbers. */
static int check_operand(struct analysis *analysis, unsigned reg)
{
    int r = analysis_read(analysis, reg);

    if (r == 0 && value_is_pointer(analysis_register(analysis, reg)))
        return message_refuse(analysis, "pointer-leak", NULL, "atomic operation with R%u, %s", reg,
                              value_type_name(analysis_register(analysis, reg)->type));
    return r;
}

/* On the stack: what is there must be a number, and becomes an unknown one. */
static int change_stack(struct analysis *analysis, const struct access *access)
{
    struct value before, after = value_unknown();
    int r = stack_load(analysis, access->pointer, access->offset, access->size, &before);

    if (r == 0 && value_is_pointer(&before))
        return message_refuse(analysis, "pointer-leak", NULL, "atomic operation on %s on the stack",
                              value_type_name(before.type));
    return r < 0 ? r : stack_store(analysis, access->pointer, access->offset, access->size, &after);
}

int memory_process_atomic(struct analysis *analysis)
{
    struct instruction i = analysis_instruction(analysis);
    unsigned source = instruction_source(i), destination = instruction_destination(i);
    struct access access = { destination, analysis_register(analysis, destination), i.offset,
                             instruction_access_size(i), true, true };
    bool compares = i.immediate == ATOMIC_COMPARE_EXCHANGE;
    int r = analysis_read(analysis, destination);

    if (r == 0)
        r = check_operand(analysis, source);
    if (r == 0 && compares)
        r = check_operand(analysis, 0);
    if (r == 0)
        r = check(analysis, &access);
    if (r == 0 && access.pointer->type == VALUE_STACK)
        r = change_stack(analysis, &access);
    if (r < 0)
        return r;
    if (i.immediate & ATOMIC_FETCH)
        *analysis_register(analysis, compares ? 0 : source) = value_number(scalar_loaded(access.size));
    analysis->at++;
    return ANALYSIS_GOES_ON;
}
