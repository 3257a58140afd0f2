/* SPDX-License-Identifier: MIT */
/* Operations of x86-64. */

#include "operation.h"

#include "../liveness.h"

/* ---- what instructions do ---- */

static void make_shift(struct operation *o, struct instruction i)
{
    o->kind = instruction_uses_source(i) ? OPERATION_SHIFT : OPERATION_SHIFT_NUMBER;
    o->number &= o->width == WIDTH_64 ? 63 : 31;
    o->shift = instruction_operation(i) == ALU_LSH ? SHIFT_SHL :
               instruction_operation(i) == ALU_RSH ? SHIFT_SHR : SHIFT_SAR;
}

/* From a register, perhaps of its lower part. */
static void make_move(struct operation *o, struct instruction i)
{
    o->a = o->b;
    o->b = NO_REGISTER;
    o->kind = i.offset ? OPERATION_SIGN_EXTEND : o->width == WIDTH_64 ? OPERATION_MOVE : OPERATION_ZERO_EXTEND;
    o->number = i.offset ? i.offset : 32;
}

/* ---- divisions by numbers ---- */

static struct instruction arithmetic_instruction(struct instruction i, enum instruction_arithmetic operation,
                                                 int32_t immediate)
{
    return (struct instruction){ .opcode = (uint8_t)(operation << 4 | instruction_class(i)),
                                 .registers = (uint8_t)instruction_destination(i), .immediate = immediate };
}

/* Its destination to itself: nothing in 64 bits, an extension in 32. */
static struct instruction keep_value(struct instruction i)
{
    unsigned reg = instruction_destination(i);

    return (struct instruction){ .opcode = (uint8_t)(ALU_MOV << 4 | 0x08 | instruction_class(i)),
                                 .registers = (uint8_t)(reg | reg << 4) };
}

/* The number at the operation's width. */
static uint64_t divisor_of(struct instruction i)
{
    return instruction_class(i) == CLASS_ALU64 ? (uint64_t)(int64_t)i.immediate : (uint32_t)i.immediate;
}

/*
 * A division by 0 (RFC 9669 section 4.1: the quotient is 0, the remainder the dividend), by 1, -1 or an unsigned power
 * of two, as an instruction that does not divide; others as they are.
 */
static struct instruction without_division(struct instruction i)
{
    bool is_quotient = instruction_operation(i) == ALU_DIV, is_signed = i.offset;
    uint64_t divisor = divisor_of(i);

    if (divisor == 0)
        return is_quotient ? arithmetic_instruction(i, ALU_MOV, 0) : keep_value(i);
    if (divisor == 1)
        return is_quotient ? keep_value(i) : arithmetic_instruction(i, ALU_MOV, 0);
    if (is_signed && i.immediate == -1)
        return arithmetic_instruction(i, is_quotient ? ALU_NEG : ALU_MOV, 0);
    if (!is_signed && !(divisor & (divisor - 1)))
        return is_quotient ? arithmetic_instruction(i, ALU_RSH, __builtin_ctzll(divisor)) :
                             arithmetic_instruction(i, ALU_AND, (int32_t)(divisor - 1));
    return i;
}

static bool is_division_by_number(struct instruction i)
{
    return !instruction_uses_source(i) &&
           (instruction_operation(i) == ALU_DIV || instruction_operation(i) == ALU_MOD);
}

/* ---- the most specific form ---- */

static struct operation arithmetic(struct instruction i)
{
    struct operation o = {
        .kind = OPERATION_INSTRUCTION,
        .width = instruction_class(i) == CLASS_ALU64 ? WIDTH_64 : WIDTH_32,
        .to = (uint8_t)instruction_destination(i),
        .a = (uint8_t)instruction_destination(i),
        .b = instruction_uses_source(i) ? (uint8_t)instruction_source(i) : NO_REGISTER,
        .number = i.immediate,
        .instruction = i,
    };
    bool has_source = instruction_uses_source(i);

    switch (instruction_operation(i)) {
    case ALU_ADD:
        o.kind = OPERATION_ADD;
        break;
    case ALU_DIV:
    case ALU_MOD:
        if (!has_source && !i.offset)
            o.kind = instruction_operation(i) == ALU_DIV ? OPERATION_QUOTIENT : OPERATION_REMAINDER;
        break;
    case ALU_SUB:
        if (!has_source && i.immediate != INT32_MIN) {
            o.kind = OPERATION_ADD;
            o.number = -i.immediate;
        }
        break;
    case ALU_MUL:
        if (!has_source)
            o.kind = OPERATION_MULTIPLY;
        break;
    case ALU_AND:
        if (!has_source && (i.immediate == 0xff || i.immediate == 0xffff)) {
            o.kind = OPERATION_ZERO_EXTEND;
            o.number = i.immediate == 0xff ? 8 : 16;
        }
        break;
    case ALU_LSH:
    case ALU_RSH:
    case ALU_ARSH:
        make_shift(&o, i);
        break;
    case ALU_MOV:
        if (has_source)
            make_move(&o, i);
        break;
    case ALU_END:               /* le */
        o.b = NO_REGISTER;
        if (instruction_class(i) == CLASS_ALU && !has_source) {
            o.kind = i.immediate == 64 ? OPERATION_NOTHING : OPERATION_ZERO_EXTEND;
            o.width = WIDTH_64;
        }
        break;
    }
    return o;
}

