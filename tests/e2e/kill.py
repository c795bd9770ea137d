#!/usr/bin/env python3
"""Each part of a node is killed under load, at moments drawn from a seed; nobody else may notice.

kill.py BINARIES [TIMES [TARGET…]]. Environment: ZNODE_SEED repeats the moments of an earlier run."""
import contextlib
import http.client
import json
import os
import random
import re
import signal
import sys
import time

sys.path.insert(0, os.path.dirname(__file__))
import load  # noqa: E402
from grid import Checks, Failure, Grid, expect, wait_for  # noqa: E402

# "auto" means that nothing of it runs where the kernel has WireGuard: there would be nothing to kill.
CONFIG = """[network]
wireguard = "userspace"
"""
ANSWERED = 2 * 8192 // len("*3 $7 PUBLISH $8 c-stdout $14 number 123456 ")  # lines of two batches (modules/logs)
QUICK = 0.2  # seconds: how finely it is seen when the tunnel is back
DEPLOYMENT = """name = "load"
pool = {pool}
zdb.kept = {{ node = "{node}", size = "1GiB", mode = "user", type = "ssd", password = "secret", public = false }}
[container.load]
node = "{node}"
network = "net"
ip = "172.20.1.20"
flist = "http://198.51.100.1:8080/customer.quickstart/load.flist"
hub_url = "zdb://198.51.100.1:9910"
entrypoint = "/startup.sh"
cpu = 1
memory = "512MiB"
disk = "64MiB"
disk_type = "ssd"
logs = "redis://198.51.100.1:6379/load"
"""


class Process:
    """One process, never mistaken for a later one of the same number."""

    def __init__(self, pid):
        self.pid = pid
        with open(f"/proc/{pid}/stat") as file:
            fields = file.read().rsplit(")", 1)[1].split()
        self.state, self.parent, self.start = fields[0], int(fields[1]), fields[19]

    def __eq__(self, other):
        return (self.pid, self.start) == (other.pid, other.start)

    def __hash__(self):
        return hash((self.pid, self.start))

    def __repr__(self):
        return f"{self.pid}"


def processes(grid, name, words=(), node=None):
    """Living processes of a program, with these words among their arguments, in a node's network namespace."""
    namespace = os.stat(f"/run/netns/zq-{node}").st_ino if node else None
    found = []
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try:
            with open(f"/proc/{pid}/cmdline") as file:
                line = file.read()
            # Not the link to the program: redis-server is one to redis-check-rdb.
            if os.path.basename(re.split("[\0 ]", line)[0]) != name:
                continue
            if all(word in line for word in words) and (
                    namespace is None or os.stat(f"/proc/{pid}/ns/net").st_ino == namespace):
                process = Process(int(pid))
                if process.state != "Z":
                    found.append(process)
        except OSError:
            continue
    # A child that is about to become another program still looks like its parent.
    pids = {process.pid for process in found}
    return [process for process in found if process.parent not in pids]


