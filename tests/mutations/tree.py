# SPDX-License-Identifier: MIT
"""A copy of the source to break on purpose, with a build of it."""
import contextlib
import os
import shutil
import subprocess
import tempfile

SOURCE = os.path.realpath(os.path.join(os.path.dirname(__file__), "../.."))


def run(command, directory, **options):
    return subprocess.run(command, cwd=directory, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, **options)


class Tree:
    """The copy: `source`, with `build` in it.  It is configured, not built."""

    def __init__(self):
        self.source = tempfile.mkdtemp(prefix="dispatchd-mutations-")
        self.build = os.path.join(self.source, "build")
        names = run(["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"], SOURCE).stdout
        for name in filter(os.path.exists, (os.path.join(SOURCE, name) for name in names.split("\0") if name)):
            copy = os.path.join(self.source, os.path.relpath(name, SOURCE))
            os.makedirs(os.path.dirname(copy), exist_ok=True)
            shutil.copy(name, copy)
        os.mkdir(self.build)
        run(["autoreconf", "-fi"], self.source)
        run(["../configure", "--quiet"], self.build)

    def make(self, targets):
        """What make says if it fails, else None."""
        result = run(["make", f"-j{os.cpu_count()}", *targets], self.build)
        return result.stdout[-2000:] if result.returncode else None

    def run_program(self, command, seconds):
        """Its exit status; None if it takes longer."""
        environment = dict(os.environ, BUILD_DIR=self.build, SOURCE_DIR=self.source, CMOCKA_MESSAGE_OUTPUT="TAP")
        try:
            return run(command, self.build, env=environment, timeout=seconds).returncode
        except subprocess.TimeoutExpired:
            return None

    @contextlib.contextmanager
    def mutation(self, name, old, new):
        """Replace a text that the file has exactly once, for a while.  Yields what is wrong with that, else None."""
        path = os.path.join(self.source, name)
        with open(path) as file:
            whole = file.read()
        count = whole.count(old)
        with open(path, "w") as file:
            file.write(whole.replace(old, new) if count == 1 else whole)
        try:
            yield None if count == 1 else f"the text occurs {count} times in {name}"
        finally:
            with open(path, "w") as file:
                file.write(whole)

    def remove(self):
        shutil.rmtree(self.source)