static struct operation memory(struct instruction i)
{
    bool store = instruction_class(i) != CLASS_LDX;

    return (struct operation){
        .kind = instruction_class(i) == CLASS_ST ? OPERATION_STORE_NUMBER :
                store ? OPERATION_STORE : instruction_access_signed(i) ? OPERATION_LOAD_SIGNED : OPERATION_LOAD,
        .instruction = i,
        .width = WIDTH_64,
        .to = (uint8_t)(store ? instruction_source(i) : instruction_destination(i)),
        .a = (uint8_t)(store ? instruction_destination(i) : instruction_source(i)),
        .b = NO_REGISTER,
        .size = (uint8_t)instruction_access_size(i),
        .number = i.offset,
    };
}

struct operation operation_of(struct instruction i)
{
    if (instruction_is_arithmetic(i))
        return arithmetic(is_division_by_number(i) ? without_division(i) : i);
    switch (instruction_class(i)) {
    case CLASS_LDX:
    case CLASS_ST:
    case CLASS_STX:
        if (!instruction_is_atomic(i))
            return memory(i);
        break;
    default:
        break;
    }
    return (struct operation){ .kind = OPERATION_INSTRUCTION, .instruction = i };
}

struct operation operation_array_lookup(struct instruction call)
{
    return (struct operation){ .kind = OPERATION_ARRAY_LOOKUP, .width = WIDTH_64, .to = 0, .a = 2, .b = NO_REGISTER,
                               .size = 4, .instruction = call };
}

/* ---- registers ---- */

uint16_t operation_reads(const struct operation *o)
{
    switch ((enum operation_kind)o->kind) {
    case OPERATION_INSTRUCTION:
        return liveness_reads(o->instruction);
    case OPERATION_NOTHING:
        return 0;
    case OPERATION_STORE:
        return register_bit(o->to) | register_bit(o->a) | register_bit(o->b);
    default:
        return register_bit(o->a) | register_bit(o->b);
    }
}

uint16_t operation_writes(const struct operation *o)
{
    switch ((enum operation_kind)o->kind) {
    case OPERATION_INSTRUCTION:
    case OPERATION_ARRAY_LOOKUP:
    case OPERATION_ARRAY_LOOKUP_INDEX:
        return liveness_writes(o->instruction);
    case OPERATION_NOTHING:
    case OPERATION_STORE:
    case OPERATION_STORE_NUMBER:
        return 0;
    default:
        return register_bit(o->to);
    }
}

bool operation_is_pure(const struct operation *o)
{
    if (o->kind == OPERATION_INSTRUCTION)
        return instruction_is_arithmetic(o->instruction) || o->instruction.opcode == OPCODE_LOAD_64;
    return o->kind != OPERATION_STORE && o->kind != OPERATION_STORE_NUMBER;
}

bool operation_has_address(const struct operation *o)
{
    return o->kind == OPERATION_LOAD || o->kind == OPERATION_LOAD_SIGNED || o->kind == OPERATION_LOAD_SWAPPED ||
           o->kind == OPERATION_STORE || o->kind == OPERATION_STORE_NUMBER || o->kind == OPERATION_ARRAY_LOOKUP;
}

/* ---- code ---- */

static struct x86_memory address_of(const struct operation *o)
{
    struct x86_memory memory = x86_at(x86_64_register(o->a), o->number);

    if (o->b != NO_REGISTER) {
        memory.index = (uint8_t)x86_64_register(o->b);
        memory.scale = o->scale;
    }
    return memory;
}

/* The shortest of add and lea. */
static void emit_add(struct translation *t, const struct operation *o)
{
    enum x86_register to = x86_64_register(o->to);

    if (o->b == NO_REGISTER && o->to == o->a)
        x86_op_number(t->emitter, o->width, OP_ADD, to, o->number);
    else if (o->number == 0 && o->scale == 0 && o->to == o->a)
        x86_op(t->emitter, o->width, OP_ADD, to, x86_64_register(o->b));
    else if (o->number == 0 && o->scale == 0 && o->to == o->b)
        x86_op(t->emitter, o->width, OP_ADD, to, x86_64_register(o->a));
    else
        x86_lea(t->emitter, o->width, to, address_of(o));
}

static void emit_multiply(struct translation *t, const struct operation *o)
{
    enum x86_register to = x86_64_register(o->to), a = x86_64_register(o->a);

    if (o->number == 3 || o->number == 5 || o->number == 9) {
        struct x86_memory sum = { (uint8_t)a, (uint8_t)a, (uint8_t)(o->number == 3 ? 1 : o->number == 5 ? 2 : 3), 0 };

        x86_lea(t->emitter, o->width, to, sum);
        return;
    }
    x86_imul_number(t->emitter, o->width, to, a, o->number);
}

/* Move, unless it is there, to be changed in place. */
static enum x86_register emit_copy(struct translation *t, const struct operation *o)
{
    enum x86_register to = x86_64_register(o->to);

