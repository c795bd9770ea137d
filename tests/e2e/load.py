"""Work that goes on while parts of a grid are killed, and what of it was lost, doubled or wrong."""
import collections
import contextlib
import ctypes
import hashlib
import http.client
import os
import re
import shutil
import socket
import threading
import time

CLONE_NEWNET = 0x40000000
LINES_A_SECOND = 10_000

STARTUP = """#!/bin/bash
python3 -u /srv/talk.py &
python3 -u /srv/read.py &
exec python3 -u /srv/serve.py
"""

# A hundred numbered lines every ten milliseconds, never fewer: what was late is made good.
TALK = f"""
import os, time
number, begun = 0, time.monotonic()
while True:
    due = int((time.monotonic() - begun) * {LINES_A_SECOND}) - number
    if due >= 100:
        text = "".join(f"number {{number + i}}\\n" for i in range(due)).encode()
        number += due
        while text:
            text = text[os.write(1, text):]
        with open("/tmp/talk", "w") as file:
            file.write(str(number))
    time.sleep(0.01)
"""

# Reads files of the flist past the kernel's cache and compares them with what was packed.
READ = """
import hashlib, os, random, sys
files = [line.rstrip("\\n").split(" ", 1) for line in open("/srv/sums")]
done = 0
while True:
    wanted, path = random.choice(files)
    try:
        file = os.open(path, os.O_RDONLY)
        text = b""
        while piece := os.read(file, 1 << 17):
            text += piece
        os.posix_fadvise(file, 0, 0, os.POSIX_FADV_DONTNEED)
        os.close(file)
        if hashlib.sha256(text).hexdigest() != wanted:
            print("wrong bytes in", path, file=sys.stderr, flush=True)
    except OSError as error:
        print("cannot read", path, error, file=sys.stderr, flush=True)
    done += 1
    open("/tmp/read", "w").write(str(done))
"""

SERVE = """
import http.server, os
class Page(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    def do_GET(self):
        kind, _, value = self.path[1:].partition("/")
        if kind == "exit":
            os._exit(int(value))
        try:
            body = open("/tmp/" + kind).read().encode()
        except OSError:
            body = b"0"
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
    def log_message(self, *_):
        pass
class Server(http.server.ThreadingHTTPServer):
    def handle_error(self, *_):
        pass  # Somebody hung up before he had his answer.
Server(("", 8000), Page).serve_forever()
"""


def make_tree(source, target):
    """A tree with python in it, and the load; returns nothing, costs about a second."""
    shutil.copytree(source, target, symlinks=True)
    for name, text in (("startup.sh", STARTUP), ("srv/talk.py", TALK), ("srv/read.py", READ), ("srv/serve.py", SERVE)):
        with open(f"{target}/{name}", "w") as file:
            file.write(text)
        os.chmod(f"{target}/{name}", 0o755)
    sums = []
    for folder, _, names in os.walk(target + "/usr/lib/python3.11"):
        for name in names:
            path = folder + "/" + name
            if os.path.islink(path):
                continue
            with open(path, "rb") as file:
                sums.append(hashlib.sha256(file.read()).hexdigest() + " " + path[len(target):])
    with open(target + "/srv/sums", "w") as file:
        file.write("\n".join(sums) + "\n")


def enter(namespace):
    """Moves the calling thread into a network namespace: its sockets are made there."""
    with open(f"/run/netns/zq-{namespace}") as file:
        if ctypes.CDLL(None, use_errno=True).setns(file.fileno(), CLONE_NEWNET) != 0:
            raise OSError(ctypes.get_errno(), "setns")


class Resp:
    """As much of redis' protocol as a subscriber and a writer need."""

    def __init__(self, host, port, timeout):
        self.socket = socket.create_connection((host, port), timeout)
        self.file = self.socket.makefile("rb")

    def send(self, *words):
        words = [w if isinstance(w, bytes) else str(w).encode() for w in words]
        self.socket.sendall(b"*%d\r\n" % len(words) + b"".join(b"$%d\r\n%s\r\n" % (len(w), w) for w in words))

    def read(self):
        line = self.file.readline()
        if not line.endswith(b"\r\n"):
            raise ConnectionError("the server hung up")
        kind, rest = line[:1], line[1:-2]
        if kind == b"*":
            return [self.read() for _ in range(int(rest))]
        if kind == b"$":
            if rest == b"-1":
                return None
            text = self.file.read(int(rest) + 2)
            if len(text) != int(rest) + 2:
                raise ConnectionError("the server hung up")
            return text[:-2]
        if kind == b"-":
            raise ValueError(rest.decode())
        return rest

    def close(self):
        with contextlib.suppress(OSError):
            self.file.close()
            self.socket.close()


