"""The agent with many reservations at once, and what reading them costs.

Resources do nothing here: the rest (link, engine, runners, journal, outbox) is the agent's own.
"""
import json
import os
import sqlite3
import time

import challenge
import customer
from measured import Samples, bench, folder, told

RESERVATIONS = 10_000
PAGE = 200
HERE = os.path.dirname(os.path.realpath(__file__))
VECTORS = os.path.join(HERE, "..", "data", "vectors")


def write(path, text):
    with open(path, "w", encoding="utf-8") as file:
        file.write(text)


def compact(value):
    return json.dumps(value, separators=(",", ":"))


def volume(number, node, who):
    """A volume as an explorer delivers it, signed by its customer."""
    unsigned = {"tid": 0, "signature": "", "epoch": 0}
    document = {
        "workload_id": 1, "node_id": node, "pool_id": 1, "reference": "", "description": "",
        "signing_request_provision": {"signers": [], "quorum_min": 0},
        "signing_request_delete": {"signers": [2], "quorum_min": 1}, "id": number, "json": "", "customer_tid": 2,
        "customer_signature": "", "next_action": 3, "signatures_provision": None, "signature_farmer": unsigned,
        "signatures_delete": None, "epoch": 1619600000, "metadata": "",
        "result": {"category": 0, "workload_id": "", "data_json": None, "signature": "", "state": 0, "message": "",
                   "epoch": 0, "node_id": ""},
        "workload_type": 2, "version": 2, "size": 1 + number % 50, "type": 1}
    document["customer_signature"] = who.key.sign(challenge.message(document)).hex()
    document["customer_epoch"] = document["epoch"]
    return document


def write_pages(path):
    who, node = customer.Party(0x40, 2), customer.Party(0x80)
    write(f"{path}/customer", who.key.public.hex())
    write(f"{path}/node", node.id)
    for page in range(RESERVATIONS // PAGE):
        numbers = range(page * PAGE + 1, (page + 1) * PAGE + 1)
        write(f"{path}/page-{page}", compact([volume(number, node.id, who) for number in numbers]))


def plain_inserts(path):
    """The rows that a journal holds, put into an empty database page by page, each page synced. Seconds for
    the accepted reservations alone, and for all rows."""
    rows = {}
    with sqlite3.connect(f"file:{path}/state.db?mode=ro", uri=True) as journal:
        schema = [text for (text,) in journal.execute(
            "SELECT sql FROM sqlite_master WHERE tbl_name IN ('workloads', 'events') AND sql IS NOT NULL")]
        rows["workloads"] = journal.execute("SELECT * FROM workloads ORDER BY accepted").fetchall()
        rows["events"] = journal.execute("SELECT * FROM events ORDER BY sequence").fetchall()
    journal.close()
    took = []
    for events in (len(rows["workloads"]), len(rows["events"])):
        target = f"{path}/rows.db"
        database = sqlite3.connect(target, isolation_level=None)
        database.execute("PRAGMA journal_mode=WAL")
        database.execute("PRAGMA synchronous=FULL")
        for text in schema:
            database.execute(text)
        pages = len(rows["workloads"]) // PAGE
        share = events // pages
        begun = time.monotonic()
        for page in range(pages):
            database.execute("BEGIN IMMEDIATE")
            for table, size in (("workloads", PAGE), ("events", share)):
                part = rows[table][page * size:(page + 1) * size]
                marks = ",".join("?" * len(part[0]))
                database.executemany(f"INSERT INTO {table} VALUES ({marks})", part)
            database.execute("COMMIT")
        took.append(time.monotonic() - begun)
        database.close()
        for end in ("", "-wal", "-shm"):
            if os.path.exists(target + end):
                os.remove(target + end)
    return took


@bench("engine.reservations", "bench_reservations")
def reservations(binaries, runs):
    """10,000 reservations taken by one agent whose resources do nothing."""
    program = f"{binaries}/bench_reservations"
    samples = Samples()
    what = "plain inserts of the same rows, a transaction per page"
    for _ in range(runs):
        with folder() as path:
            write_pages(path)
            taken = told(program, "take", path, str(RESERVATIONS))
            again = told(program, "start", path, str(RESERVATIONS))
            accepted, everything = plain_inserts(path)
            empty = told(program, "nothing", path, "0")
        if taken["made"] != RESERVATIONS or again["made"] != RESERVATIONS:
            raise RuntimeError(f"not all were made: {taken} {again}")
        samples.add("all accepted, in the journal", "s", "lower", taken["accepted"], what, accepted)
        samples.add("all made and reported", "s", "lower", taken["told"], what, everything)
        samples.add("agent started anew, all adopted", "s", "lower", again["started"])
        samples.add("largest memory, taking", "MiB", "lower", taken["peak"] / 1024, "without work",
                    empty["peak"] / 1024)
        samples.add("largest memory, started anew", "MiB", "lower", again["peak"] / 1024, "without work",
                    empty["peak"] / 1024)
    return samples.done()


def pools_page():
    with open(f"{VECTORS}/workloads.json", encoding="utf-8") as file:
        stored = [case["stored"]["workload"] for case in json.load(file)["cases"] if "stored" in case]
    return [dict(stored[i % len(stored)], id=i + 1) for i in range(PAGE)]


def legacy_page():
    with open(f"{VECTORS}/legacy_reservation.json", encoding="utf-8") as file:
        entries = json.load(file)["workloads_node1"]
    return [dict(entries[i % len(entries)], workload_id=f"{i + 1}-1") for i in range(PAGE)]


@bench("engine.decoding", "bench_decoding")
def decoding(binaries, runs):
    """What one reservation of a poll page costs to read, in both eras."""
    samples = Samples()
    with folder() as path:
        for era, page, more in (("pools era", pools_page(), []),
                                ("first era", legacy_page(), [legacy_page()[0]["node_id"]])):
            write(f"{path}/page", compact(page))
            said = told(f"{binaries}/bench_decoding", f"{path}/page", str(max(runs, 5)), *more)
            for ours, theirs in said["rounds"]:
                samples.add(f"{era}, {said['bytes'] // said['entries']} bytes each", "us", "lower",
                            ours / said["entries"] / 1000, "nlohmann::json::parse alone, same bytes",
                            theirs / said["entries"] / 1000)
    return samples.done()
