#!/usr/bin/python3
"""Sends what real explorers were asked to `zgrid serve`, and compares the answers with theirs.

replay.py BINARIES [--only NAME…] [--list N]

Requests and answers are in tests/data/recordings; ZNODE_RECORDINGS may name a folder in which a file
with the name of one of ours brings more lines, and answers to lines that have none here. What may
differ is in tests/data/recordings/meant.json: a rule names the wart of the originals that is not
inherited, and which parts of an answer differ by it. Anything else that differs is a failure, and so
is a rule that nothing needs.
"""
import argparse
import base64
import collections
import concurrent.futures
import email.utils
import json
import os
import re
import sys
import time

import challenge
import customer
import served
import sodium

DATA = os.path.join(os.path.dirname(os.path.realpath(__file__)), "..", "data", "recordings")

# How each recording is replayed: flags of the server, keys of the signers, whether its pauses count.
RECORDINGS = {
    "traffic.jsonl": {"flags": ["--lenient"], "keys": "explorer-keys.json"},
    "traffic-capacity.jsonl": {"flags": ["--lenient"], "keys": "explorer-keys.json"},
    "traffic-expiry.jsonl": {"flags": ["--lenient"], "keys": "explorer-keys.json", "paced": True},
    "traffic-v0.2.6.jsonl": {"flags": ["--lenient", "--first-id", "9012"], "keys": "explorer-keys.json"},
    "legacy-directory.jsonl": {"flags": ["--lenient"], "keys": "explorer-keys.json"},
    "node-traffic.jsonl": {"flags": ["--lenient"], "keys": "node-keys.json"},
    "node-traffic.jsonl, strict": {"flags": [], "keys": "node-keys.json"},
}
HEADERS = ("Content-Type", "Pages", "X-Last-Id", "Location", "Www-Authenticate",
           "Access-Control-Allow-Origin", "Access-Control-Expose-Headers")
TIMES = {"created", "updated", "epoch", "last_updated", "expiration", "creation"}
POLL = re.compile(r"/reservations/(?:nodes/\w+/workloads|workloads/\w{40,})\?")
CONSENT = re.compile(r"^/(?:api/v1/reservations|explorer)/workloads/(\d+)/sign/(delete|provision)$")
# What decoders, databases and resolvers say is their own; that they refuse is not.
OWN_WORDS = [
    (re.compile(r"(JSON: |json: |[\w.]+: (?:invalid|must be) |invalid character |unexpected end of JSON|unexpected EOF|EOF|parsing time |strconv\.|"
                r"invalid cidr|invalid CIDR|.*must be (?:text|a |an |true)|after top-level).*", re.S), "<decoder>"),
    (re.compile(r"E11000.*|\(DuplicateKey\).*|write exception.*", re.S), "<duplicate>"),
    (re.compile(r"failed to look up .*", re.S), "<resolver>"),
]


