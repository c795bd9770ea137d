"""What a container says, taken to the disk by its monitor."""
import os
import subprocess
import time

from measured import Samples, bench, folder

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
