/* SPDX-License-Identifier: MIT */
/* The table of all eBPF instructions. */

#include "instruction.h"

#include <errno.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>

/* What a field of an instruction may hold. */
enum operand {
    ZERO,                       /* not used */
    ANY,
    READ,                       /* a register */
    WRITTEN,                    /* a register that the instruction changes: not R10 */
    CALLEE,                     /* source register of a call: enum instruction_call */
    WIDE_KIND,                  /* source register of lddw: enum instruction_wide, and others that RFC 9669 defines */
    SIGNEDNESS,                 /* offset of division: 0 unsigned, 1 signed */
    EXTENSION_32,               /* offset of a move: 0, or sign-extend 8, 16 bits */
    EXTENSION_64,               /* offset of a move: 0, or sign-extend 8, 16, 32 bits */
    WIDTH,                      /* immediate of a byte swap: 16, 32, 64 bits */
    ATOMIC,                     /* immediate of an atomic: which one */
};

/* A group that RFC 9669 defines and that is refused, whatever its fields hold: compilers have encoded it in many ways. */
struct refused_group {
    const char *why, *hint;
};

static const struct refused_group no_callx = {
    "calls through a register are refused: which function runs is decided when the program is verified",
    "compile with -O2, and call helpers and functions by their names, not through pointers",
};

static const struct refused_group no_packet = {
    "loads of the legacy packet group are refused",
    "load through the context's data pointer instead",
};

/*
 * `form` is how the instruction is written.  In it stand for its parts:
 *      %D %S %d %s     destination, source: all 64 bits, the low 32
 *      %I %J %O        immediate; where a jump leads; offset of an address
 *      %N              what the immediate of a call or an lddw names
 *      %M              type of the memory, without the letter for its sign
 *      %G %E           signedness of a division; sign extension of a move
 */
struct opcode {
    const char *name;           /* NULL: there is none */
    uint8_t destination, source, offset, immediate;     /* enum operand */
    const char *form;           /* "": an atomic, which has a table of its own */
    const struct refused_group *refused;        /* NULL: it is not */
};

/* Arithmetic in its four forms: 32 and 64 bits, with immediate and with register. */
#define ARITHMETIC(operation, word, offset, symbol)                                                     \
    [operation << 4 | 0x04] = { word "32", WRITTEN, ZERO, offset, ANY, "%d " symbol " %I", NULL },      \
    [operation << 4 | 0x0c] = { word "32", WRITTEN, READ, offset, ZERO, "%d " symbol " %s", NULL },     \
    [operation << 4 | 0x07] = { word "64", WRITTEN, ZERO, offset, ANY, "%D " symbol " %I", NULL },      \
    [operation << 4 | 0x0f] = { word "64", WRITTEN, READ, offset, ZERO, "%D " symbol " %S", NULL }

/* Conditional jumps likewise. */
#define CONDITIONAL(operation, word, symbol)                                                            \
    [operation << 4 | 0x05] = { word "64", READ, ZERO, ANY, ANY, "if %D " symbol " %I goto %J", NULL }, \
    [operation << 4 | 0x0d] = { word "64", READ, READ, ANY, ZERO, "if %D " symbol " %S goto %J", NULL }, \
    [operation << 4 | 0x06] = { word "32", READ, ZERO, ANY, ANY, "if %d " symbol " %I goto %J", NULL }, \
    [operation << 4 | 0x0e] = { word "32", READ, READ, ANY, ZERO, "if %d " symbol " %s goto %J", NULL }

/* Loads and stores of one size; bits 3-4 of the opcode. */
#define MEMORY(size, suffix)                                                                            \
    [size << 3 | 0x61] = { "ldx" suffix, WRITTEN, READ, ANY, ZERO, "%D = *(u%M *)(%S %O)", NULL },      \
    [size << 3 | 0x62] = { "st" suffix, READ, ZERO, ANY, ANY, "*(u%M *)(%D %O) = %I", NULL },           \
    [size << 3 | 0x63] = { "stx" suffix, READ, READ, ANY, ZERO, "*(u%M *)(%D %O) = %S", NULL }

