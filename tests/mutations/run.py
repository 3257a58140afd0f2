# SPDX-License-Identifier: MIT
"""Breaks the program on purpose, once a row, and expects the named test to fail: that the tests can.

    python3 tests/mutations/run.py [WORD...]        # only rows that contain all words

A row: file, text in it (exactly once), what replaces it, the test that must notice, what is broken.  Works in a copy of the
source; prints TAP.
"""
import os
import sys

from tree import Tree

SECONDS = 900           # for one test

MUTATIONS = [
    # Grace periods.
    ("daemon/grace.c", "        if (oldest < needed)\n            return 0;\n", "        oldest = published;\n",
     "tests/e2e/test_life.py",
     "code is reused without waiting for its readers"),
    ("daemon/grace.c", "        grace->drain(grace->userdata);                  /* 4 */\n", "", "tests/unit/test_grace",
     "forked children are not looked for before a wait ends"),
    ("daemon/lines.c", "    if (owner & FUTEX_OWNER_DIED)", "    if (0)", "tests/unit/test_grace", "dead owners are waited for"),
    # Pokes and settling.
    ("jitcore/poke.c", "return -ESTALE;", "return 0;", "tests/unit/test_poke", "a slot that is not as expected is fine"),
    ("jitcore/entry.c", "    change->entry->state = ENTRY_MOVED;\n", "    change->entry->state = ENTRY_WRITTEN;\n",
     "tests/unit/test_entry",
     "settling leads to a home that was not written"),
    # The one path of changes.
    ("daemon/change.c", "    for (size_t i = change->request.operations; i-- > 0;)\n        if (change->request.operation[i].checked)",
     "    for (size_t i = change->request.operations; i-- > 0;)\n        if (0)", "tests/e2e/test_bad_input.py",
     "a refused transaction leaves its first operations behind"),
    ("daemon/store.c", "return execute(store, \"COMMIT\");", "return execute(store, \"ROLLBACK\");", "tests/e2e/test_live.py",
     "changes are not in the database"),
    ("daemon/operation_program.c", "    if (program->links)\n", "    if (0)\n", "tests/e2e/test_bad_input.py",
     "an attached program can be unloaded"),
    ("daemon/operation_link.c", "    if (!context_equal(", "    if (0 && !context_equal(", "tests/e2e/test_bad_input.py",
     "a program is attached to a table of another context"),
    ("daemon/main.c", "        image_freeze(daemon->image);\n", "        (void)0;\n", "tests/e2e/test_live.py",
     "a daemon that stops poisons what its workers run"),
    ("daemon/workers.c", "    return worker->generation == worker->workers->daemon->generation ? WORKER_CURRENT : WORKER_MOVING;",
     "    return WORKER_CURRENT;", "tests/e2e/test_live.py", "workers that have not moved count as moved"),
    # Memory.
    ("daemon/memory.c", "SEALS_SIZE | F_SEAL_FUTURE_WRITE, &memory->text)", "SEALS_SIZE, &memory->text)",
     "tests/e2e/test_memory.py", "the text is not sealed against writing"),
    # Translation.
    ("daemon/translator.c", "    r = sandbox_enter((unsigned)atoi(argv[3]), &refused);\n", "    refused = \"\"; r = 0;\n",
     "tests/e2e/test_translation.py", "objects are read outside the sandbox"),
    ("daemon/sandbox.c", "INT(2, PROT_EXEC, 0)", "INT(2, 0, 0)", "tests/unit/test_sandbox", "the sandbox maps executable memory"),
    ("daemon/sandbox.c", "{ RLIMIT_CPU, seconds },", "{ RLIMIT_CPU, RLIM_INFINITY },", "tests/unit/test_sandbox",
     "the sandbox has no end"),
    ("daemon/child.c", "event_add(child->deadline, &seconds)", "(0 && event_add(child->deadline, &seconds))",
     "tests/e2e/test_translation.py", "a process may take for ever"),
    ("daemon/translation.c", "translation->region[ret->region].size > 0 &&", "true &&",
     "tests/unit/test_daemon_translation", "a process names a region that is not in the arena"),
    ("daemon/translation.c", "all->running_count < TRANSLATIONS_RUNNING_MAX && ", "", "tests/e2e/test_translation.py",
     "any number of processes at once"),
    ("daemon/placement.c", "        release_data(daemon, program);\n", "        (void)0;\n", "tests/e2e/test_translation.py",
     "a load that finds no room for its code keeps the arena"),
    ("daemon/registry.c", "        arena_release(program->arena, program->data);\n", "        (void)0;\n",
     "tests/e2e/test_data.py", "unloaded programs keep their data"),
    ("daemon/restore.c", "    options.settings = restored->settings;\n", "", "tests/e2e/test_data.py",
     "settings are lost by a restart"),
    # The compiler.
    ("jitcore/x86_64/merge.c", "if (at > attempt->place && (reads | writes) & register_bit(attempt->to))", "if (false)", "tests/unit/test_rules",
     "a merged load overwrites a byte that is still read"),
    ("jitcore/x86_64/merge.c", "            if (!dead)\n                return false;\n", "", "tests/unit/test_rules",
     "a load is replaced although its byte is read elsewhere"),
    ("jitcore/provenance.c", "        values->memory++;\n", "        ;\n", "tests/unit/test_rules", "loads are merged across a store"),
    ("jitcore/x86_64/rules.c", "o->number != 32 || !plan->facts[at].upper_zero[is_move ? 1 : 0])", "o->number != 32)",
     "tests/unit/test_rules", "an upper half that is not zero is left so"),
    ("jitcore/x86_64/rules.c", " ||\n        !same_value(plan, place_a, place_b))", ")", "tests/unit/test_rules",
     "two values are rotated as if they were one"),
    ("jitcore/x86_64/rules.c", "OPERATION_MOVE ||\n        plan_written_between(plan, place, at, register_bit(plan->operation[place].a)))", "OPERATION_MOVE)",
     "tests/unit/test_rules", "a copy is read from what has changed since"),
    ("jitcore/x86_64/rules.c", "if (!address_fits(o, sum) || plan_written_between(plan, place, at, register_bit(sum->a) | register_bit(sum->b)))",
     "if (!address_fits(o, sum))", "tests/unit/test_rules", "an address is folded although its index has changed"),
    ("jitcore/x86_64/rules.c", "    return !(plan->live_after[plan->end - 1] & register_bit(reg));\n", "    return true;\n", "tests/unit/test_rules",
     "what another block reads is taken for dead"),
    ("jitcore/x86_64/rules.c", "            begins[at + 1 + (uint32_t)instruction_jump_distance(i)] = true;\n", "            ;\n",
     "tests/unit/test_rules", "a block goes on over a jump's target"),
    ("jitcore/liveness.c", "        return RESULT;\n    if (instruction_operation(i) == JUMP_ALWAYS)", "        return 0;\n    if (instruction_operation(i) == JUMP_ALWAYS)",
     "tests/unit/test_liveness", "what a function returns is not live"),
    ("jitcore/provenance.c", " || mark & VERIFIED_NO_WRAP;", " || true;", "tests/unit/test_provenance",
     "32-bit sums never wrap"),
    ("jitcore/x86_64/memory.c", "        if (width == WIDTH_32)          /*", "        if (false)          /*", "tests/unit/test_translation",
     "a 32-bit compare-and-exchange leaves the upper half of R0"),
    ("jitcore/x86_64/memory.c", "enum x86_register operand = from == RAX ? R10 : from;", "enum x86_register operand = from;",
     "tests/unit/test_translation", "an atomic operation takes R0's new value as its operand"),
    ("jitcore/x86_64/memory.c", "    if (memory.base == RAX)\n        memory.base = R10;\n", "", "tests/unit/test_translation",
     "an atomic operation loses its address in R0"),
    ("jitcore/x86_64/call.c", "none = x86_skip(t->emitter, CONDITION_AE);", "none = x86_skip(t->emitter, CONDITION_A);", "tests/unit/test_call",
     "a lookup finds the element behind an array"),
    ("jitcore/x86_64/call.c", "many = x86_skip(emitter, CONDITION_A);", "many = x86_skip(emitter, CONDITION_AE);", "tests/unit/test_call",
     "the longest loop is refused"),
    ("jitcore/x86_64/program.c", "is_loop(operation->instruction) ? named | 1u << R12 : named", "is_loop(operation->instruction) ? named : named",
     "tests/unit/test_call", "a loop does not keep its caller's counter"),
    ("jitcore/compiler.c", "        if (distance != (int32_t)distance)\n            return -ERANGE;\n", "        (void)distance;\n", "tests/unit/test_compiler",
     "memory out of reach is taken for near"),
    ("jitcore/instruction.c", "    if (i.immediate & ATOMIC_FETCH && i.immediate != ATOMIC_COMPARE_EXCHANGE)", "    if (false)", "tests/unit/test_instruction",
     "an atomic operation may fetch into R10"),
    ("jitcore/x86_64/dispatcher.c", "0x77, (uint8_t)distance", "0x73, (uint8_t)distance", "tests/unit/test_dispatcher",
     "the tree takes the wrong half for its middle key"),
]


def command_of(tree, test):
    return [sys.executable, os.path.join(tree.source, test)] if test.endswith(".py") else [os.path.join(tree.build, test)]


def main():
    rows = [row for row in MUTATIONS if row[4] and all(any(word in part for part in row) for word in sys.argv[1:])]
    tree = Tree()
    print(f"1..{len(rows)}", flush=True)
    failed = 0
    problem = tree.make(["all"]) or tree.make(["check", "TESTS="])
    if problem:
        print(f"Bail out! it does not build: {problem}")
        return 1
    for number, (name, old, new, test, meaning) in enumerate(rows, 1):
        with tree.mutation(name, old, new) as problem:
            if not problem and (tree.make(["all"]) or (not test.endswith(".py") and tree.make([test]))):
                problem = "the mutated program does not build"
            caught = not problem and tree.run_program(command_of(tree, test), SECONDS) != 0
        failed += not caught
        print(f"{'ok' if caught else 'not ok'} {number} - {meaning} ({test})", flush=True)
        if problem:
            print(f"# {problem}")
    tree.remove()
    return failed > 0


if __name__ == "__main__":
    sys.exit(main())
