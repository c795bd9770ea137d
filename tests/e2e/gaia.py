#!/usr/bin/env python3
"""The story of a customer's own data on the grid: capacity, network, 0-db, volume, container, logs, laptop. Then
everything he can do wrong, and agents that are killed. All assertions are made from his side."""
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time

sys.path.insert(0, os.path.dirname(__file__))
from grid import Checks, Failure, Grid, Killer, expect, wait_for  # noqa: E402
from hidden_node import HiddenNode  # noqa: E402
from proxy import Proxy  # noqa: E402

TESTS = []


def test(function):
    TESTS.append(function)
    return function


@test
def the_report_tells_of_a_whole_story(grid):
    report = grid.report
    types = sorted(w["type"] for w in report["workloads"])
    expect(types == ["container", "network_resource", "network_resource", "volume", "zdb", "zdb"], f"types: {types}")
    expect(report["log_lines"]["sent"] >= 100, "too few log lines")
    expect(report["log_lines"]["sent"] == report["log_lines"]["received"], f"log lines: {report['log_lines']}")
    expect(report["http"]["status"] == 200 and "visitor" in report["http"]["body"], f"http: {report['http']}")
    expect(report["zdb"]["written"] == report["zdb"]["read"], f"zdb: {report['zdb']}")
    names = {p["name"] for p in report["processes"]}
    for name in ("znoded", "znode-flist", "znode-monitor", "znode-zdb", "zgrid"):
        expect(name in names, f"{name} does not run: {names}")


@test
def every_result_is_ok_and_verifies(grid):
    for workload in grid.workloads():
        result = workload["result"]
        expect(result["state"] in (1, "ok"), f"workload {workload['id']}: {result}")
        expect(result["workload_id"] == f"{workload['id']}-{workload['workload_id']}", f"{result}")
        expect(len(result["signature"]) == 128, "a result without signature")


@test
def the_service_counts_on_its_volume(grid):
    first = int(re.search(r"visitor (\d+)", grid.fetch().stdout).group(1))
    second = int(re.search(r"visitor (\d+)", grid.fetch().stdout).group(1))
    expect(second == first + 1, f"{first} then {second}")


@test
def the_status_shows_what_runs(grid):
    status = grid.ctl_json(1, "status")
    expect(status["explorer"]["reachable"] and status["explorer"]["registered"], f"{status['explorer']}")
    expect(status["workloads"].get("running", 0) == 4, f"node 1 runs {status['workloads']}")
    expect(any(a["address"].startswith("198.51.100.11") for a in status["addresses"]), f"{status['addresses']}")
    container = [w for w in grid.ctl_json(1, "workloads")["workloads"] if w["type"] == "container"][0]
    expect(container["addresses"] and container["addresses"][0] == "172.20.1.10", f"{container}")
    expect(container["pids"], "the container has no pid")
    logs = grid.ctl(1, "logs", container["gwid"], "--tail", "500")
    expect("line 200 of 200" in logs, "znodectl logs does not show the last line")
    expect("listening on port 8000" in logs, "znodectl logs does not show the start")
    for view, word in (("storage", "volume"), ("network", "172.20"), ("capacity", "processor"), ("doctor", "btrfs"), ("flists", "198.51.100.1:8080")):
        shown = grid.ctl(1, view)
        expect(word in shown.lower(), f"'{word}' is not in what znodectl {view} shows: {shown}")
    flists = grid.ctl_json(1, "flists")
    expect(flists["flists"][0]["entries"] > 1000 and flists["flists"][0]["bytes"] > 1 << 20, f"{flists}")
    expect(flists["cache_used"] > 1 << 20, f"{flists}")


@test
def a_killed_agent_disturbs_nobody(grid):
    def pids():
        found = {}
        for node in (1, 2):
            for workload in grid.ctl_json(node, "workloads")["workloads"]:
                found[workload["gwid"]] = (workload["state"], tuple(workload["pids"]))
        return found

    before = pids()
    visits = int(re.search(r"visitor (\d+)", grid.fetch().stdout).group(1))
    for _ in range(3):
        for name in ("node1", "node2"):
            pid = grid.pid_of(name)
            grid.kill(pid)
            expect("visitor" in grid.fetch().stdout, "the service does not answer while its agent is away")
            wait_for(lambda: grid.pid_of(name) not in (None, pid), 20, f"{name} is started again")
    wait_for(lambda: _quiet(pids) == before, 30, f"everything as before: {before}")
    after = int(re.search(r"visitor (\d+)", grid.fetch().stdout).group(1))
    expect(after == visits + 7, f"visits {visits} then {after}")


