"""A farm, a node and a customer of an explorer under test, who sign what they send."""
import base64
import email.utils
import json
import time

import challenge
import sodium

_ALPHABET = "123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz"


def base58(data):
    number, text = int.from_bytes(data, "big"), ""
    while number:
        number, digit = divmod(number, 58)
        text = _ALPHABET[digit] + text
    return "1" * (len(data) - len(data.lstrip(b"\0"))) + text


def signed(key, key_id):
    """The headers of a request that this key signs now."""
    now = int(time.time())
    date = email.utils.formatdate(now, usegmt=True)
    text = f"(created): {now}\ndate: {date}\nthreebot-id: {key_id}"
    signature = base64.b64encode(key.sign(text.encode())).decode()
    return {
        "Date": date,
        "Threebot-Id": str(key_id),
        "Authorization": f'Signature keyId="{key_id}",algorithm="ed25519",created="{now}",'
                         f'headers="(created) date threebot-id",signature="{signature}"',
    }


class Party:
    """Somebody with a key and an id."""

    def __init__(self, first, key_id=None):
        self.key = sodium.Key(bytes((first + i) & 255 for i in range(32)))
        self.id = key_id if key_id is not None else base58(self.key.public)

    def headers(self):
        return signed(self.key, self.id)


class Scene:
    """Fills an empty explorer: farmer 1 with farm 1, customer 2 with a pool over the nodes."""

    def __init__(self, server, nodes=1):
        self.server = server
        self.farmer = Party(0x20, 1)
        self.customer = Party(0x40, 2)
        self.nodes = [Party(0x80 + i) for i in range(nodes)]
        for name, who in (("farmer", self.farmer), ("customer", self.customer)):
            self.ask("POST", "/users", {"name": name, "email": name + "@example.com",
                                        "pubkey": who.key.public.hex()})
        self.ask("POST", "/farms", {"name": "farm", "threebot_id": 1,
                                    "wallet_addresses": [{"asset": "TFT", "address": "G"}]}, self.farmer)
        for node in self.nodes:
            self.register(node)
        self.pool = self.new_pool([node.id for node in self.nodes]) if nodes else None

    def ask(self, method, path, body=None, signer=None, prefix="/api/v1"):
        text = json.dumps(body) if body is not None else None
        status, headers, answer = self.server.send(
            method, prefix + path, signer.headers() if signer else {}, text)
        if not 200 <= status < 300:
            raise AssertionError(f"{method} {path}: {status} {answer}")
        return json.loads(answer) if answer.strip() else None

    def register(self, node):
        self.ask("POST", "/nodes", {
            "node_id": node.id, "farm_id": 1, "os_version": "1", "public_key_hex": node.key.public.hex(),
            "location": {"country": "Austria"}}, node)

    def new_pool(self, node_ids, cus=10**9, sus=10**9):
        data = {"pool_id": 0, "cus": cus, "sus": sus, "ipv4us": 0, "node_ids": node_ids, "currencies": ["TFT"]}
        text = json.dumps(data)
        return self.ask("POST", "/reservations/pools", {
            "json": text, "data_reservation": data, "customer_tid": 2,
            "customer_signature": self.customer.key.sign(text.encode()).hex()})["reservation_id"]

    def volume(self, node, size=1):
        """Orders a volume on the node; its id."""
        order = {
            "workload_id": 1, "node_id": node.id, "pool_id": self.pool, "reference": "", "description": "",
            "metadata": "", "customer_tid": 2, "epoch": int(time.time()), "workload_type": 2, "size": size, "type": 1,
            "signing_request_provision": {"signers": [], "quorum_min": 0},
            "signing_request_delete": {"signers": [2], "quorum_min": 1}}
        order["customer_signature"] = self.customer.key.sign(challenge.message(order)).hex()
        return self.ask("POST", "/reservations/workloads", order, self.customer)["reservation_id"]

    def result(self, node, gwid, state=1, message=""):
        """The body with which a node answers, signed."""
        data = json.dumps({"volume_id": gwid}, separators=(",", ":"))
        signature = node.key.sign(bytes([state]) + message.encode() + data.encode()).hex()
        return ('{"category":2,"workload_id":"%s","data_json":%s,"signature":"%s","state":%d,"message":"%s",'
                '"epoch":%d,"node_id":""}' % (gwid, data, signature, state, message, int(time.time())))

    def report(self, node, workload, state=1, message=""):
        gwid = f"{workload}-1"
        status, _, text = self.server.send(
            "PUT", f"/api/v1/reservations/nodes/{node.id}/workloads/{gwid}", node.headers(),
            self.result(node, gwid, state, message))
        if status != 201:
            raise AssertionError(f"result of {gwid}: {status} {text}")

    def delete(self, workload):
        document = self.ask("GET", f"/reservations/workloads/{workload}")
        signature = self.customer.key.sign(challenge.message(document, "delete", 2)).hex()
        self.ask("POST", f"/reservations/workloads/{workload}/sign/delete", {"tid": 2, "signature": signature})

    def reservation(self, node, lifetime=3600):
        """Orders a volume in the words of the first era; its id."""
        now = int(time.time())
        data = {
            "description": "", "signing_request_provision": {"signers": [], "quorum_min": 0},
            "signing_request_delete": {"signers": [2], "quorum_min": 1}, "containers": [], "zdbs": [],
            "volumes": [{"workload_id": 1, "node_id": node.id, "size": 1, "type": 1, "stats_aggregator": [],
                         "farmer_tid": 2147483647}],
            "networks": [], "kubernetes": [], "expiration_provisioning": now + lifetime,
            "expiration_reservation": now + lifetime}
        text = json.dumps(data)
        return self.ask("POST", "/reservations", {
            "json": text, "data_reservation": data, "customer_tid": 2, "next_action": 0, "epoch": 0, "results": [],
            "customer_signature": self.customer.key.sign(text.encode()).hex()}, prefix="/explorer")["reservation_id"]
