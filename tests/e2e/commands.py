#!/usr/bin/python3
"""What `zgrid` says to an explorer beside deployments: each command against `zgrid serve`.

commands.py BINARIES
"""
import http.server
import json
import os
import signal
import subprocess
import sys
import threading
import time

import challenge
import customer
import served


def expect(fact, what):
    if not fact:
        raise AssertionError(what)


class Grid:
    """A farmer and a customer with identity files, a node and a gateway that sign for themselves."""

    def __init__(self, binaries, server):
        self.binaries, self.server = binaries, server
        self.host = None  # Of a proxy, where zgrid shall take one.
        self.node, self.gateway = customer.Party(0x80), customer.Party(0x90)
        for who in ("farmer", "customer"):
            self.zgrid("user", "create", who, "--email", who + "@example.org", who=who)
        self.zgrid("farm", "create", "farm", "--wallet", "TFT:G", who="farmer")
        for party, path in ((self.node, "/nodes"), (self.gateway, "/gateways")):
            self.ask("POST", path, {
                "node_id": party.id, "farm_id": 1, "os_version": "1", "public_key_hex": party.key.public.hex(),
                "location": {"country": "Austria", "city": "Salzburg"}, "dns_nameserver": ["ns.example.org"],
                "tcp_router_port": 18000}, party)

    def command(self, *arguments, who="customer"):
        return [self.binaries + "/zgrid", "--explorer", f"http://{self.host or self.server.host}",
                "--identity", f"{self.server.folder}/{who}", *arguments]

    def zgrid(self, *arguments, who="customer", code=0, stdin=None):
        done = subprocess.run(
            self.command(*arguments, who=who),
            input=stdin, capture_output=True, text=True, timeout=60, check=False)
        expect(done.returncode == code, f"{arguments} ended with {done.returncode}: {done.stdout}{done.stderr}")
        return done.stdout

    def asked(self, *arguments, who="customer", code=0):
        return json.loads(self.zgrid("--json", *arguments, who=who, code=code))

    def ask(self, method, path, body=None, signer=None):
        text = json.dumps(body) if isinstance(body, dict) else body
        status, _, answer = self.server.send(method, "/api/v1" + path, signer.headers() if signer else {}, text)
        expect(200 <= status < 300, f"{method} {path}: {status} {answer}")
        return json.loads(answer) if answer.strip() else None

    def mine(self, kind):
        """The customer's live workloads of a type, oldest first."""
        found = self.ask("GET", "/reservations/workloads?customer_tid=2&next_action=3") or []
        return sorted((each for each in found if each["workload_type"] == kind), key=lambda each: each["id"])

    def obey(self, workload):
        """The node says that it has done so."""
        gwid = f"{workload['id']}-1"
        body = customer.Scene.result(None, self.node, gwid).replace(
            '"category":2', f'"category":{workload["workload_type"]}')
        self.ask("PUT", f"/reservations/nodes/{self.node.id}/workloads/{gwid}", body, self.node)

    def page(self):
        return self.ask("GET", f"/reservations/nodes/{self.node.id}/workloads?from=0") or []


def gateways(grid):
    found = grid.asked("gateway", "list", "--city", "Salzburg", "--up")
    expect([each["node_id"] for each in found] == [grid.gateway.id], f"the gateway is listed: {found}")
    expect(grid.asked("gateway", "list", "--farm", "7") == [], "of another farm there is none")
    text = grid.zgrid("gateway", "show", grid.gateway.id)
    expect("ns.example.org" in text and "18000" in text and "up" in text, text)
    grid.zgrid("gateway", "show", "nobody", code=1)


def a_farmers_choices(grid):
    show = lambda: grid.asked("node", "show", grid.node.id)
    expect("user 2 alone" in grid.zgrid("node", "dedicated", grid.node.id, "--user", "2", who="farmer"), "it is said")
    expect(show()["dedicated"] == 2, "the machine is the customer's")
    grid.zgrid("node", "dedicated", grid.node.id, "--user", "2", code=1)
    grid.zgrid("node", "dedicated", grid.node.id, "--user", "77", who="farmer", code=1)
    grid.zgrid("node", "dedicated", grid.node.id, "--user", "0", who="farmer")
    expect(show()["dedicated"] == 0, "and everybody's again")
    grid.zgrid("node", "free", grid.node.id, "on", who="farmer")
    expect(show()["free_to_use"] is True, "free to use")
    grid.zgrid("node", "free", grid.node.id, "off", who="farmer")
    expect(show()["free_to_use"] is False, "to be paid for")
    grid.zgrid("node", "free", grid.node.id, "perhaps", who="farmer", code=2)


