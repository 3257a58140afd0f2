# SPDX-License-Identifier: MIT
"""Breaks the verifier on purpose, once a row, and asks every method that is to show its soundness whether it notices.

    python3 tests/mutations/verifier.py [WORD...]       # only rows that contain all words

Methods:
    a   abstract operators against all concrete values of 8 bits    tests/unit/test_tnum, test_scalar_4, test_scalar_8
    b   accepted programs in the interpreter, with recorded states  tests/soundness/soundness ... states
    c   accepted programs as machine code between guard pages       tests/soundness/soundness ... guards
    u   the verifier's unit tests                                   tests/unit/test_verifier_*

A row: file in jitcore/verifier, text in it (exactly once), what replaces it, what is broken.  Prints TAP, a test a row:
some method notices; and, as a comment, the table of doc/verifier.md.
"""
import os
import sys

from tree import Tree

PROGRAMS = 6000         # accepted ones for each of b and c, at most: the first escape ends it
SECONDS = 900           # for one method

MUTATIONS = [
    # Numbers.
    ("tnum.c", "greatest = least + a.mask + b.mask;", "greatest = least + (a.mask | b.mask);",
     "unknown bits of a sum carry no further"),
    ("tnum.c", "sum = tnum_union(sum, tnum_add(sum, b));", "sum = tnum_add(sum, b);",
     "unknown bits of a factor count as 1"),
    ("view.c", "    if (first <= last) {", "    if (1) {", "a sum that overflows keeps its unsigned bounds"),
    ("operator.c", "view_interval(maximum(a->first, b->first), ones(a->bits), tnum_or",
     "view_interval(maximum(a->first, b->first), maximum(a->last, b->last), tnum_or",
     "\"or\" has the greater maximum"),
    ("operator.c", "view_interval(0, minimum(a->last, b->last), tnum_and",
     "view_interval(minimum(a->first, b->first), minimum(a->last, b->last), tnum_and",
     "\"and\" keeps the smaller minimum"),
    ("operator.c", "signed_first(a) >> amount, signed_last(a) >> amount", "a->first >> amount, a->last >> amount",
     "an arithmetic shift loses the sign"),
    ("operator.c", "tnum_and(b->tnum, tnum_constant(b->bits - 1))", "b->tnum", "shift amounts are not masked"),
    ("operator.c", "uint64_t last = b->first ? minimum(a->last, b->last - 1) : a->last;",
     "uint64_t last = minimum(a->last, b->last - 1);", "the remainder of a division by zero is forgotten"),
    ("relation.c", "a->range.umax = minimum(a->range.umax, b->range.umax - 1);",
     "a->range.umax = minimum(a->range.umax, b->range.umin - 1);", "less than all numbers of the other"),
    ("relation.c", "[JUMP_LT] = { { { less_or_equal, true }", "[JUMP_LT] = { { { less, true }",
     "\"not less\" is \"greater\""),
    ("relation.c", "[JUMP_SGT] = { { { signed_less_or_equal, false }", "[JUMP_SGT] = { { { less_or_equal, false }",
     "a signed comparison refines unsigned"),
    ("scalar.c", "case ALU_LSH: return b->full.umax < LOW;", "case ALU_LSH: return true;",
     "the low half of a shift by more than its width"),
    ("scalar.c", ".range = full ? scalar->full : scalar->low,",
     ".range = full ? scalar->full : range_intersect(scalar->full, scalar->low),",
     "the range of 64 bits is taken for that of 32"),
    # Arithmetic.
    ("arithmetic.c", "        delta = -delta;\n", "        (void)0;\n",
     "a number that was lowered counts as raised"),
    ("arithmetic.c", "(is_64(i) || scalar_is_32(&value.number))", "true", "a 32-bit move is a copy of all bits"),
    ("arithmetic.c", "subtract ? ALU_SUB : ALU_ADD", "ALU_ADD", "pointer - number is pointer + number"),
    ("arithmetic.c", "        pointer.range = 0;\n", "", "a packet pointer that moves keeps its measure"),
    ("arithmetic.c", "bits < STACK_ALIGNMENT &&", "bits < 2 * STACK_ALIGNMENT &&", "R10 is a multiple of 16"),
    ("arithmetic.c", "((address.value | address.mask) & bits) == 0;", "((address.value | address.mask) & bits) <= bits;",
     "or is a sum where both have a bit"),
    # Branches.
    ("branch.c", "    case JUMP_GT:\n        return JUMP_LE;", "    case JUMP_GT:\n        return JUMP_LT;",
     "not behind the packet's end is before it"),
    ("branch.c", "bool taken_is_null = jump->operation == JUMP_EQ;",
     "bool taken_is_null = jump->operation == JUMP_NE;", "the check for NULL is the other way round"),
    ("branch.c", "if (!value_is_or_null(value) || value->id != check->id)", "if (!value_is_or_null(value))",
     "one check for NULL is good for all pointers"),
    ("branch.c", "(int64_t)value->delta - link->of->delta", "(int64_t)link->of->delta - value->delta",
     "linked numbers differ by the negative distance"),
    ("branch.c", "value->type != VALUE_PACKET || value->id != id ||", "value->type != VALUE_PACKET ||",
     "a packet pointer's measure is good for all"),
    # Memory.
    ("memory.c", "highest <= (int64_t)size)", "highest <= (int64_t)size + 1)", "an object has one more byte behind"),
    ("memory.c", "if (lowest >= 0 && highest", "if (lowest >= -1 && highest", "an object has one more byte before"),
    ("memory.c", "start + pointer->number.full.smin >= 0 && ", "", "bytes before the packet's first one"),
    ("memory.c", "if (pointer->range > 0 && start", "if (start",
     "bytes before a pointer that may be anywhere behind the packet"),
    ("memory.c", "if (access->write && (region->kind == REGION_CONSTANT",
     "if (0 && (region->kind == REGION_CONSTANT", "constants are written to"),
    ("memory.c", "    if (!is_aligned(access))", "    if (0)", "atomic operations need no alignment"),
    ("memory.c", "value_number(scalar_sign_extend(&value.number, access.size))", "value_number(value.number)",
     "a load that extends the sign does not"),
    ("memory.c", "    if (i.immediate & ATOMIC_FETCH)\n", "    if (0)\n",
     "an atomic operation that fetches changes no register"),
    # Stack.
    ("stack.c", "highest > -1)", "highest > 0)", "the stack has one more byte"),
    ("stack.c", "        forget(&frame->slot[slot]);\n", "",
     "a store at a variable offset changes nothing that is known"),
    ("stack.c", "if ((s->written & bytes) != bytes)", "if (0)", "bytes that were not written are read"),
    ("stack.c", "extract(&slot->value.number, byte_of(lowest), size)", "extract(&slot->value.number, 0, size)",
     "a part of a slot is its lowest part"),
    ("stack.c", "    slot->value = value_number(new);\n", "    slot->value.number = new;\n",
     "a number on the stack that is changed in part stays linked"),
    # Calls.
    ("call.c", "for (unsigned reg = 0; reg <= ARGUMENTS; reg++)\n        frame->reg",
     "for (unsigned reg = 0; reg < 1; reg++)\n        frame->reg", "a call leaves R1 to R5 as they are"),
    ("call.c", "callback->reg[1] = value_unknown();", "callback->reg[1] = value_number(scalar_constant(0));",
     "a callback is called with 0 only"),
    ("call.c", "state_top(done->state)->reg[0] = value_unknown();",
     "state_top(done->state)->reg[0] = value_number(scalar_constant(1));", "a loop is done after one call"),
    ("call.c", "    if (result->type == VALUE_STACK && result->frame == analysis_frame(analysis))", "    if (0)",
     "a function returns a pointer to its own stack"),
    ("call.c", "call->helper->changes_map && ", "0 && ", "a helper changes a map that is only read"),
    ("call.c", "!helper_takes_map(call->number, call->map->map_type)", "0", "any helper takes any map"),
    # Maps and functions of the workers'.
    ("call.c", "value.region = is_map ? call->map->inner : call->region;", "value.region = call->region;",
     "what is found in a map of maps is a map of maps"),
    ("branch.c", "value->type == VALUE_MAP_OR_NULL ? VALUE_MAP : VALUE_MAP_VALUE;", "VALUE_MAP_VALUE;",
     "a map that was found is its own bytes"),
    ("call.c", "takes_values(call->helper) && ", "0 && ", "values are taken from a map that is only written"),
    ("call.c", "call->map->value_size, MEMORY_WRITE);", "call->map->value_size - 1, MEMORY_WRITE);",
     "a value that is taken has one byte less"),
    ("call.c", "!text || !memchr(text, '\\0', size)", "!text", "constant text needs no end"),
    ("call.c", "        return max;\n    for (uint32_t i = 0; i < size", "        return 0;\n    for (uint32_t i = 0; i < size",
     "a format that is not known asks for no numbers"),
    ("stack.c", "value->type == VALUE_MEMORY && value->frame > pointer->frame", "0", "the key of a callback outlives it"),
    ("native.c", "memory.size = (uint32_t)size->full.umax;", "memory.size = (uint32_t)size->full.umin;",
     "a function of the workers' reads as little as it may"),
    ("native.c", "r == 0 && is_written", "0", "a function of the workers' writes to constants"),
    ("native.c", "argument->bits >= 32 || (number", "1 || (number", "its arguments have more bits than their types"),
    ("native.c", "    call_clear_arguments(state_top(&analysis->state));\n", "", "it leaves R1 to R5 as they are"),
    ("control.c", "graph.bytes[0] > INSTRUCTION_STACK_SIZE", "graph.bytes[0] > 2 * INSTRUCTION_STACK_SIZE",
     "the stacks in sum may be twice as big"),
    ("call.c", "call->size = (uint32_t)size->tnum.value;", "call->size = (uint32_t)size->tnum.value + 1;",
     "a record has one byte more than was reserved"),
    ("call.c", "callback->reg[2].size = call->map->key_size;", "callback->reg[2].size = call->map->value_size;",
     "the key of a callback is as long as a value"),
    ("call.c", "callback->reg[3] = value_pointer(VALUE_MAP_VALUE);", "callback->reg[3] = value_pointer(VALUE_MAP);",
     "the value of a callback is a map"),
    ("call.c", "            state_visit(state, forget_reference, &call->reference);\n", "",
     "a record may be used after it was given back"),
    ("call.c", "value_pointer(is_map ? VALUE_MAP_OR_NULL :", "value_pointer(is_map ? VALUE_MAP :",
     "what is found in a map of maps is never NULL"),
    # Pruning.
    ("inclusion.c", "return !(outer->written & ~inner->written) && ", "return ",
     "bytes that were written on one path only"),
    ("inclusion.c", "    return count_id(c, outer->id) == 1;", "    return true;",
     "numbers that are linked on one path only"),
    ("inclusion.c", "(range && outer->range > inner->range) ||", "", "a packet that was measured on one path only"),
    ("inclusion.c", "            return c->inner_id[i] == inner;", "            return true;",
     "pointers that are NULL together on one path only"),
    ("inclusion.c", "    if (outer->type != inner->type)",
     "    if (outer->type != inner->type && value_is_pointer(outer))",
     "a number on one path, a pointer on the other"),
    ("demand.c", "        *registers |= BIT(instruction_source(i));\n}", "        (void)0;\n}",
     "the proof does not rest on what was added"),
    ("demand.c", "        *registers |= operands;\n", "        (void)0;\n",
     "the proof does not rest on what narrowed a number"),
    ("demand.c", "        ranges->slots[step->frame] |= step_slots(step);\n", "        (void)0;\n",
     "the proof does not rest on numbers that were on the stack"),
    ("branch.c", "    if (value_is_number(&jump->a))\n        analysis_demand",
     "    if (0)\n        analysis_demand", "the proof does not rest on jumps that were decided"),
    ("exploration.c", "if (earlier && includes(analysis, earlier->state, &analysis->state, NULL)) {", "if (earlier) {",
     "a callback is proven after its first call"),
    # What the compiler is told.
    ("facts.c", "if (b->full.umax >= 32 || !scalar_is_32(a))", "if (!scalar_is_32(a))",
     "32-bit shifts to the right by any number do not wrap"),
    ("facts.c", "            return false;\n        break;\n    case ALU_ADD:",
     "            return true;\n        break;\n    case ALU_ADD:", "divisions of any numbers do not wrap"),
    ("facts.c", "int r = spread_all(analysis);", "int r = 0;",
     "what was not seen of paths that were covered is told all the same"),
    ("facts.c", "            add(spread, at + 1, 1);\n", "            (void)0;\n",
     "what a function returns on such paths is told all the same"),
    ("inclusion.c", "!(scalar_includes(&outer->number, &inner->number) && links_match(c, outer, inner))",
     "!scalar_includes(&outer->number, &inner->number)", "copies on one path only are told to be copies"),
]