class Scene:
    """The grid with its load, and what must be there once and only once."""

    def __init__(self, grid):
        self.grid = grid
        self.node = grid.node_ids()[0]
        load.make_tree(grid.folder + "/tree", grid.folder + "/loadtree")
        flist = grid.folder + "/customer/load.flist"
        grid.run("internet", grid.binaries + "/znode-flist", "pack", grid.folder + "/loadtree", "-o", flist,
                 "--store", "zdb://198.51.100.1:9910", patience=120)
        grid.zgrid("hub", "publish", flist, "--name", "customer.quickstart/load.flist")
        self.lines = load.Lines("load")
        done = grid.deploy("load", DEPLOYMENT.format(pool=grid.workloads()[0]["pool_id"], node=self.node))
        expect(done.returncode == 0, f"{done.stdout}{done.stderr}")
        self.gwid = next(w["gwid"] for w in grid.ctl_json(1, "workloads")["workloads"] if "172.20.1.20" in w["addresses"])
        wanted = {}
        for workload in grid.workloads():
            data = workload["result"].get("data_json") or {}
            data = json.loads(data) if isinstance(data, str) else data
            if workload["workload_type"] in (0, "zdb") and workload["node_id"] == self.node:
                wanted[workload["id"]] = data
        data = wanted[max(wanted)]
        self.writes = load.Writes(data.get("IP") or data["IPs"][0], data["Port"], data["Namespace"], "secret")
        self.visits = load.Visits("172.20.1.20")
        self.init = Process(self.container()["pids"][0])
        wait_for(lambda: self.visits.answered and self.writes.acknowledged and self.lines.next, 30, "the load runs")

    def container(self):
        return next(w for w in self.grid.ctl_json(1, "workloads")["workloads"] if w["gwid"] == self.gwid)

    def programs(self):
        """Processes of the container, by its service's namespace of pids."""
        pid = self.container()["pids"][0]
        space = os.stat(f"/proc/{pid}/ns/pid").st_ino
        found = set()
        for other in filter(str.isdigit, os.listdir("/proc")):
            try:
                if os.stat(f"/proc/{other}/ns/pid").st_ino == space:
                    found.add(Process(int(other)))
            except OSError:
                continue
        return found

    def part(self, name):
        grid = self.grid
        folder = grid.folder + "/node1/"
        return {
            "agent": lambda: processes(grid, "znoded", [folder]),
            "monitor": lambda: processes(grid, "znode-monitor", [self.gwid]),
            "flist": lambda: processes(grid, "znode-flist", [], "node1"),
            "zdb": lambda: processes(grid, "znode-zdb", [folder]),
            "wireguard": lambda: processes(grid, "wireguard-go", [], "node1"),
            "redis": lambda: processes(grid, "redis-server", [], "internet"),
            "explorer": lambda: processes(grid, "zgrid", ["serve"], "internet"),
        }[name]()

    def works(self, name):
        """The part does again what it is for."""
        grid = self.grid
        if name == "agent":
            try:
                return grid.ctl_json(1, "status")["workloads"].get("running", 0) >= 6
            except (Failure, ValueError):
                return False
        if name == "zdb":
            before = self.writes.acknowledged
            return self.within(lambda: self.writes.acknowledged > before)
        if name == "wireguard":
            begun = time.monotonic()
            return self.within(lambda: self.visits.first_answer(begun))
        if name in ("redis", "monitor"):
            before = self.lines.next
            return self.within(lambda: self.lines.next > before)
        if name == "flist":
            before = self.count("read")
            return self.within(lambda: self.count("read") > before)
        if name == "explorer":
            return grid.run("internet", "curl", "-sf", "--max-time", "1", "http://198.51.100.1:8080/api/v1/prices",
                            check=False).returncode == 0
        raise KeyError(name)

    @staticmethod
    def within(fact, seconds=1.0):
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            if fact():
                return True
            time.sleep(0.002)
        return False

    def count(self, what):
        """How far the container's program is, asked past every part that is killed: in its root."""
        try:
            with open(f"/proc/{self.init.pid}/root/tmp/{what}") as file:
                return int(file.read() or "0")
        except (OSError, ValueError):
            return -1


TARGETS = {
    "agent": ("agent",),
    "monitor": ("monitor",),
    "agent+monitor": ("agent", "monitor"),
    "flist": ("flist",),
    "agent+flist": ("agent", "flist"),
    "zdb": ("zdb",),
    "wireguard": ("wireguard",),
    "redis": ("redis",),
    "explorer": ("explorer",),
}


def strike(scene, names):
    """Kills the parts at one moment; which processes they were, and when it was."""
    def held():
        """Each process by a descriptor. One may end between the list and its turn: then the list is taken anew."""
        parts = {name: scene.part(name) for name in names}
        if not all(parts.values()):
            return None
        with contextlib.ExitStack() as opened:
            targets = []
            for process in (p for found in parts.values() for p in found):
                try:
                    targets.append((process.pid, os.pidfd_open(process.pid)))
                except ProcessLookupError:
                    return None
                opened.callback(os.close, targets[-1][1])
            return parts, targets, opened.pop_all()

    parts, targets, opened = wait_for(held, 20, f"{' and '.join(names)} run")
    with opened:
        for pid, descriptor in targets:
            scene.grid.killed.add(pid)
            with contextlib.suppress(ProcessLookupError):
                signal.pidfd_send_signal(descriptor, signal.SIGKILL)
    return parts, time.monotonic()


def kill_once(scene, names, chance):
    """Kills the parts at one moment; returns how long it took until they worked again, in ms."""
    time.sleep(chance.uniform(0.05, 0.8))
    killed, begun = strike(scene, names)
    for name, found in killed.items():
        def replaced(name=name, found=found):
            now = scene.part(name)
            return len(now) == len(found) and not set(now) & set(found)
        wait_for(replaced, 20, f"{name} is started again, as often as before ({len(found)})")
    for name in names:
        wait_for(lambda name=name: scene.works(name), 20, f"{name} works again")
    # Its users tell themselves when the tunnel was back, however long it took to look.
    back = scene.visits.first_answer(begun) if names == ("wireguard",) else time.monotonic()
    return (back - begun) * 1000


def quantile(values, share):
    values = sorted(values)
    return values[min(len(values) - 1, int(share * len(values)))]


