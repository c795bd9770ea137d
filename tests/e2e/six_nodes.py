"""Six nodes of two farms on one machine, each in a network namespace of its own, an explorer with hub, and a laptop."""
import contextlib
import glob
import json
import os
import shutil
import signal
import subprocess
import tempfile

from grid import Failure, complaints_in, wait_for

HOST = "198.51.100.1"
EXPLORER = f"http://{HOST}:8080"
PREFIX = "zs"


class Six:
    """Everything lies in one folder; `stop` takes all of it down and tells what is left."""

    def __init__(self, binaries, eras=("reservations",) * 6):
        self.binaries = binaries
        self.eras = eras
        self.folder = tempfile.mkdtemp(prefix="znode-s3-", dir="/var/tmp")
        os.chmod(self.folder, 0o755)
        self.environment = dict(os.environ, ASAN_OPTIONS="detect_leaks=0", LOG_LEVEL="silent")
        self.processes = {}
        self.spaces = []
        self.before = self.inventory()

    # What could be left behind: one thing a line.
    def inventory(self):
        lines = set()
        with open("/proc/self/mounts") as file:
            lines.update("mount " + line.split()[1] for line in file)
        for command in (["ip", "netns", "list"], ["losetup", "-a"], ["nft", "list", "tables"]):
            done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, check=False)
            lines.update(" ".join(command) + ": " + line.split(" (id")[0] for line in done.stdout.splitlines())
        done = subprocess.run(["ip", "-o", "link"], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, check=False)
        lines.update("link " + line.split(":")[1].strip() for line in done.stdout.splitlines())
        for top, folders, _ in os.walk("/sys/fs/cgroup"):
            lines.update("cgroup " + os.path.join(top, name) for name in folders if name.startswith("znode-"))
        for pid in self.own_pids():
            lines.add(f"process {pid}")
        return lines

    def own_pids(self):
        found = []
        for pid in filter(str.isdigit, os.listdir("/proc")):
            try:
                with open(f"/proc/{pid}/cmdline", "rb") as file:
                    if self.folder.encode() in file.read() and int(pid) != os.getpid():
                        found.append(int(pid))
            except OSError:
                continue
        return found

    def run(self, space, *command, check=True, stdin=None, patience=60):
        done = subprocess.run(
            ["nsenter", f"--net=/run/netns/{PREFIX}-{space}", *command], env=self.environment, input=stdin,
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, timeout=patience)
        if check and done.returncode != 0:
            raise Failure(f"{' '.join(command)}: {done.returncode}\n{done.stdout}\n{done.stderr}")
        return done

    def begin(self, name, space, *command):
        with open(f"{self.folder}/{name}.log", "ab") as log:
            self.processes[name] = subprocess.Popen(
                ["nsenter", f"--net=/run/netns/{PREFIX}-{space}", *command], env=self.environment,
                stdin=subprocess.DEVNULL, stdout=log, stderr=log)

    def space(self, name, number=None):
        subprocess.run(["ip", "netns", "add", f"{PREFIX}-{name}"], check=True)
        self.spaces.append(name)
        self.run(name, "ip", "link", "set", "lo", "up")
        if number is None:
            return
        self.run("internet", "ip", "link", "add", f"to-{name}", "type", "veth", "peer", "name", "eth0",
                 "netns", f"{PREFIX}-{name}")
        self.run("internet", "ip", "link", "set", f"to-{name}", "master", "inet0", "up")
        for line in (f"addr add 198.51.100.{number}/24 dev eth0", "link set eth0 up", f"route add default via {HOST}"):
            self.run(name, "ip", *line.split())

    def zgrid(self, *arguments, who="customer", check=True, stdin=None, patience=120):
        return self.run("internet", self.binaries + "/zgrid", "--explorer", EXPLORER, "--era", "reservations",
                        "--identity", f"{self.folder}/{who}.seed", *arguments, check=check, stdin=stdin, patience=patience)

    def zgrid_json(self, *arguments, **options):
        return json.loads(self.zgrid("--json", *arguments, **options).stdout)

    def ctl(self, node, *arguments):
        done = subprocess.run(
            [self.binaries + "/znodectl", "--socket", f"{self.folder}/node{node}/run/status.sock", *arguments],
            env=self.environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, timeout=60)
        if done.returncode != 0:
            raise Failure(f"znodectl {arguments} on node {node}: {done.returncode} {done.stderr}")
        return done.stdout

    def ctl_json(self, node, *arguments):
        return json.loads(self.ctl(node, "--json", *arguments))

    def start(self):
        self.space("internet")
        self.run("internet", "ip", "link", "add", "inet0", "type", "bridge")
        self.run("internet", "ip", "addr", "add", f"{HOST}/24", "dev", "inet0")
        self.run("internet", "ip", "link", "set", "inet0", "up")
        for node in range(1, 7):
            self.space(f"node{node}", 10 + node)
        self.space("laptop", 20)
        blocks = f"{self.folder}/blocks"
        os.makedirs(blocks)
        os.makedirs(f"{self.folder}/hub")
        self.begin("blocks", "internet", self.binaries + "/znode-zdb", "--data", blocks + "/data", "--index", blocks + "/index",
                   "--mode", "user", "--listen", HOST, "--port", "9910", "--socket", blocks + "/admin.sock", "--dualnet")
        self.begin("explorer", "internet", os.environ.get("ZNODE_EXPLORER", self.binaries + "/zgrid"), "serve", "--listen", f"{HOST}:8080",
                   "--data", self.folder + "/explorer", "--hub", self.folder + "/hub")
        wait_for(lambda: self.run("internet", "curl", "-sf", EXPLORER + "/api/v1/prices", check=False).returncode == 0, 20,
                 "the explorer answers")
        wait_for(lambda: self.run("internet", "redis-cli", "-h", HOST, "-p", "9910", "ping", check=False).stdout == "PONG\n", 20,
                 "the hub's 0-db answers")
        for who in ("farmer", "customer"):
            self.zgrid("user", "create", f"{who}.s3", "--email", f"{who}@example.org", who=who)
        farms = [self.zgrid_json("farm", "create", f"farm-{city}", "--wallet", "TFT:GS3", who="farmer")["id"]
                 for city in ("salzburg", "vienna")]
        for node in range(1, 7):
            self.start_node(node, farms[0] if node <= 3 else farms[1])
        for farm in farms:
            wait_for(lambda: len(self.nodes_of(farm)) == 3, 60, f"three nodes of farm {farm}")
        return farms

    def start_node(self, node, farm):
        folder = f"{self.folder}/node{node}"
        os.makedirs(folder, exist_ok=True)
        with open(folder + "/znoded.toml", "w") as file:
            file.write(f"""
[node]
farm_id = {farm}
state_dir = "{folder}/state"
cache_dir = "{folder}/cache"
run_dir = "{folder}/run"
helpers_dir = "{self.binaries}"
hostname = "node{node}"
[explorer]
url = "{EXPLORER}"
era = "{self.eras[node - 1]}"
verify = "always"
[storage]
pools = [ {{ kind = "image", path = "{folder}/pool.img", size = "28GiB", class = "ssd", sparse = true }} ]
[flist]
hub_url = "zdb://{HOST}:9910"
[zdb]
command = "{self.binaries}/znode-zdb"
""")
        self.begin(f"node{node}", f"node{node}", self.binaries + "/znoded", "--config", folder + "/znoded.toml")

    def nodes_of(self, farm):
        """In a stable order, each with what it has; empty while one of them has not said it."""
        nodes = self.zgrid_json("node", "list", "--farm", str(farm))
        nodes = nodes.get("nodes", nodes) if isinstance(nodes, dict) else nodes
        return sorted((n for n in nodes if n["total_resources"]["sru"] > 0), key=lambda n: n["id"])

    def end(self, name):
        """Asks it to end; what is wrong with how it did, as a list."""
        process = self.processes.pop(name)
        process.terminate()
        try:
            code = process.wait(20)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
            return [f"{name} did not end within 20 s"]
        return [] if code in (0, -signal.SIGTERM) else [f"{name} ended with {code}"]

    def stop(self):
        """What is left, and what went wrong without anybody's seeing it; empty when all is as it was."""
        wrong = []
        for node in range(1, 7):
            if f"node{node}" in self.processes:
                wrong += self.end(f"node{node}")
        for node in range(1, 7):
            config = f"{self.folder}/node{node}/znoded.toml"
            if not os.path.exists(config):
                continue
            done = self.run(f"node{node}", self.binaries + "/znoded", "--config", config, "--purge", check=False)
            if done.returncode != 0:
                wrong.append(f"node {node} is not taken down: {done.stderr[-600:]}")
        for name in list(self.processes):
            wrong += self.end(name)
        self.run("laptop", "ip", "link", "delete", "wg0", check=False)
        with contextlib.suppress(Failure):
            wait_for(lambda: not self.own_pids(), 5, "all of it has ended")
        for pid in self.own_pids():
            with contextlib.suppress(OSError):  # It has ended meanwhile.
                with open(f"/proc/{pid}/cmdline") as file:
                    wrong.append(f"process {pid} is left: {file.read()}")
                os.kill(pid, 9)
        wrong += complaints_in(sorted(glob.glob(self.folder + "/*.log") + glob.glob(self.folder + "/node*/run/zdb/*/log")))
        for name in reversed(self.spaces):
            subprocess.run(["ip", "netns", "delete", f"{PREFIX}-{name}"], check=False)
        # The first namespace of a machine makes a mount point that outlives it.
        if "mount /run/netns" not in self.before and os.path.isdir("/run/netns") and not os.listdir("/run/netns"):
            while subprocess.run(["umount", "/run/netns"], stderr=subprocess.DEVNULL, check=False).returncode == 0:
                pass
            os.rmdir("/run/netns")
        try:
            wait_for(lambda: not self.inventory() - self.before, 10, "nothing is left")
        except Failure:
            wrong += sorted(self.inventory() - self.before)
        return wrong

    def remove(self):
        shutil.rmtree(self.folder, ignore_errors=True)