def _quiet(function):
    try:
        return function()
    except (Failure, ValueError, OSError):
        return None


def container(grid, name, **changes):
    node = grid.node_ids()[0]
    members = {
        "node": f'"{node}"', "network": '"net"', "ip": '"172.20.1.77"',
        "flist": '"http://198.51.100.1:8080/customer.quickstart/web.flist"', "hub_url": '"zdb://198.51.100.1:9910"',
        "entrypoint": '"/startup.sh"', "cpu": "1", "memory": '"256MiB"', "disk": '"64MiB"', "disk_type": '"ssd"',
    }
    members.update(changes)
    lines = "\n".join(f"{key} = {value}" for key, value in members.items())
    pool = grid.workloads()[0]["pool_id"]
    return f'name = "{name}"\npool = {pool}\n[container.{name}]\n{lines}\n'


def refused(grid, name, words, **changes):
    running = {w["gwid"]: tuple(w["pids"]) for w in grid.ctl_json(1, "workloads")["workloads"] if w["state"] == "running"}
    begun = time.monotonic()
    done = grid.deploy(name, container(grid, name, **changes))
    text = done.stdout + done.stderr
    expect(done.returncode == 1, f"{name}: zgrid deploy ended with {done.returncode}\n{text}")
    for word in words:
        expect(word.lower() in text.lower(), f"{name}: '{word}' is not in the message:\n{text}")
    print(f"     {name}: refused after {time.monotonic() - begun:.1f} s: {text.strip().splitlines()[-1][:150]}")
    wait_for(
        lambda: {w["gwid"] for w in grid.ctl_json(1, "workloads")["workloads"]} == set(running), 60,
        f"{name}: nothing is left of it")
    after = {w["gwid"]: tuple(w["pids"]) for w in grid.ctl_json(1, "workloads")["workloads"]}
    expect(after == running, f"{name}: neighbours changed: {running} {after}")


@test
def a_killed_explorer_forgets_nothing(grid):
    before = sorted((w["id"], w["result"]["state"], w["next_action"]) for w in grid.workloads())
    pid = grid.pid_of("explorer")
    grid.kill(pid)
    wait_for(lambda: grid.pid_of("explorer") not in (None, pid), 20, "the explorer is started again")
    after = wait_for(lambda: _quiet(grid.workloads), 20, "the explorer answers again")
    expect(sorted((w["id"], w["result"]["state"], w["next_action"]) for w in after) == before, "workloads were forgotten")
    expect("visitor" in grid.fetch().stdout, "the service does not answer")


@test
def an_explorer_that_is_away_at_the_start_stops_nothing(grid):
    """It hangs, which is worse than being away. The node comes up all the same and says what is the matter."""
    explorer = grid.pid_of("explorer")
    before = {w["gwid"]: tuple(w["pids"]) for w in grid.ctl_json(1, "workloads")["workloads"]}
    os.kill(explorer, signal.SIGSTOP)
    try:
        agent = grid.pid_of("node1")
        grid.kill(agent)
        wait_for(lambda: grid.pid_of("node1") not in (None, agent), 20, "the agent is started again")

        def told():
            status = _quiet(lambda: grid.ctl_json(1, "status"))
            return status and not status["explorer"]["reachable"] and [
                p for p in status["problems"] if "198.51.100.1:8080" in p["text"] and p["remedy"]]

        wait_for(told, 60, "the status says that the explorer is away, and what to do")
        expect("visitor" in grid.fetch().stdout, "the service does not answer while the explorer is away")
        wait_for(lambda: {w["gwid"]: tuple(w["pids"]) for w in grid.ctl_json(1, "workloads")["workloads"]} == before, 3,
                 f"all that ran is found without explorer and hub: {before}")
    finally:
        os.kill(explorer, signal.SIGCONT)
    wait_for(lambda: _quiet(lambda: grid.ctl_json(1, "status")["explorer"]["reachable"]), 60, "it is found again")