class Signers:
    """The keys of a recording, and how its requests are signed anew."""

    def __init__(self, file):
        with open(os.path.join(DATA, file), encoding="utf-8") as text:
            entries = json.load(text)["keys"]
        self.keys = {name: sodium.Key(bytes.fromhex(entry["seed_hex"])) for name, entry in entries.items()}
        # The users who only fill up numbers have seeds by rule.
        for i in range(1, 7):
            self.keys.setdefault(f"filler{i}", sodium.Key(bytes((0xD0 + i + j) & 255 for j in range(32))))
        self.user = {entry["threebot_id"]: self.keys[name]
                     for name, entry in entries.items() if entry.get("threebot_id")}

    @staticmethod
    def _lines(names, parameters, headers, request, host):
        special = {
            "(created)": parameters.get("created", ""),
            "(request-target)": f"{request['method'].lower()} {request['path']}",
            "host": host,
        }
        return "\n".join(f"{name}: {special.get(name, headers.get(name, ''))}" for name in names).encode()

    def renewed(self, line, host, strict):
        """The headers, with today's signature where the recorded one was good: many are wrong on purpose."""
        request = line["request"]
        headers = dict(request["headers"] or {})
        by_name = {name.lower(): name for name in headers}
        scheme, _, rest = headers.get(by_name.get("authorization", ""), "").partition(" ")
        if strict and not scheme and (request["method"], request["path"]) == ("POST", "/api/v1/farms"):
            # The original asked nobody for a signature here; ours wants the owner's.
            owner = json.loads(request["body"])["threebot_id"]
            return {**headers, **customer.signed(self.user[owner], owner)}
        parameters = dict(re.findall(r'(\w+)="([^"]*)"', rest))
        if scheme.lower() != "signature" or "signature" not in parameters:
            return headers
        names = parameters.get("headers", "date").split()
        lower = {name.lower(): value for name, value in headers.items()}
        signer = None
        if "date" in names and "date" not in lower:
            # The original took its own clock for the missing header.
            signer = self.keys.get(line.get("signer"))
        else:
            try:
                old = base64.b64decode(parameters["signature"], validate=True)
            except ValueError:
                return headers
            for recorded_host in ("127.0.0.1:8092", "127.0.0.1:8080"):
                text = self._lines(names, parameters, lower, request, recorded_host)
                signer = signer or next((key for key in self.keys.values() if key.made(old, text)), None)
        if signer is None:
            return headers
        now = int(time.time())
        lower["date"] = email.utils.formatdate(now, usegmt=True)
        created = dict(parameters, created=str(now))
        signature = base64.b64encode(signer.sign(self._lines(names, created, lower, request, host))).decode()
        if "date" in by_name:
            headers[by_name["date"]] = lower["date"]
        value = headers[by_name["authorization"]]
        for name, new in (("created", str(now)), ("signature", signature)):
            value = re.sub(rf'\b{name}="[^"]*"', f'{name}="{new}"', value)
        headers[by_name["authorization"]] = value
        return headers

    def consent(self, line, server):
        """The body of a co-signature, over the epoch that this server gave the workload."""
        request = line["request"]
        place = CONSENT.match(request["path"])
        recorded = line["response"]
        refused = recorded and recorded["status"] in (401, 404)
        # The original had started what named a signer, and took his signature no more.
        too_late = refused and "not expecting signatures" in recorded["body"]
        if not place or not request["body"] or (refused and not too_late):
            return request["body"]
        try:
            body = json.loads(request["body"])
            good = len(bytes.fromhex(body["signature"])) == 64
        except (ValueError, KeyError, TypeError):
            return request["body"]
        key = self.user.get(body.get("tid"))
        status, _, text = server.send("GET", f"/api/v1/reservations/workloads/{place[1]}")
        if not good or key is None or status != 200:
            return request["body"]
        message = challenge.message(json.loads(text), place[2], body["tid"])
        return json.dumps(dict(body, signature=key.sign(message).hex()))


def merged(name):
    """The lines of a recording by number: ours, and what the folder from outside adds."""
    files = [os.path.join(DATA, name)]
    outside = os.environ.get("ZNODE_RECORDINGS")
    if outside:
        for folder, _, names in os.walk(outside):
            if name in names:
                files.append(os.path.join(folder, name))
    lines = {}
    for file in files:
        with open(file, encoding="utf-8") as text:
            for line in map(json.loads, filter(str.strip, text)):
                if line["n"] not in lines or line["response"]:
                    lines[line["n"]] = line
    return [lines[n] for n in sorted(lines)]


def own_words(text):
    for pattern, word in OWN_WORDS:
        text = pattern.sub(word, text)
    return re.sub(r"(?:<decoder>)+", "<decoder>", re.sub(r"127\.0\.0\.1:\d+", "<host>", text))


