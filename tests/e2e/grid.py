"""A grid of quickstart's, and what a customer, a farmer and an accident do to it."""
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time

TOP = os.path.realpath(os.path.join(os.path.dirname(__file__), "..", ".."))


class Failure(Exception):
    """Something is not as promised."""


class Grid:
    """Two nodes, explorer, hub, redis and a laptop, made by daemon/quickstart out of `binaries`."""

    def __init__(self, binaries):
        self.binaries = os.path.realpath(binaries)
        self.folder = tempfile.mkdtemp(prefix="zq-e2e-", dir="/var/tmp")
        os.chmod(self.folder, 0o755)
        debs = "/var/tmp/znode-quickstart/debs"
        if os.path.isdir(debs):
            shutil.copytree(debs, self.folder + "/debs")
        self.report_file = self.folder + ".json"
        self.environment = dict(
            os.environ,
            ZNODE_QUICKSTART_DIR=self.folder,
            ZNODE_BIN=self.binaries,
            ASAN_OPTIONS="detect_leaks=0",
        )
        self.report = {}

    def quickstart(self, *arguments, patience=600):
        done = subprocess.run(
            [TOP + "/daemon/quickstart", *arguments, "--report", self.report_file],
            env=self.environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=patience)
        sys.stdout.write(done.stdout)
        sys.stdout.flush()
        if os.path.exists(self.report_file):
            with open(self.report_file) as file:
                self.report = json.load(file)
        return done.returncode

    def pid_of(self, name):
        try:
            with open(f"{self.folder}/pid/{name}") as file:
                return int(file.read())
        except (OSError, ValueError):
            return None

    def kill_agents(self, seed, times, until):
        """Kills agents at moments drawn from the seed until the event is set; says when."""
        chance = random.Random(seed)
        killed = []
        while len(killed) < times and not until.wait(chance.uniform(0.2, 1.6)):
            name = chance.choice(["node1", "node2"])
            pid = self.pid_of(name)
            try:
                with open(f"/proc/{pid}/comm") as file:
                    if file.read().strip() != "znoded":
                        continue
                os.kill(pid, signal.SIGKILL)
                killed.append((round(time.time(), 2), name))
            except (OSError, TypeError):
                continue
        return killed

    def run(self, namespace, *command, patience=60, check=True, stdin=None):
        done = subprocess.run(
            ["nsenter", f"--net=/run/netns/zq-{namespace}", *command],
            env=dict(self.environment, ZNODE_QUICKSTART=self.folder), input=stdin,
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, timeout=patience)
        if check and done.returncode != 0:
            raise Failure(f"{' '.join(command)}: {done.returncode}\n{done.stdout}\n{done.stderr}")
        return done

    def zgrid(self, *arguments, check=True, patience=120):
        return self.run(
            "internet", self.binaries + "/zgrid", "--explorer", "http://198.51.100.1:8080",
            "--identity", self.folder + "/customer/user.seed", *arguments, check=check, patience=patience)

    def zgrid_json(self, *arguments):
        return json.loads(self.zgrid("--json", *arguments).stdout)

    def workloads(self):
        found = self.zgrid_json("workload", "list")
        return found.get("workloads", found) if isinstance(found, dict) else found

    def ctl(self, node, *arguments):
        done = subprocess.run(
            [self.binaries + "/znodectl", "--socket", f"{self.folder}/node{node}/run/status.sock", *arguments],
            env=self.environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, timeout=60)
        if done.returncode != 0:
            raise Failure(f"znodectl {arguments}: {done.returncode} {done.stderr}")
        return done.stdout

    def ctl_json(self, node, *arguments):
        return json.loads(self.ctl(node, "--json", *arguments))

    def node_ids(self):
        nodes = self.zgrid_json("node", "list")
        nodes = nodes.get("nodes", nodes) if isinstance(nodes, dict) else nodes
        return [n["node_id"] for n in sorted(nodes, key=lambda n: n["hostname"])]

    def pool(self, *nodes):
        """A new capacity pool over these nodes."""
        words = [word for node in nodes for word in ("--node", node)]
        made = json.loads(self.zgrid("--json", "pool", "create", *words, "--cu", "100", "--su", "100").stdout)
        return made.get("pool_id", made.get("reservation_id", made.get("id")))

    def fetch(self, url="http://172.20.1.10:8000/", patience=5):
        return self.run("laptop", "curl", "-sS", "--max-time", str(patience), url, check=False)

    def deploy(self, name, text, patience=120):
        """What `zgrid deploy --wait` answers."""
        path = f"{self.folder}/customer/{name}.toml"
        with open(path, "w") as file:
            file.write(text)
        return self.zgrid("deploy", path, "--wait", check=False, patience=patience)

    def show_logs(self, names, lines=80):
        for name in names:
            with open(f"{self.folder}/log/{name}", errors="replace") as file:
                print(f"---- {name}\n" + "".join(file.readlines()[-lines:]))

    def remove(self):
        shutil.rmtree(self.folder, ignore_errors=True)
        if os.path.exists(self.report_file):
            os.unlink(self.report_file)