static const struct opcode opcodes[256] = {
    ARITHMETIC(ALU_ADD, "add", ZERO, "+="),
    ARITHMETIC(ALU_SUB, "sub", ZERO, "-="),
    ARITHMETIC(ALU_MUL, "mul", ZERO, "*="),
    ARITHMETIC(ALU_DIV, "div", SIGNEDNESS, "%G/="),
    ARITHMETIC(ALU_OR, "or", ZERO, "|="),
    ARITHMETIC(ALU_AND, "and", ZERO, "&="),
    ARITHMETIC(ALU_LSH, "lsh", ZERO, "<<="),
    ARITHMETIC(ALU_RSH, "rsh", ZERO, ">>="),
    ARITHMETIC(ALU_MOD, "mod", SIGNEDNESS, "%G%%="),
    ARITHMETIC(ALU_XOR, "xor", ZERO, "^="),
    ARITHMETIC(ALU_ARSH, "arsh", ZERO, "s>>="),
    [0x84] = { "neg32", WRITTEN, ZERO, ZERO, ZERO, "%d = -%d", NULL },
    [0x87] = { "neg64", WRITTEN, ZERO, ZERO, ZERO, "%D = -%D", NULL },
    [0xb4] = { "mov32", WRITTEN, ZERO, ZERO, ANY, "%d = %I", NULL },
    [0xbc] = { "mov32", WRITTEN, READ, EXTENSION_32, ZERO, "%d = %E%s", NULL },
    [0xb7] = { "mov64", WRITTEN, ZERO, ZERO, ANY, "%D = %I", NULL },
    [0xbf] = { "mov64", WRITTEN, READ, EXTENSION_64, ZERO, "%D = %E%S", NULL },
    [0xd4] = { "le", WRITTEN, ZERO, ZERO, WIDTH, "%D = le%I %D", NULL },
    [0xdc] = { "be", WRITTEN, ZERO, ZERO, WIDTH, "%D = be%I %D", NULL },
    [0xd7] = { "bswap", WRITTEN, ZERO, ZERO, WIDTH, "%D = bswap%I %D", NULL },

    CONDITIONAL(JUMP_EQ, "jeq", "=="),
    CONDITIONAL(JUMP_GT, "jgt", ">"),
    CONDITIONAL(JUMP_GE, "jge", ">="),
    CONDITIONAL(JUMP_SET, "jset", "&"),
    CONDITIONAL(JUMP_NE, "jne", "!="),
    CONDITIONAL(JUMP_SGT, "jsgt", "s>"),
    CONDITIONAL(JUMP_SGE, "jsge", "s>="),
    CONDITIONAL(JUMP_LT, "jlt", "<"),
    CONDITIONAL(JUMP_LE, "jle", "<="),
    CONDITIONAL(JUMP_SLT, "jslt", "s<"),
    CONDITIONAL(JUMP_SLE, "jsle", "s<="),
    [OPCODE_JUMP_16] = { "ja", ZERO, ZERO, ANY, ZERO, "goto %J", NULL },
    [OPCODE_JUMP_32] = { "ja32", ZERO, ZERO, ZERO, ANY, "gotol %J", NULL },
    [OPCODE_CALL] = { "call", ZERO, CALLEE, ZERO, ANY, "call %N", NULL },
    [0x8d] = { "callx", READ, ZERO, ZERO, ZERO, "callx %D", &no_callx },
    [OPCODE_EXIT] = { "exit", ZERO, ZERO, ZERO, ZERO, "exit", NULL },

    MEMORY(0, "w"),
    MEMORY(1, "h"),
    MEMORY(2, "b"),
    MEMORY(3, "dw"),
    [0x81] = { "ldxsw", WRITTEN, READ, ANY, ZERO, "%D = *(s%M *)(%S %O)", NULL },
    [0x89] = { "ldxsh", WRITTEN, READ, ANY, ZERO, "%D = *(s%M *)(%S %O)", NULL },
    [0x91] = { "ldxsb", WRITTEN, READ, ANY, ZERO, "%D = *(s%M *)(%S %O)", NULL },
    [OPCODE_LOAD_64] = { "lddw", WRITTEN, WIDE_KIND, ZERO, ANY, "%D = %N ll", NULL },

    [0xc3] = { "atomic32", READ, READ, ANY, ATOMIC, "", NULL },
    [0xdb] = { "atomic64", READ, READ, ANY, ATOMIC, "", NULL },
    [0x20] = { "ldabsw", ZERO, ZERO, ZERO, ANY, "r0 = *(u%M *)skb[%I]", &no_packet },
    [0x28] = { "ldabsh", ZERO, ZERO, ZERO, ANY, "r0 = *(u%M *)skb[%I]", &no_packet },
    [0x30] = { "ldabsb", ZERO, ZERO, ZERO, ANY, "r0 = *(u%M *)skb[%I]", &no_packet },
    [0x40] = { "ldindw", ZERO, READ, ZERO, ANY, "r0 = *(u%M *)skb[%S + %I]", &no_packet },
    [0x48] = { "ldindh", ZERO, READ, ZERO, ANY, "r0 = *(u%M *)skb[%S + %I]", &no_packet },
    [0x50] = { "ldindb", ZERO, READ, ZERO, ANY, "r0 = *(u%M *)skb[%S + %I]", &no_packet },
};

