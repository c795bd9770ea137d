"""What a node's processes take of memory: idle, and with 20 containers."""
import os
import re

from grid import Failure, Grid, expect, wait_for
from measured import Samples, bench

PROGRAMS = ("znoded", "znode-flist", "znode-zdb", "znode-monitor", "znode-init", "znode-holder", "wireguard-go", "redis-server")
COUNT = 20


def deployment(grid, node):
    """20 containers of one flist, 16 MiB each, on the network and pool of the quickstart's story."""
    parts = [f'name = "many"\npool = {grid.workloads()[0]["pool_id"]}\n']
    for number in range(COUNT):
        parts.append(f"""
[container.c{number}]
node = "{node}"
network = "net"
ip = "172.20.1.{100 + number}"
flist = "http://198.51.100.1:8080/customer.quickstart/web.flist"
hub_url = "zdb://198.51.100.1:9910"
entrypoint = "/bin/sleep 1000000"
cpu = 1
memory = "16MiB"
disk = "16MiB"
disk_type = "ssd"
logs = "redis://198.51.100.1:6379/many{number}"
""")
    return "".join(parts)


def sell_more_processors(grid):
    """20 of one each, on a machine that may have two; read when the agent starts again."""
    path = grid.folder + "/node1/znoded.toml"
    with open(path) as file:
        text = file.read()
    with open(path, "w") as file:
        file.write(text.replace("[node]", "[node]\ncpu_overcommit = 20", 1))
    before = grid.pid_of("node1")
    os.kill(before, 9)

    def runs():
        try:
            return grid.pid_of("node1") not in (None, before) and len(
                [w for w in grid.ctl_json(1, "workloads")["workloads"] if w["pids"]]) == 1
        except (Failure, ValueError, OSError):
            return False
    wait_for(runs, 30, "the agent starts again")


def taken(folder):
    """RSS and PSS in KiB by program: the sum of the processes of node 1, and how many they are."""
    namespace = os.stat("/run/netns/zq-node1").st_ino
    found = {}
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try:
            with open(f"/proc/{pid}/cmdline") as file:
                line = file.read()
            name = os.path.basename(re.split("[\0 ]", line)[0])
            ours = folder + "/node1" in line or os.stat(f"/proc/{pid}/ns/net").st_ino == namespace
            if name not in PROGRAMS or not ours:
                continue
            with open(f"/proc/{pid}/smaps_rollup") as file:
                text = file.read()
        except OSError:
            continue
        entry = found.setdefault(name, [0, 0, 0])
        entry[0] += int(re.search(r"^Rss: +(\d+)", text, re.M).group(1))
        entry[1] += int(re.search(r"^Pss: +(\d+)", text, re.M).group(1))
        entry[2] += 1
    return found


@bench("node.memory", "znoded", "zgrid", "znode-flist", "znode-zdb", "znode-monitor", "znode-init", "znode-holder", "znodectl")
def memory(binaries, runs):
    """Needs root. The reference is the same node with the one container of the story."""
    samples = Samples()
    for _ in range(runs):
        grid = Grid(binaries)
        try:
            expect(grid.quickstart() == 0, "the grid does not come up")
            sell_more_processors(grid)
            before = taken(grid.folder)
            done = grid.deploy("many", deployment(grid, grid.node_ids()[0]), patience=300)
            expect(done.returncode == 0, f"{done.stdout}{done.stderr}")
            after = taken(grid.folder)
        finally:
            grid.quickstart("stop")
            grid.remove()
        for name, values in after.items():
            old = before.get(name, [0, 0, 0])
            for column, what in ((0, "RSS"), (1, "PSS")):
                samples.add(f"{name} {what} of {values[2]}", "KiB", "lower", values[column],
                            f"one container, {old[2]} processes", max(old[column], 1))
    return samples.done()
