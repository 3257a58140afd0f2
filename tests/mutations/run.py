# SPDX-License-Identifier: MIT
"""Breaks the program on purpose, once a row, and expects the named test to fail: that the tests can.

    python3 tests/mutations/run.py [WORD...]        # only rows that contain all words

A row: file, text in it (exactly once), what replaces it, the test that must notice, what is broken.  Works in a copy of the
source; prints TAP.
"""
import os
import shutil
import subprocess
import sys
import tempfile

SOURCE = os.path.realpath(os.path.join(os.path.dirname(__file__), "../.."))

MUTATIONS = [
    # Grace periods.
    ("daemon/grace.c", "        if (oldest < needed)\n            return 0;\n", "", "tests/e2e/test_life.py",
     "code is reused without waiting for its readers"),
    ("daemon/grace.c", "        grace->drain(grace->userdata);                  /* 4 */\n", "", "tests/unit/test_grace",
     "forked children are not looked for before a wait ends"),
    ("daemon/lines.c", "    if (owner & FUTEX_OWNER_DIED)", "    if (0)", "tests/unit/test_grace", "dead owners are waited for"),
    # Pokes and settling.
    ("jitcore/poke.c", "return -ESTALE;", "return 0;", "tests/unit/test_poke", "a slot that is not as expected is fine"),
    ("jitcore/entry.c", "    entry->state = ENTRY_MOVED;\n", "    entry->state = ENTRY_WRITTEN;\n", "tests/unit/test_entry",
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
    ("daemon/memory.c", "F_SEAL_FUTURE_WRITE | F_SEAL_SEAL", "0", "tests/e2e/test_memory.py",
     "text and control are not sealed"),
    # The compiler.
    ("jitcore/x86_64/dispatcher.c", "0x77, (uint8_t)distance", "0x73, (uint8_t)distance", "tests/unit/test_dispatcher",
     "the tree takes the wrong half for its middle key"),
]


def run(command, directory, **options):
    return subprocess.run(command, cwd=directory, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, **options)


def build(directory, targets=()):
    return run(["make", f"-j{os.cpu_count()}", *targets], directory)


def run_test(build_directory, source, test):
    environment = dict(os.environ, BUILD_DIR=build_directory, SOURCE_DIR=source, CMOCKA_MESSAGE_OUTPUT="TAP")
    command = [sys.executable, os.path.join(source, test)] if test.endswith(".py") else [os.path.join(build_directory, test)]
    try:
        return run(command, build_directory, env=environment, timeout=900)
    except subprocess.TimeoutExpired:
        return None


def mutate(path, old, new):
    with open(path) as file:
        text = file.read()
    if text.count(old) != 1:
        return f"the text occurs {text.count(old)} times in {path}"
    with open(path, "w") as file:
        file.write(text.replace(old, new))
    return None


def main():
    rows = [row for row in MUTATIONS if row[4] and all(any(word in part for part in row) for word in sys.argv[1:])]
    source = tempfile.mkdtemp(prefix="dispatchd-mutations-")
    tracked = run(["git", "ls-files", "-z"], SOURCE).stdout
    for name in filter(None, tracked.split("\0")):
        os.makedirs(os.path.dirname(os.path.join(source, name)), exist_ok=True)
        shutil.copy(os.path.join(SOURCE, name), os.path.join(source, name))
    directory = os.path.join(source, "build")
    os.mkdir(directory)
    run(["autoreconf", "-fi"], source)
    run(["../configure", "--quiet"], directory)
    print(f"1..{len(rows)}", flush=True)
    failed = 0
    first = build(directory, ["all", "check", "TESTS="])
    if first.returncode:
        print(f"Bail out! it does not build: {first.stdout[-2000:]}")
        return 1
    for number, (name, old, new, test, meaning) in enumerate(rows, 1):
        path = os.path.join(source, name)
        shutil.copy(path, path + ".whole")
        problem = mutate(path, old, new)
        if not problem and build(directory, ["all", test] if not test.endswith(".py") else ["all"]).returncode:
            problem = "the mutated program does not build"
        result = None if problem else run_test(directory, source, test)
        caught = not problem and (result is None or result.returncode != 0)
        failed += not caught
        print(f"{'ok' if caught else 'not ok'} {number} - {meaning} ({test})", flush=True)
        if problem:
            print(f"# {problem}")
        shutil.move(path + ".whole", path)
        os.utime(path)
    shutil.rmtree(source)
    return failed > 0


sys.exit(main())