def masked(value, parent=""):
    """Without what differs from run to run."""
    if isinstance(value, list):
        return [masked(item, parent) for item in value]
    if not isinstance(value, dict):
        return value
    out = {}
    for name, item in value.items():
        if name == "customer_epoch":
            continue  # Ours beside the originals' members.
        large = isinstance(item, (int, float)) and item > 1_500_000_000
        if name in TIMES and large or name == "duration" and "created" in value:
            item = "<time>"
        elif name == "empty_at" and isinstance(item, (int, float)) and item < 1 << 62:
            item = "<time>"
        elif name == "signature" and parent in ("signatures_delete", "signatures_provision"):
            item = "<signature>"
        elif name in ("hardware_hash", "disk_hash"):
            item = "<hash>"
        elif name == "error" and isinstance(item, str):
            item = own_words(item)
        out[name] = masked(item, name)
    return out


def differing(theirs, ours, path=""):
    """Paths of the members that differ; balances of a pool in use may have fallen."""
    if isinstance(theirs, dict) and isinstance(ours, dict):
        found = []
        if list(theirs) != list(ours) and set(theirs) == set(ours):
            found.append(path + ".<order>")
        for name in {**theirs, **ours}:
            place = f"{path}.{name}" if path else name
            if name not in ours or name not in theirs:
                found.append(place)
                continue
            use = {"cus": "active_cu", "sus": "active_su", "ipv4us": "active_ipv4"}.get(name)
            if use in theirs and isinstance(theirs[use], (int, float)):
                fallen = 90 * max(theirs[use], ours.get(use, 0))
                if abs(theirs[name] - ours[name]) <= 1e-6 + 1e-9 * abs(theirs[name]) + fallen:
                    continue
            found += differing(theirs[name], ours[name], place)
        return found
    if isinstance(theirs, list) and isinstance(ours, list):
        if len(theirs) != len(ours):
            return [path + "[]"]
        return [place for a, b in zip(theirs, ours) for place in differing(a, b, path + "[]")]
    if isinstance(theirs, bool) or isinstance(ours, bool) or type(theirs) is not type(ours):
        numbers = all(isinstance(x, (int, float)) and not isinstance(x, bool) for x in (theirs, ours))
        return [] if numbers and theirs == ours or theirs is ours else [path or "body"]
    if isinstance(theirs, float):
        return [] if abs(theirs - ours) <= 1e-9 * max(abs(theirs), abs(ours)) else [path or "body"]
    return [] if theirs == ours else [path or "body"]


def told(page):
    """A node's page in the order of ids: that of the queue was the original's database's."""
    if not isinstance(page, list):
        return page
    return sorted(page, key=lambda entry: (str(entry.get("id", "")), str(entry["workload_id"]), json.dumps(entry)))


def compare(path, recorded, status, headers, text):
    """What of the answer differs: "status", names of headers, paths of members, "body"."""
    found = [] if recorded["status"] == status else ["status"]
    theirs = {name.title(): value for name, value in (recorded["headers"] or {}).items()}
    if status > 0:
        found += [name for name in HEADERS if theirs.get(name) != headers.get(name)]
    if recorded["status"] == status == -1 or recorded["body"].endswith("…(cut)"):
        return found
    if recorded["body"] == "(an HTML page)":
        return found if text.lstrip().startswith("<") else found + ["body"]
    try:
        theirs, ours = masked(json.loads(recorded["body"])), masked(json.loads(text))
        if POLL.search(path):
            theirs, ours = told(theirs), told(ours)
        return found + differing(theirs, ours)
    except ValueError:
        return found + ([] if own_words(recorded["body"]) == own_words(text) else ["body"])


