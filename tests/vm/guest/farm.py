"""What the scripts that run inside of the machine share: verdicts, commands, the world outside of the node."""
import json
import os
import subprocess
import sys
import time

HERE = os.path.dirname(os.path.realpath(__file__))
EXPLORER = "http://198.51.100.1:8080"
REDIS = "198.51.100.1"
SEED = "/var/lib/outside/customer.seed"
FACTS = "/var/lib/outside/facts.json"
UNITS = ("outside-redis", "outside-blocks", "zgrid")


os.environ.setdefault("ASAN_OPTIONS", "detect_leaks=0")  # For programs of a build with sanitizers.


class Failure(Exception):
    """Something is not as promised."""


def expect(condition, text):
    if not condition:
        raise Failure(text)


def run(*command, check=True, patience=180, **more):
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, timeout=patience, **more)
    if check and done.returncode != 0:
        raise Failure(f"{' '.join(command)}: {done.returncode}\n{done.stdout[-2000:]}\n{done.stderr[-2000:]}")
    return done


def wait_for(fact, seconds, text):
    """The first true answer of `fact`; failures of its own commands count as not yet."""
    end = time.monotonic() + seconds
    last = None
    while True:
        try:
            value = fact()
            if value:
                return value
        except (Failure, ValueError, KeyError, IndexError, OSError) as error:
            last = error
        if time.monotonic() > end:
            raise Failure(f"{text}: not within {seconds} s ({last})")
        time.sleep(0.1)


def outside(*command, **more):
    return run("nsenter", "--net=/run/netns/outside", *command, **more)


def zgrid(*arguments, **more):
    return outside("zgrid", "--explorer", EXPLORER, "--identity", SEED, *arguments, **more)


def zgrid_json(*arguments):
    return json.loads(zgrid("--json", *arguments).stdout)


def ctl(*arguments, **more):
    return run("znodectl", *arguments, **more)


def status():
    return json.loads(ctl("--json", "status").stdout)


def workloads():
    return json.loads(ctl("--json", "workloads").stdout)["workloads"]


def workload(kind, name=None):
    """The one of this kind; `name` is a word of its message or its gwid's customer name in FACTS."""
    found = [w for w in workloads() if w["type"] == kind and (name is None or facts()["gwids"].get(name) == w["gwid"])]
    expect(len(found) == 1, f"{len(found)} workloads {kind} {name or ''}")
    return found[0]


def all_running():
    """What runs, as it is kept in FACTS to be compared after a reboot."""
    return sorted([w["gwid"], w["type"], w["addresses"]] for w in workloads() if w["state"] == "running")


def start_time(pid):
    with open(f"/proc/{pid}/stat") as file:
        return file.read().rsplit(")", 1)[1].split()[19]


def programs():
    """Each running container's first process, as (gwid, pid, start): equal means that nothing was started again."""
    return sorted(
        (w["gwid"], pid, start_time(pid)) for w in workloads() if w["type"] == "container" for pid in w["pids"])


def wait_for_programs(before):
    """An agent that has just begun answers before it has found all that runs."""
    wait_for(lambda: programs() == before, 120, f"every container's pid is what it was ({before})")


def facts(**changes):
    known = {}
    if os.path.exists(FACTS):
        with open(FACTS) as file:
            known = json.load(file)
    if changes:
        known.update(changes)
        with open(FACTS + ".new", "w") as file:
            json.dump(known, file)
            file.flush()
            os.fsync(file.fileno())
        os.rename(FACTS + ".new", FACTS)
    return known


def journal(unit, *more):
    return run("journalctl", "--no-pager", "-b", "-u", unit, "-o", "cat", *more).stdout


def is_active(unit="znoded"):
    return run("systemctl", "is-active", unit, check=False).stdout.strip() == "active"


def main_pid(unit="znoded"):
    return int(run("systemctl", "show", "-P", "MainPID", unit).stdout)


def active_pid():
    """The agent's pid, once its unit is active."""
    told = dict(line.split("=", 1) for line in run("systemctl", "show", "-p", "ActiveState,MainPID", "znoded").stdout.split())
    return int(told["MainPID"]) if told["ActiveState"] == "active" else None


def answers():
    """The agent's pid, once its unit is active and its socket answers."""
    pid = main_pid()
    return pid if pid and is_active() and status()["node_id"] else None


def running(name):
    """Pids of the processes of that name."""
    found = []
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try:
            with open(f"/proc/{pid}/comm") as file:
                if file.read().strip() == name:
                    found.append(int(pid))
        except OSError:
            continue
    return found


def fetch(path, space="laptop"):
    """What the container's web server says, through the customer's tunnel."""
    return run("nsenter", f"--net=/run/netns/{space}", "curl", "-sS", "--max-time", "5", f"http://172.20.1.10:8000/{path}").stdout


class Boot:
    """Runs checks, one after the other, and says what became of them in lines that the host counts."""

    def __init__(self):
        self.failed = 0

    def check(self, function):
        begun = time.monotonic()
        try:
            note = function()
        except Exception as error:  # Whatever it is, the checks after it have their say.
            self.failed += 1
            print(f"FAIL {function.__name__}: {type(error).__name__}: {error}", flush=True)
            print(journal("znoded", "-n", "30"), flush=True)
            return False
        print(f"ok   {function.__name__} ({time.monotonic() - begun:.1f} s){': ' + note if note else ''}", flush=True)
        return True

    def must(self, function):
        """A check without which the others make no sense."""
        if not self.check(function):
            self.end()

    def end(self):
        print("END", flush=True)
        sys.exit(1 if self.failed else 0)


def inside(gwid, *command, **more):
    """Runs a command in a container, as its root."""
    return run("znodectl", "exec", gwid, "--", *command, stdin=subprocess.DEVNULL, **more)


def systemctl(*arguments, **more):
    return run("systemctl", *arguments, **more)


def collect_logs():
    """Follows the channels of the container into a file, for as long as redis lives."""
    with open("/var/lib/outside/lines", "ab") as file:
        return subprocess.Popen(
            ["nsenter", "--net=/run/netns/outside", "stdbuf", "-oL", "redis-cli", "-h", REDIS, "psubscribe", "web-*"],
            stdout=file, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL)


def collected(starts):
    """Numbers of the lines of the program's start number `starts` that came through redis, in order of arrival."""
    with open("/var/lib/outside/lines", errors="replace") as file:
        words = [line.split() for line in file if line.startswith(f"line {starts} ")]
    return [int(w[2]) for w in words if len(w) == 3]