class ProxiedNode(HiddenNode):
    def config(self, text):
        return text.replace("198.51.100.1:8080", "198.51.100.1:8081")


def spoil(path, body):
    """Volumes of 2 GiB have a size that is no number."""
    return body.replace(b'"size":2,', b'"size":"many",') if "/workloads" in path else body


@test
def a_broken_entry_harms_none_of_its_page(grid):
    """Four volumes are ordered while the node sleeps, so that all are read at once; the third cannot be read."""
    with Proxy("internet", ("198.51.100.1", 8081), ("198.51.100.1", 8080), spoil), ProxiedNode(grid) as node3:
        node3.start()
        status = wait_for(lambda: _quiet(lambda: grid.ctl_json(3, "status")), 30, "node 3 is up")
        wait_for(lambda: _quiet(lambda: grid.ctl_json(3, "status")["explorer"]["registered"]), 30, "node 3 is registered")
        pool = grid.pool(status["node_id"])
        agent = grid.pid_of("node3")
        os.kill(agent, signal.SIGSTOP)
        try:
            path = grid.folder + "/customer/page.toml"
            with open(path, "w") as file:
                file.write(f'name = "page"\npool = {pool}\n')
                for number, size in enumerate((1, 1, 2, 1)):
                    file.write(f'volume.v{number} = {{ node = "{status["node_id"]}", size = "{size}GiB", type = "ssd" }}\n')
            grid.zgrid("deploy", path)
            ids = sorted(w["id"] for w in grid.workloads())[-4:]
        finally:
            os.kill(agent, signal.SIGCONT)

        def results():
            found = {i: grid.zgrid_json("workload", "show", str(i))["result"] for i in ids}
            return found if all(r["workload_id"] for r in found.values()) else None

        found = wait_for(results, 60, "all four have a result")
        states = [found[i]["state"] for i in ids]
        expect(states in ([1, 1, 0, 1], ["ok", "ok", "error", "ok"]), f"{found}")
        expect("size" in found[ids[2]]["message"], f"the message does not name the member: {found[ids[2]]}")
        for i in ids:
            grid.zgrid("workload", "delete", str(i), check=False)
        wait_for(lambda: not grid.ctl_json(3, "workloads")["workloads"], 60, "they are gone")


@test
def a_kernel_that_is_too_old_is_refused(grid):
    done = grid.run("node1", "setarch", "x86_64", "--uname-2.6", grid.binaries + "/znoded", "--config",
                    grid.folder + "/node1/znoded.toml", check=False)
    expect(done.returncode == 1 and "6.1" in done.stderr, f"{done.returncode} {done.stderr}")


@test
def a_wrong_config_is_refused_with_every_mistake(grid):
    path = grid.folder + "/wrong.toml"
    with open(path, "w") as file:
        file.write('[node]\nfarm_id = "one"\nmod = 1\n[explorer]\nurl = "ftp://x"\n')
    done = grid.run("node1", grid.binaries + "/znoded", "--config", path, "--check-config", check=False)
    expect(done.returncode == 2, f"exit code {done.returncode}")
    for word in ("wrong.toml:2", "wrong.toml:3", "http://"):
        expect(word in done.stderr, f"'{word}' is missing: {done.stderr}")
    with open(grid.folder + "/node1/znoded.toml") as right, open(path, "w") as file:
        file.write(right.read().replace("[zdb]", '[zdb]\nuser = "nobody-of-this-name"'))
    done = grid.run("node1", grid.binaries + "/znoded", "--config", path, "--check-config", check=False)
    expect(done.returncode == 2 and "nobody-of-this-name" in done.stderr, f"an unknown user: {done.returncode} {done.stderr}")
    grid.run("node1", grid.binaries + "/znoded", "--config", grid.folder + "/node1/znoded.toml", "--check-config")
    twice = grid.run("node1", grid.binaries + "/znoded", "--config", grid.folder + "/node1/znoded.toml", check=False)
    expect(twice.returncode == 1 and "another znoded" in twice.stderr, f"a second agent: {twice.returncode} {twice.stderr}")
    # What everybody can read and run, in a folder that everybody can enter.
    with tempfile.TemporaryDirectory(prefix="znode-public-", dir="/var/tmp") as folder:
        os.chmod(folder, 0o755)
        program, config = folder + "/znoded", folder + "/znoded.toml"
        shutil.copy(grid.binaries + "/znoded", program)
        shutil.copy(grid.folder + "/node1/znoded.toml", config)
        os.chmod(config, 0o644)

        def as_nobody():
            return grid.run("node1", "setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", program, "--config", config,
                            check=False)
        user = as_nobody()
        expect(user.returncode == 1 and "needs root" in user.stderr, f"without root: {user.returncode} {user.stderr}")
        os.chmod(config, 0o600)
        user = as_nobody()
        expect(user.returncode == 2 and config in user.stderr, f"a config that cannot be read: {user.returncode} {user.stderr}")


