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
    ("jitcore/entry_change.c", "    entry->state = ENTRY_MOVED;\n", "    entry->state = ENTRY_WRITTEN;\n",
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
    ("daemon/target.c", "    if (!context_equal(", "    if (0 && !context_equal(", "tests/e2e/test_bad_input.py",
     "a program is attached to a table of another context"),
    ("daemon/workers.c", "workers_no_indirect += no_indirect && !worker->no_indirect[i];",
     "workers_no_indirect += !worker->no_indirect[i];", "tests/e2e/test_no_indirect.py",
     "one hook without indirect branches makes trees of all tables of its worker"),
    # Entries, chains, replacement.
    ("daemon/registry.c", "        order = compare_numbers(a->priority, b->priority);\n", "        order = 0;\n",
     "tests/unit/test_registry", "chains run by link only"),
    ("daemon/registry.c", "before->last >= keys->first", "before->last > keys->first", "tests/unit/test_registry",
     "a range may begin where another ends"),
    ("daemon/table_code.c", "if (last && last->first == link->first) {", "if (0) {", "tests/unit/test_registry",
     "the links of an entry are entries of their own"),
    ("daemon/operation_link.c", "    if (last->priority <= wanted->priority && last->proceeds == 0)\n", "    if (0)\n",
     "tests/e2e/test_tables.py", "links that never run are kept"),
    ("daemon/operation_link.c", "    registry_exchange_target(operation->link, &operation->wanted);", "    (void)operation;",
     "tests/e2e/test_tables.py", "a refused replacement stays"),
    ("daemon/store.c", "UPDATE links SET program = ?2, native = ?3 WHERE id = ?1", "UPDATE links SET native = ?3 WHERE id = ?1",
     "tests/e2e/test_tables.py", "a replacement is not in the database"),
    ("daemon/store.c", "; PRAGMA defer_foreign_keys = ON", "", "tests/e2e/test_tables.py",
     "an operation's row must fit before the change is whole"),
    ("daemon/operation_table.c", "    else if (table->has_value)\n", "    else if (0)\n", "tests/e2e/test_calls.py",
     "a value outlives the prototype that it was checked against"),
    ("daemon/change.c", "        if (!operation->link)\n            return -EOPNOTSUPP;\n",
     "        if (!operation->link)\n            continue;\n", "tests/e2e/test_tables.py",
     "a change of a table's policy is taken for one of its links"),
    ("daemon/main.c", "        image_freeze(daemon->image);\n", "        (void)0;\n", "tests/e2e/test_live.py",
     "a daemon that stops poisons what its workers run"),
    ("daemon/workers.c", "    return worker->generation == worker->workers->daemon->generation ? WORKER_CURRENT : WORKER_MOVING;",
     "    return WORKER_CURRENT;", "tests/e2e/test_live.py", "workers that have not moved count as moved"),
    # Statistics, plans.
    ("daemon/statistics.c", "        if (place->fresh)\n", "        if (0)\n", "tests/e2e/test_statistics.py",
     "a link inherits what was counted at its place before"),
    ("daemon/statistics.c", "    advance(lines);\n    LIST_REMOVE", "    LIST_REMOVE", "tests/e2e/test_statistics.py",
     "what a worker counted last is forgotten with it"),
    ("daemon/statistics.c", "        restore_lines(counted, text);\n", "        (void)restore_lines;\n",
     "tests/e2e/test_statistics.py", "what ran while no daemon was there is lost"),
    ("daemon/counts.c", "    *seen = *now;\n", "", "tests/unit/test_counts", "what was seen is counted again"),
    ("daemon/main.c", "        statistics_store(daemon->statistics);\n", "        (void)0;\n", "tests/e2e/test_statistics.py",
     "totals are not stored when the daemon stops"),
    ("client/lines.c", "    return map_counters(lines, (size_t)lines->forking, lines->counters[lines->forking]);",
     "    return 0;", "tests/unit/test_client_lines", "a forked child has no counters where its thread counts"),
    ("daemon/planning.c", "        take_out(planning);\n    event_free", "        (void)0;\n    event_free",
     "tests/e2e/test_planning.py", "a daemon that stops leaves its sampler in"),
    # Static calls, natives.
    ("client/stubs.c", "    if (answer.target && dd_thread_self.nested == 0)\n", "    if (0)\n", "tests/e2e/test_calls.py",
     "a native that may block keeps the guard"),
    ("client/stubs.c", "    if (answer.target && dd_thread_self.nested == 0)\n", "    if (answer.target)\n",
     "tests/e2e/test_calls.py", "a native that may block leaves the guard around it"),
    ("client/stubs.c", "            __atomic_store_n(&data->target[i], 0, __ATOMIC_RELAXED);", "            (void)data;",
     "tests/e2e/test_calls.py", "natives that come later are not looked for"),
    ("client/window.c", "map_private(window, DD_WINDOW_DATA, DD_LINKAGE_DATA_SIZE)",
     "map_part(window, DD_WINDOW_DATA, DD_LINKAGE_DATA_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, files->arena)",
     "tests/e2e/test_calls.py", "what a process finds for its stubs is found by others"),
    ("daemon/target.c", "if (native->may_block && link->proceeds > 0)", "if (0)", "tests/e2e/test_calls.py",
     "a chain goes on behind a native that has left the guard"),
    ("daemon/target.c", "prototype.result == PROTOTYPE_POINTER || prototype.result == PROTOTYPE_BOOL", "0",
     "tests/e2e/test_calls.py", "a program's number is taken for a pointer"),
    ("daemon/operation_call.c", "    exchange_values(operation);\n    if (operation->created) {", "    if (operation->created) {",
     "tests/e2e/test_calls.py", "a refused value stays"),
    ("daemon/memory.c", ".stubs = DD_LINKAGE_MAX, .no_indirect = no_indirect,", ".stubs = DD_LINKAGE_MAX,",
     "tests/e2e/test_no_indirect.py", "natives are reached by an indirect jump"),
    ("client/direct.c", "return memcmp(bytes, page, PAGE) == 0 ? 0 : replace_page(page, bytes);", "return 0;",
     "tests/e2e/test_no_indirect.py", "slots lead to the default for ever"),
    ("daemon/registry.c", " || table->workers_no_indirect > 0", "",
     "tests/e2e/test_no_indirect.py", "a table that is called without indirect branches may have some"),
    ("jitcore/x86_64/tree.c", "if (first[i]->weight == 0 ||", "if (true ||",
     "tests/unit/test_tree", "a hot key is searched for like all others"),
    ("jitcore/planner.c", "        r = standing_tree_cost(sampled, &ret->current_cost);",
     "        ret->current_cost = ret->cost[DISPATCHER_TREE];", "tests/unit/test_planner",
     "a tree keeps the weights of other keys"),
    # Memory.
    ("client/window.c", "reserve_near(callers, window->size)", "reserve(NULL, window->size)",
     "tests/unit/test_client_window", "the window is out of its callers' reach"),
    ("daemon/memory.c", "SEALS_SIZE | F_SEAL_FUTURE_WRITE, &memory->text)", "SEALS_SIZE, &memory->text)",
     "tests/e2e/test_memory.py", "the text is not sealed against writing"),
    # Translation.
    ("daemon/translator.c", "    r = stage->trusted ? 0 : sandbox_enter((unsigned)atoi(argv[3]), &refused);\n", "    refused = \"\"; r = 0;\n",
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
    ("jitcore/x86_64/tree.c", "skip = x86_skip(emitter, CONDITION_A);", "skip = x86_skip(emitter, CONDITION_AE);", "tests/unit/test_tree",
     "the tree takes the wrong half for its middle key"),
    ("jitcore/x86_64/tree.c", "        tree.floor += total_weight(branches, count) / count;", "        tree.floor = 0;", "tests/unit/test_tree",
     "a key that was never seen is as deep in the tree as there are keys"),
    ("jitcore/x86_64/jump.c", "    x86_shift(emitter, WIDTH_64, SHIFT_SAR, RDX, 32);",
     "    x86_load(emitter, 8, RDX, (struct x86_memory){ RCX, RAX, 3, 0 });\n    x86_shift(emitter, WIDTH_64, SHIFT_SAR, RDX, 32);",
     "tests/unit/test_replacement", "a slot of a hash is read by two loads"),
    ("jitcore/x86_64/chain.c", "    x86_load(emitter, 8, RSI, x86_at(RSP, 8));", "", "tests/unit/test_equivalence", "a chain loses the key"),
    ("jitcore/x86_64/counting.c", "    x86_mov(emitter, WIDTH_64, RDX, R10);", "", "tests/unit/test_equivalence", "measuring time costs an argument"),
    ("jitcore/body_edit.c", "        edit->head = true;", "", "tests/unit/test_equivalence", "a hot key runs on what it ran when it is replaced"),
    ("jitcore/body_removal.c", "        r->removal->filter[r->removal->filters++] = jump->hot[i];", "", "tests/unit/test_equivalence",
     "a hot key is removed from the table only"),
    ("jitcore/body_removal.c", "        *removal->gone[i] = true;", "        ;", "tests/unit/test_equivalence", "a target that was skipped is forgotten"),
    ("jitcore/entry_change.c", "    if (entry->room.filters > 0)\n        return -EOPNOTSUPP;\n", "", "tests/unit/test_equivalence",
     "a key is set behind the filter that removed it"),
    ("jitcore/poke.c", "while (i-- > 0)", "while (0)", "tests/unit/test_entry", "pokes that are refused in the middle stay half made"),
    ("jitcore/planner.c", "fmax(WORTH_NS, WORTH_SHARE * ret->current_cost)", "0", "tests/unit/test_planner", "a plan changes for nothing"),
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
