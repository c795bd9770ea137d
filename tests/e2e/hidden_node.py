"""A node at home: behind a router that masquerades, reachable by nobody."""
import os
import re
import subprocess

from grid import TOP, Failure, expect, wait_for


class HiddenNode:
    def __init__(self, grid):
        self.grid = grid
        self.folder = grid.folder + "/node3"

    def __enter__(self):
        return self

    def config(self, text):
        """Node 1's configuration made this node's."""
        return text

    def start(self):
        grid = self.grid
        os.makedirs(self.folder, exist_ok=True)
        for name in ("router", "node3"):
            subprocess.run(["ip", "netns", "add", f"zq-{name}"], check=True)
            grid.run(name, "ip", "link", "set", "lo", "alias", grid.folder, "up")  # For `quickstart stop`: it is the grid's.
        for line in (
            "internet ip link add to-router type veth peer name eth0 netns zq-router",
            "internet ip link set to-router master inet0 up",
            "router ip addr add 198.51.100.20/24 dev eth0",
            "router ip link set eth0 up",
            "router ip route add default via 198.51.100.1",
            "router ip link add lan0 type veth peer name eth0 netns zq-node3",
            "router ip addr add 10.99.0.1/24 dev lan0",
            "router ip link set lan0 up",
            "router sysctl -qw net.ipv4.ip_forward=1",
            "node3 ip addr add 10.99.0.2/24 dev eth0",
            "node3 ip link set eth0 up",
            "node3 ip route add default via 10.99.0.1",
        ):
            grid.run(*line.split())
        grid.run("router", "nft", "-f", "-", stdin=(
            "table ip home { chain post { type nat hook postrouting priority srcnat; oifname \"eth0\" masquerade\n}\n"
            "chain through { type filter hook forward priority filter; policy accept;\n"
            "iifname \"eth0\" ct state established,related accept\niifname \"eth0\" drop\n}\n}\n"))
        with open(grid.folder + "/node1/znoded.toml") as file:
            text = file.read().replace("/node1/", "/node3/").replace('"node1"', '"node3"')
        with open(self.folder + "/znoded.toml", "w") as file:
            file.write(self.config(text))
        subprocess.run(
            ["setsid", "-f", TOP + "/daemon/quickstart", "__keep", "node3", "node3", grid.binaries + "/znoded", "--config",
             self.folder + "/znoded.toml"],
            env=dict(grid.environment, ZNODE_QUICKSTART=grid.folder), check=True,
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

    def bring_up_laptop(self, text):
        """What wg-quick does."""
        grid = self.grid
        path = grid.folder + "/customer/wide"
        with open(path, "w") as file:
            os.fchmod(file.fileno(), 0o600)
            file.write("\n".join(l for l in text.splitlines() if not re.match(r" *(Address|DNS|MTU)", l)) + "\n")
        if grid.run("laptop", "ip", "link", "add", "wg1", "type", "wireguard", check=False).returncode != 0:
            grid.run("laptop", "env", "LOG_LEVEL=silent", "wireguard-go", "wg1")
        grid.run("laptop", "wg", "setconf", "wg1", path)
        for address in re.search(r"Address *= *(.*)", text).group(1).split(","):
            grid.run("laptop", "ip", "addr", "add", address.strip(), "dev", "wg1")
        grid.run("laptop", "ip", "link", "set", "wg1", "mtu", "1420", "up")
        for wanted in re.findall(r"AllowedIPs *= *(.*)", text):
            for prefix in wanted.split(","):
                grid.run("laptop", "ip", "route", "replace", prefix.strip(), "dev", "wg1", check=False)

    def __exit__(self, *_):
        grid = self.grid
        keeper = grid.pid_of("keep-node3")
        if keeper:
            os.kill(keeper, 9)
        pid = grid.pid_of("node3")
        if pid:
            os.kill(pid, 15)
            stopped = True
            try:
                wait_for(lambda: not os.path.exists(f"/proc/{pid}") or state_of(pid) == "Z", 20, "node 3 stops")
            except Failure:
                stopped = False
                os.kill(pid, 9)
        done = grid.run("node3", grid.binaries + "/znoded", "--config", self.folder + "/znoded.toml", "--purge", check=False)
        grid.run("laptop", "ip", "link", "delete", "wg1", check=False)
        for name in ("node3", "router"):
            subprocess.run(["ip", "netns", "delete", f"zq-{name}"], check=False)
        expect(done.returncode == 0, f"node 3 is not taken down: {done.stderr}")
        expect(not pid or stopped, "node 3 did not stop within 20 s")


def state_of(pid):
    try:
        with open(f"/proc/{pid}/stat") as file:
            return file.read().rsplit(")", 1)[1].split()[0]
    except OSError:
        return "Z"
