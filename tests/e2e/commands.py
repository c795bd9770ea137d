#!/usr/bin/python3
"""What `zgrid` says to an explorer beside deployments: each command against `zgrid serve`.

commands.py BINARIES
"""
import json
import os
import subprocess
import sys
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
        self.node, self.gateway = customer.Party(0x80), customer.Party(0x90)
        for who in ("farmer", "customer"):
            self.zgrid("user", "create", who, "--email", who + "@example.org", who=who)
        self.zgrid("farm", "create", "farm", "--wallet", "TFT:G", who="farmer")
        for party, path in ((self.node, "/nodes"), (self.gateway, "/gateways")):
            self.ask("POST", path, {
                "node_id": party.id, "farm_id": 1, "os_version": "1", "public_key_hex": party.key.public.hex(),
                "location": {"country": "Austria", "city": "Salzburg"}, "dns_nameserver": ["ns.example.org"],
                "tcp_router_port": 18000}, party)

    def zgrid(self, *arguments, who="customer", code=0, stdin=None):
        done = subprocess.run(
            [self.binaries + "/zgrid", "--explorer", f"http://{self.server.host}",
             "--identity", f"{self.server.folder}/{who}", *arguments],
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
                      strangers_are_refused_by_their_head):
            story(grid)
            print(f"ok   {story.__name__}", flush=True)
        only_who_is_vouched_for_is_believed(sys.argv[1], server.folder)
        print("ok   only_who_is_vouched_for_is_believed")
        expect(server.stop() == 0, "it stops when told")
    return 0


if __name__ == "__main__":
    sys.exit(main())