@test
def too_much_memory_is_refused_with_numbers(grid):
    refused(grid, "huge", ["memory", "free of"], memory='"900GiB"')


@test
def too_many_cpus_are_refused(grid):
    refused(grid, "wide", ["CPUs"], cpu="1000")


@test
def an_unknown_network_is_refused(grid):
    refused(grid, "nowhere", ["nonet"], network='"nonet"')


@test
def an_address_outside_of_the_subnet_is_refused(grid):
    refused(grid, "outside", ["172.20.200.9"], ip='"172.20.200.9"')


@test
def a_missing_flist_is_refused(grid):
    refused(grid, "missing", ["flist"], flist='"http://198.51.100.1:8080/customer.quickstart/nothing.flist"')


@test
def a_garbage_flist_is_refused(grid):
    path = grid.folder + "/hub/customer.quickstart/garbage.flist"
    with open(path, "wb") as file:
        file.write(os.urandom(4096))
    refused(grid, "garbage", ["flist"], flist='"http://198.51.100.1:8080/customer.quickstart/garbage.flist"')
    with open(path, "wb"):
        pass
    refused(grid, "empty", ["flist"], flist='"http://198.51.100.1:8080/customer.quickstart/garbage.flist"')


@test
def a_missing_entry_point_is_refused(grid):
    refused(grid, "noentry", ["/no/such/program"], entrypoint='"/no/such/program"')


@test
def an_unknown_volume_is_refused(grid):
    refused(grid, "novolume", ["volume", "99999-1"], volumes='{ "/data" = "99999-1" }')


@test
def a_flist_whose_block_is_missing_is_refused(grid):
    """Its blocks went to a store that nobody asks: the program cannot be read, and somebody says so."""
    tree = grid.folder + "/lonely"
    os.makedirs(tree)
    with open(tree + "/startup.sh", "wb") as file:
        file.write(b"#!/bin/nothing\n" + os.urandom(100))
    os.chmod(tree + "/startup.sh", 0o755)
    flist = grid.folder + "/hub/customer.quickstart/lonely.flist"
    grid.run("internet", grid.binaries + "/znode-flist", "pack", tree, "-o", flist, "--store", f"dir://{grid.folder}/away")
    refused(grid, "lonely", ["lonely"], flist='"http://198.51.100.1:8080/customer.quickstart/lonely.flist"')


@test
def a_redis_that_refuses_the_password_harms_nobody(grid):
    grid.run("internet", "redis-server", "--port", "6380", "--bind", "198.51.100.1", "--requirepass", "right",
             "--save", "", "--daemonize", "yes", "--dir", grid.folder)
    done = grid.deploy("mute", container(grid, "mute", logs='"redis://:wrong@198.51.100.1:6380/mute"', ip='"172.20.1.78"',
                                         volumes='{}'))
    expect(done.returncode == 0, f"{done.stdout}{done.stderr}")
    found = wait_for(
        lambda: [p for p in grid.ctl_json(1, "status")["problems"] if "198.51.100.1:6380" in p["text"]], 30,
        "the status names the redis that refuses")
    expect("wrong" not in json.dumps(found).replace("wrong pass", ""), f"the password is shown: {found}")
    wait_for(lambda: "visitor" in grid.fetch("http://172.20.1.78:8000/", 2).stdout
             or "line 200" in grid.ctl(1, "logs", gwid_of(grid, "172.20.1.78"), "--tail", "300"), 60, "it runs all the same")
    expect("visitor" in grid.fetch().stdout, "the neighbour does not answer")
    grid.zgrid("workload", "delete", gwid_of(grid, "172.20.1.78").split("-")[0])
    wait_for(lambda: not gwid_of(grid, "172.20.1.78"), 60, "it is gone")