def round_of(scene, target, times, chance):
    scene.visits.patience = QUICK if target == "wireguard" else load.Visits.PATIENCE
    changed = time.monotonic()
    wait_for(lambda: scene.visits.first_answer(changed), 30, f"{target}: the service answers")
    lost, doubled = scene.lines.lost, scene.lines.doubled
    failures, complaints = len(scene.visits.failed), len(scene.lines.complaints)
    before = scene.programs()
    took = [kill_once(scene, TARGETS[target], chance) for _ in range(times)]
    said = scene.count("talk")
    wait_for(lambda: scene.lines.next and scene.lines.next >= said, 30, f"{target}: all lines until {said} arrive")
    row = {
        "target": target, "kills": times, "lost": scene.lines.lost - lost, "doubled": scene.lines.doubled - doubled,
        "unanswered": len(scene.visits.failed) - failures, "p50": quantile(took, 0.5), "p99": quantile(took, 0.99),
    }
    print("     {target:14} {kills:4} kills  lost {lost:5}  doubled {doubled:5}  unanswered {unanswered:3}  "
          "works again after p50 {p50:6.0f} p99 {p99:6.0f} ms".format(**row), flush=True)
    # A redis answers who publishes before it writes to who listens: killed in between, it takes two batches along.
    most = times * ANSWERED if "redis" in TARGETS[target] else 0
    expect(row["lost"] <= most, f"{target}: {row['lost']} lines were lost: {scene.lines.holes[-5:]}")
    # What a redis had taken and not yet answered when it died comes twice; nothing else does.
    if "redis" not in TARGETS[target]:
        expect(row["doubled"] == 0, f"{target}: {row['doubled']} lines came twice")
    if target == "wireguard":
        expect(row["p99"] <= 2000, f"the tunnel was back after {row['p99']:.0f} ms")
    else:
        expect(row["unanswered"] == 0, f"{target}: the service did not answer {row['unanswered']} times")
    expect(scene.lines.complaints[complaints:] == [], f"{target}: {scene.lines.complaints[complaints:][:5]}")
    expect(scene.programs() == before, f"{target}: programs were {before}, are {scene.programs()}")
    # Reading from a flist is an uninterruptible wait too, but never of the same one for long.
    stuck = {p.pid for p in scene.programs() if p.state == "D"}
    Scene.within(lambda: not stuck.intersection_update({p.pid for p in scene.programs() if p.state == "D"}) and not stuck, 5)
    expect(not stuck, f"{target}: stuck {stuck}")
    return row


def the_exit_code_is_known(scene):
    """The program ends while nobody of ours lives: its witness tells."""
    def serves(process):
        with open(f"/proc/{process.pid}/cmdline") as file:
            return "/srv/serve.py" in file.read()

    def is_gone(process):
        try:
            now = Process(process.pid)
        except OSError:
            return True
        return now != process or now.state == "Z"

    def ask():
        with contextlib.suppress(OSError, http.client.HTTPException):  # It ends before it answers.
            scene.visits.ask("exit/7", 1)

    def asked():
        load.call_from("laptop", ask)
        return Scene.within(lambda: is_gone(program))

    program = next(process for process in scene.programs() if serves(process))
    strike(scene, ("agent", "monitor"))
    wait_for(asked, 30, "the program ends")

    def ended():
        try:
            container = scene.container()
        except (Failure, ValueError, StopIteration):
            return None
        return container if container.get("last_exit") else None

    container = wait_for(ended, 30, "the end is seen")
    expect("7" in json.dumps(container.get("last_exit")), f"the exit code is not known: {container}")


def what_is_on_disk_is_whole(scene):
    """The last lines of the log, read locally: in order, none missing, none twice."""
    wanted = None
    count = 0
    # Far more than is asked for below, and no more: a sanitized agent takes its time to write them.
    for line in scene.grid.ctl(1, "logs", scene.gwid, "--tail", "20000", patience=300).splitlines():
        found = re.search(r"number (\d+)$", line)
        if not found:
            continue
        number = int(found.group(1))
        expect(wanted is None or number == wanted, f"line {number} where {wanted} is due")
        wanted = number + 1
        count += 1
    expect(count > 1000, f"only {count} lines are on the disk")


def main():
    times = int(sys.argv[2]) if len(sys.argv) > 2 else 5
    targets = sys.argv[3:] or list(TARGETS)
    seed = int(os.environ.get("ZNODE_SEED", str(int(time.time()))))
    print(f"seed {seed}: ZNODE_SEED={seed} repeats the moments", flush=True)
    chance = random.Random(seed)
    grid = Grid(sys.argv[1], CONFIG)
    check = Checks("kill")

    def acknowledged(scene):
        missing = scene.writes.missing()
        expect(not missing, f"acknowledged writes are gone: {missing[:10]}")
        print(f"     {scene.writes.acknowledged} acknowledged writes, {scene.visits.answered} answers over WireGuard")

    def body():
        scene = Scene(grid)
        for target in targets:
            check("kill " + target, round_of, scene, target, times, chance)
        check("what is on disk is whole", what_is_on_disk_is_whole, scene)
        scene.visits.stop()
        check("the exit code is known", the_exit_code_is_known, scene)
        scene.writes.stop()
        scene.lines.stop()
        check("acknowledged writes are there", acknowledged, scene)
        for worker in (scene.lines, scene.writes, scene.visits):
            if worker.error:
                raise worker.error

    return check.on_a_grid(grid, body)


if __name__ == "__main__":
    sys.exit(main())