/* Atomics by their immediate (RFC 9669 section 5.3). */
static const struct atomic {
    int32_t operation;
    const char *form;
} atomics[] = {
    { ATOMIC_ADD, "lock *(u%M *)(%D %O) += %S" },
    { ATOMIC_OR, "lock *(u%M *)(%D %O) |= %S" },
    { ATOMIC_AND, "lock *(u%M *)(%D %O) &= %S" },
    { ATOMIC_XOR, "lock *(u%M *)(%D %O) ^= %S" },
    { ATOMIC_ADD | ATOMIC_FETCH, "%S = atomic_fetch_add((u%M *)(%D %O), %S)" },
    { ATOMIC_OR | ATOMIC_FETCH, "%S = atomic_fetch_or((u%M *)(%D %O), %S)" },
    { ATOMIC_AND | ATOMIC_FETCH, "%S = atomic_fetch_and((u%M *)(%D %O), %S)" },
    { ATOMIC_XOR | ATOMIC_FETCH, "%S = atomic_fetch_xor((u%M *)(%D %O), %S)" },
    { ATOMIC_EXCHANGE, "%S = xchg((u%M *)(%D %O), %S)" },
    { ATOMIC_COMPARE_EXCHANGE, "r0 = cmpxchg((u%M *)(%D %O), r0, %S)" },
};

/* NULL: there is none. */
static const struct atomic *find_atomic(int64_t operation)
{
    for (size_t i = 0; i < sizeof(atomics) / sizeof(atomics[0]); i++)
        if (atomics[i].operation == operation)
            return &atomics[i];
    return NULL;
}

bool instruction_is_jump(struct instruction i)
{
    enum instruction_class class = instruction_class(i);

    return (class == CLASS_JMP || class == CLASS_JMP32) && instruction_operation(i) != JUMP_CALL &&
           instruction_operation(i) != JUMP_EXIT;
}

int32_t instruction_jump_distance(struct instruction i)
{
    return i.opcode == OPCODE_JUMP_32 ? i.immediate : i.offset;
}

unsigned instruction_access_size(struct instruction i)
{
    static const uint8_t sizes[4] = { 4, 2, 1, 8 };

    return sizes[i.opcode >> 3 & 3];
}

bool instruction_access_signed(struct instruction i)
{
    return (i.opcode & 0xe0) == 0x80;
}

bool instruction_is_atomic(struct instruction i)
{
    return instruction_class(i) == CLASS_STX && (i.opcode & 0xe0) == 0xc0;
}

