#!/usr/bin/env python3
"""Each disk of a node is full for a while: programs go on, new work is refused with the reason, and all is well
again as soon as there is room."""
import contextlib
import glob
import os
import re
import signal
import subprocess
import sys
import time

sys.path.insert(0, os.path.dirname(__file__))
import load  # noqa: E402
from grid import Checks, Failure, Grid, expect, wait_for  # noqa: E402
from hidden_node import HiddenNode  # noqa: E402
from kill import Process  # noqa: E402

# Seconds after there is room again. An agent looks every 5 s and promises 10; what it takes on top of that to ask it, on a
# machine that does other things as well, is none of its doing. What it took is printed.
RECOVERY = 20

SEGMENT = 1 << 20
HELD = (1 << 20) + (128 << 10)  # bytes of output that are in nobody's log yet: a pipe's and those of the monitor's page

# name: where it is mounted, its size in MiB.
DISKS = {"state": ("state", 48), "logs": ("state/logs", 24), "cache": ("cache", 96)}


class SmallDisks(HiddenNode):
    """A node each of whose folders is a small file system of its own."""

    room_since = 0.0  # The last moment at which a disk was given room again.

    def __enter__(self):
        os.makedirs(self.folder, exist_ok=True)
        for path, size in DISKS.values():
            os.makedirs(f"{self.folder}/{path}", exist_ok=True)
            subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size}m,mode=755", "znode-test", f"{self.folder}/{path}"],
                           check=True)
        return self

    def config(self, text):
        # Allocated in full: how full the disk below it is does not matter to it.
        text = re.sub(r'size = "[^"]*"(.*), sparse = true', r'size = "3GiB"\1', text)
        return text + "\n[logs]\nsegment_size = \"1MiB\"\nsegments = 8\n"

    def __exit__(self, *error):
        try:
            super().__exit__(*error)
        finally:
            for path, _ in reversed(DISKS.values()):
                subprocess.run(["umount", "-l", f"{self.folder}/{path}"], check=False)

    def fill(self, disk):
        """Leaves not one byte. The agent sleeps meanwhile: what it sets aside for a full disk is not for the filler."""
        path = f"{self.folder}/{DISKS[disk][0]}"
        agent = self.grid.pid_of("node3")
        os.kill(agent, signal.SIGSTOP)
        try:
            with open(path + "/filler", "ab", buffering=0) as file:
                for size in (1 << 20, 4096, 1):
                    try:
                        while True:
                            file.write(b"x" * size)
                    except OSError:
                        continue
        finally:
            os.kill(agent, signal.SIGCONT)

    def top_up(self, disk):
        """Takes the room that somebody has just made, too."""
        with open(f"{self.folder}/{DISKS[disk][0]}/filler", "ab", buffering=0) as file:
            for size in (4096, 1):
                with contextlib.suppress(OSError):
                    while True:
                        file.write(b"x" * size)

    def free(self, disk):
        os.unlink(f"{self.folder}/{DISKS[disk][0]}/filler")
        self.room_since = time.monotonic()

    def segments(self, gwid):
        """Of a container's log, the oldest first."""
        return sorted(glob.glob(f"{self.folder}/state/logs/{gwid}/*.seg"))


