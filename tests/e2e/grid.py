"""A grid of quickstart's, and what a customer, a farmer and an accident do to it.

Left on the machine: the Debian packages of the test's flist, where quickstart itself keeps them for its next run."""
import glob
import json
import os
import random
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time

TOP = os.path.realpath(os.path.join(os.path.dirname(__file__), "..", ".."))
PREFIX = "/var/tmp/zq-e2e-"
DEBS = "/var/tmp/znode-quickstart/debs"

# Only a sanitizer says it so: runtimes have runtime errors, too.
SANITIZER = re.compile(r"(Address|Leak|UndefinedBehavior)Sanitizer|\S+:\d+:\d+: runtime error: ")
# What quickstart notes in a program's log when it starts it again.
ENDED = re.compile(r"-- (\S+), process (\d+), ended with (\d+)$")
ASKED_TO = (0, 128 + signal.SIGTERM)  # Statuses of a program that was asked to end, at once or before it could listen.
# An agent's words for helpers that it had to start again: those without a sanitizer leave no other trace.
REPLACED = re.compile(r"0-db ended, starting|flist server died|monitor is gone|tunnel process ended")


class Failure(Exception):
    """Something is not as promised."""


def birth(pid):
    """When a process began, in the kernel's ticks: with its number it is never mistaken for another."""
    with open(f"/proc/{pid}/stat") as file:
        return file.read().rsplit(")", 1)[1].split()[19]


def lives(owner):
    try:
        with open(owner) as file:
            pid, born = file.read().split()
        return birth(pid) == born
    except (OSError, ValueError):
        return False


def take_down_earlier():
    """What a story left that was ended from outside, as ctest ends one that takes too long: its names are in the way of
    the next one. Only what bears the name of its folder, or lies in there, is touched."""
    for folder in sorted(f for f in glob.glob(PREFIX + "*") if os.path.isdir(f)):
        if lives(folder + "/owner"):
            raise Failure(f"another story is at work, in {folder}: there can be only one")
        print(f"taking down what an earlier story left in {folder}", flush=True)
        for pid in filter(str.isdigit, os.listdir("/proc")):
            try:
                with open(f"/proc/{pid}/cmdline") as file:
                    line = file.read()
                # A quickstart in the middle of bringing it up.
                if "daemon/quickstart" in line and folder + ".json" in line:
                    os.kill(int(pid), signal.SIGKILL)
            except OSError:
                continue
        environment = dict(os.environ, ZNODE_QUICKSTART_DIR=folder, ASAN_OPTIONS="detect_leaks=0")
        environment.pop("ZNODE_BIN", None)  # It was written down which they are.
        try:
            done = subprocess.run([TOP + "/daemon/quickstart", "stop"], env=environment, stdout=subprocess.PIPE,
                                  stderr=subprocess.STDOUT, text=True, timeout=300, check=False)
            print(done.stdout, flush=True)
        except subprocess.TimeoutExpired as late:
            print(f"quickstart stop: {late}", flush=True)
        with open("/proc/self/mounts") as file:
            for mount in reversed([line.split()[1] for line in file]):
                if mount.startswith(folder + "/"):
                    subprocess.run(["umount", "-l", mount], check=False)
        listed = subprocess.run(["losetup", "-ln", "-O", "NAME,BACK-FILE"], stdout=subprocess.PIPE, text=True, check=False)
        for device, file in (line.split(None, 1) for line in listed.stdout.splitlines() if " " in line.strip()):
            if file.startswith(folder + "/"):
                subprocess.run(["losetup", "-d", device], check=False)
        shutil.rmtree(folder, ignore_errors=True)
        if os.path.exists(folder + ".json"):
            os.unlink(folder + ".json")


def complaint_in(text):
    """What a sanitizer said in it, with what follows; empty when none did."""
    lines = text.splitlines()
    first = next((n for n, line in enumerate(lines) if SANITIZER.search(line)), None)
    return "" if first is None else "\n".join(lines[first:first + 40])


def complaints_in(paths):
    """The same of log files, each with its name."""
    found = []
    for path in paths:
        with open(path, errors="replace") as file:
            said = complaint_in(file.read())
        if said:
            found.append(f"{path}:\n{said}")
    return found