unsigned instruction_length(struct instruction i)
{
    return i.opcode == OPCODE_LOAD_64 ? 2 : 1;
}

const char *instruction_name(struct instruction i)
{
    const char *name = opcodes[i.opcode].name;

    return name ? name : "unknown";
}

/* ---- how instructions are written ---- */

struct writer {
    struct instruction instruction;
    int32_t upper;
    const char *name;
    char *buffer;
    size_t used;
};

__attribute__((format(printf, 2, 3)))
static void write_text(struct writer *writer, const char *format, ...)
{
    va_list arguments;
    int length;

    va_start(arguments, format);
    length = vsnprintf(writer->buffer + writer->used, INSTRUCTION_FORMAT_SIZE - writer->used, format, arguments);
    va_end(arguments);
    writer->used += (size_t)length;
    if (writer->used > INSTRUCTION_FORMAT_SIZE - 1)
        writer->used = INSTRUCTION_FORMAT_SIZE - 1;
}

static void write_name(struct writer *writer)
{
    struct instruction i = writer->instruction;

    if (writer->name)
        write_text(writer, "%s", writer->name);
    else if (i.opcode == OPCODE_LOAD_64)
        write_text(writer, "0x%llx", (unsigned long long)((uint64_t)(uint32_t)writer->upper << 32 |
                                                          (uint32_t)i.immediate));
    else
        write_text(writer, "%d", i.immediate);
}

/* What a letter of a form stands for. */
static void write_part(struct writer *writer, char part)
{
    struct instruction i = writer->instruction;

    switch (part) {
    case 'D':
    case 'd':
        write_text(writer, "%c%u", part == 'd' ? 'w' : 'r', instruction_destination(i));
        break;
    case 'S':
    case 's':
        write_text(writer, "%c%u", part == 's' ? 'w' : 'r', instruction_source(i));
        break;
    case 'I':
        write_text(writer, "%d", i.immediate);
        break;
    case 'J':
        write_text(writer, "%+d", instruction_jump_distance(i));
        break;
    case 'O':
        write_text(writer, "%c %d", i.offset < 0 ? '-' : '+', abs(i.offset));
        break;
    case 'N':
        write_name(writer);
        break;
    case 'M':
        write_text(writer, "%u", 8 * instruction_access_size(i));
        break;
    case 'G':
        write_text(writer, "%s", i.offset ? "s" : "");
        break;
    case 'E':
        if (i.offset)
            write_text(writer, "(s%d)", i.offset);
        break;
    default:
        write_text(writer, "%c", part);
    }
}

const char *instruction_format(struct instruction i, int32_t upper, const char *name,
                               char buffer[INSTRUCTION_FORMAT_SIZE])
{
    struct writer writer = { i, upper, name, buffer, 0 };
    const struct atomic *atomic = instruction_is_atomic(i) ? find_atomic(i.immediate) : NULL;
    const char *form = atomic ? atomic->form : opcodes[i.opcode].form;

    buffer[0] = '\0';
    if (!form || !*form)
        write_text(&writer, "unknown 0x%02x", i.opcode);
    else
        for (; *form; form++) {
            if (*form == '%')
                write_part(&writer, *++form);
            else
                write_text(&writer, "%c", *form);
        }
    return buffer;
}

/* ---- what is refused ---- */

static bool operand_allows(enum operand operand, int64_t value)
{
    switch (operand) {
    case ZERO:
        return value == 0;
    case ANY:
        return true;
    case READ:
        return value < INSTRUCTION_REGISTERS;
    case WRITTEN:
        return value < INSTRUCTION_REGISTERS - 1;
    case CALLEE:
        return value <= CALL_NATIVE;
    case WIDE_KIND:
        return value <= 6;
    case SIGNEDNESS:
        return value == 0 || value == 1;
    case EXTENSION_32:
        return value == 0 || value == 8 || value == 16;
    case EXTENSION_64:
        return value == 0 || value == 8 || value == 16 || value == 32;
    case WIDTH:
        return value == 16 || value == 32 || value == 64;
    case ATOMIC:
        return find_atomic(value);
    }
    return false;
}