def gwid_of(grid, address):
    for workload in grid.ctl_json(1, "workloads")["workloads"]:
        if address in workload["addresses"]:
            return workload["gwid"]
    return ""


@test
def another_customers_volume_is_refused(grid):
    seed = grid.folder + "/customer/mallory.seed"

    def mallory(*arguments, check=True):
        return grid.run("internet", grid.binaries + "/zgrid", "--explorer", "http://198.51.100.1:8080",
                        "--identity", seed, *arguments, check=check)

    mallory("user", "create", "mallory.quickstart", "--email", "m@example.org")
    node1 = grid.node_ids()[0]
    pool = json.loads(mallory("--json", "pool", "create", "--node", node1, "--cu", "100", "--su", "100").stdout)
    pool = pool.get("pool_id", pool.get("reservation_id", pool.get("id")))
    volume = [w for w in grid.workloads() if w["workload_type"] in (2, "volume") and w["result"]["state"] in (1, "ok")][0]
    text = container(grid, "thief", ip='"172.21.1.5"', network='"own"',
                     volumes=f'{{ "/data" = "{volume["id"]}-{volume["workload_id"]}" }}')
    text = re.sub(r"pool = \d+", f'pool = {pool}\nnetwork.own = {{ range = "172.21.0.0/16", nodes = ["{node1}"] }}', text)
    path = grid.folder + "/customer/thief.toml"
    with open(path, "w") as file:
        file.write(text)
    done = mallory("deploy", path, "--wait", check=False)
    answer = done.stdout + done.stderr
    expect(done.returncode == 1, f"the thief's container was made: {answer}")
    expect("another customer" in answer, f"the reason is missing: {answer}")
    expect("visitor" in grid.fetch().stdout, "the victim does not answer")
    listed = json.loads(mallory("--json", "workload", "list").stdout)
    listed = listed.get("workloads", listed) if isinstance(listed, dict) else listed
    for workload in listed:
        if workload["next_action"] not in (6, "deleted"):
            mallory("workload", "delete", str(workload["id"]), check=False)
    wait_for(lambda: len(grid.ctl_json(1, "workloads")["workloads"]) == 4, 60, "the thief's network is gone")


@test
def a_hidden_node_serves_through_its_tunnel(grid):
    """A third node behind a masquerading router: nobody can dial it, it dials the others."""
    with HiddenNode(grid) as node3:
        node3.start()
        nodes = wait_for(lambda: len(_quiet(grid.node_ids) or []) == 3 and grid.node_ids(), 30, "three nodes")
        first, third = nodes[0], nodes[2]
        wait_for(lambda: _quiet(lambda: grid.ctl_json(3, "status")["explorer"]["registered"]), 30, "node 3 is registered")
        pool = grid.pool(first, third)
        text = container(grid, "cave", node=f'"{third}"', network='"wide"', ip='"172.22.2.10"')
        text = re.sub(r"pool = \d+",
                      f'pool = {pool}\nnetwork.wide = {{ range = "172.22.0.0/16", nodes = ["{first}", "{third}"], access = "{first}" }}',
                      text)
        done = grid.deploy("cave", text)
        expect(done.returncode == 0, f"{done.stdout}{done.stderr}")
        node3.bring_up_laptop(grid.zgrid("network", "wg", "wide").stdout)
        # Without a volume the service cannot count and hangs up (curl's 52): but it was reached.
        wait_for(lambda: grid.fetch("http://172.22.2.10:8000/", 3).returncode in (0, 52), 40, "the container behind the router answers the laptop")
        expect(grid.run("laptop", "curl", "-sS", "--max-time", "2", "http://10.99.0.2:8000/", check=False).returncode != 0,
               "the hidden node can be dialled")
        for workload in sorted(grid.workloads(), key=lambda w: -w["id"]):
            if workload["pool_id"] == pool and workload["next_action"] not in (6, "deleted"):
                grid.zgrid("workload", "delete", str(workload["id"]))
        wait_for(lambda: not grid.ctl_json(3, "workloads")["workloads"]
                 and len(grid.ctl_json(1, "workloads")["workloads"]) == 4, 60, "all of it is gone")