class Grid:
    """Two nodes, explorer, hub, redis and a laptop, made by daemon/quickstart out of `binaries`.

    `config` is added to the configuration of each node."""

    def __init__(self, binaries, config=""):
        take_down_earlier()
        self.binaries = os.path.realpath(binaries)
        self.folder = tempfile.mkdtemp(prefix=os.path.basename(PREFIX), dir=os.path.dirname(PREFIX))
        with open(self.folder + "/owner", "w") as file:
            file.write(f"{os.getpid()} {birth(os.getpid())}")
        os.chmod(self.folder, 0o755)
        self.report_file = self.folder + ".json"
        self.environment = dict(
            os.environ,
            ZNODE_QUICKSTART_DIR=self.folder,
            ZNODE_QUICKSTART_DEBS=os.environ.get("ZNODE_QUICKSTART_DEBS", DEBS),
            ZNODE_QUICKSTART_CONFIG=config,
            ZNODE_QUICKSTART_KEEP="1",  # The logs are read when everything has ended.
            ZNODE_BIN=self.binaries,
            ASAN_OPTIONS="detect_leaks=0",
        )
        self.report = {}
        self.killed = set()   # Processes that this story killed.
        self.complaints = []  # What sanitizers said in programs that it ran itself.

    def quickstart(self, *arguments, patience=600):
        done = subprocess.run(
            [TOP + "/daemon/quickstart", *arguments, "--report", self.report_file],
            env=self.environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=patience)
        sys.stdout.write(done.stdout)
        sys.stdout.flush()
        self.listen_to(done.stdout, "quickstart")
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

    def listen_to(self, text, who):
        said = complaint_in(text)
        if said:
            self.complaints.append(f"{who}:\n{said}")

    def kill(self, pid):
        """What else ends so has crashed."""
        self.killed.add(pid)
        os.kill(pid, signal.SIGKILL)

    def crashes(self):
        """What sanitizers said, and programs that ended without having been killed or asked to."""
        # Helpers write where their agent does; a node's 0-db has a log of its own.
        logs = sorted(glob.glob(self.folder + "/log/*") + glob.glob(self.folder + "/node*/run/zdb/*/log"))
        found = self.complaints + complaints_in(logs)
        replaced = 0
        for path in logs:
            with open(path, errors="replace") as file:
                for line in file:
                    ended = ENDED.search(line)
                    if ended and int(ended[3]) not in ASKED_TO and int(ended[2]) not in self.killed:
                        found.append(f"{path}: {line.strip()}")
                    replaced += bool(REPLACED.search(line))
        if replaced:
            print(f"     agents say {replaced} times that a helper was gone and was started again", flush=True)
        return found

    def kill_agents(self, seed, times, until, begin):
        """Kills agents until the event is set, the first when the file `begin` appears, the others at moments drawn from
        the seed; says when."""
        chance = random.Random(seed)
        killed = []
        while not os.path.exists(begin):
            if until.wait(0.005):
                return killed
        pause = 0
        while len(killed) < times and not until.wait(pause):
            pause = chance.uniform(0.2, 1.6)
            name = chance.choice(["node1", "node2"])
            pid = self.pid_of(name)
            try:
                with open(f"/proc/{pid}/comm") as file:
                    if file.read().strip() != "znoded":
                        continue
                self.kill(pid)
                killed.append((round(time.time(), 2), name))
            except (OSError, TypeError):
                continue
        return killed

    def run(self, namespace, *command, patience=60, check=True, stdin=None):
        done = subprocess.run(
            ["nsenter", f"--net=/run/netns/zq-{namespace}", *command],
            env=dict(self.environment, ZNODE_QUICKSTART=self.folder), input=stdin,
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, timeout=patience)
        self.listen_to(done.stderr, " ".join(command))
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

    def ctl(self, node, *arguments, patience=60):
        done = subprocess.run(
            [self.binaries + "/znodectl", "--socket", f"{self.folder}/node{node}/run/status.sock", *arguments],
            env=self.environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, timeout=patience)
        self.listen_to(done.stderr, f"znodectl {arguments}")
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


def settled_cgroup_counts():
    """The same once it stands still for 5 s: groups of the tests before this one may be on their way out."""
    begun = since = time.monotonic()
    counts = cgroup_counts()
    while time.monotonic() < min(since + 5, begun + 120):
        time.sleep(0.1)
        now = cgroup_counts()
        if now != counts:
            counts, since = now, time.monotonic()
    return counts


def strangers_make_cgroups():
    """Systemd does for each session, service and timer: a count says nothing of ours then."""
    with open("/proc/1/comm") as file:
        return file.read().strip() == "systemd"


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
        groups = groups and not strangers_make_cgroups()
        counted = settled_cgroup_counts() if groups else {}

        def up():
            if grid.quickstart() != 0:
                grid.show_logs(sorted(os.listdir(grid.folder + "/log")), 60)
                raise Failure("quickstart failed")

        def down():
            if grid.quickstart("stop") != 0 or grid.report.get("left_behind", ["no report"]):
                raise Failure(json.dumps(grid.report.get("left_behind"), indent=1))

        def nothing_crashed():
            found = grid.crashes()
            expect(not found, "\n".join(found))

        def no_group_stays():
            """A removed group lives on in the kernel while a page is charged to it."""
            more = {}

            def none():
                more.clear()
                more.update({name: count - counted[name] for name, count in cgroup_counts().items() if count > counted[name]})
                return not more
            try:
                wait_for(none, 300, "groups go")
            except Failure:
                raise Failure(f"the kernel has more groups than before: {more}") from None

        try:
            if self("quickstart", up):
                self("the whole of it", body)
                if self.failed:
                    grid.show_logs([name for name in ("node1", "node2", "node3", "explorer")
                                    if os.path.exists(f"{grid.folder}/log/{name}")])
            self("nothing is left behind", down)
            self("nothing crashed", nothing_crashed)
            grid.remove()  # Pages of its files are charged to groups.
            if groups:
                self("no group stays in the kernel", no_group_stays)
        finally:
            grid.remove()
        print(f"{self.story}: {self.passed} passed, {len(self.failed)} failed {self.failed}")
        return 1 if self.failed else 0


class Killer:
    """Kills agents in the background while something else happens, from the moment a file appears."""

    def __init__(self, grid, seed, times, begin):
        self.done = threading.Event()
        self.killed = []
        self.thread = threading.Thread(
            target=lambda: self.killed.extend(grid.kill_agents(seed, times, self.done, begin)))

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.done.set()
        self.thread.join()
