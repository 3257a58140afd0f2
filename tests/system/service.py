# SPDX-License-Identifier: MIT
"""The installed dispatchd under systemd as PID 1: start, activation, restart and crash under load, watchdog, reboot.

Runs as root inside the container of test_service.sh, once in each of two boots, and prints TAP.
"""
import http.client
import json
import os
import pathlib
import re
import signal
import stat
import subprocess
import sys
import threading
import time

PORT = 8080
PROGRAM = "block_bots"
OBJECT = "/opt/block_bots.bpf.o"
TABLE, KEY = "on_request", "3"
SAVED_LINKS = pathlib.Path("/var/lib/links-of-first-boot")

results = 0


def ok(passed, description, detail=""):
    global results
    results += 1
    print(f"{'ok' if passed else 'not ok'} - {description}")
    if not passed and detail != "":
        for line in str(detail).splitlines():
            print(f"#   {line}")
    return passed


def run(*command, timeout=60):
    return subprocess.run(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                          text=True, timeout=timeout)


def must(*command):
    """A step without which the rest says nothing."""
    done = run(*command)
    if done.returncode:
        print(f"Bail out! {' '.join(command)}: {done.stdout}")
        sys.exit(1)
    return done.stdout


def wait_until(condition, seconds=20):
    """True as soon as the condition holds, False if it does not within a generous time."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if condition():
            return True
        time.sleep(0.02)
    return False


def property_of(unit, name):
    return must("systemctl", "show", "--value", "-p", name, unit).strip()


def is_active(unit="dispatchd.service"):
    return run("systemctl", "is-active", unit).stdout.strip() == "active"


def main_pid():
    return int(property_of("dispatchd.service", "MainPID"))


def listing(what):
    return json.loads(must("dispatchctl", "--json", "list", what))[what]


def workers():
    return [worker for worker in listing("workers") if worker["name"] == "httpd"]


def generation():
    return max((worker["generation"] for worker in workers()), default=0)


def all_moved():
    """All server processes run in the generation of the daemon that answers."""
    return len(workers()) >= 4 and all(worker["state"] == "current" for worker in workers())


def start_httpd():
    """As any service would run it: a user of its own whose only right here is to join as a worker."""
    must("systemd-run", "--quiet", "--unit=httpd", "--property=DynamicUser=yes",
         "--property=SupplementaryGroups=dispatchd-worker", "/opt/httpd", "--port", str(PORT), "--processes", "4")


def answer(path, agent):
    connection = http.client.HTTPConnection("127.0.0.1", PORT, timeout=10)
    connection.request("GET", path, headers={"User-Agent": agent})
    status = connection.getresponse().status
    connection.close()
    return status
