# SPDX-License-Identifier: MIT
"""What `make install` installs, in a temporary root; and how a user's commands find it there."""
import atexit
import functools
import os
import re
import shutil
import subprocess
import tempfile

from tap import BUILD_DIR

VARIABLES = ("bindir", "sbindir", "libdir", "includedir", "mandir", "man1dir", "man8dir", "docdir", "pkgconfigdir",
             "systemdsystemunitdir", "sysusersdir", "tmpfilesdir", "CC", "CXX", "SANITIZER_FLAGS", "PACKAGE_VERSION")


def make(*arguments, directory=BUILD_DIR):
    """make in a build directory; returns what it printed.  Not a part of the make that may run this test."""
    outer = ("MAKEFLAGS", "MFLAGS", "MAKELEVEL")
    environment = {name: value for name, value in os.environ.items() if name not in outer}
    done = subprocess.run(["make", "-C", directory, "--no-print-directory", *arguments], env=environment, text=True,
                          stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    assert done.returncode == 0, f"make {' '.join(arguments)}: {done.stdout}"
    return done.stdout


def variables(directory=BUILD_DIR):
    """The makefile's variables, expanded."""
    show = "show:; " + "".join(f"$(info {name}=$({name}))" for name in VARIABLES) + "@:"
    return dict(re.findall(r"^(\w+)=(.*)$", make("-s", "--eval", show, "show", directory=directory), re.MULTILINE))


class Installation:
    """A root with what is installed below it."""

    def __init__(self):
        self.root = os.path.realpath(tempfile.mkdtemp(prefix="dispatchd-installed-"))
        atexit.register(shutil.rmtree, self.root, ignore_errors=True)
        self.variable = variables()
        make("install", "DESTDIR=" + self.root)

    def path(self, directory, name=""):
        """Where a file lies now; directory is a variable of the makefile."""
        return os.path.join(self.root + self.variable[directory], name)

    def files(self):
        """All that is installed, as a set of absolute paths without the root."""
        return {os.path.join(directory, name)[len(self.root):]
                for directory, _, names in os.walk(self.root) for name in names}

    def environment(self, **more):
        """An environment in which the installed programs, library and pkg-config file are found, and no pkg-config file
        of another package."""
        return dict(os.environ, PKG_CONFIG_SYSROOT_DIR=self.root, PKG_CONFIG_LIBDIR=self.path("pkgconfigdir"),
                    PKG_CONFIG_ALLOW_SYSTEM_CFLAGS="1", PKG_CONFIG_ALLOW_SYSTEM_LIBS="1",
                    LD_LIBRARY_PATH=self.path("libdir"),
                    PATH=":".join([self.path("bindir"), self.path("sbindir"), os.environ["PATH"]]), **more)


@functools.cache
def installed():
    """The installation that all cases of a test share."""
    return Installation()
