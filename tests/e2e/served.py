"""A `zgrid serve` of one's own on a port of its own choice, and requests to it exactly as given."""
import http.client
import os
import re
import select
import shutil
import signal
import subprocess
import tempfile
import time


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

    def __exit__(self, *_):
        if self.process is not None and self.process.poll() is None:
            self.stop()
        shutil.rmtree(self.folder, ignore_errors=True)

    @property
    def host(self):
        return f"127.0.0.1:{self.port}"

    def send(self, method, path, headers=(), body=None):
        """Status, headers by title-cased name, and text; status -1 when the server hung up."""
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
            answer = connection.getresponse()
            text = answer.read().decode("utf-8", "replace")
            return answer.status, {name.title(): value for name, value in answer.getheaders()}, text
        except (http.client.HTTPException, ConnectionError) as error:
            return -1, {}, str(error)
        finally:
            connection.close()
