# SPDX-License-Identifier: MIT
"""TAP for test scripts: one decorated function a case, run() at the end."""
import os
import sys
import traceback

BUILD_DIR = os.environ.get("BUILD_DIR", os.getcwd())
SOURCE_DIR = os.environ.get("SOURCE_DIR", os.path.realpath(os.path.join(os.path.dirname(__file__), "../..")))

_cases = []


def case(function):
    """Decorate a function that asserts; its name, in words, is the result's description."""
    _cases.append(function)
    return function


def skip_all(reason):
    """End the script: nothing of it can run here."""
    print(f"1..0 # SKIP {reason}")
    sys.exit(0)


class Skip(Exception):
    """Raise it in a case that cannot run here, with the reason."""


def equal(got, wanted, what="value"):
    """Assert equality, and show both sides."""
    assert got == wanted, f"{what}: got {got!r}, wanted {wanted!r}"


def run():
    """Run all cases in the order of the file; the exit status is 1 if one failed."""
    failed = 0
    print(f"1..{len(_cases)}", flush=True)
    for number, function in enumerate(_cases, 1):
        description = function.__name__.replace("_", " ")
        try:
            function()
            print(f"ok {number} - {description}", flush=True)
        except Skip as reason:
            print(f"ok {number} - {description} # SKIP {reason}", flush=True)
        except Exception:
            failed += 1
            print(f"not ok {number} - {description}")
            for line in traceback.format_exc().splitlines():
                print(f"# {line}")
            sys.stdout.flush()
    sys.exit(failed > 0)