def signatures_of_users(grid):
    file = grid.server.folder + "/words"
    with open(file, "wb") as words:
        words.write(b"\x00bytes, \xff not text\n")
    signature = grid.zgrid("user", "sign", file).strip()
    expect(len(signature) == 128, signature)
    expect("has signed" in grid.zgrid("user", "validate", "2", file, signature), "the customer has signed")
    expect(grid.asked("user", "validate", "1", file, signature, code=1) == {"is_valid": False}, "the farmer has not")
    with open(file, "ab") as words:
        words.write(b"more")
    grid.zgrid("user", "validate", "2", file, signature, code=1)
    expect(grid.zgrid("user", "sign", "-", stdin="x") == grid.zgrid("user", "sign", "-", stdin="x"), "the same again")
    grid.zgrid("user", "validate", "2", "-", "no hex", code=1, stdin="x")


def consent(grid):
    third = customer.Party(0x60, 3)
    grid.ask("POST", "/users", {"name": "third", "email": "third@example.org", "pubkey": third.key.public.hex()})
    data = {"pool_id": 0, "cus": 10**9, "sus": 10**9, "ipv4us": 0, "node_ids": [grid.node.id], "currencies": ["TFT"]}
    text = json.dumps(data)
    pool = grid.ask("POST", "/reservations/pools", {
        "json": text, "data_reservation": data, "customer_tid": 3,
        "customer_signature": third.key.sign(text.encode()).hex()})["reservation_id"]
    order = {
        "workload_id": 1, "node_id": grid.node.id, "pool_id": pool, "reference": "", "description": "", "metadata": "",
        "customer_tid": 3, "epoch": int(time.time()), "workload_type": 2, "size": 1, "type": 1,
        "signing_request_provision": {"signers": [1], "quorum_min": 1},
        "signing_request_delete": {"signers": [3], "quorum_min": 1}}
    order["customer_signature"] = third.key.sign(challenge.message(order)).hex()
    workload = grid.ask("POST", "/reservations/workloads", order, third)["reservation_id"]
    expect(grid.page() == [], "its node is not told yet")
    grid.zgrid("workload", "consent", str(workload), code=1)
    grid.zgrid("workload", "consent", f"{workload}-1", who="farmer")
    expect([each["id"] for each in grid.page()] == [workload], "now it is")


def reservations_go_on_in_pools(grid):
    expect("nothing of yours" in grid.zgrid("reservation", "convert"), "there is nothing to convert")
    file = grid.server.folder + "/data.json"
    with open(file, "w", encoding="utf-8") as data:
        json.dump({"volumes": [{"workload_id": 4, "node_id": grid.node.id, "size": 300, "type": 1}]}, data)
    old = grid.asked("reservation", "create", file, "--duration", "1h")["reservation_id"]
    expect("nothing of yours" in grid.zgrid("reservation", "convert"), "nor before it runs")
    body = customer.Scene.result(None, grid.node, f"{old}-4")
    grid.ask("PUT", f"/reservations/nodes/{grid.node.id}/workloads/{old}-4", body, grid.node)
    converted = grid.asked("reservation", "convert")
    expect([each["reference"] for each in converted] == [f"{old}-4"], f"it is converted: {converted}")
    expect(grid.asked("reservation", "show", str(old))["next_action"] == 7, "the reservation has gone over")
    told = [each for each in grid.page() if each["reference"]]
    expect(len(told) == 1 and told[0]["reference"] == f"{old}-4" and told[0]["next_action"] == 3, f"{told}")
    pools = grid.asked("pool", "list")
    expect(len(pools) == 1 and 3500 < pools[0]["sus"] <= 3600, f"an hour of one storage unit: {pools}")
    expect("nothing of yours" in grid.zgrid("reservation", "convert"), "once is enough")


