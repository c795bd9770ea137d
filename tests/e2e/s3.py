#!/usr/bin/env python3
"""The story of an S3 archive over six nodes, in the words and the order of its notebook: reservations with lists, six 0-db
namespaces with a hidden password, a volume, and a container whose program learns of them from its environment alone. Then two
of the six fail, one of them the container's own."""
import json
import os
import random
import re
import shutil
import subprocess
import sys
import time

sys.path.insert(0, os.path.dirname(__file__))
from grid import TOP, Failure, expect, wait_for  # noqa: E402,F401
from six_nodes import EXPLORER, HOST, Six  # noqa: E402

NETWORK = "demo_network_name_01"
SUBNETS = [15, 16, 17, 28, 29, 30]
ADDRESS = "172.20.15.16"
PASSWORD = "supersecret"
OBJECTS = 200


class Story:
    def __init__(self, grid):
        self.grid = grid
        self.numbers = {}
        self.objects = {}

    # ---- what the notebook's library does ----------------------------------------------------------------------------
    def register(self, data, duration="24h"):
        path = self.grid.folder + "/reservation.json"
        with open(path, "w") as file:
            json.dump(data, file)
        return self.grid.zgrid_json("reservation", "create", path, "--duration", duration)["reservation_id"]

    def results(self, reservation):
        done = self.grid.run("internet", "curl", "-sf", f"{EXPLORER}/explorer/reservations/{reservation}")
        return json.loads(done.stdout)["results"] or []

    def registered_and_there(self, what, data, wanted, patience=5.0, duration="24h"):
        """The notebook registers, sleeps five seconds and reads: everything must be there by then."""
        begun = time.monotonic()
        reservation = self.register(data, duration)
        try:
            wait_for(lambda: len(self.results(reservation)) == wanted, patience - (time.monotonic() - begun),
                     f"{what}: {wanted} results")
        except Failure as error:
            raise Failure(f"{error}: {self.results(reservation)}")
        took = time.monotonic() - begun
        found = self.results(reservation)
        for result in found:
            expect(result["state"] == 1, f"{what}: {result}")
            expect(len(result["signature"]) == 128, f"{what}: no signature")
        self.numbers[what] = round(took, 2)
        print(f"     {what}: reservation {reservation}, {wanted} results ok after {took:.2f} s", flush=True)
        return reservation, found

    def hidden(self, node, text):
        return self.grid.zgrid("reservation", "seal", node, stdin=text + "\n").stdout.strip()

    def keys(self):
        private = subprocess.run(["wg", "genkey"], stdout=subprocess.PIPE, text=True, check=True).stdout.strip()
        public = subprocess.run(["wg", "pubkey"], input=private + "\n", stdout=subprocess.PIPE, text=True, check=True).stdout.strip()
        return private, public

    # ---- the story, step by step -------------------------------------------------------------------------------------
    def choose_nodes(self, farms):
        """Step 3: three nodes of each farm, in a stable order."""
        first = [n["node_id"] for farm in farms for n in self.grid.nodes_of(farm)]
        again = [n["node_id"] for farm in farms for n in self.grid.nodes_of(farm)]
        expect(first == again and len(set(first)) == 6, f"nodes: {first} {again}")
        self.nodes = first
        self.gateway = first[0]
        self.number = {}
        for node in range(1, 7):
            self.number[self.grid.ctl_json(node, "status")["node_id"]] = node
        for node in range(1, 7):
            status = self.grid.ctl_json(node, "status")
            expect(status["explorer"]["era"] in ("reservations", "pools"), f"{status['explorer']}")
        expect(sorted(self.number) == sorted(first), f"the explorer's nodes are not ours: {self.number} {first}")

    def make_network(self):
        """Step 2: one network over all six; the laptop is a peer of the gateway's node."""
        keys = {node: self.keys() for node in self.nodes}
        laptop = self.keys()
        routed = {node: [f"172.20.{n}.0/24", f"100.64.20.{n}/32"] for node, n in zip(self.nodes, SUBNETS)}
        beyond = ["172.20.99.0/24", "100.64.20.99/32"]

        def peer(other, seen_from_gateway):
            allowed = routed[other] + (beyond if other == self.gateway and not seen_from_gateway else [])
            return {"public_key": keys[other][1], "allowed_iprange": allowed,
                    "endpoint": f"198.51.100.{10 + self.number[other]}:8030", "iprange": routed[other][0]}

        resources = []
        for node in self.nodes:
            peers = [peer(other, node == self.gateway) for other in self.nodes if other != node]
            if node == self.gateway:
                peers.append({"public_key": laptop[1], "allowed_iprange": beyond, "endpoint": "", "iprange": beyond[0]})
            resources.append({
                "node_id": node, "wireguard_private_key_encrypted": self.hidden(node, keys[node][0]),
                "wireguard_public_key": keys[node][1], "wireguard_listen_port": 8030, "iprange": routed[node][0], "peers": peers})
        self.network, found = self.registered_and_there("network", {
            "description": "", "networks": [{"name": NETWORK, "workload_id": 1, "iprange": "172.20.0.0/16",
                                             "stats_aggregator": [], "network_resources": resources, "farmer_tid": 2147483647}]}, 6, 10)
        expect({r["node_id"] for r in found} == set(self.nodes), "one result per node")
        expect({r["workload_id"] for r in found} == {f"{self.network}-1"}, "all under one name")
        self.laptop_up(laptop[0], keys[self.gateway][1])

    def laptop_up(self, private, gateway_key):
        grid = self.grid
        path = grid.folder + "/laptop.wg"
        with open(path, "w") as file:
            os.fchmod(file.fileno(), 0o600)
            file.write(f"[Interface]\nPrivateKey = {private}\n[Peer]\nPublicKey = {gateway_key}\n"
                       f"AllowedIPs = 172.20.0.0/16, 100.64.20.0/24\nPersistentKeepalive = 20\n"
                       f"Endpoint = 198.51.100.{10 + self.number[self.gateway]}:8030\n")
        if grid.run("laptop", "ip", "link", "add", "wg0", "type", "wireguard", check=False).returncode != 0:
            grid.run("laptop", "wireguard-go", "wg0")
        for line in (f"wg setconf wg0 {path}", "ip addr add 100.64.20.99/32 dev wg0", "ip link set wg0 mtu 1420 up",
                     "ip route add 172.20.0.0/16 dev wg0 src 100.64.20.99"):
            grid.run("laptop", *line.split())

    def make_volume(self):
        """Step 5, in a reservation of its own."""
        self.volume, found = self.registered_and_there("volume", {
            "description": "", "volumes": [{"workload_id": 1, "node_id": self.gateway, "size": 10, "type": 1,
                                            "stats_aggregator": [], "farmer_tid": 2147483647}]}, 1)
        expect(found[0]["category"] == 2 and found[0]["data_json"] == {"volume_id": f"{self.volume}-1"}, f"{found}")

    def make_zdbs(self):
        """Steps 4, 6, 7: one on each node, the gateway's own among them."""
        entries = [{"workload_id": n + 1, "node_id": node, "size": 10, "mode": 0, "password": self.hidden(node, PASSWORD),
                    "disk_type": 1, "public": False, "stats_aggregator": [], "farmer_tid": 2147483647}
                   for n, node in enumerate(self.nodes)]
        self.zdbs, found = self.registered_and_there("six 0-dbs", {"description": "", "zdbs": entries}, 6)
        self.shards = []
        for result in sorted(found, key=lambda r: r["workload_id"]):
            data = result["data_json"]
            expect(result["category"] == 0 and result["workload_id"] == data["Namespace"], f"{result}")
            expect(data["IP"] and data["Port"] > 0, f"the old clients read IP and Port: {data}")
            self.shards.append(f"{data['Namespace']}:{PASSWORD}@[{data['IP']}]:{data['Port']}")
        print(f"     shards: {self.shards}")

    def pack_program(self):
        tree = self.grid.folder + "/tree"
        program = self.grid.binaries + "/objectstore"
        for folder in ("bin", "data", "tmp", "etc", "proc", "sys", "dev"):
            os.makedirs(f"{tree}/{folder}")
        shutil.copy(program, tree + "/bin/entrypoint")
        libraries = subprocess.run(["ldd", program], stdout=subprocess.PIPE, text=True, check=True).stdout
        for library in re.findall(r"(/\S+)", libraries):
            os.makedirs(tree + os.path.dirname(library), exist_ok=True)
            shutil.copy(os.path.realpath(library), tree + library)
        os.makedirs(self.grid.folder + "/hub/customer.s3", exist_ok=True)
        self.grid.run("internet", self.grid.binaries + "/znode-flist", "pack", tree, "-o",
                      self.grid.folder + "/hub/customer.s3/objectstore.flist", "--store", f"zdb://{HOST}:9910")

    def make_container(self):
        """Steps 8 to 11: four of six, and the volume of the earlier reservation for what must be remembered."""
        self.container, found = self.registered_and_there("container", {"description": "", "containers": [{
            "workload_id": 1, "node_id": self.gateway, "flist": f"{EXPLORER}/customer.s3/objectstore.flist", "hub_url": "",
            "environment": {"SHARDS": ",".join(self.shards), "DATA": "4", "PARITY": "2", "ACCESS_KEY": "minio",
                            "SECRET_KEY": "passwordpassword"},
            "secret_environment": {}, "entrypoint": "/bin/entrypoint", "interactive": False,
            "volumes": [{"volume_id": f"{self.volume}-1", "mountpoint": "/data"}],
            "network_connection": [{"network_id": NETWORK, "ipaddress": ADDRESS, "public_ip6": False}],
            "stats_aggregator": [], "farmer_tid": 2147483647, "capacity": {"cpu": 2, "memory": 2048}}]}, 1)
        expect(found[0]["category"] == 1 and found[0]["data_json"]["ipv4"] == ADDRESS, f"{found}")
        expect("yggdrasil" not in found[0]["data_json"], f"the shape of that time: {found}")
        answer = wait_for(lambda: self.ask("GET", "").stdout, 30, "the store answers over WireGuard")
        expect(answer.split() == ["6", "4", "2"], f"it learned of its shards: {answer}")

    def everything_was_signed(self):
        for node in range(1, 7):
            for workload in self.grid.ctl_json(node, "workloads")["workloads"]:
                expect(workload["details"]["verified"] == "yes", f"node {node}: {workload}")
                expect(workload["details"].get("expires"), f"it ends by itself: {workload}")

    def ask(self, method, name, body=None, patience=15):
        command = ["curl", "-sS", "--max-time", str(patience), "-X", method, f"http://{ADDRESS}:9000/{name}"]
        if body is not None:
            command += ["--data-binary", "@" + body]
        return self.grid.run("laptop", *command, check=False)

    def curl_all(self, lines):
        """Many requests over one connection: one config file of curl's."""
        path = self.grid.folder + "/curl"
        with open(path, "w") as file:
            file.write("\nnext\n".join(lines))
        return self.grid.run("laptop", "curl", "-sS", "--fail-early", "-K", path, check=False, patience=240)

    def put_objects(self):
        chance = random.Random(20200325)
        folder = self.grid.folder + "/objects"
        os.makedirs(folder)
        lines = []
        for number in range(OBJECTS):
            name = f"object-{number:03}"
            content = chance.randbytes(chance.choice([0, 1, 3, 4, 5, 1000, 65536, 200_000, 1 << 20]))
            with open(f"{folder}/{name}", "wb") as file:
                file.write(content)
            lines.append(f'upload-file = "{folder}/{name}"\nurl = "http://{ADDRESS}:9000/{name}"\nfail\nmax-time = 20')
        begun = time.monotonic()
        done = self.curl_all(lines)
        expect(done.returncode == 0, f"PUT: {done.returncode} {done.stderr}")
        print(f"     {OBJECTS} objects written in {time.monotonic() - begun:.1f} s")

    def get_objects(self, when):
        folder, got = self.grid.folder + "/objects", self.grid.folder + "/got"
        shutil.rmtree(got, ignore_errors=True)
        os.makedirs(got)
        lines = [f'output = "{got}/object-{n:03}"\nurl = "http://{ADDRESS}:9000/object-{n:03}"\nfail\nmax-time = 20'
                 for n in range(OBJECTS)]
        begun = time.monotonic()
        done = self.curl_all(lines)
        expect(done.returncode == 0, f"GET {when}: {done.returncode} {done.stderr}")
        equal = 0
        for number in range(OBJECTS):
            name = f"object-{number:03}"
            with open(f"{folder}/{name}", "rb") as one, open(f"{got}/{name}", "rb") as two:
                equal += one.read() == two.read()
        expect(equal == OBJECTS, f"{when}: only {equal} of {OBJECTS} objects are what was written")
        print(f"     {equal} of {OBJECTS} objects equal {when}, in {time.monotonic() - begun:.1f} s", flush=True)

    def zdb_pids(self, node):
        found = []
        for pid in self.grid.own_pids():
            try:
                with open(f"/proc/{pid}/comm") as name, open(f"/proc/{pid}/cmdline") as line:
                    if name.read().strip() == "znode-zdb" and f"{self.grid.folder}/node{node}/" in line.read():
                        found.append(pid)
            except OSError:
                continue
        return found

    def two_fail(self):
        """Step 12: the 0-dbs of the container's own node and of another one stop."""
        container = [w for w in self.workloads(self.gateway) if w["type"] == "container"][0]
        self.stopped = []
        for node in (self.gateway, self.nodes[4]):
            pids = self.zdb_pids(self.number[node])
            expect(pids, f"node {self.number[node]} runs no 0-db")
            for pid in pids:
                os.kill(pid, 19)
                self.stopped.append(pid)
        self.get_objects("with two of six 0-dbs stopped")
        expect(all(state(pid) == "T" for pid in self.stopped), "a 0-db was awake meanwhile")
        after = [w for w in self.workloads(self.gateway) if w["type"] == "container"][0]
        expect(after["pids"] == container["pids"], f"the container went on: {container} {after}")

    def container_again(self):
        gwid = f"{self.container}-1"
        before = [w for w in self.workloads(self.gateway) if w["gwid"] == gwid][0]
        self.grid.ctl(self.number[self.gateway], "restart", gwid)
        wait_for(lambda: [w for w in self.workloads(self.gateway) if w["gwid"] == gwid and w["pids"]
                          and w["pids"] != before["pids"]], 30, "the container has started again")
        wait_for(lambda: self.ask("GET", "").stdout, 30, "the store answers again")
        self.get_objects("after the container was restarted")
        for pid in self.stopped:
            os.kill(pid, 18)
        self.stopped = []
        self.get_objects("with all six again")

    def workloads(self, node):
        return self.grid.ctl_json(self.number[node], "workloads")["workloads"]

    def types_that_nobody_runs(self):
        """They get an error with a reason, and are gone then."""
        reservation = self.register({"description": "", "kubernetes": [{
            "workload_id": 1, "node_id": self.nodes[1], "size": 1, "network_id": NETWORK, "ipaddress": "172.20.16.20",
            "cluster_secret": self.hidden(self.nodes[1], "x"), "master_ips": [], "ssh_keys": [], "stats_aggregator": [],
            "farmer_tid": 2147483647}]})
        results = wait_for(lambda: self.results(reservation), 10, "a result for kubernetes")
        expect("kubernetes" in results[0]["message"] and results[0]["state"] != 1, f"{results}")
        wait_for(lambda: self.grid.zgrid_json("reservation", "show", str(reservation))["next_action"] in (4, 6), 10,
                 "the reservation is on its way out")
        expect("does not run" in self.results(reservation)[0]["message"], "the reason is kept")

    def it_ends_by_itself(self):
        """Step 13, with eight seconds in the place of a day."""
        begun = time.time()
        reservation, _ = self.registered_and_there("a short volume", {"description": "", "volumes": [{
            "workload_id": 1, "node_id": self.nodes[2], "size": 1, "type": 1, "stats_aggregator": [],
            "farmer_tid": 2147483647}]}, 1, duration="8s")
        gwid = f"{reservation}-1"
        expect(gwid in {w["gwid"] for w in self.workloads(self.nodes[2])}, "the volume is there")
        wait_for(lambda: gwid not in {w["gwid"] for w in self.workloads(self.nodes[2])}, 30, "the volume has ended")
        took = time.time() - begun
        expect(took >= 7, f"it ended after {took:.1f} s already")
        wait_for(lambda: self.grid.zgrid_json("reservation", "show", str(reservation))["next_action"] in (4, 6), 10,
                 "the explorer knows")
        print(f"     ended by itself after {took:.1f} s of 8")

    def the_command_line_speaks_it_too(self):
        """A deployment file in that era: one reservation per part, nothing ordered twice."""
        path = self.grid.folder + "/tool.toml"
        with open(path, "w") as file:
            file.write(f'name = "tool"\nduration = "2h"\n'
                       f'volume.v = {{ node = "{self.nodes[1]}", size = "1GiB", type = "ssd" }}\n'
                       f'zdb.z = {{ node = "{self.nodes[1]}", size = "1GiB", mode = "user", type = "ssd", password = "x" }}\n')
        plan = self.grid.zgrid("deploy", path, "--dry-run").stdout
        expect("volume.v" in plan and "SU" in plan and "reserved for" in plan, f"{plan}")
        first = self.grid.zgrid_json("deploy", path, "--wait")["workloads"]
        expect([w["state"] for w in first] == ["ok", "ok"], f"{first}")
        again = self.grid.zgrid_json("deploy", path, "--wait")["workloads"]
        expect([w["gwid"] for w in again] == [w["gwid"] for w in first], f"{first} {again}")
        for workload in first:
            self.grid.zgrid("workload", "delete", workload["gwid"], "--wait")

    def all_of_it_goes(self):
        for reservation in (self.container, self.zdbs, self.volume, self.network):
            self.grid.zgrid("reservation", "delete", str(reservation))
        for node in self.nodes:
            wait_for(lambda: not self.workloads(node), 60, f"node {self.number[node]} holds nothing")
        for reservation in (self.container, self.zdbs, self.volume, self.network):
            wait_for(lambda: self.grid.zgrid_json("reservation", "show", str(reservation))["next_action"] == 6, 30,
                     f"reservation {reservation} is deleted")


