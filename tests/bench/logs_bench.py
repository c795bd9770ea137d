"""What a container says: taken to the disk by its monitor, and sent to a redis server by the agent."""
import csv
import os
import shutil
import subprocess
import time

from measured import Samples, bench, folder, free_port, server, told

LINES = 1_000_000
LINE = 100

# The monitor's runtime, without a container: the program runs where the container's would.
RUNTIME = """#!/bin/sh
for word; do
    [ "$before" != --pid-file ] || pid=$word
    before=$word
done
cat '{text}' &
echo $! > "$pid"
"""


def write_lines(path):
    with open(path, "w", encoding="ascii") as file:
        for number in range(LINES):
            file.write(f"line {number} ".ljust(LINE - 1, "x") + "\n")


def captured(binaries, path):
    """Seconds until all that the program wrote lies in the segments of path/logs."""
    os.mkdir(f"{path}/run", 0o700)
    runtime = f"{path}/runtime"
    with open(runtime, "w", encoding="utf-8") as file:
        file.write(RUNTIME.format(text=f"{path}/lines"))
    os.chmod(runtime, 0o755)
    begun = time.monotonic()
    subprocess.run(
        [f"{binaries}/znode-monitor", "--dir", f"{path}/run", "--id", "1-1", "--logs", f"{path}/logs",
         "--crun", runtime, "--crun-root", f"{path}/crun", "--segment-bytes", str(256 << 20), "--segments", "5"],
        check=True, timeout=300, stdin=subprocess.DEVNULL)
    return time.monotonic() - begun


def copied(path):
    begun = time.monotonic()
    subprocess.run(["sh", "-c", f"cat '{path}/lines' | cat > '{path}/copy'"], check=True, timeout=300)
    return time.monotonic() - begun


def published(port, lines):
    said = subprocess.run(
        ["redis-benchmark", "-p", str(port), "-c", "1", "-P", "80", "-n", str(lines), "--csv",
         "PUBLISH", "bench-stdout", "x" * LINE],
        check=True, text=True, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, timeout=300).stdout
    rows = [line for line in said.splitlines() if line.startswith('"')]
    return float(next(csv.DictReader(rows))["rps"])


@bench("logs.capture", "znode-monitor")
def capture(binaries, runs):
    """A million lines of 100 bytes from a program to the disk."""
    samples = Samples()
    for _ in range(runs):
        with folder() as path:
            write_lines(f"{path}/lines")
            ours, theirs = captured(binaries, path), copied(path)
            samples.add("lines to the disk", "1/s", "higher", LINES / ours, "cat | cat > file", LINES / theirs)
    return samples.done()


@bench("logs.shipping", "znode-monitor", "bench_shipping")
def shipping(binaries, runs):
    """The same lines from the disk to a redis server."""
    samples = Samples()
    if not (shutil.which("redis-server") and shutil.which("redis-benchmark")):
        raise RuntimeError("redis-server and redis-benchmark are missing; third_party/install brings them")
    for _ in range(runs):
        with folder() as path:
            write_lines(f"{path}/lines")
            captured(binaries, path)
            port = free_port()
            os.mkdir(f"{path}/cursors")
            with server("redis-server", "--port", str(port), "--bind", "127.0.0.1", "--dir", path, "--save", "",
                        "--appendonly", "no", port=port):
                sent = told(f"{binaries}/bench_shipping", f"{path}/logs", f"{path}/cursors", str(port), str(LINES))
                rate = published(port, LINES)
            samples.add("lines to redis, each answered", "1/s", "higher", LINES / sent["seconds"],
                        "redis-benchmark PUBLISH, one connection, 80 deep", rate)
    return samples.done()