@test
def the_customer_takes_it_down_and_deploys_it_again(grid):
    done = grid.zgrid_json("workload", "list")
    found = done.get("workloads", done) if isinstance(done, dict) else done
    web = [w for w in found if w["workload_type"] in (1, "container") and w["result"]["state"] in (1, "ok")][0]
    grid.zgrid("workload", "delete", str(web["id"]))
    gwid = f"{web['id']}-{web['workload_id']}"
    wait_for(lambda: gwid not in {w["gwid"] for w in grid.ctl_json(1, "workloads")["workloads"]}, 60, "the container is gone")
    expect(grid.fetch(patience=1).returncode != 0, "the removed container still answers")
    again = grid.zgrid("deploy", grid.folder + "/customer/quickstart.toml", "--wait", check=False)
    expect(again.returncode == 0, f"deploy again: {again.stdout}{again.stderr}")
    answer = wait_for(lambda: re.search(r"visitor (\d+)", grid.fetch(patience=2).stdout), 30, "the service answers again")
    expect(int(answer.group(1)) > 5, "the volume has lost its data")


@test
def no_quota_group_outlives_its_subvolume(grid):
    for node in (1, 2):
        with open(f"{grid.folder}/node{node}/run/holder") as file:
            inside = ["nsenter", "-t", file.read().split()[1], "-m"]
        mounts = subprocess.run([*inside, "cat", "/proc/self/mountinfo"], stdout=subprocess.PIPE, text=True, check=True).stdout
        pools = re.findall(rf" ({re.escape(grid.folder)}/node{node}/run/\S+) .* - btrfs ", mounts)
        expect(pools, f"node {node} has no pool:\n{mounts}")

        def orphans():
            left = []
            for pool in pools:
                told = [subprocess.run([*inside, "btrfs", *words, pool], stdout=subprocess.PIPE, text=True, check=True).stdout
                        for words in (("qgroup", "show", "--raw"), ("subvolume", "list"))]
                living = {"5", *re.findall(r"^ID (\d+) ", told[1], re.M)}
                left += sorted(set(re.findall(r"^0/(\d+) ", told[0], re.M)) - living)
            return left

        wait_for(lambda: not orphans(), 30, f"node {node}: quota groups without a subvolume {orphans()} go")


def is_back(grid, node, workloads):
    status = grid.ctl_json(node, "status")
    explorer = status.get("explorer", {})
    return explorer.get("reachable") and explorer.get("registered") and status.get("workloads", {}).get("running") == workloads


def main():
    grid = Grid(sys.argv[1])
    seed = int(os.environ.get("ZNODE_SEED", str(int(time.time()))))
    print(f"seed {seed}: ZNODE_SEED={seed} repeats the moments of the kills", flush=True)
    check = Checks("gaia")
    bring_up = grid.quickstart

    def under_fire(*arguments):
        if arguments:
            return bring_up(*arguments)
        deployment = grid.folder + "/log/deploy"
        with Killer(grid, seed, 10, deployment) as killer:
            status = bring_up()
        if status != 0:
            return status
        told = os.stat(deployment).st_mtime  # The last result.
        early = [when for when, _ in killer.killed if when < told]
        print(f"{len(killer.killed)} agents were killed, {len(early)} of them before the last result: {killer.killed}")
        expect(early, "no agent was killed during the deployment")
        for node, workloads in ((1, 4), (2, 2)):
            wait_for(lambda: _quiet(lambda: is_back(grid, node, workloads)), 60, f"node {node} is as before the last kill")
        return status

    def body():
        for function in TESTS:
            check(function.__name__, function, grid)

    grid.quickstart = under_fire
    return check.on_a_grid(grid, body, groups=True)


if __name__ == "__main__":
    sys.exit(main())