class Proxy:
    """Stands between zgrid and the explorer. What it does with the next POST of a workload: "pass",
    "refuse" it before the explorer hears of it, or "lose" the answer."""

    def __init__(self, server):
        self.mood, self.posts, proxy = "pass", 0, self

        class Handler(http.server.BaseHTTPRequestHandler):
            def answer(self):
                size = int(self.headers.get("Content-Length") or 0)
                body = self.rfile.read(size).decode() if size else None
                order = self.command == "POST" and self.path.endswith("/reservations/workloads")
                mood, proxy.mood = (proxy.mood, "pass") if order else ("pass", proxy.mood)
                proxy.posts += order
                if mood == "refuse":
                    self.send_error(403)
                    return
                status, headers, text = server.send(self.command, self.path, dict(self.headers), body)
                if mood == "lose":
                    self.close_connection = True
                    return
                self.send_response(status)
                for name in ("Content-Type", "Pages"):
                    if name in headers:
                        self.send_header(name, headers[name])
                self.send_header("Content-Length", str(len(text.encode())))
                self.end_headers()
                self.wfile.write(text.encode())

            do_GET = do_POST = do_PUT = do_DELETE = answer

            def log_message(self, *_):
                pass

        self.http = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.host = f"127.0.0.1:{self.http.server_port}"

    def __enter__(self):
        threading.Thread(target=self.http.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *_):
        self.http.shutdown()
        self.http.server_close()


def what_is_free_is_found(grid):
    free = lambda *wanted: [each["node_id"] for each in grid.asked("node", "list", *wanted)]
    node = f"/nodes/{grid.node.id}"
    grid.ask("POST", node + "/capacity", {
        "capacity": {"cru": 8, "mru": 16, "sru": 100, "hru": 0}, "dmi": {}, "disks": {}, "hypervisor": []}, grid.node)
    expect(free("--cru", "8", "--mru", "16") == [grid.node.id], "all of it is free")
    grid.ask("POST", node + "/used_resources", {"cru": 2, "mru": 6, "sru": 10, "hru": 0}, grid.node)
    expect(free("--cru", "6", "--mru", "10", "--sru", "90") == [grid.node.id], "so much is")
    for more in (("--cru", "7"), ("--mru", "11"), ("--sru", "91"), ("--hru", "1")):
        expect(free(*more) == [], f"{more} is not")


def an_update_that_failed_is_not_forgotten(grid):
    network = 10
    words = ("network", "create", "net", "--range", "172.20.0.0/16", "--node", grid.node.id, "--no-wait",
             "--endpoint", grid.node.id + "=198.51.100.7")
    with Proxy(grid.server) as proxy:
        grid.host = proxy.host
        grid.zgrid(*words)
        first, = grid.mine(network)
        grid.obey(first)

        proxy.mood = "refuse"
        grid.zgrid(*words, "--access", grid.node.id, code=1)
        expect([each["id"] for each in grid.mine(network)] == [first["id"]], "nothing is new")
        # This one posts, and is killed while it waits for the node: the old one is not ended yet.
        posts = proxy.posts
        with subprocess.Popen(grid.command(*words, "--access", grid.node.id), stdout=subprocess.PIPE) as killed:
            while proxy.posts == posts or len(grid.mine(network)) < 2:
                expect(killed.poll() is None, "the laptop's key is sent after all")
                time.sleep(0.05)
            time.sleep(0.5)
            killed.send_signal(signal.SIGKILL)
        second = grid.mine(network)[-1]
        expect(len(second["peers"]) == 1, f"the node hears of the laptop: {second}")
        grid.obey(second)
        grid.zgrid(*words, "--access", grid.node.id)
        expect([each["id"] for each in grid.mine(network)] == [second["id"]], "one is left, and the old one ends")
        posts = proxy.posts
        grid.zgrid(*words, "--access", grid.node.id)
        expect(proxy.posts == posts, "and now there is nothing to do")
        grid.host = None