class Scene:
    def __init__(self, grid, node):
        self.grid, self.node = grid, node
        load.make_tree(grid.folder + "/tree", grid.folder + "/loadtree")
        self.publish("load", grid.folder + "/loadtree")
        node.start()
        self.id = wait_for(lambda: self.ask(lambda: grid.ctl_json(3, "status")["node_id"]), 30, "node 3 is up")
        wait_for(lambda: self.ask(lambda: grid.ctl_json(3, "status")["explorer"]["registered"]), 30, "node 3 is registered")
        self.pool = grid.pool(grid.node_ids()[0], self.id)
        self.lines = load.Lines("full")
        access = grid.node_ids()[0]
        done = self.deploy("net", f'network.wide = {{ range = "172.23.0.0/16", nodes = ["{access}", "{self.id}"], access = "{access}" }}\n'
                           + self.container("work", "172.23.2.10", 'logs = "redis://198.51.100.1:6379/full"'))
        expect(done.returncode == 0, f"{done.stdout}{done.stderr}")
        node.bring_up_laptop(grid.zgrid("network", "wg", "wide").stdout)
        self.visits = load.Visits("172.23.2.10")
        self.gwid = next(w["gwid"] for w in self.workloads() if "172.23.2.10" in w["addresses"])
        self.pid = Process(next(w["pids"][0] for w in self.workloads() if w["gwid"] == self.gwid))
        wait_for(lambda: self.visits.answered and self.lines.next, 40, "the load runs")

    @staticmethod
    def ask(function):
        try:
            return function()
        except (Failure, ValueError, OSError, KeyError):
            return None

    def publish(self, name, tree):
        grid = self.grid
        flist = f"{grid.folder}/customer/{name}.flist"
        grid.run("internet", grid.binaries + "/znode-flist", "pack", tree, "-o", flist, "--store", "zdb://198.51.100.1:9910",
                 patience=120)
        grid.zgrid("hub", "publish", flist, "--name", f"customer.quickstart/{name}.flist")

    def workloads(self):
        return self.grid.ctl_json(3, "workloads")["workloads"]

    def container(self, name, ip, more=""):
        return (f'[container.{name}]\nnode = "{self.id}"\nnetwork = "wide"\nip = "{ip}"\n'
                'flist = "http://198.51.100.1:8080/customer.quickstart/load.flist"\nhub_url = "zdb://198.51.100.1:9910"\n'
                f'entrypoint = "/startup.sh"\ncpu = 1\nmemory = "256MiB"\ndisk = "64MiB"\ndisk_type = "ssd"\n{more}\n')

    def deploy(self, name, text):
        return self.grid.deploy(name, f'name = "{name}"\npool = {self.pool}\n{text}')

    def volume(self, name):
        return self.deploy(name, f'volume.v = {{ node = "{self.id}", size = "1GiB", type = "ssd" }}\n')

    def problems(self, word):
        return [p for p in self.grid.ctl_json(3, "status")["problems"] if word in p["text"]]

    def talk(self):
        """Empty in the moment in which the program writes it anew."""
        with open(f"/proc/{self.pid.pid}/root/tmp/talk") as file:
            return file.read()

    def said(self):
        """How many lines the program has written."""
        return int(wait_for(self.talk, 5, "the program says how far it is"))

    def the_program_goes_on(self):
        expect(Process(self.pid.pid) == self.pid, "the program was replaced")
        before = self.visits.answered
        wait_for(lambda: self.visits.answered > before + 3, 10, "the service answers over WireGuard")


def new_work_is_refused(scene, disk):
    done = scene.volume(disk + "1")
    text = done.stdout + done.stderr
    expect(done.returncode == 1, f"{disk}: taken on a full disk: {text}")
    expect(disk in text, f"'{disk}' is not in: {text}")
    print(f"     {disk}: refused: {text.strip().splitlines()[-1][:170]}")
    wait_for(lambda: scene.problems(disk), 15, f"{disk}: the status tells of it")


def new_work_is_taken(scene, disk):
    wait_for(lambda: not scene.problems(disk), RECOVERY, f"{disk}: the status is clean again")
    done = scene.volume(disk + "2")
    expect(done.returncode == 0, f"{disk}: refused although there is room: {done.stdout}{done.stderr}")
    print(f"     {disk}: as before {time.monotonic() - scene.node.room_since:.1f} s after there was room")
    scene.grid.zgrid("workload", "delete", str(max(w["id"] for w in scene.grid.workloads())))


def full(scene, disk):
    """While the disk is full, new work is refused and what runs goes on."""
    complaints = len(scene.lines.complaints)
    scene.node.fill(disk)
    try:
        scene.the_program_goes_on()
        new_work_is_refused(scene, disk)
        scene.the_program_goes_on()
    finally:
        scene.node.free(disk)
    new_work_is_taken(scene, disk)
    scene.the_program_goes_on()
    expect(scene.lines.complaints[complaints:] == [], f"{disk}: {scene.lines.complaints[complaints:][:5]}")