class Meant:
    """The differences that are wanted."""

    def __init__(self):
        with open(os.path.join(DATA, "meant.json"), encoding="utf-8") as file:
            self.rules = json.load(file)["rules"]
        self.used = collections.Counter()

    def covers(self, name, line, status, text, found):
        """The warts that explain every difference; empty when something is left."""
        request, recorded = line["request"], line["response"]
        left, warts = list(found), []
        for i, rule in enumerate(self.rules):
            if not left:
                break
            if not re.search(rule.get("recording", ""), name):
                continue
            if not re.search(rule.get("request", ""), f"{request['method']} {request['path']}"):
                continue
            if not re.search(rule.get("label", ""), line["label"]) or not re.search(rule.get("group", ""), line["group"]):
                continue
            if not re.search(rule.get("sent", ""), request["body"] or ""):
                continue
            if not re.fullmatch(rule.get("status", r"-?\d+ -?\d+"), f"{recorded['status']} {status}"):
                continue
            if not re.search(rule.get("theirs", ""), recorded["body"]) or not re.search(rule.get("ours", ""), text):
                continue
            explained = [part for part in left if any(re.fullmatch(p, part) for p in rule["parts"])]
            if not explained:
                continue
            self.used[i] += 1
            warts.append(rule["wart"])
            left = [part for part in left if part not in explained]
        return warts if not left else []

    def idle(self, names):
        """Rules that nothing needed, of those that these recordings could have needed."""
        return [rule for i, rule in enumerate(self.rules) if not self.used[i] and
                any(re.search(rule.get("recording", ""), name) for name in names)]


def replay(name, binaries, meant):
    """Counts by outcome, and the failures."""
    how = RECORDINGS[name]
    signers = Signers(how["keys"])
    counts, warts, failures = collections.Counter(), collections.Counter(), []
    before = None
    with served.Served(binaries, *how["flags"]) as server:
        for line in merged(name.split(",")[0]):
            if how.get("paced") and before is not None and line["unix_time"] - before > 1:
                time.sleep(line["unix_time"] - before)  # The recording's own clock: a pool runs dry meanwhile.
            before = line["unix_time"]
            request = line["request"]
            body = signers.consent(line, server)
            answer = server.send(request["method"], request["path"], signers.renewed(line, server.host, "--lenient" not in how["flags"]), body)
            if line["response"] is None:
                counts["sent"] += 1
                continue
            found = compare(request["path"], line["response"], *answer)
            if not found:
                counts["equal"] += 1
                continue
            reasons = meant.covers(name, line, answer[0], answer[2], found)
            if reasons:
                counts["meant"] += 1
                warts.update(reasons)
                continue
            counts["different"] += 1
            failures.append((line, answer, found))
        if server.stop() != 0:
            failures.append(({"n": 0, "label": "the end", "group": "", "request": {"method": "", "path": ""},
                              "response": None}, (-1, {}, server.log()[-2000:]), ["exit status"]))
    return counts, warts, failures


def main():
    parser = argparse.ArgumentParser(description="replays recorded requests to zgrid serve")
    parser.add_argument("binaries")
    parser.add_argument("--only", nargs="+", default=list(RECORDINGS), choices=list(RECORDINGS))
    parser.add_argument("--list", type=int, default=30, help="how many differences to show")
    options = parser.parse_args()
    meant = Meant()
    bad = 0
    with concurrent.futures.ThreadPoolExecutor(len(options.only)) as pool:
        running = {name: pool.submit(replay, name, options.binaries, meant) for name in options.only}
    for name, future in running.items():
        counts, warts, failures = future.result()
        print(f"{name}: {counts['equal']} equal, {counts['meant']} different on purpose, "
              f"{counts['different']} different, {counts['sent']} sent without a recorded answer")
        print("    on purpose: " + (", ".join(f"{wart} {n}" for wart, n in sorted(warts.items())) or "none"))
        for line, (status, _, text), found in failures[:options.list]:
            print(f"  #{line['n']} [{line['group']}] {line['label']}: {line['request']['method']} "
                  f"{line['request']['path']}\n    differs in {', '.join(found)}\n    ours   {status} {text.strip()[:500]}")
            if line["response"]:
                print(f"    theirs {line['response']['status']} {line['response']['body'].strip()[:500]}")
        bad += len(failures)
        if counts["equal"] == 0:
            print(f"  nothing of {name} was compared")
            bad += 1
    if set(options.only) == set(RECORDINGS):
        for rule in meant.idle(options.only):
            print(f"nothing needs this rule of meant.json any more: {json.dumps(rule)}")
            bad += 1
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
