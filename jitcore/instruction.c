/* SPDX-License-Identifier: MIT */
/* The table of all eBPF instructions. */

#include "instruction.h"

#include <errno.h>
#include <stddef.h>
#include <stdio.h>

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

struct opcode {
    const char *name;           /* NULL: there is none */
    uint8_t destination, source, offset, immediate;     /* enum operand */
    const struct refused_group *refused;        /* NULL: it is not */
};

/* Arithmetic in its four forms: 32 and 64 bits, with immediate and with register. */
#define ARITHMETIC(operation, word, offset)                                          \
    [operation << 4 | 0x04] = { word "32", WRITTEN, ZERO, offset, ANY, NULL },      \
    [operation << 4 | 0x0c] = { word "32", WRITTEN, READ, offset, ZERO, NULL },     \
    [operation << 4 | 0x07] = { word "64", WRITTEN, ZERO, offset, ANY, NULL },      \
    [operation << 4 | 0x0f] = { word "64", WRITTEN, READ, offset, ZERO, NULL }

/* Conditional jumps likewise. */
#define CONDITIONAL(operation, word)                                            \
    [operation << 4 | 0x05] = { word "64", READ, ZERO, ANY, ANY, NULL },       \
    [operation << 4 | 0x0d] = { word "64", READ, READ, ANY, ZERO, NULL },      \
    [operation << 4 | 0x06] = { word "32", READ, ZERO, ANY, ANY, NULL },       \
    [operation << 4 | 0x0e] = { word "32", READ, READ, ANY, ZERO, NULL }

/* Loads and stores of one size; bits 3-4 of the opcode. */
#define MEMORY(size, suffix)                                                    \
    [size << 3 | 0x61] = { "ldx" suffix, WRITTEN, READ, ANY, ZERO, NULL },     \
    [size << 3 | 0x62] = { "st" suffix, READ, ZERO, ANY, ANY, NULL },          \
    [size << 3 | 0x63] = { "stx" suffix, READ, READ, ANY, ZERO, NULL }

static const struct opcode opcodes[256] = {
    ARITHMETIC(ALU_ADD, "add", ZERO),
    ARITHMETIC(ALU_SUB, "sub", ZERO),
    ARITHMETIC(ALU_MUL, "mul", ZERO),
    ARITHMETIC(ALU_DIV, "div", SIGNEDNESS),
    ARITHMETIC(ALU_OR, "or", ZERO),
    ARITHMETIC(ALU_AND, "and", ZERO),
    ARITHMETIC(ALU_LSH, "lsh", ZERO),
    ARITHMETIC(ALU_RSH, "rsh", ZERO),
    ARITHMETIC(ALU_MOD, "mod", SIGNEDNESS),
    ARITHMETIC(ALU_XOR, "xor", ZERO),
    ARITHMETIC(ALU_ARSH, "arsh", ZERO),
    [0x84] = { "neg32", WRITTEN, ZERO, ZERO, ZERO, NULL },
    [0x87] = { "neg64", WRITTEN, ZERO, ZERO, ZERO, NULL },
    [0xb4] = { "mov32", WRITTEN, ZERO, ZERO, ANY, NULL },
    [0xbc] = { "mov32", WRITTEN, READ, EXTENSION_32, ZERO, NULL },
    [0xb7] = { "mov64", WRITTEN, ZERO, ZERO, ANY, NULL },
    [0xbf] = { "mov64", WRITTEN, READ, EXTENSION_64, ZERO, NULL },
    [0xd4] = { "le", WRITTEN, ZERO, ZERO, WIDTH, NULL },
    [0xdc] = { "be", WRITTEN, ZERO, ZERO, WIDTH, NULL },
    [0xd7] = { "bswap", WRITTEN, ZERO, ZERO, WIDTH, NULL },

    CONDITIONAL(JUMP_EQ, "jeq"),
    CONDITIONAL(JUMP_GT, "jgt"),
    CONDITIONAL(JUMP_GE, "jge"),
    CONDITIONAL(JUMP_SET, "jset"),
    CONDITIONAL(JUMP_NE, "jne"),
    CONDITIONAL(JUMP_SGT, "jsgt"),
    CONDITIONAL(JUMP_SGE, "jsge"),
    CONDITIONAL(JUMP_LT, "jlt"),
    CONDITIONAL(JUMP_LE, "jle"),
    CONDITIONAL(JUMP_SLT, "jslt"),
    CONDITIONAL(JUMP_SLE, "jsle"),
    [OPCODE_JUMP_16] = { "ja", ZERO, ZERO, ANY, ZERO, NULL },
    [OPCODE_JUMP_32] = { "ja32", ZERO, ZERO, ZERO, ANY, NULL },
    [OPCODE_CALL] = { "call", ZERO, CALLEE, ZERO, ANY, NULL },
    [0x8d] = { "callx", READ, ZERO, ZERO, ZERO, &no_callx },
    [OPCODE_EXIT] = { "exit", ZERO, ZERO, ZERO, ZERO, NULL },

    MEMORY(0, "w"),
    MEMORY(1, "h"),
    MEMORY(2, "b"),
    MEMORY(3, "dw"),
    [0x81] = { "ldxsw", WRITTEN, READ, ANY, ZERO, NULL },
    [0x89] = { "ldxsh", WRITTEN, READ, ANY, ZERO, NULL },
    [0x91] = { "ldxsb", WRITTEN, READ, ANY, ZERO, NULL },
    [OPCODE_LOAD_64] = { "lddw", WRITTEN, WIDE_KIND, ZERO, ANY, NULL },

    [0xc3] = { "atomic32", READ, READ, ANY, ATOMIC, NULL },
    [0xdb] = { "atomic64", READ, READ, ANY, ATOMIC, NULL },
    [0x20] = { "ldabsw", ZERO, ZERO, ZERO, ANY, &no_packet },
    [0x28] = { "ldabsh", ZERO, ZERO, ZERO, ANY, &no_packet },
    [0x30] = { "ldabsb", ZERO, ZERO, ZERO, ANY, &no_packet },
    [0x40] = { "ldindw", ZERO, READ, ZERO, ANY, &no_packet },
    [0x48] = { "ldindh", ZERO, READ, ZERO, ANY, &no_packet },
    [0x50] = { "ldindb", ZERO, READ, ZERO, ANY, &no_packet },
};

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

/* RFC 9669 section 5.3. */
static bool is_atomic_operation(int64_t immediate)
{
    switch (immediate) {
    case ATOMIC_ADD:
    case ATOMIC_ADD | ATOMIC_FETCH:
    case ATOMIC_OR:
    case ATOMIC_OR | ATOMIC_FETCH:
    case ATOMIC_AND:
    case ATOMIC_AND | ATOMIC_FETCH:
    case ATOMIC_XOR:
    case ATOMIC_XOR | ATOMIC_FETCH:
    case ATOMIC_EXCHANGE:
    case ATOMIC_COMPARE_EXCHANGE:
        return true;
    }
    return false;
}

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
        return is_atomic_operation(value);
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
