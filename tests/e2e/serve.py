#!/usr/bin/python3
"""`zgrid serve` on the wire: long polls, limits, bad input, TLS, how it stops.

serve.py BINARIES [TEST…]      without names: all; `serve.py --list` names them
"""
import concurrent.futures
import contextlib
import http.client
import json
import os
import resource
import select
import selectors
import ssl
import subprocess
import sys
import threading
import time
import warnings

import customer
import served
from served import Poller, connect, cpu_seconds, exchange, rss_mib, status_of

TESTS = {}


def test(function):
    TESTS[function.__name__] = function
    return function


def expect(fact, what):
    if not fact:
        raise AssertionError(what)


def held(aside, server, *pollers):
    """Their polls, asked aside, once the server waits with all of them: a request behind them in its lane is answered."""
    for poller in pollers:
        poller.sent.clear()
    waiting = [aside.submit(poller.poll) for poller in pollers]
    expect(all(poller.sent.wait(20) for poller in pollers), "the polls are sent")
    expect(server.send("GET", "/api/v1/prices")[0] == 200, "others are served beside them")
    return waiting


@test
def long_poll_waits_and_wakes(binaries):
    with served.Served(binaries) as server, concurrent.futures.ThreadPoolExecutor(1) as aside:
        scene = customer.Scene(server)
        node = scene.nodes[0]
        poller = Poller(scene, node, 20)
        status, entries, headers = poller.poll()
        expect((status, entries) == (200, []), "an empty explorer answers the first poll at once")
        expect(headers.get("Preference-Applied") == "wait=20", "it says that it can wait")

        waiting, = held(aside, server, poller)
        workload = scene.volume(node)
        begun = time.monotonic()
        status, entries, headers = waiting.result(timeout=30)
        woken = time.monotonic() - begun
        expect(status == 200 and entries[0]["id"] == workload, "the order ends the wait")
        # On a busy machine as well, this tells it from a poll that has waited its 20 s.
        expect(woken < 5, f"it did so at once, not after {woken:.3f} s")

        # Unanswered: it is told a second time out of the queue, and then the waiting begins.
        scale, begun, used = 2, time.monotonic(), cpu_seconds(server.process.pid)
        poller.wait, poller.polls = scale, 0
        while time.monotonic() - begun < 2 * scale - 0.2:
            status, entries, headers = poller.poll()
        expect(poller.polls <= 3, f"an entry that waits costs {poller.polls} polls in 60 s")
        expect(status == 304 and headers["X-Last-Id"] == "1" and headers.get("Etag"), "idle is 304 with a cursor")
        used = cpu_seconds(server.process.pid) - used
        expect(used < 0.2, f"and no processor: {used:.2f} s")

        scene.report(node, workload)
        waiting = aside.submit(poller.poll)
        scene.delete(workload)
        status, entries, _ = waiting.result(timeout=10)
        if status == 304:  # The order to delete was there before the poll: the next one has it.
            status, entries, _ = poller.poll()
        expect(entries and entries[0]["next_action"] == 4, "the end of a workload ends the wait as well")
        print(f"  woken {woken * 1000:.0f} ms after the order was answered")


@test
def first_era_waits_as_well(binaries):
    with served.Served(binaries) as server, concurrent.futures.ThreadPoolExecutor(1) as aside:
        scene = customer.Scene(server)
        node = scene.nodes[0]
        poller = Poller(scene, node, 20, f"/explorer/reservations/workloads/{node.id}")
        expect(poller.poll()[:2] == (200, []), "nothing yet")
        waiting, = held(aside, server, poller)
        begun = time.monotonic()
        number = scene.reservation(node)
        status, entries, _ = waiting.result(timeout=10)
        expect(status == 200 and entries[0]["workload_id"] == f"{number}-1", f"{status} {entries}")
        print(f"  woken {(time.monotonic() - begun) * 1000:.0f} ms after the order was sent")


@test
def expires_by_itself(binaries):
    with served.Served(binaries) as server:
        scene = customer.Scene(server)
        node = scene.nodes[0]
        poller = Poller(scene, node, 20, f"/explorer/reservations/workloads/{node.id}")
        number = scene.reservation(node, lifetime=3)
        expect(poller.poll()[1][0]["to_delete"] is False, "it lives")
        poller.cursor = number + 1
        status, entries, _ = poller.poll()
        while status == 304 or entries and not entries[0]["to_delete"]:
            status, entries, _ = poller.poll()
        expect(entries[0]["to_delete"], "its end is told without anybody's doing")