    if (o->to != o->a)
        x86_mov(t->emitter, o->width, to, x86_64_register(o->a));
    return to;
}

/* A count in a register must be in CL, if there is no BMI2. */
static void emit_shift(struct translation *t, const struct operation *o)
{
    enum x86_register to = x86_64_register(o->to), a = x86_64_register(o->a), count = x86_64_register(o->b);

    if (t->has_bmi2) {
        x86_shift_register(t->emitter, o->width, o->shift, to, a, count);
        return;
    }
    x86_mov(t->emitter, WIDTH_64, R10, a);
    x86_mov(t->emitter, WIDTH_64, R11, RCX);
    if (count != RCX)
        x86_mov(t->emitter, WIDTH_64, RCX, count);
    x86_shift_cl(t->emitter, o->width, o->shift, R10);
    if (count != RCX)
        x86_mov(t->emitter, WIDTH_64, RCX, R11);
    x86_mov(t->emitter, WIDTH_64, to, R10);
}

static void emit_shift_number(struct translation *t, const struct operation *o)
{
    if (o->shift == SHIFT_SHL && o->number == 1 && o->to != o->a) {
        struct x86_memory twice = { (uint8_t)x86_64_register(o->a), (uint8_t)x86_64_register(o->a), 0, 0 };

        x86_lea(t->emitter, o->width, x86_64_register(o->to), twice);
        return;
    }
    x86_shift(t->emitter, o->width, o->shift, emit_copy(t, o), (uint8_t)o->number);
}

static void emit_rotate(struct translation *t, const struct operation *o)
{
    unsigned bits = o->width == WIDTH_64 ? 64 : 32;

    if (o->to != o->a && t->has_bmi2)
        x86_rotate_right(t->emitter, o->width, x86_64_register(o->to), x86_64_register(o->a),
                         (uint8_t)(bits - (unsigned)o->number));
    else
        x86_shift(t->emitter, o->width, SHIFT_ROL, emit_copy(t, o), (uint8_t)o->number);
}

static void emit_zero_extend(struct translation *t, const struct operation *o)
{
    enum x86_register to = x86_64_register(o->to), a = x86_64_register(o->a);

    if (o->number == 32)
        x86_mov(t->emitter, WIDTH_32, to, a);
    else
        x86_zero_extend(t->emitter, (unsigned)o->number, to, a);
}

static void emit_load_swapped(struct translation *t, const struct operation *o)
{
    enum x86_register to = x86_64_register(o->to);

    x86_load(t->emitter, o->size, to, address_of(o));
    if (o->size == 2)
        x86_swap_16(t->emitter, to);            /* what is above was zero and stays so */
    else
        x86_swap(t->emitter, o->size == 8 ? WIDTH_64 : WIDTH_32, to);
}

void operation_emit(struct translation *t, const struct operation *o)
{
    switch ((enum operation_kind)o->kind) {
    case OPERATION_INSTRUCTION:
    case OPERATION_NOTHING:
        return;
    case OPERATION_MOVE:
        if (o->to != o->a)
            x86_mov(t->emitter, WIDTH_64, x86_64_register(o->to), x86_64_register(o->a));
        return;
    case OPERATION_ADD:
        return emit_add(t, o);
    case OPERATION_MULTIPLY:
        return emit_multiply(t, o);
    case OPERATION_QUOTIENT:
    case OPERATION_REMAINDER:
        return x86_64_emit_division(t, o);
    case OPERATION_SHIFT:
        return emit_shift(t, o);
    case OPERATION_SHIFT_NUMBER:
        return emit_shift_number(t, o);
    case OPERATION_ROTATE:
        return emit_rotate(t, o);
    case OPERATION_ZERO_EXTEND:
        return emit_zero_extend(t, o);
    case OPERATION_SIGN_EXTEND:
        return x86_sign_extend(t->emitter, o->width, (unsigned)o->number, x86_64_register(o->to),
                               x86_64_register(o->a));
    case OPERATION_LOAD:
        return x86_load(t->emitter, o->size, x86_64_register(o->to), address_of(o));
    case OPERATION_LOAD_SIGNED:
        return x86_load_signed(t->emitter, o->size, x86_64_register(o->to), address_of(o));
    case OPERATION_LOAD_SWAPPED:
        return emit_load_swapped(t, o);
    case OPERATION_STORE:
        return x86_store(t->emitter, o->size, address_of(o), x86_64_register(o->to));
    case OPERATION_STORE_NUMBER:
        return x86_store_number(t->emitter, o->size, address_of(o), o->instruction.immediate);
    case OPERATION_ARRAY_LOOKUP:
        x86_load(t->emitter, 4, R11, address_of(o));
        return x86_64_emit_array_lookup(t);
    case OPERATION_ARRAY_LOOKUP_INDEX:
        if (o->a == NO_REGISTER)
            return x86_64_emit_array_value(t, (uint32_t)o->number);
        x86_mov(t->emitter, WIDTH_32, R11, x86_64_register(o->a));
        return x86_64_emit_array_lookup(t);
    }
}
