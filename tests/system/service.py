# SPDX-License-Identifier: MIT
"""What the scripts in the container share: units, dispatchctl, the example server and requests to it."""
import http.client
import json
import pathlib
import re
import subprocess
import threading
import time

PORT, PATH, PROCESSES = 8080, "/static/page", 4
TABLE, KEY, PROGRAM = "on_request", "3", "block_bots"   # key 3 is the route /static
KEPT_MAP, KEPT_VALUE = "kept", "77"
SAVED_LINKS = pathlib.Path("/var/lib/links-of-first-boot")


def run(*command):
    """Run a command; returns its exit status and what it printed."""
    done = subprocess.run(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                          text=True, timeout=60)
    return done.returncode, done.stdout


def must(*command):
    """Run a command that has to succeed; returns what it printed."""
    status, output = run(*command)
    assert status == 0, f"{' '.join(command)}: status {status}: {output}"
    return output


def wait_until(condition, what):
    """Until the condition holds; an assertion fails if it does not within a generous time."""
    end = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < end, f"waited in vain: {what}\n{journal()[-2000:]}"
        time.sleep(0.02)


def active():
    return run("systemctl", "is-active", "dispatchd.service")[0] == 0


def main_pid():
    return int(must("systemctl", "show", "--value", "-p", "MainPID", "dispatchd.service"))


def journal():
    return must("journalctl", "-u", "dispatchd", "-o", "cat", "--no-pager")


def listing(what):
    return json.loads(must("dispatchctl", "--json", "list", what))[what]


def kept_value():
    """Of the map that first_boot.py makes, and where the arena came from that has it."""
    value = must("dispatchctl", "map", "get", KEPT_MAP, "1").split()
    return value[-1], json.loads(must("dispatchctl", "--json", "info"))["arena_origin"]


def workers():
    return [worker for worker in listing("workers") if worker["name"] == "httpd"]


def all_moved():
    """The server and all its processes run in the generation of the daemon that answers."""
    return len(workers()) == PROCESSES + 1 and all(worker["state"] == "current" for worker in workers())


def start_httpd():
    """As any service would run it: a user of its own whose only right here is to join as a worker."""
    must("systemd-run", "--quiet", "--unit=httpd", "--property=DynamicUser=yes",
         "--property=SupplementaryGroups=dispatchd-worker",
         "/opt/httpd", "--port", str(PORT), "--processes", str(PROCESSES))
    wait_until(all_moved, "the server joins with all its processes")


def ask(agent):
    """One request on a connection of its own: the status, and which server process answered."""
    connection = http.client.HTTPConnection("127.0.0.1", PORT, timeout=10)
    connection.request("GET", PATH, headers={"User-Agent": agent})
    response = connection.getresponse()
    response.read()
    connection.close()
    return response.status, response.headers["X-Worker"]


def every_process_answers_robots(status):
    """Each server process gives robots this status and browsers the page. Asks until all have answered."""
    answered = set()
    end = time.monotonic() + 20
    while len(answered) < PROCESSES:
        got, worker = ask("a robot")
        assert got == status, f"worker {worker} answered a robot with {got}, not {status}"
        got, worker = ask("a browser")
        assert got == 200, f"worker {worker} answered a browser with {got}"
        assert time.monotonic() < end, f"only {answered} ever answered"
        answered.add(worker)


class Load:
    """Requests from wrk, and beside them a prober that asks again and again what the attached program must answer."""

    def __init__(self, seconds):
        self.wrk = subprocess.Popen(["wrk", "-t2", "-c16", f"-d{seconds}s", f"http://127.0.0.1:{PORT}{PATH}"],
                                    stdout=subprocess.PIPE, text=True)
        self.probes, self.wrong = 0, []
        self.stop = threading.Event()
        self.prober = threading.Thread(target=self._probe)
        self.prober.start()

    def _probe(self):
        while not self.stop.is_set():
            try:
                status = ask("a robot")[0]
                if status != 403:
                    self.wrong.append(f"a robot got {status}")
            except OSError as error:
                self.wrong.append(f"a request failed: {error}")
            self.probes += 1

    def finish(self):
        """Asserts that no request failed or passed the attached program; returns how many there were."""
        assert self.wrk.poll() is None, "the load ended before what it should have seen"
        report = self.wrk.communicate()[0]
        self.stop.set()
        self.prober.join()
        assert not re.search(r"Socket errors|Non-2xx", report), report
        assert not self.wrong, f"{len(self.wrong)} of {self.probes} probes: {self.wrong[:5]}"
        requests = int(re.search(r"(\d+) requests in", report).group(1))
        assert requests and self.probes, report
        return requests + self.probes
