"""What a bench is: a function of the programs' folder and the number of runs."""
import contextlib
import json
import os
import shutil
import socket
import subprocess
import tempfile
import time


def bench(name, *programs):
    """Marks a function as a bench of that name, which needs these programs.

    It returns {metric: {"unit", "better": "lower" | "higher", "values": [one per run],
    "reference": what it is compared with, "reference_values": [one per run, taken in turns]}}; a reference
    that is not there is named without values.
    """
    def mark(function):
        function.bench = name
        function.programs = programs
        return function
    return mark


class Samples:
    """Collects the values of a bench, run by run."""

    def __init__(self):
        self._samples = {}

    def add(self, metric, unit, better, value, reference=None, reference_value=None):
        sample = self._samples.setdefault(
            metric, {"unit": unit, "better": better, "values": [], "reference": reference})
        sample["values"].append(value)
        if reference_value is not None:
            sample.setdefault("reference_values", []).append(reference_value)

    def done(self):
        return self._samples


@contextlib.contextmanager
def folder():
    """An empty folder on the disk, gone afterwards."""
    path = tempfile.mkdtemp(prefix="znode-bench-", dir="/var/tmp")
    try:
        yield path
    finally:
        shutil.rmtree(path, ignore_errors=True)


def told(*command, **how):
    """Runs one of our programs to its end; the JSON that it says."""
    ended = subprocess.run(command, check=False, text=True, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                           stderr=subprocess.PIPE, timeout=600, **how)
    if ended.returncode != 0:
        raise RuntimeError(f"{command[0]}: exit code {ended.returncode}: {ended.stderr[-400:]}")
    return json.loads(ended.stdout)


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@contextlib.contextmanager
def server(*command, port):
    """A program that listens on a port of the loopback; ended afterwards."""
    process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                               stderr=subprocess.DEVNULL)
    try:
        until = time.monotonic() + 30
        while True:
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
                break
            if process.poll() is not None or time.monotonic() > until:
                raise RuntimeError(f"{command[0]} does not listen")
            time.sleep(0.01)
        yield process
    finally:
        process.terminate()
        try:
            process.wait(timeout=20)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def memory_mib(pid, name="VmRSS"):
    with open(f"/proc/{pid}/status") as file:
        return next(int(line.split()[1]) for line in file if line.startswith(name)) / 1024


def cpu_seconds(pid):
    with open(f"/proc/{pid}/stat") as file:
        fields = file.read().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