def methods(tree):
    """Per method: commands, of which the first one that fails has noticed."""
    unit = sorted(os.path.splitext(name)[0] for name in os.listdir(os.path.join(tree.source, "tests/unit"))
                  if name.startswith("test_verifier") and name.endswith(".c"))
    soundness = ["tests/soundness/soundness", str(PROGRAMS), "1", str(os.cpu_count())]
    return {
        "a": [["tests/unit/" + name] for name in ("test_tnum", "test_scalar_4", "test_scalar_8")],
        "b": [soundness + ["states"]],
        "c": [soundness + ["guards"]],
        "u": [["tests/unit/" + name] for name in unit],
    }


def main():
    rows = [row for row in MUTATIONS if all(any(word in part for part in row) for word in sys.argv[1:])]
    tree = Tree()
    commands = methods(tree)
    targets = sorted({command[0] for method in commands.values() for command in method})
    problem = tree.make(targets)
    if problem:
        print(f"Bail out! it does not build: {problem}")
        return 1
    print(f"1..{len(rows)}", flush=True)
    failed, table = 0, []
    for number, (name, old, new, meaning) in enumerate(rows, 1):
        with tree.mutation("jitcore/verifier/" + name, old, new) as problem:
            problem = problem or tree.make(targets)
            noticed = {method: not problem and any(tree.run_program(command, SECONDS) != 0 for command in all_of_it)
                       for method, all_of_it in commands.items()}
        caught = any(noticed.values())
        failed += not caught
        print(f"{'ok' if caught else 'not ok'} {number} - {meaning} ({name}): {' '.join(filter(noticed.get, noticed))}",
              flush=True)
        if problem:
            print(f"# {problem}")
        table.append([meaning, name] + ["x" if noticed[method] else "" for method in noticed])
    for row in [["what is broken", "file", *commands], ["---"] * (2 + len(commands)), *table]:
        print("# | " + " | ".join(row) + " |")
    tree.remove()
    return failed > 0


if __name__ == "__main__":
    sys.exit(main())