def state(pid):
    with open(f"/proc/{pid}/stat") as file:
        return file.read().rsplit(")", 1)[1].split()[0]


def main():
    eras = tuple(os.environ.get("ZNODE_ERAS", "reservations,reservations,reservations,reservations,reservations,reservations").split(","))
    grid = Six(sys.argv[1], eras)
    story = Story(grid)
    passed, failed = 0, []
    steps = [story.choose_nodes, story.make_network, story.make_volume, story.make_zdbs, story.pack_program,
             story.make_container, story.everything_was_signed, story.put_objects,
             lambda: story.get_objects("with all six"), story.two_fail, story.container_again, story.types_that_nobody_runs,
             story.it_ends_by_itself, story.the_command_line_speaks_it_too, story.all_of_it_goes]
    try:
        farms = grid.start()
        for step in steps:
            name = getattr(step, "__name__", "step").replace("<lambda>", "get_objects")
            begun = time.monotonic()
            try:
                step(farms) if name == "choose_nodes" else step()
            except Exception as error:  # noqa: BLE001: the rest of the story needs this step
                failed.append(name)
                print(f"FAIL {name}: {type(error).__name__}: {error}", flush=True)
                if name not in ("types_that_nobody_runs", "it_ends_by_itself", "the_command_line_speaks_it_too"):
                    break
                continue
            passed += 1
            print(f"ok   {name} ({time.monotonic() - begun:.1f} s)", flush=True)
    except Exception as error:  # noqa: BLE001
        failed.append("start")
        print(f"FAIL start: {type(error).__name__}: {error}", flush=True)
    finally:
        for pid in getattr(story, "stopped", []):
            os.kill(pid, 18)
        if failed:
            for name in sorted(os.listdir(grid.folder)):
                if name.endswith(".log"):
                    with open(f"{grid.folder}/{name}", errors="replace") as file:
                        print(f"---- {name}\n" + "".join(file.readlines()[-25:]))
        left = grid.stop()
        if left:
            failed.append("nothing_is_left_behind")
            print("FAIL nothing_is_left_behind: " + json.dumps(left, indent=1))
        else:
            passed += 1
            print("ok   nothing_is_left_behind")
        grid.remove()
    print(f"s3: {passed} passed, {len(failed)} failed {failed}")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
