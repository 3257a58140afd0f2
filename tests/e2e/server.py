# SPDX-License-Identifier: MIT
"""The example server as tests use it: with one open connection to each of its workers."""
import http.client
import os
import subprocess

from harness import wait_until
from tap import BUILD_DIR, equal

HTTPD = os.path.join(BUILD_DIR, "examples/httpd/httpd")
PROCESSES = 4


def example(name):
    """Path of a compiled program of examples/programs."""
    return os.path.join(BUILD_DIR, "examples/programs", name + ".bpf.o")


class Server:
    """httpd, with one open connection to each of its workers."""

    def __init__(self, socket_path, process=None):
        """process: one that the caller has started, with a pipe for what it prints."""
        self.process = process or subprocess.Popen(
            [HTTPD, "--port", "0", "--processes", str(PROCESSES), "--socket", socket_path],
            stdout=subprocess.PIPE, text=True)
        self.port = int(self.process.stdout.readline().rsplit(":", 1)[1])
        self.connections = {}
        wait_until(self.connect, "a connection to each worker")

    def __enter__(self):
        return self

    def __exit__(self, *exception):
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait(60)
        self.process.stdout.close()

    def connect(self):
        """Connect until each worker has been met; a connection stays with its worker."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        connection.request("GET", "/")
        answer = connection.getresponse()
        answer.read()
        if self.connections.setdefault(answer.headers["X-Worker"], connection) is not connection:
            connection.close()
        return len(self.connections) == PROCESSES

    def ask(self, path, method="GET", **headers):
        """(status, variant) of a request, which is the same in every worker."""
        answers = set()
        for worker, connection in self.connections.items():
            connection.request(method, path, headers={name.replace("_", "-"): value for name, value in headers.items()})
            answer = connection.getresponse()
            answer.read()
            equal(answer.headers["X-Worker"], worker, "worker of a connection")
            answers.add((answer.status, answer.headers["X-Variant"]))
        equal(len(answers), 1, f"different answers: {answers}")
        return answers.pop()

    def status(self, path, method="GET", **headers):
        return self.ask(path, method, **headers)[0]