def an_order_whose_answer_was_lost_is_found_again(grid):
    volume = 2
    file = grid.server.folder + "/lost.toml"
    with open(file, "w", encoding="utf-8") as text:
        text.write(f'name = "lost"\nvolume.data = {{ node = "{grid.node.id}", size = "1GiB", type = "ssd" }}\n')
    before = len(grid.mine(volume))
    with Proxy(grid.server) as proxy:
        grid.host = proxy.host
        proxy.mood = "lose"
        grid.zgrid("deploy", file, code=1)
        expect(len(grid.mine(volume)) == before + 1, "it was ordered, but nobody was told")
        lost = grid.mine(volume)[-1]["id"]
        kept = grid.asked("deploy", file)["workloads"]
        expect([each["gwid"] for each in kept] == [f"{lost}-1"], f"it is taken up: {kept}")
        expect(proxy.posts == 1 and len(grid.mine(volume)) == before + 1, "and not ordered again")
        grid.host = None


def strangers_are_refused_by_their_head(grid):
    """Not a command: that the program refuses before it reads 4 MB."""
    import serve
    head = b"POST /api/v1/nodes HTTP/1.1\r\nHost: localhost\r\nContent-Length: 4000000\r\n"
    said = serve.exchange(grid.server, head + b"\r\n")
    expect(serve.status_of(said) == 401, f"{said[:80]}")
    signature = "".join(f"{name}: {value}\r\n" for name, value in customer.signed(grid.node.key, "4711").items())
    said = serve.exchange(
        grid.server, head.replace(b"/nodes", b"/reservations/workloads") + signature.encode() + b"\r\n")
    expect(serve.status_of(said) == 401 and b"no key with id" in said, f"{said[:300]}")


def certificate(folder, name, address, days):
    """Files of a self-signed certificate for this name and address; also one that is over."""
    key, wish, made = (f"{folder}/{name}.{kind}" for kind in ("key", "csr", "pem"))
    for words in (
            ["req", "-new", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-keyout", key,
             "-out", wish, "-subj", "/CN=" + name, "-addext", f"subjectAltName=DNS:{name},IP:{address}"],
            ["x509", "-req", "-in", wish, "-signkey", key, "-days", str(days), "-copy_extensions", "copy", "-out", made]):
        subprocess.run(["openssl", *words], check=True, capture_output=True)
    return made, key


def only_who_is_vouched_for_is_believed(binaries, folder):
    """The agent speaks TLS by the same code."""
    def asked(made, key, trusted):
        with served.Served(binaries, "--tls-cert", made, "--tls-key", key) as server:
            return subprocess.run(
                [binaries + "/zgrid", "--explorer", f"https://127.0.0.1:{server.port}", "farm", "list"],
                env=dict(os.environ, SSL_CERT_FILE=trusted), capture_output=True, text=True, timeout=60, check=False)
    good, over, other = (certificate(folder, *words) for words in (
        ("good.example", "127.0.0.1", 2), ("over.example", "127.0.0.1", -1), ("other.example", "127.0.0.9", 2)))
    done = asked(*good, good[0])
    expect(done.returncode == 0 and "no farms" in done.stdout, f"who is trusted: {done.stdout}{done.stderr}")
    for what, pair, trusted in (("a stranger", good, other[0]), ("one that is over", over, over[0]),
                                ("one for another host", other, other[0])):
        done = asked(*pair, trusted)
        expect(done.returncode == 1 and "certificate" in done.stderr.lower(), f"{what}: {done.returncode} {done.stderr}")
        print(f"  {what}: {done.stderr.strip()}")


def main():
    if len(sys.argv) != 2:
        print(__doc__, file=sys.stderr)
        return 2
    os.environ.setdefault("ASAN_OPTIONS", "detect_leaks=0")
    with served.Served(sys.argv[1]) as server:
        grid = Grid(sys.argv[1], server)
        for story in (gateways, a_farmers_choices, signatures_of_users, consent, reservations_go_on_in_pools,
                      what_is_free_is_found, an_update_that_failed_is_not_forgotten,
                      an_order_whose_answer_was_lost_is_found_again, strangers_are_refused_by_their_head):
            story(grid)
            print(f"ok   {story.__name__}", flush=True)
        only_who_is_vouched_for_is_believed(sys.argv[1], server.folder)
        print("ok   only_who_is_vouched_for_is_believed")
        expect(server.stop() == 0, "it stops when told")
    return 0


if __name__ == "__main__":
    sys.exit(main())
