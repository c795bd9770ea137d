"""A `zgrid serve` of one's own on a port of its own choice, and requests to it exactly as given."""
import http.client
import json
import os
import re
import select
import shutil
import signal
import socket
import subprocess
import tempfile
import threading
import time

from grid import complaint_in


class Served:
    """A running explorer in an empty folder; leave the `with` block to end it and its traces."""

    def __init__(self, binaries, *flags):
        self.folder = tempfile.mkdtemp(prefix="znode-served-", dir="/var/tmp")
        self.log_file = self.folder + "/log"
        self.process = None
        self.port = None
        self._command = [binaries + "/zgrid", "serve", "--listen", "127.0.0.1:0",
                         "--data", self.folder + "/data", *flags]

    def __enter__(self):
        try:
            self._start()
        except BaseException:
            self.__exit__(None, None, None)
            raise
        return self

    def _start(self):
        with open(self.log_file, "wb") as log:
            self.process = subprocess.Popen(
                self._command, stdout=log, stderr=log, stdin=subprocess.DEVNULL,
                env=dict(os.environ, ASAN_OPTIONS="detect_leaks=0"))
        pidfd = os.pidfd_open(self.process.pid)
        try:
            until = time.monotonic() + 30
            while self.port is None:
                found = re.search(r"listening address=\S*:(\d+)", self.log())
                if found:
                    self.port = int(found[1])
                # Nothing tells of a line in a file; the end of the process is told at once.
                elif select.select([pidfd], [], [], 0.02)[0] or time.monotonic() > until:
                    raise RuntimeError("zgrid serve did not start:\n" + self.log())
        finally:
            os.close(pidfd)

    def log(self):
        with open(self.log_file, encoding="utf-8", errors="replace") as file:
            return file.read()

    def stop(self):
        """Ends it as an operator would; how it ended."""
        self.process.send_signal(signal.SIGTERM)
        try:
            return self.process.wait(timeout=15)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
            return None

    def __exit__(self, wrong, *_):
        if self.process is not None and self.process.poll() is None:
            self.stop()
        said = complaint_in(self.log()) if os.path.exists(self.log_file) else ""
        shutil.rmtree(self.folder, ignore_errors=True)
        if said and not wrong:
            raise AssertionError("zgrid serve: " + said)

    @property
    def host(self):
        return f"127.0.0.1:{self.port}"

    def send(self, method, path, headers=(), body=None, sent=None):
        """Status, headers by title-cased name, and text; status -1 when the server hung up. `sent` is set in between."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        try:
            connection.putrequest(method, path, skip_accept_encoding=True)
            for name, value in dict(headers).items():
                if name.lower() in ("content-length", "host"):
                    continue
                for one in value.split(" || "):
                    connection.putheader(name, one.encode())
            data = body.encode() if body is not None else None
            if data is not None or method in ("POST", "PUT"):
                connection.putheader("Content-Length", str(len(data or b"")))
            connection.endheaders(data)
            if sent:
                sent.set()
            answer = connection.getresponse()
            text = answer.read().decode("utf-8", "replace")
            return answer.status, {name.title(): value for name, value in answer.getheaders()}, text
        except (http.client.HTTPException, ConnectionError) as error:
            return -1, {}, str(error)
        finally:
            connection.close()


def cpu_seconds(pid):
    """What the process has used of a processor so far."""
    with open(f"/proc/{pid}/stat") as file:
        fields = file.read().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def rss_mib(pid):
    with open(f"/proc/{pid}/status") as file:
        return next(int(line.split()[1]) for line in file if line.startswith("VmRSS")) / 1024


def connect(server, source=None, timeout=30):
    return socket.create_connection(("127.0.0.1", server.port), timeout, (source, 0) if source else None)


def exchange(server, request, source=None, timeout=30):
    """Sends bytes as they are; all that comes until the server closes, or until it has answered."""
    with connect(server, source, timeout) as stream:
        try:
            stream.sendall(request)
        except (ConnectionResetError, BrokenPipeError):
            pass  # Refused while we were still talking: what was said may be there all the same.
        answer = b""
        while True:
            try:
                piece = stream.recv(65536)
            except ConnectionResetError:
                return answer
            if not piece:
                return answer
            answer += piece
            head, gap, body = answer.partition(b"\r\n\r\n")
            length = [line for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:")]
            if gap and length and len(body) >= int(length[0].split(b":")[1]):
                return answer


def status_of(answer):
    return int(answer.split(b" ", 2)[1]) if answer.startswith(b"HTTP/1.1 ") else -1


class Poller:
    """A node that polls as ours do: with the mark of its last answer, ready to wait."""

    def __init__(self, scene, node, wait, path=None):
        self.scene, self.node, self.wait = scene, node, wait
        self.path = path or f"/api/v1/reservations/nodes/{node.id}/workloads"
        self.mark, self.cursor, self.polls = None, 0, 0
        self.sent = threading.Event()  # Set when the server has a poll to answer; cleared by who waits for it.

    def poll(self):
        """Status, entries, headers; the cursor follows."""
        headers = {"Prefer": f"wait={self.wait}"}
        if self.mark:
            headers["If-None-Match"] = self.mark
        self.polls += 1
        status, answer, text = self.scene.server.send("GET", f"{self.path}?from={self.cursor}", headers, sent=self.sent)
        self.mark = answer.get("Etag")
        if "X-Last-Id" in answer:
            self.cursor = int(answer["X-Last-Id"]) + 1
        return status, (json.loads(text) or []) if status == 200 else [], answer