/* Why a field's value is wrong, in words. */
static const char *operand_rule(enum operand operand, int64_t value)
{
    switch (operand) {
    case ZERO:
        return "is not used and must be 0";
    case READ:
        return "names a register that does not exist (R0 to R10 do)";
    case WRITTEN:
        return value == INSTRUCTION_REGISTERS - 1 ?
                   "would change R10, which is read-only" :
                   "names a register that does not exist (R0 to R10 do)";
    default:
        return "has a value that RFC 9669 does not define";
    }
}

struct place {
    struct instruction instruction;
    const char *function;
    int64_t index;
    struct jit_error *error;
};

static int check_field(const struct place *place, const char *field, enum operand operand,
                       int64_t value)
{
    if (operand_allows(operand, value))
        return 0;
    return jit_error_set_at(place->error, -EINVAL, "instruction", place->function, place->index,
                            "%s: the %s field (%lld) %s", instruction_name(place->instruction),
                            field, (long long)value, operand_rule(operand, value));
}

static int refuse(const struct place *place, int result, const char *rule, const char *why)
{
    return jit_error_set_at(place->error, result, rule, place->function, place->index, "%s: %s",
                            instruction_name(place->instruction), why);
}

static int refuse_group(const struct place *place, const struct refused_group *group)
{
    int r = refuse(place, -EOPNOTSUPP, "unsupported", group->why);

    if (place->error)
        snprintf(place->error->hint, sizeof(place->error->hint), "%s", group->hint);
    return r;
}

/* The second half of lddw holds the upper immediate and nothing else (RFC 9669 section 5.4). */
static int check_wide(const struct place *place, const struct instruction *next)
{
    if (!next)
        return refuse(place, -EINVAL, "instruction", "its second half is missing");
    if (next->opcode || next->registers || next->offset)
        return refuse(place, -EINVAL, "instruction", "in its second half all fields but the immediate must be 0");
    switch (instruction_source(place->instruction)) {
    case WIDE_NUMBER:
    case WIDE_MAP_VALUE:
        return 0;
    case WIDE_MAP:
    case WIDE_FUNCTION:
        if (next->immediate)
            return refuse(place, -EINVAL, "instruction", "a map or a function has no second immediate: it must be 0");
        return 0;
    }
    return refuse(place, -EOPNOTSUPP, "unsupported",
                  "only numbers, maps, addresses in maps and functions can be loaded (source 0, 1, 2, 4)");
}

/* What an atomic fetches goes to its source register, or to R0 when it compares. */
static int check_atomic(const struct place *place)
{
    struct instruction i = place->instruction;

    if (i.immediate & ATOMIC_FETCH && i.immediate != ATOMIC_COMPARE_EXCHANGE)
        return check_field(place, "source", WRITTEN, instruction_source(i));
    return 0;
}

int instruction_check(struct instruction i, const struct instruction *next, const char *function,
                      int64_t index, struct jit_error *error)
{
    const struct opcode *opcode = &opcodes[i.opcode];
    const struct place place = { i, function, index, error };
    int r;

    if (!opcode->name)
        return jit_error_set_at(error, -EINVAL, "instruction", function, index,
                                "opcode 0x%02x is not defined by RFC 9669", i.opcode);
    if (opcode->refused)
        return refuse_group(&place, opcode->refused);
    r = check_field(&place, "destination", opcode->destination, instruction_destination(i));
    if (r == 0)
        r = check_field(&place, "source", opcode->source, instruction_source(i));
    if (r == 0)
        r = check_field(&place, "offset", opcode->offset, i.offset);
    if (r == 0)
        r = check_field(&place, "immediate", opcode->immediate, i.immediate);
    if (r < 0)
        return r;
    if (i.opcode == OPCODE_LOAD_64)
        return check_wide(&place, next);
    if (instruction_is_atomic(i))
        return check_atomic(&place);
    return 0;
}