@test
def kill_loses_nothing_that_was_answered(binaries):
    with served.Served(binaries) as server:
        scene = customer.Scene(server)
        node = scene.nodes[0]
        given = [scene.volume(node) for _ in range(20)] + [scene.reservation(node)]
        scene.report(node, given[0])
        server.process.kill()
        server.process.wait()
        server.port = None
        os.truncate(server.log_file, 0)
        server._start()
        seen = [entry["id"] for entry in scene.ask("GET", f"/reservations/nodes/{node.id}/workloads?from=0")]
        expect(seen == given, f"{seen} instead of {given}")
        state = scene.ask("GET", f"/reservations/workloads/{given[0]}")["result"]["state"]
        expect(state == 1, "an answered result is there")
        expect(scene.volume(node) == given[-1] + 1, "no number is given twice")


@test
def kill_under_load_loses_nothing_that_was_answered(binaries):
    """Orders of many share a transaction; each of them was promised."""
    with served.Served(binaries) as server:
        scene = customer.Scene(server)
        node = scene.nodes[0]
        answered, enough = [], threading.Event()

        def order_until_it_dies():
            with contextlib.suppress(AssertionError, OSError):
                while True:
                    answered.append(scene.volume(node))
                    if len(answered) >= 60:
                        enough.set()
        customers = [threading.Thread(target=order_until_it_dies) for _ in range(12)]
        for one in customers:
            one.start()
        expect(enough.wait(60), "orders are taken")
        server.process.kill()
        server.process.wait()
        for one in customers:
            one.join()
        server.port = None
        os.truncate(server.log_file, 0)
        server._start()
        seen = [entry["id"] for entry in scene.ask("GET", f"/reservations/nodes/{node.id}/workloads?from=0")]
        expect(set(answered) <= set(seen), f"{sorted(set(answered) - set(seen))} were answered and are not there")
        expect(len(set(answered)) == len(answered), "no number is given twice")
        expect(scene.volume(node) > max(answered), "no number is given again")


@test
def hosts_that_are_not_ours(binaries):
    with served.Served(binaries, "--host", "Grid.Example") as server:
        def asked_as(host):
            return status_of(exchange(server, f"GET /api/v1/prices HTTP/1.1\r\nHost: {host}\r\n\r\n".encode()))
        for host in ("127.0.0.1", f"127.0.0.1:{server.port}", "localhost:1", "[::1]:8080", "grid.example:80"):
            expect(asked_as(host) == 200, host)
        for host in ("evil.example", "evil.example:80", "127.0.0.1.evil.example", "[evil]", "grid.example.evil"):
            expect(asked_as(host) == 421, host)
        expect(status_of(exchange(server, b"GET /api/v1/prices HTTP/1.0\r\n\r\n")) == 200, "none, as HTTP/1.0 allows")


@test
def one_address_too_many_requests(binaries):
    request = b"GET /api/v1/prices HTTP/1.1\r\nHost: localhost\r\n\r\n"
    with served.Served(binaries) as server:
        def flood(count):
            with connect(server) as stream:
                stream.sendall(request * count)
                answer = b""
                while answer.count(b"HTTP/1.1 ") < count:
                    piece = stream.recv(1 << 20)
                    if not piece:
                        break
                    answer += piece
            return answer
        begun, sent, good, refused = time.monotonic(), 0, 0, 0
        with concurrent.futures.ThreadPoolExecutor(8) as many:
            # A slow machine needs more of them to be more than is allowed.
            while not refused and sent < 1_000_000:
                answers = b"".join(many.map(flood, [3000] * 8))
                sent += 24_000
                good += answers.count(b" 200 OK")
                refused += answers.count(b" 429 ")
        allowed = 2000 + 1000 * (time.monotonic() - begun)
        expect(good + refused == sent, "each gets an answer")
        expect(2000 <= good <= allowed + 1, f"{good} of {allowed:.0f} that are allowed were answered")
        expect(refused > 0, f"none of {sent} requests at once was refused")
        expect(b"Retry-After: 1" in answers, "the refusal says when to come again")
        expect(status_of(exchange(server, request, source="127.0.0.2")) == 200, "other addresses are served")
        print(f"  of {sent} requests at once {good} were answered and {refused} refused with 429")


