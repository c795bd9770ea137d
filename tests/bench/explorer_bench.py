"""The explorer under load: `zgrid serve` with many workloads and many nodes.

The clients are on the same machine and take their share of it; figures compare with each other within
one run. Requests come from many loopback addresses, since each address has a rate of its own.
"""
import asyncio
import json
import statistics
import time

import customer
import served
from measured import Samples, bench, cpu_seconds, memory_mib

NODES = 1000
WORKLOADS_PER_NODE = 10


def address(i):
    return f"127.1.{i // 250}.{1 + i % 250}"


class Channel:
    """One connection that is kept, and requests on it one after the other."""

    def __init__(self, reader, writer):
        self.reader, self.writer = reader, writer

    @classmethod
    async def open(cls, server, i):
        return cls(*await asyncio.open_connection("127.0.0.1", server.port, local_addr=(address(i), 0)))

    async def ask(self, method, path, headers=None, body=b""):
        head = [f"{method} {path} HTTP/1.1", "Host: localhost", f"Content-Length: {len(body)}"]
        head += [f"{name}: {value}" for name, value in (headers or {}).items()]
        self.writer.write("\r\n".join(head).encode() + b"\r\n\r\n" + body)
        answer = await self.reader.readuntil(b"\r\n\r\n")
        lines = answer.decode().split("\r\n")
        fields = dict(line.lower().split(": ", 1) for line in lines[1:] if ": " in line)
        text = await self.reader.readexactly(int(fields.get("content-length", "0")))
        return int(lines[0].split(" ")[1]), fields, text

    def close(self):
        self.writer.close()


async def order_all(scene, server, per_node):
    """Orders volumes for every node, from several connections at once."""
    async def worker(part):
        channel = await Channel.open(server, 900 + part)
        for node in scene.nodes[part::8]:
            for _ in range(per_node):
                order = {
                    "workload_id": 1, "node_id": node.id, "pool_id": scene.pool, "reference": "", "description": "",
                    "metadata": "", "customer_tid": 2, "epoch": int(time.time()), "workload_type": 2, "size": 1,
                    "type": 1, "signing_request_provision": {"signers": [], "quorum_min": 0},
                    "signing_request_delete": {"signers": [2], "quorum_min": 1}}
                order["customer_signature"] = scene.customer.key.sign(
                    customer.challenge.message(order)).hex()
                status, _, text = await channel.ask(
                    "POST", "/api/v1/reservations/workloads", scene.customer.headers(), json.dumps(order).encode())
                if status != 201:
                    raise RuntimeError(f"order: {status} {text}")
        channel.close()
    await asyncio.gather(*(worker(part) for part in range(8)))


def filled(server, nodes, per_node):
    scene = customer.Scene(server, nodes=0)
    for i in range(nodes):
        node = customer.Party(0)
        node.key = customer.sodium.Key(i.to_bytes(4, "big") * 8)
        node.id = customer.base58(node.key.public)
        scene.nodes.append(node)
        scene.register(node)
    scene.pool = scene.new_pool([node.id for node in scene.nodes], 10**15, 10**15)
    begun = time.monotonic()
    asyncio.run(order_all(scene, server, per_node))
    return scene, nodes * per_node / (time.monotonic() - begun)


async def timed(channel, count, *request):
    """The median time of a request, in milliseconds, and the last answer."""
    times = []
    for _ in range(count):
        begun = time.perf_counter()
        answer = await channel.ask(*request)
        times.append((time.perf_counter() - begun) * 1000)
    return statistics.median(times), answer


@bench("explorer.poll", "zgrid")
def poll(binaries, runs):
    """A node's poll with 10,000 workloads stored, and with 100."""
    samples = Samples()
    what = "the same with 100 workloads stored"
    with served.Served(binaries) as large, served.Served(binaries) as small:
        (big, rate), (little, _) = filled(large, 50, 200), filled(small, 1, 100)
        async def measure():
            for run in range(runs):
                figures = []
                for server, scene in ((large, big), (small, little)):
                    channel = await Channel.open(server, run)
                    path = f"/api/v1/reservations/nodes/{scene.nodes[0].id}/workloads?from="
                    idle, answer = await timed(channel, 200, "GET", path + "1000000")
                    page, answer = await timed(channel, 10, "GET", path + "0")
                    entries = len(json.loads(answer[2]))
                    figures.append((idle, page / entries * 100))
                    channel.close()
                ours, theirs = figures
                samples.add("queue page, past the last id", "ms", "lower", ours[0], what, theirs[0])
                samples.add("page from 0, per 100 entries", "ms", "lower", ours[1], what, theirs[1])
        asyncio.run(measure())
        samples.add("orders taken (each synced)", "1/s", "higher", rate)
        samples.add("memory of the server", "MiB", "lower", memory_mib(large.process.pid), what,
                    memory_mib(small.process.pid))
    return samples.done()


@bench("explorer.nodes", "zgrid")
def nodes(binaries, runs):
    """1,000 nodes that poll and answer at the same time."""
    samples = Samples()
    for run in range(runs):
        with served.Served(binaries) as server:
            scene, _ = filled(server, NODES, 1)
            idle_memory = memory_mib(server.process.pid)
            async def live(i, node, times):
                channel = await Channel.open(server, i)
                own = f"/api/v1/reservations/nodes/{node.id}/workloads"
                cursor = 0
                for _ in range(4):
                    begun = time.perf_counter()
                    status, fields, text = await channel.ask("GET", f"{own}?from={cursor}")
                    times.append(time.perf_counter() - begun)
                    cursor = int(fields["x-last-id"]) + 1
                    for entry in json.loads(text) or []:
                        gwid = f"{entry['id']}-{entry['workload_id']}"
                        body = scene.result(node, gwid).encode()
                        headers = node.headers()
                        begun = time.perf_counter()
                        status, _, said = await channel.ask("PUT", f"{own}/{gwid}", headers, body)
                        times.append(time.perf_counter() - begun)
                        if status != 201:
                            raise RuntimeError(f"result: {status} {said}")
                channel.close()
            async def all_at_once():
                times = []
                begun = time.monotonic()
                await asyncio.gather(*(live(i, node, times) for i, node in enumerate(scene.nodes)))
                return times, time.monotonic() - begun
            async def nothing_stored():
                channel = await Channel.open(server, 0)
                begun = time.monotonic()
                for _ in range(2000):
                    await channel.ask("GET", "/api/v1/prices")
                channel.close()
                return 2000 / (time.monotonic() - begun)
            before = cpu_seconds(server.process.pid)
            times, took = asyncio.run(all_at_once())
            used = cpu_seconds(server.process.pid) - before
            reference = asyncio.run(nothing_stored())
            times.sort()
            what = "GET prices, one connection, no database"
            samples.add("polls and results", "1/s", "higher", len(times) / took, what, reference)
            samples.add("request p50, 1,000 at once", "ms", "lower", times[len(times) // 2] * 1000)
            samples.add("request p99, 1,000 at once", "ms", "lower", times[len(times) * 99 // 100] * 1000)
            samples.add("processor time per request", "us", "lower", used / len(times) * 1e6)
            samples.add("memory with 1,000 connections", "MiB", "lower",
                        memory_mib(server.process.pid, "VmHWM"), "before the nodes came", idle_memory)
    return samples.done()
