#!/usr/bin/env python3
"""Whatever an explorer answers, or does not: the node asks with patience, believes nobody who is not vouched for,
keeps what runs as it is, and works again as soon as there is a real one."""
import gzip
import json
import os
import re
import ssl
import subprocess
import sys
import time

sys.path.insert(0, os.path.dirname(__file__))
from commands import certificate  # noqa: E402
from grid import Checks, Failure, Grid, expect, wait_for  # noqa: E402
from hidden_node import HiddenNode  # noqa: E402
from proxy import Proxy  # noqa: E402

EXPLORER = ("198.51.100.1", 8080)
LISTEN = ("198.51.100.1", 8081)
WATCHED = 8.0  # seconds for which each strange explorer is looked at
BUSY = 0.01    # of a processor
GROWTH = 16    # MiB: twice what an agent may take, for this one is sanitized and gives back late
CLOCK = os.sysconf("SC_CLK_TCK")


class Watched(HiddenNode):
    """Its explorer is where this test listens; http or https."""

    scheme, more = "http", ""

    def config(self, text):
        return re.sub(r'url = "http://198.51.100.1:8080[^"]*"',
                      f'url = "{self.scheme}://198.51.100.1:8081"\n{self.more}', text)

    def change(self, scheme, more):
        """Another way to its explorer: read when the agent starts again."""
        self.scheme, self.more = scheme, more
        with open(self.grid.folder + "/node1/znoded.toml") as file:
            text = file.read().replace("/node1/", "/node3/").replace('"node1"', '"node3"')
        with open(self.folder + "/znoded.toml", "w") as file:
            file.write(self.config(text))
        before = self.grid.pid_of("node3")
        self.grid.kill(before)
        wait_for(lambda: self.grid.pid_of("node3") not in (before, None) and self.status(), 30, "the agent starts again")

    def status(self):
        try:
            return self.grid.ctl_json(3, "status")
        except (Failure, ValueError, OSError):
            return None

    def explorer(self):
        status = self.status()
        return status["explorer"] if status else {}

    def complaint(self):
        status = self.status() or {"problems": []}
        return " ".join(p["text"] for p in status["problems"] if "explorer" in p["text"])

    def seconds_of_processor(self):
        with open(f"/proc/{self.grid.pid_of('node3')}/stat") as file:
            fields = file.read().rsplit(")", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / CLOCK

    def resident(self):
        with open(f"/proc/{self.grid.pid_of('node3')}/status") as file:
            return int(re.search(r"VmRSS:\s+(\d+)", file.read()).group(1)) / 1024


class Scene:
    def __init__(self, grid, node, proxy):
        self.grid, self.node, self.proxy = grid, node, proxy
        node.start()
        self.id = wait_for(node.status, 30, "node 3 is up")["node_id"]
        wait_for(lambda: node.explorer().get("registered"), 30, "node 3 is registered")
        self.pool = grid.pool(self.id)
        self.count = 0
        self.kept = self.new_volume()

    def new_volume(self):
        """Ordered at the real explorer, as any customer does; waits for the result."""
        self.count += 1
        name = f"v{self.count}"
        done = self.grid.deploy(
            name, f'name = "{name}"\npool = {self.pool}\nvolume.v = {{ node = "{self.id}", size = "1GiB", type = "ssd" }}\n')
        expect(done.returncode == 0, f"{done.stdout}{done.stderr}")
        gwid = f"{max(w['id'] for w in self.grid.workloads())}-1"
        with open(self.path(gwid) + "/mine", "w") as file:
            file.write(gwid)
        return gwid

    def path(self, gwid):
        found = [v for v in self.grid.ctl_json(3, "storage")["volumes"] if v["workload"] == gwid]
        expect(len(found) == 1, f"volume {gwid} is not there: {found}")
        holder = self.grid.pid_of("node3")
        return f"/proc/{holder}/root{found[0]['path']}"

    def all_is_there(self):
        with open(self.path(self.kept) + "/mine") as file:
            expect(file.read() == self.kept, "the volume's data is another")
        states = {w["gwid"]: w["state"] for w in self.grid.ctl_json(3, "workloads")["workloads"]}
        expect(states.get(self.kept) == "running", f"{states}")

    def works_again(self):
        before = self.node.explorer()["last_poll"]
        self.proxy.instead = None
        self.proxy.hang_up()
        # The longest pause: a minute and a tenth.
        wait_for(lambda: self.node.explorer().get("last_poll", before) > before, 75, "the explorer is asked again")
        expect(self.node.explorer()["reachable"], "the explorer is not reached again")
        self.all_is_there()


def say(handler, status, body=b"", headers=()):
    handler.send_response(status)
    for name, value in headers:
        handler.send_header(name, value)
    handler.send_header("Content-Length", str(len(body)))
    handler.end_headers()
    handler.wfile.write(body)


def silent(handler):
    handler.connection.settimeout(120)
    try:
        handler.connection.recv(1)  # Until the node gives up.
    except OSError:
        pass
    return True


def drip(handler):
    """A byte a second."""
    try:
        for byte in b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 1000\r\n\r\n" + b"[" * 1000:
            handler.wfile.write(bytes([byte]))
            time.sleep(1)
    except OSError:
        pass
    return True


def answering(status, body=b"", headers=()):
    def answer(handler):
        say(handler, status, body, headers)
        return True
    return answer


def moved(handler):
    """Round and round."""
    say(handler, 302, b"", [("Location", handler.path)])
    return True


def strange(scene, name, instead, most_asked):
    """For a while the explorer does this to every request."""
    node, proxy = scene.node, scene.proxy
    agent = scene.grid.pid_of("node3")
    proxy.instead = instead
    proxy.hang_up()
    wait_for(lambda: node.explorer().get("reachable") is False, 60, f"{name}: the node notices")
    asked, busy, begun = proxy.asked, node.seconds_of_processor(), time.monotonic()
    while time.monotonic() < begun + WATCHED:
        time.sleep(0.5)  # Nothing to wait for: that little happens is what is looked at.
    asked, busy = proxy.asked - asked, node.seconds_of_processor() - busy
    complaint = node.complaint()
    print(f"     {name}: asked {asked} times, {100 * busy / WATCHED:.1f} % of a processor, \"{complaint[:120]}\"")
    expect(asked <= most_asked, f"{name}: asked {asked} times in {WATCHED} s")
    expect(busy <= BUSY * WATCHED, f"{name}: {busy:.2f} s of processor in {WATCHED} s")
    expect("does not answer" in complaint, f"{name}: the status says: {complaint}")
    expect(scene.grid.pid_of("node3") == agent, "the agent is another process")
    scene.works_again()


def a_silent_explorer_is_given_up(scene):
    """Not for as long as it likes: a poll that promises to wait is given up in the end, too."""
    node, proxy = scene.node, scene.proxy
    proxy.instead = silent
    proxy.hang_up()
    wait_for(lambda: "not done" in node.complaint(), 100, "the node gives up")
    print(f"     \"{node.complaint()[:150]}\"")
    scene.works_again()


# Pages of work that are none, or hold something that is none.
GARBAGE = {
    "no json": (b"<html>it works</html>", []),
    "cut off": (b'[{"id":1,"workload_id":1,', []),
    "deep": (b"[" * 1_000_000, []),
    "gzip bomb": (gzip.compress(bytes(64 << 20)), [("Content-Encoding", "gzip")]),
    "strange numbers": (b'[{"id":NaN},{"id":1e999},{"id":-99999999999999999999999},{"id":1,"id":2,"id":"x"},null,7,"",[],{}]', []),
}


def garbage(scene, name, body, headers):
    node, proxy = scene.node, scene.proxy
    told = []

    def instead(handler):
        if "from=" not in handler.path:
            return False
        told.append(handler.path)
        say(handler, 200, body, headers)
        return True

    before = node.resident()
    proxy.instead = instead
    proxy.hang_up()
    wait_for(lambda: len(told) >= 2, 40, f"{name}: the node asks again")
    growth = node.resident() - before
    print(f"     {name}: {len(body)} bytes, {growth:+.1f} MiB")
    expect(growth < GROWTH, f"{name}: it cost {growth:.1f} MiB")
    scene.works_again()


def a_page_without_end_is_refused(scene):
    """Two gigabytes, told and untold."""
    for told in (True, False):
        node, proxy = scene.node, scene.proxy
        taken = []

        def instead(handler):
            if "from=" not in handler.path:
                return False
            piece = b'{"id":"' + b"x" * 65536
            handler.send_response(200)
            if told:
                handler.send_header("Content-Length", str(2 << 30))
            else:
                handler.send_header("Transfer-Encoding", "chunked")
            handler.end_headers()
            sent = 0
            try:
                handler.wfile.write(b"[" if told else b"1\r\n[\r\n")
                while sent < 2 << 30:
                    handler.wfile.write(piece if told else b"%x\r\n%s\r\n" % (len(piece), piece))
                    sent += len(piece)
            except OSError:
                pass
            taken.append(sent)
            return True

        before = node.resident()
        proxy.instead = instead
        proxy.hang_up()
        wait_for(lambda: taken, 60, "the node hangs up")
        growth = node.resident() - before
        print(f"     {'told' if told else 'untold'}: hung up after {taken[0] >> 20} MiB, {growth:+.1f} MiB")
        expect(taken[0] <= 96 << 20, f"{taken[0]} bytes were taken")
        expect(growth < GROWTH, f"it cost {growth:.1f} MiB")
        scene.works_again()


def premature(folder):
    """A certificate that begins in 2040: the node's clock is before it, as one of 1970 is before any."""
    key, made = folder + "/early.key", folder + "/early.pem"
    with open(folder + "/ca.cnf", "w") as file:
        file.write(f"[ca]\ndefault_ca=c\n[c]\ndatabase={folder}/index\nserial={folder}/serial\nnew_certs_dir={folder}\n"
                   "default_md=sha256\npolicy=p\ncopy_extensions=copy\nunique_subject=no\n[p]\ncommonName=supplied\n")
    open(folder + "/index", "w").close()
    with open(folder + "/serial", "w") as file:
        file.write("01\n")
    for words in (
            ["req", "-new", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-keyout", key,
             "-out", folder + "/early.csr", "-subj", "/CN=early.example", "-addext", "subjectAltName=IP:" + LISTEN[0]],
            ["ca", "-batch", "-notext", "-selfsign", "-config", folder + "/ca.cnf", "-keyfile", key, "-in", folder + "/early.csr",
             "-startdate", "20400101000000Z", "-enddate", "20410101000000Z", "-out", made]):
        subprocess.run(["openssl", *words], check=True, capture_output=True)
    return made, key


def context_of(pair):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*pair)
    return context


def truncated(handler):
    """An answer whose end is the connection's end, cut as an attacker cuts it: without close_notify."""
    if "from=" not in handler.path:
        return False
    handler.wfile.write(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nx-last-id: 999999\r\n\r\n[]")
    handler.wfile.flush()
    os.close(handler.connection.detach())
    return True


def only_who_is_vouched_for_is_believed(scene):
    grid, node = scene.grid, scene.node
    folder = grid.folder + "/customer"
    good = certificate(folder, "good.example", LISTEN[0], 2)
    stranger = certificate(folder, "stranger.example", LISTEN[0], 2)
    for name, pair, trusted, words in (
            ("a stranger", stranger, good[0], ["certificate"]),
            ("nobody signed it", good, None, ["certificate"]),
            ("over", certificate(folder, "over.example", LISTEN[0], -1), "itself", ["certificate", "expired"]),
            ("for another host", certificate(folder, "other.example", "198.51.100.77", 2), "itself", ["certificate"]),
            ("not yet", premature(folder), "itself", ["certificate", "not yet valid"])):
        trusted = pair[0] if trusted == "itself" else trusted
        with Proxy("internet", LISTEN, EXPLORER, tls=context_of(pair)) as proxy:
            node.change("https", f'ca_file = "{trusted}"' if trusted else "")
            complaint = wait_for(node.complaint, 30, f"{name}: the status tells of it")
            for word in words:
                expect(word in complaint.lower(), f"{name}: '{word}' is not in: {complaint}")
            expect(proxy.asked > 0, "nobody came")
            expect(node.explorer()["reachable"] is False, f"{name} was believed")
            scene.all_is_there()
            print(f"     {name}: \"{complaint[:150]}\"")
    with Proxy("internet", LISTEN, EXPLORER, tls=context_of(good)) as proxy:
        node.change("https", f'ca_file = "{good[0]}"')
        wait_for(lambda: node.explorer().get("reachable"), 40, "the one that is pinned is believed")
        scene.proxy = proxy
        scene.new_volume()
        cut = []

        def instead(handler):
            """Counted: that the connection before was ended is something to complain of as well."""
            done = truncated(handler)
            if done:
                cut.append(handler.path)
            return done

        proxy.instead = instead
        proxy.hang_up()
        complaint = wait_for(lambda: cut and node.complaint(), 40, "a page that was cut is no page")
        print(f"     cut without a word: \"{complaint[:150]}\"")
        scene.works_again()
        scene.new_volume()


def what_nobody_signed_away_is_kept(scene):
    """An explorer, taken over or mad, wants everything gone: it goes, and not a byte is lost before its time."""
    grid, node, proxy = scene.grid, scene.node, scene.proxy
    done = grid.deploy("db", f'name = "db"\npool = {scene.pool}\nzdb.z = {{ node = "{scene.id}", size = "1GiB", mode = "user", '
                             'type = "ssd", password = "supersecret", public = false }\n')
    expect(done.returncode == 0, f"{done.stdout}{done.stderr}")
    zdb = f"{max(w['id'] for w in grid.workloads())}-1"
    shown = {w["gwid"]: w for w in grid.ctl_json(3, "workloads")["workloads"]}
    host, port = shown[zdb]["addresses"][0].rsplit(":", 1)

    def ask(*words):
        return grid.run("node3", "redis-cli", "-h", host.strip("[]"), "-p", port,
                        stdin=f"SELECT {zdb} supersecret\n" + " ".join(words) + "\n").stdout.strip().splitlines()[-1].strip()

    ask("SET", "key", "precious")
    expect(ask("GET", "key") == "precious", "the 0-db does not keep what it is given")
    wanted = []
    for gwid in (scene.kept, zdb):
        text = grid.run("internet", "curl", "-sS", f"http://198.51.100.1:8080/api/v1/reservations/workloads/{gwid.split('-')[0]}").stdout
        wanted.append(json.loads(text) | {"next_action": 4, "signatures_delete": None})
    volume = scene.path(scene.kept)

    def instead(handler):
        if "from=" not in handler.path:
            return False
        say(handler, 200, json.dumps(wanted).encode(), [("x-last-id", "1")])
        return True

    proxy.instead = instead
    proxy.hang_up()
    wait_for(lambda: not {scene.kept, zdb} & {w["gwid"] for w in grid.ctl_json(3, "workloads")["workloads"]}, 60, "both go")
    pool = os.path.dirname(volume)
    kept = [name for name in os.listdir(pool) if name.startswith(".znode-kept-") and name.endswith("-" + scene.kept)]
    expect(len(kept) == 1, f"the volume is not kept: {os.listdir(pool)}")
    with open(f"{pool}/{kept[0]}/mine") as file:
        expect(file.read() == scene.kept, "its data is another")
    expect("frozen" in ask("GET", "key"), "a namespace that is set aside can be read")
    sockets = [f"{folder}/{name}" for folder, _, names in os.walk(node.folder + "/run/zdb") for name in names if name == "admin.sock"]
    expect(len(sockets) == 1, f"{sockets}")
    grid.run("node3", "redis-cli", "-s", sockets[0], "NSSET", zdb, "freeze", "0")
    expect(ask("GET", "key") == "precious", "its data is lost")
    # A volume that is there again is what the other checks look at.
    proxy.instead = None
    proxy.hang_up()
    wait_for(lambda: node.explorer().get("reachable"), 40, "the explorer is reached again")
    scene.kept = scene.new_volume()


def main():
    grid = Grid(sys.argv[1])
    check = Checks("hostile")

    def body():
        with Watched(grid) as node:
            with Proxy("internet", LISTEN, EXPLORER) as proxy:
                scene = Scene(grid, node, proxy)
                # How often it may ask is what two patient tasks (news, announcement) come to.
                check("an explorer that drips", strange, scene, "a byte a second", drip, 8)
                check("an explorer that says 503", strange, scene, "503", answering(503, b"oops"), 10)
                check("an explorer that says 429", strange, scene, "429", answering(429, b"slow", [("Retry-After", "3")]), 8)
                check("redirects without end", strange, scene, "302", moved, 10)
                for name, (page, headers) in GARBAGE.items():
                    check(f"garbage: {name}", garbage, scene, name, page, headers)
                check("a page without end is refused", a_page_without_end_is_refused, scene)
                check("a silent explorer is given up", a_silent_explorer_is_given_up, scene)
                check("and it works on", scene.new_volume)
                check("what nobody signed away is kept", what_nobody_signed_away_is_kept, scene)
            check("only who is vouched for is believed", only_who_is_vouched_for_is_believed, scene)
            for workload in sorted(grid.workloads(), key=lambda w: -w["id"]):
                if workload["pool_id"] == scene.pool and workload["next_action"] not in (6, "deleted"):
                    grid.zgrid("workload", "delete", str(workload["id"]))
            with Proxy("internet", LISTEN, EXPLORER):
                node.change("http", "")
                # The status is served before the agent knows what there is.
                wait_for(lambda: node.explorer().get("registered") and node.explorer().get("last_poll"), 60, "the explorer is asked")
                wait_for(lambda: not grid.ctl_json(3, "workloads")["workloads"], 60, "all of it is gone")

    return check.on_a_grid(grid, body)


if __name__ == "__main__":
    sys.exit(main())