@test
def slow_clients_hold_up_nobody(binaries):
    with served.Served(binaries) as server:
        slow = []
        for i in range(300):
            stream = connect(server, f"127.0.1.{i % 200 + 1}")
            # Half a head, or half a body.
            stream.sendall(b"GET /api/v1/prices HTTP/1.1\r\nHost: lo" if i % 2 else
                           b"POST /api/v1/users HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1000\r\n\r\n{")
            slow.append(stream)
        times = []
        for _ in range(200):
            begun = time.monotonic()
            expect(server.send("GET", "/api/v1/prices")[0] == 200, "a quick client is served")
            times.append(time.monotonic() - begun)
        times.sort()
        expect(times[len(times) // 2] < 0.5, f"and quickly: median {times[len(times) // 2]:.3f} s")
        # A head that does not end is given up after 10 s.
        begun = time.monotonic()
        half = slow[1]
        half.settimeout(25)
        answer = half.recv(65536)
        while answer and half.recv(65536):
            pass
        expect(time.monotonic() - begun < 20, "a head that does not end is not waited for")
        expect(not answer or status_of(answer) == 408, f"it is told so: {answer[:60]}")
        for stream in slow:
            stream.close()
        print(f"  median {times[len(times) // 2] * 1000:.1f} ms, slowest {times[-1] * 1000:.1f} ms beside 300 slow clients")


@test
def sizes_are_bounded(binaries):
    with served.Served(binaries) as server:
        before = rss_mib(server.process.pid)
        head = b"POST /api/v1/users HTTP/1.1\r\nHost: localhost\r\n"
        said = exchange(server, head + b"Content-Length: 1000000000\r\n\r\n")
        expect(status_of(said) == 413, f"a body of 1 GB is not even read: {said[:80]}")
        chunk = b"100000\r\n" + b"x" * 0x100000 + b"\r\n"
        said = exchange(server, head + b"Transfer-Encoding: chunked\r\n\r\n" + chunk * 12)
        expect(status_of(said) in (413, -1), f"nor one that does not say its size: {said[:80]}")
        said = exchange(server, b"GET /api/v1/prices HTTP/1.1\r\nHost: localhost\r\nX: " + b"y" * 40000 + b"\r\n\r\n")
        expect(status_of(said) == 431, f"nor a head of 40 kB: {said[:80]}")
        said = exchange(server, b"GET /" + b"a" * 40000 + b" HTTP/1.1\r\nHost: localhost\r\n\r\n")
        expect(status_of(said) in (414, 431), f"nor such a path: {said[:80]}")
        deep = "[" * 100_000 + "]" * 100_000
        for body in (deep, '{"name":' + deep + "}", "{" + '"a":1,' * 600_000 + '"b":2}'):
            status, _, text = server.send("POST", "/api/v1/users", {}, body)
            expect(status == 400, f"{status} {text[:100]}")
        for garbage in (b"\x16\x03\x01\x02\x00\x01\x00", b"GET\r\n\r\n", b"\0" * 5000, b"GET / HTTP/9.9\r\n\r\n",
                        b"POST /api/v1/users HTTP/1.1\r\nHost: localhost\r\nContent-Length: -1\r\n\r\n",
                        b"POST /api/v1/users HTTP/1.1\r\nHost: localhost\r\nContent-Length: 5\r\n"
                        b"Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n"):
            said = exchange(server, garbage + b"\r\n\r\n")
            expect(status_of(said) in (-1, 400, 505), f"{garbage[:40]}: {said[:80]}")
        expect(server.send("GET", "/api/v1/prices")[0] == 200, "and it goes on")
        grown = rss_mib(server.process.pid) - before
        expect(grown < 400, f"its memory grew by {grown:.0f} MiB")


@test
def large_bodies_share_what_there_is(binaries):
    head = b"POST /api/v1/users HTTP/1.1\r\nHost: localhost\r\nContent-Length: 8000000\r\n\r\n"
    with served.Served(binaries) as server:
        before = rss_mib(server.process.pid)
        streams, refused = [], 0
        for i in range(80):
            stream = connect(server, f"127.0.3.{i + 1}")
            try:
                stream.sendall(head + b"x" * 7_900_000)  # All but the end: it has to be kept.
                streams.append(stream)
            except (ConnectionResetError, BrokenPipeError):
                refused += 1
                stream.close()
        expect(server.send("GET", "/api/v1/prices")[0] == 200, "others are served meanwhile")
        expect(server.send("POST", "/api/v1/users", {}, '{"name":"somebody","email":"a@b.c","pubkey":"'
                           + "ab" * 32 + '"}')[0] == 201, "also with a body")
        end = time.monotonic() + 60
        waiting = set(streams)
        while refused < 40 and waiting and time.monotonic() < end:
            for stream in select.select(list(waiting), [], [], 0.5)[0]:
                waiting.discard(stream)
                try:
                    refused += b" 503 " in stream.recv(4096)
                except ConnectionResetError:
                    refused += 1
        for stream in streams:
            stream.close()
        grown = rss_mib(server.process.pid) - before
        expect(refused >= 40, f"only {refused} of 80 large bodies were refused")
        # A string that grows takes up to twice its size, and the sanitizer keeps what was freed for a while.
        expect(grown < 1200, f"memory grew by {grown:.0f} MiB")
        print(f"  {refused} of 80 bodies of 8 MB were refused, memory grew by {grown:.0f} MiB")


@test
def nonsense_at_each_route(binaries):
    node = "FAe4sisG95oZ42w7buUn5qEE4TAnfTTFPiguZUHmhiF"
    routes = [
        ("POST", "/users"), ("PUT", "/users/2"), ("POST", "/users/2/validate"), ("POST", "/farms"), ("PUT", "/farms/1"),
        ("POST", "/farms/1/ip"), ("DELETE", "/farms/1/ip"), ("POST", "/farms/1/deals"), ("PUT", "/farms/1/deals"),
        ("POST", "/nodes"), *[("POST", f"/nodes/{node}/{what}") for what in (
            "interfaces", "ports", "capacity", "uptime", "used_resources", "configure_public", "configure_free")],
        ("PUT", f"/nodes/{node}/dedicated"), ("POST", "/gateways"), ("POST", f"/gateways/{node}/uptime"),
        ("POST", "/reservations/pools"), ("POST", "/reservations/workloads"), ("POST", "/reservations/convert"),
        ("POST", "/reservations/workloads/1/sign/delete"), ("POST", "/reservations/workloads/1/sign/provision"),
        ("PUT", f"/reservations/nodes/{node}/workloads/1-1")]
    old = [("POST", "/reservations"), ("POST", "/reservations/2/sign/delete"),
           ("POST", "/reservations/2/sign/provision"), ("PUT", f"/reservations/workloads/2-1/{node}")]
    bodies = ["", "x", "null", "[]", "[1]", "1", '"x"', "{", "{}", '{"a":', "\ufeff{}", "{}{}", '{"name":"\u0001\u0002"}',
              '{"id":1e999}', '{"name":1,"email":[],"pubkey":{}}', '{"customer_tid":"2"}', '{"data_reservation":5}',
              '{"data_reservation":{"zdbs":{}},"json":"[]"}', '{"workload_type":2,"size":-1}',
              '{"workload_type":99}', '{"workload_type":1,"environment":{"a":1}}', '{"uptime":-1}', '{"ports":[-1]}',
              '{"capacity":{"cru":-1}}', '{"capacity":{},"dmi":5}', '{"capacity":{},"dmi":{"sections":[{"subsections":1}]}}',
              '{"state":300}', '{"tid":9223372036854775808}', "[" * 70 + "]" * 70,
              '{"name":"' + "n" * 100_000 + '"}', json.dumps({"name": "\u202e\u2028<script>", "email": "\r\nX: y"})]
    with served.Served(binaries, "--lenient") as server:
        scene = customer.Scene(server)
        scene.nodes[0] = customer.Party(0x00)
        scene.register(scene.nodes[0])
        asked = 0
        for method, path, prefix in [(m, p, "/api/v1") for m, p in routes] + [(m, p, "/explorer") for m, p in old]:
            for signer in (None, scene.farmer, scene.customer, scene.nodes[0]):
                for body in bodies:
                    status, headers, text = server.send(method, prefix + path, signer.headers() if signer else {}, body)
                    asked += 1
                    where = f"{method} {path} {body[:60]!r}: {status} {text[:200]}"
                    expect(200 <= status < 600 and status != 503, where)
                    # The words of the originals for what does not validate are 500s with a reason.
                    expect(status < 500 or "error" in json.loads(text), where)
                    expect("\r" not in text and "\0" not in text, where)
                    expect("x" not in headers or headers["X"] != "y", where)
        # Paths and arguments.
        for path in ("/users/x", "/users/-1", "/users/99999999999999999999", "/farms/%00", "/nodes/%2e%2e%2f",
                     "/nodes?farm=x", "/nodes?cru=1e5", "/nodes?page=-1&size=-1", "/users?page=9223372036854775807",
                     "/users?size=9223372036854775807&page=9223372036854775807", "/users/%ff", "/users/%zz",
                     "/reservations/workloads?next_action=x", "/reservations/nodes/x/workloads?from=99999999999999999999",
                     "/reservations/nodes/workloads/1-99999999999999999999", "/reservations/workloads/-1"):
            status, _, text = server.send("GET", "/api/v1" + path)
            asked += 1
            expect(200 <= status < 500, f"{path}: {status} {text[:100]}")
        # What it did to farm, node and users is none of a customer's troubles.
        scene.pool = scene.new_pool([scene.nodes[0].id])
        ordered = scene.volume(scene.nodes[0])
        page = scene.ask("GET", f"/reservations/nodes/{scene.nodes[0].id}/workloads?from={ordered}")
        expect(ordered in [entry["id"] for entry in page], f"the node is told of {ordered}: {page}")
        expect(server.send("GET", "/api/v1/prices")[0] == 200, "and it goes on")
        print(f"  {asked} requests, none of which hurt")


@test
def tls(binaries):
    with served.Served(binaries) as folder_of:
        folder = folder_of.folder
        subprocess.run(
            ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2",
             "-keyout", folder + "/key.pem", "-out", folder + "/cert.pem", "-subj", "/CN=localhost",
             "-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1"], check=True, capture_output=True)
        flags = ["--tls-cert", folder + "/cert.pem", "--tls-key", folder + "/key.pem"]
        with served.Served(binaries, *flags) as server:
            trusting = ssl.create_default_context(cafile=folder + "/cert.pem")
            def ask(context):
                connection = http.client.HTTPSConnection("localhost", server.port, timeout=20, context=context)
                try:
                    connection.request("GET", "/api/v1/prices")
                    answer = connection.getresponse()
                    return answer.status, json.loads(answer.read()), connection.sock.version() if connection.sock else ""
                finally:
                    connection.close()
            status, prices, _ = ask(trusting)
            expect(status == 200 and prices["TftPriceMill"] == 100, f"{status} {prices}")
            try:
                ask(ssl.create_default_context())
                raise AssertionError("a certificate that nobody signed was trusted")
            except ssl.SSLCertVerificationError:
                pass
            warnings.simplefilter("ignore", DeprecationWarning)  # That it is old is the point.
            old = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
            old.check_hostname, old.verify_mode = False, ssl.CERT_NONE
            old.set_ciphers("ALL:@SECLEVEL=0")
            old.minimum_version, old.maximum_version = ssl.TLSVersion.TLSv1, ssl.TLSVersion.TLSv1_1
            try:
                ask(old)
                raise AssertionError("TLS 1.1 was spoken")
            except (ssl.SSLError, ConnectionError):
                pass
            plain = exchange(server, b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")
            expect(status_of(plain) == -1, "plain HTTP gets no answer there")
            # Who connects and says nothing holds up nobody.
            silent = [connect(server, f"127.0.1.{i + 1}") for i in range(100)]
            expect(ask(trusting)[0] == 200, "silent clients are beside the others")
            for stream in silent:
                stream.close()
        for wrong in (["--tls-cert", folder + "/cert.pem"], ["--tls-cert", "/nowhere", "--tls-key", "/nowhere"]):
            said = subprocess.run([binaries + "/zgrid", "serve", "--listen", "127.0.0.1:0", "--data", folder + "/d", *wrong],
                                  capture_output=True, text=True, timeout=60)
            expect(said.returncode != 0 and "tls" in said.stderr.lower() + said.stdout.lower() or "/nowhere" in said.stderr,
                   f"{wrong}: {said.returncode} {said.stderr}")


@test
def stops_when_told(binaries):
    with served.Served(binaries) as server, concurrent.futures.ThreadPoolExecutor(4) as aside:
        scene = customer.Scene(server)
        pollers = [Poller(scene, scene.nodes[0], 30) for _ in range(3)]
        for poller in pollers:
            poller.poll()
        waiting = held(aside, server, *pollers)
        idle = connect(server)
        begun = time.monotonic()
        expect(server.stop() == 0, "it ends well")
        took = time.monotonic() - begun
        expect(took < 5, f"and does not wait for idle connections: {took:.1f} s")
        expect([w.result(10)[0] for w in waiting] == [304] * 3, "those who wait are told to come again")
        idle.close()


@test
def ten_thousand_idle_polls(binaries):
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    most = min(10_000, hard - 200)
    with served.Served(binaries) as server:
        scene = customer.Scene(server)
        node = scene.nodes[0]
        path = f"/api/v1/reservations/nodes/{node.id}/workloads?from=0"
        mark = server.send("GET", path, {"Prefer": "wait=30"})[1]["Etag"]
        request = (f"GET {path} HTTP/1.1\r\nHost: localhost\r\nPrefer: wait=30\r\n"
                   f"If-None-Match: {mark}\r\n\r\n").encode()
        before = rss_mib(server.process.pid)
        begun = time.monotonic()
        streams = []
        # The server holds each for 30 s at most: opening leaves time for what is to happen meanwhile.
        while len(streams) < most and time.monotonic() - begun < 10:
            i = len(streams)
            # Each address has a rate of its own, as each node has.
            stream = connect(server, f"127.0.{2 + i // 250}.{1 + i % 250}")
            stream.sendall(request)
            streams.append(stream)
        opened, count = time.monotonic() - begun, len(streams)
        expect(count >= min(1000, most), f"only {count} were opened in {opened:.1f} s")
        # All are held when one more answer has gone through the same lane behind them.
        expect(server.send("GET", "/api/v1/prices")[0] == 200, "others are served beside them")
        used, since = cpu_seconds(server.process.pid), time.monotonic()
        select = selectors.DefaultSelector()
        for stream in streams:
            select.register(stream, selectors.EVENT_READ)
        early = select.select(3)
        used = (cpu_seconds(server.process.pid) - used) / (time.monotonic() - since)
        expect(not early, f"{len(early)} of {count} were answered before anything happened")
        memory = rss_mib(server.process.pid) - before
        expect(used < 0.05, f"waiting costs {used:.1%} of a processor")
        begun = time.monotonic()
        scene.volume(node)
        answered = 0
        while answered < count and time.monotonic() - begun < 120:
            for key, _ in select.select(30):
                expect(key.fileobj.recv(65536).startswith(b"HTTP/1.1 200"), "woken with the order")
                select.unregister(key.fileobj)
                answered += 1
        expect(answered == count, f"{answered} of {count} were woken")
        print(f"  {count} of {most} held (opened in {opened:.1f} s, {memory * 1024 / count:.1f} KiB each), "
              f"idle at {used:.2%} of a processor, all woken in {time.monotonic() - begun:.2f} s")
        begun = time.monotonic()
        expect(server.stop() == 0 and time.monotonic() - begun < 10, "and it still stops when told")
        for stream in streams:
            stream.close()


def main():
    if sys.argv[1:] == ["--list"]:
        print("\n".join(TESTS))
        return 0
    if len(sys.argv) < 2:
        print(__doc__, file=sys.stderr)
        return 2
    names = sys.argv[2:] or list(TESTS)
    failed = 0
    for name in names:
        begun = time.monotonic()
        try:
            TESTS[name](sys.argv[1])
            print(f"ok   {name} ({time.monotonic() - begun:.1f} s)", flush=True)
        except Exception as error:  # Whatever it is, the next test may still tell something.
            failed += 1
            print(f"FAIL {name}: {type(error).__name__}: {error}", flush=True)
    print(f"{len(names) - failed} passed, {failed} failed")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