def wait_for(fact, seconds, text):
    end = time.monotonic() + seconds
    while True:
        value = fact()
        if value:
            return value
        if time.monotonic() > end:
            raise Failure(f"{text}: not within {seconds} s")
        time.sleep(0.05)


def expect(condition, text):
    if not condition:
        raise Failure(text)


def cgroup_counts():
    """How many groups the kernel has, those included that nobody sees any more."""
    with open("/proc/cgroups") as file:
        return {line.split()[0]: int(line.split()[2]) for line in file if not line.startswith("#")}


class Checks:
    """Runs one check after the other, each for itself, and counts."""

    def __init__(self, story):
        self.story, self.passed, self.failed = story, 0, []

    def __call__(self, name, function, *arguments):
        begun = time.monotonic()
        try:
            function(*arguments)
            self.passed += 1
            print(f"ok   {name} ({time.monotonic() - begun:.1f} s)", flush=True)
            return True
        except Exception as error:  # noqa: BLE001: the others are still to be run
            self.failed.append(name)
            print(f"FAIL {name}: {type(error).__name__}: {error}", flush=True)
            return False

    def on_a_grid(self, grid, body, groups=False):
        """Brings the grid up, runs `body`, takes the grid down again and looks at what is left.

        With `groups` also at those that only the kernel still has; it takes a minute and a half for blkio."""
        counted = cgroup_counts()

        def up():
            if grid.quickstart() != 0:
                grid.show_logs(sorted(os.listdir(grid.folder + "/log")), 60)
                raise Failure("quickstart failed")

        def down():
            if grid.quickstart("stop") != 0 or grid.report.get("left_behind", ["no report"]):
                raise Failure(json.dumps(grid.report.get("left_behind"), indent=1))

        def no_group_stays():
            """A removed group lives on in the kernel while a page is charged to it."""
            more = {}

            def none():
                more.clear()
                more.update({name: count - counted[name] for name, count in cgroup_counts().items() if count > counted[name]})
                return not more
            try:
                wait_for(none, 150, "groups go")
            except Failure:
                raise Failure(f"the kernel has more groups than before: {more}") from None

        try:
            if self("quickstart", up):
                self("the whole of it", body)
                if self.failed:
                    grid.show_logs([name for name in ("node1", "node2", "node3", "explorer")
                                    if os.path.exists(f"{grid.folder}/log/{name}")])
            self("nothing is left behind", down)
            if groups:
                self("no group stays in the kernel", no_group_stays)
        finally:
            grid.remove()
        print(f"{self.story}: {self.passed} passed, {len(self.failed)} failed {self.failed}")
        return 1 if self.failed else 0


class Killer:
    """Kills agents in the background while something else happens."""

    def __init__(self, grid, seed, times):
        self.done = threading.Event()
        self.killed = []
        self.thread = threading.Thread(
            target=lambda: self.killed.extend(grid.kill_agents(seed, times, self.done)))

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.done.set()
        self.thread.join()
