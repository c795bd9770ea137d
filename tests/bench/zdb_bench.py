"""znode-zdb against redis-server, both asked by redis-benchmark over TCP on the loopback."""
import csv
import os
import shutil
import subprocess

from measured import Samples, bench, cpu_seconds, folder, free_port, memory_mib, server

# Connections and requests on their way in each.
LOADS = ((1, 1), (50, 1), (50, 16))
BYTES = 4096
KEYS = 50_000


def asked(port, connections, pipeline, count):
    """Requests per second and the 99th percentile in ms, of SET and of GET."""
    said = subprocess.run(
        ["redis-benchmark", "-p", str(port), "-t", "set,get", "-d", str(BYTES), "-r", str(KEYS), "-n", str(count),
         "-c", str(connections), "-P", str(pipeline), "--csv"],
        check=True, text=True, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, timeout=600).stdout
    lines = [line for line in said.splitlines() if line.startswith('"')]
    return {row["test"]: (float(row["rps"]), float(row["p99_latency_ms"])) for row in csv.DictReader(lines)}


def started(binaries, path, ours, sync):
    port = free_port()
    os.makedirs(path)
    if ours:
        command = [f"{binaries}/znode-zdb", "--mode", "user", "--listen", "127.0.0.1", "--port", str(port),
                   "--data", f"{path}/data", "--index", f"{path}/index", *(["--sync"] if sync else [])]
    else:
        command = ["redis-server", "--port", str(port), "--bind", "127.0.0.1", "--dir", path, "--save", "",
                   "--appendonly", "yes", "--appendfsync", "always" if sync else "no",
                   "--auto-aof-rewrite-percentage", "0"]
    return port, server(*command, port=port)


def compare(binaries, runs, sync, loads, reference):
    samples = Samples()
    if not (shutil.which("redis-server") and shutil.which("redis-benchmark")):
        raise RuntimeError("redis-server and redis-benchmark are missing; third_party/install brings them")
    for _ in range(runs):
        for connections, pipeline in loads:
            count = (5_000 if sync else 20_000) if connections == 1 else 30_000 if sync else 100_000
            figures, costs, memory = [], [], []
            for ours in (True, False):
                with folder() as path:
                    port, serving = started(binaries, f"{path}/server", ours, sync)
                    with serving as process:
                        figures.append(asked(port, connections, pipeline, count))
                        costs.append(cpu_seconds(process.pid) / (2 * count) * 1e6)
                        memory.append(memory_mib(process.pid))
            load = f"{connections} at once, {pipeline} deep"
            for verb in ("SET", "GET"):
                (rate, slow), (their_rate, their_slow) = figures[0][verb], figures[1][verb]
                samples.add(f"{verb} {load}", "1/s", "higher", rate, reference, their_rate)
                samples.add(f"{verb} p99 {load}", "ms", "lower", slow, reference, their_slow)
            samples.add(f"processor time, {load}", "us", "lower", costs[0], reference, costs[1])
            if (connections, pipeline) == loads[-1]:
                samples.add(f"memory, {KEYS} keys at most", "MiB", "lower", memory[0], reference, memory[1])
    return samples.done()


@bench("zdb.4k", "znode-zdb")
def plain(binaries, runs):
    """SET and GET of 4 KiB."""
    return compare(binaries, runs, False, LOADS, "redis-server, appendonly without fsync")


@bench("zdb.4k.sync", "znode-zdb")
def synced(binaries, runs):
    """The same with every answer on the disk."""
    return compare(binaries, runs, True, ((1, 1), (50, 1)), "redis-server, appendfsync always")