def full_pool(scene):
    """All is sold: the next one hears what he asked for and what there is; what is given back can be had again."""
    sold = []
    while (done := scene.volume(f"pool{len(sold)}")).returncode == 0:
        sold.append(max(w["id"] for w in scene.grid.workloads()))
        expect(len(sold) < 4, "a pool of 3 GiB takes no end of volumes")
    text = done.stdout + done.stderr
    expect("asked 1 GiB" in text and "free of" in text, f"the numbers are missing: {text}")
    print(f"     pool: refused after {len(sold)}: {text.strip().splitlines()[-1][:170]}")
    scene.the_program_goes_on()
    scene.grid.zgrid("workload", "delete", str(sold[-1]))
    wait_for(lambda: scene.volume(f"again{time.monotonic()}").returncode == 0, RECOVERY, "what was given back is had again")


def full_logs(scene):
    """The program writes on; what found no room is counted, to the byte."""
    node, lines = scene.node, scene.lines
    lost, holes = lines.lost, len(lines.holes)

    def well_inside_of_a_segment():
        """What is to be sent next is not in one that is about to go."""
        segments = node.segments(scene.gwid)
        return len(segments) > 1 and SEGMENT / 10 < os.path.getsize(segments[-1]) < SEGMENT / 2

    def one_is_left():
        """Older segments go when there is no room for a line; theirs is not for the lines, either."""
        node.top_up("logs")
        return len(node.segments(scene.gwid)) == 1

    def lines_are_lost():
        """The program was held up for 10 s, and then let go on: it is further than what can be held, or the log tells of
        it already, where the last bit of room was enough for that."""
        node.top_up("logs")
        scene.the_program_goes_on()
        with open(node.segments(scene.gwid)[-1], "rb") as file:
            return b"stream=out bytes=" in file.read() or scene.said() > full_at + held

    wait_for(well_inside_of_a_segment, 60, "a segment is begun")
    node.fill("logs")
    try:
        wait_for(one_is_left, 30, "nothing is left that could make room")
        full_at = scene.said()
        held = HELD // len(f"number {full_at}\n") + 1000
        new_work_is_refused(scene, "logs")
        wait_for(lines_are_lost, 60, "the program is not held up for ever")
    finally:
        node.free("logs")
    said = scene.said()
    wait_for(lambda: lines.next >= said, RECOVERY, "the log goes on")
    print(f"     logs: goes on {time.monotonic() - node.room_since:.1f} s after there was room, {lines.lost - lost} lines found none")
    expect(lines.lost > lost, "there was room for every line")
    wait_for(lambda: lines.complaints, 5, "the log tells that lines are missing")
    told = [line for line in lines.complaints if "bytes of this output are lost" in line]
    expect(told == lines.complaints, f"{lines.complaints[:5]}")
    missing = sum(len(f"number {n}\n") for first, after in lines.holes[holes:] for n in range(first, after))
    counted = sum(int(re.search(r"(\d+) bytes of this output", line)[1]) for line in told)
    expect(counted == missing, f"{missing} bytes are lost, and the log says {told}")
    lines.complaints.clear()
    new_work_is_taken(scene, "logs")
    scene.the_program_goes_on()


def main():
    grid = Grid(sys.argv[1])
    check = Checks("full")

    def body():
        with SmallDisks(grid) as node:
            scene = Scene(grid, node)
            check("full state disk", full, scene, "state")
            check("full log disk", full_logs, scene)
            check("full cache", full, scene, "cache")
            check("full pool", full_pool, scene)
            scene.lines.stop()
            scene.visits.stop()
            for workload in sorted(grid.workloads(), key=lambda w: -w["id"]):
                if workload["pool_id"] == scene.pool and workload["next_action"] not in (6, "deleted"):
                    grid.zgrid("workload", "delete", str(workload["id"]))
            wait_for(lambda: not scene.workloads(), 60, "all of it is gone")
            for worker in (scene.lines, scene.visits):
                if worker.error:
                    raise worker.error

    return check.on_a_grid(grid, body)


if __name__ == "__main__":
    sys.exit(main())