class Worker:
    """A thread in a namespace that works until it is stopped."""

    def __init__(self, namespace):
        self.stopping = threading.Event()
        self.error = None
        self.thread = threading.Thread(target=self._begin, args=(namespace,), daemon=True)
        self.thread.start()

    def _begin(self, namespace):
        try:
            enter(namespace)
            self.work()
        except Exception as error:  # noqa: BLE001: whoever stops it asks
            self.error = error

    def stop(self):
        self.stopping.set()
        self.thread.join(30)


class Lines(Worker):
    """Listens to the container's channel, for ever again, and counts what is missing or comes twice."""

    def __init__(self, channel):
        self.channel = channel
        self.next = None
        self.lost, self.doubled, self.complaints = 0, 0, []
        self.holes = []
        self.redis = None
        super().__init__("internet")

    def work(self):
        while not self.stopping.is_set():
            try:
                self.redis = Resp("198.51.100.1", 6379, 1)
                # Silence is no reason to leave: who comes again misses what is said meanwhile.
                self.redis.socket.settimeout(None)
                self.redis.send("PSUBSCRIBE", self.channel + "-*")
                while not self.stopping.is_set():
                    self._take(self.redis.read())
            except OSError:
                time.sleep(0.01)
            finally:
                if self.redis:
                    self.redis.close()

    def stop(self):
        self.stopping.set()
        with contextlib.suppress(OSError, AttributeError):
            self.redis.socket.shutdown(socket.SHUT_RDWR)
        super().stop()

    def _take(self, message):
        if message[0] != b"pmessage":
            return
        if message[2].endswith(b"-stderr"):
            self.complaints.append(message[3].decode(errors="replace").strip())
            return
        found = re.fullmatch(rb"number (\d+)\n", message[3])
        if not found:
            self.complaints.append(f"odd line {message[3]!r}")
            return
        number = int(found.group(1))
        if self.next is not None:
            if number < self.next:
                self.doubled += 1
                return
            if number > self.next:
                self.holes.append((self.next, number))
            self.lost += number - self.next
        self.next = number + 1


class Writes(Worker):
    """Writes to a 0-db namespace, one value after the other; remembers what was acknowledged."""

    def __init__(self, host, port, name, password):
        self.where = (host, int(port), name, password)
        self.acknowledged = 0
        self.value = lambda n: hashlib.sha256(str(n).encode()).hexdigest() * 8
        super().__init__("internet")

    def connect(self):
        host, port, name, password = self.where
        server = Resp(host, port, 2)
        server.send("SELECT", name, password)
        server.read()
        return server

    def work(self):
        server = None
        while not self.stopping.is_set():
            try:
                server = server or self.connect()
                server.send("SET", f"key{self.acknowledged}", self.value(self.acknowledged))
                server.read()
                self.acknowledged += 1
            except (OSError, ValueError):
                if server:
                    server.close()
                server = None
                time.sleep(0.01)

    def missing(self):
        """Keys that were acknowledged and are not there as written; asked from a thread of its own."""
        wrong = []

        def ask():
            enter("internet")
            server = self.connect()
            # Many at once: a long run leaves millions.
            for first in range(0, self.acknowledged, 500):
                some = range(first, min(first + 500, self.acknowledged))
                server.socket.sendall(b"".join(b"*2\r\n$3\r\nGET\r\n$%d\r\nkey%d\r\n" % (3 + len(str(n)), n) for n in some))
                for n in some:
                    if server.read() != self.value(n).encode():
                        wrong.append(n)
            server.close()
            wrong.append(None)

        thread = threading.Thread(target=ask)
        thread.start()
        thread.join(300)
        if not wrong or wrong[-1] is not None:
            raise OSError("the 0-db could not be read to its end")
        return wrong[:-1]


class Visits(Worker):
    """Asks the container's service over WireGuard; knows when it did not answer."""

    # Not the second after which the kernel repeats the first packet: one that is lost is not the service's silence.
    PATIENCE = 5

    def __init__(self, address):
        self.address = address
        self.answered, self.failed = 0, []
        self.patience = self.PATIENCE
        self.times = collections.deque(maxlen=1000)
        super().__init__("laptop")

    def ask(self, path, timeout):
        connection = http.client.HTTPConnection(self.address, 8000, timeout=timeout)
        try:
            connection.request("GET", "/" + path)
            return connection.getresponse().read().decode()
        finally:
            connection.close()

    def work(self):
        while not self.stopping.is_set():
            begun = time.monotonic()
            try:
                self.ask("read", self.patience)
                self.times.append((begun, time.monotonic()))
                self.answered += 1
            except (OSError, http.client.HTTPException):
                self.failed.append(begun)
            time.sleep(0.02)

    def first_answer(self, since):
        """When the first of the questions after that moment was answered that had an answer; None: none has yet."""
        return next((ended for begun, ended in self.times.copy() if begun >= since), None)


def call_from(namespace, function):
    """What `function` returns, called in a namespace by a thread of its own."""
    found = []

    def work():
        enter(namespace)
        found.append(function())

    thread = threading.Thread(target=work)
    thread.start()
    thread.join(10)
    return found[0] if found else None
