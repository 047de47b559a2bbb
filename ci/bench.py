#!/usr/bin/env python3
"""Measures the daemon as its clients see it: bench.py BINARY DIRECTORY

DIRECTORY holds config.yml, credentials.cnf, backups/ and run/, and a server answers to the credentials; ci/bench makes all
that. Requests are sent by the project's Python client, so every time includes what that client itself takes.
"""

import contextlib
import json
import os
import platform
import resource
import select
import shutil
import signal
import socket
import sqlite3
import statistics
import subprocess
import sys
import time
import uuid

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "tests", "client"))
import dbcalm_client  # noqa: E402

STARTS = 30  # times the daemon is started
REFUSALS = 400  # requests of each kind that are refused
BATCH = 100  # of them in a row before the next kind, or with one set of idle connections
BACKUPS = 25  # accepted backups
IDLE = 1000  # connections held open
IN_A_ROW = 200
CLEAN = {"PATH": "/usr/bin:/bin", "LC_ALL": "C"}

clock = time.perf_counter_ns


def ms(nanoseconds):
    """Nanoseconds as milliseconds."""
    return nanoseconds / 1e6


def percentile(values, share):
    """The smallest value that `share` of all do not exceed."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, max(0, -(-len(ordered) * share // 100) - 1))]


class Daemon:
    """A running daemon; as a context it is ended at the end."""

    def __init__(self, binary, directory):
        self.directory = directory
        self.socket = os.path.join(directory, "run", "db-cmd.sock")
        command = [binary, "--config", os.path.join(directory, "config.yml"), "--socket", self.socket]
        with open(os.path.join(directory, "daemon.stderr"), "ab") as log:
            begun = clock()
            # posix_spawn comes back as soon as the new process has replaced its image.
            actions = [(os.POSIX_SPAWN_DUP2, log.fileno(), 1), (os.POSIX_SPAWN_DUP2, log.fileno(), 2)]
            self.pid = os.posix_spawn(binary, command, CLEAN, file_actions=actions)
            executed = clock()
        self.ended = False
        try:
            accepted = self.accepted(begun)
        except BaseException:
            self.end()
            raise
        self.since_fork = accepted - begun
        self.since_exec = accepted - executed

    def accepted(self, begun):
        """When the socket accepted, which is tried without a pause."""
        while clock() - begun < 10e9:
            with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
                try:
                    connection.connect(self.socket)
                    return clock()
                except (FileNotFoundError, ConnectionRefusedError):
                    pass
            if os.waitpid(self.pid, os.WNOHANG)[0]:
                self.ended = True
                break
        raise RuntimeError("the daemon does not accept within 10 s")

    def end(self):
        """SIGTERM, and SIGKILL after 40 s."""
        if self.ended:
            return
        self.ended = True
        os.kill(self.pid, signal.SIGTERM)
        until = time.monotonic() + 40
        while time.monotonic() < until:
            if os.waitpid(self.pid, os.WNOHANG)[0]:
                return
            time.sleep(0.001)
        os.kill(self.pid, signal.SIGKILL)
        os.waitpid(self.pid, 0)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.end()

    def memory(self):
        """VmRSS and RssAnon in KiB, when they have been the same for half a second."""
        same_since, last = time.monotonic(), None
        while True:
            with open(f"/proc/{self.pid}/status", encoding="ascii") as status:
                lines = dict(line.split(":", 1) for line in status)
            now = tuple(int(lines[key].split()[0]) for key in ("VmRSS", "RssAnon"))
            if now != last:
                same_since, last = time.monotonic(), now
            if time.monotonic() - same_since >= 0.5:
                return now
            time.sleep(0.05)

    def descriptors(self):
        """How many descriptors the daemon holds."""
        return len(os.listdir(f"/proc/{self.pid}/fd"))

    def timed(self, payload, code, status):
        """Nanoseconds until the whole reply is there, which has to be the one that is expected."""
        begun = clock()
        reply = dbcalm_client.raw(self.socket, payload)
        taken = clock() - begun
        found = json.loads(reply)
        if found["code"] != code or found["status"] != status:
            raise RuntimeError(f"expected {code} {status!r}, but got {reply!r}")
        return taken, found


def request(command, **args):
    """The bytes that the Python API sends."""
    return json.dumps({"cmd": command, "args": args}).encode()


#: Replies that take no job: the request, its code, its text.
REFUSED = {
    "400": (request("drop_everything"), 400, "Invalid command"),
    "404": (request("incremental_backup", id="x", from_backup_id="never"), 404, "Base backup with id never not found"),
    "409": (request("full_backup", id="base"), 409, "Backup with id base already exists"),
}


@contextlib.contextmanager
def idle(daemon, count):
    """Holds `count` silent connections open: all accepted before, none closed or answered until after.

    The daemon answers a silent client after 4 s, so what is measured within has to be shorter.
    """
    if not count:
        yield
        return
    before, connections, watch = daemon.descriptors(), [], select.poll()
    try:
        for _ in range(count):
            connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
            connections.append(connection)
            connection.connect(daemon.socket)
            watch.register(connection, select.POLLIN)
        until = time.monotonic() + 2
        while daemon.descriptors() < before + count:
            if time.monotonic() > until:
                raise RuntimeError(f"{daemon.descriptors() - before} of {count} connections are accepted")
        yield
        gone = len(watch.poll(0))
        if gone or daemon.descriptors() < before + count:
            raise RuntimeError(f"{gone} of {count} idle connections were closed while it was measured")
    finally:
        for connection in connections:
            connection.close()
    until = time.monotonic() + 5
    while daemon.descriptors() > before:
        if time.monotonic() > until:
            raise RuntimeError(f"{daemon.descriptors() - before} descriptors are still open after their clients left")


def ping(directory):
    """Nanoseconds of the bare ping, with the same credentials."""
    admin = next(path for path in ("/usr/bin/mariadb-admin", "/usr/bin/mysqladmin") if os.path.exists(path))
    credentials = os.path.join(directory, "credentials.cnf")
    command = [admin, f"--defaults-file={credentials}", "--defaults-group-suffix=-dbcalm", "ping"]
    actions = [(os.POSIX_SPAWN_OPEN, 1, "/dev/null", os.O_WRONLY, 0)]
    begun = clock()
    child = os.posix_spawn(admin, command, CLEAN, file_actions=actions)
    _, status = os.waitpid(child, 0)
    taken = clock() - begun
    if status:
        raise RuntimeError("the server does not answer the ping")
    return taken


def settle(records, command_id):
    """Waits for a backup's success."""
    until = time.monotonic() + 60
    query = "SELECT status, error FROM process WHERE command_id = ? ORDER BY id DESC LIMIT 1"
    while True:
        status, error = records.execute(query, (command_id,)).fetchone()
        if status == "success":
            return
        if status == "failed" or time.monotonic() > until:
            raise RuntimeError(f"the backup is {status}: {error}")
        time.sleep(0.01)


def full_backup(daemon, records, backup_id, held=0, pings=None):
    """A backup to its end: nanoseconds until it was accepted; those of two bare pings just before it go to `pings`."""
    with idle(daemon, held):
        if pings is not None:
            pings += [ping(daemon.directory) for _ in range(2)]
        taken, reply = daemon.timed(request("full_backup", id=backup_id), 202, "Accepted")
    settle(records, reply["id"])
    return taken


def refusals(daemon, held=0):
    """Nanoseconds of each refusal, by kind, in batches that take turns."""
    taken = {kind: [] for kind in REFUSED}
    for _ in range(REFUSALS // BATCH):
        for kind, expected in REFUSED.items():
            with idle(daemon, held):
                taken[kind] += [daemon.timed(*expected)[0] for _ in range(BATCH)]
    return taken


def acceptances(daemon, records):
    """Nanoseconds of accepted backups and of bare pings, alone and with idle connections, by turns."""
    alone, crowded = ([], []), ([], [])
    for _ in range(BACKUPS):
        for held, (times, pings) in ((0, alone), (IDLE, crowded)):
            backup_id = f"b-{uuid.uuid4()}"
            times.append(full_backup(daemon, records, backup_id, held, pings))
            # So that the disk stays small; the record stays too, and the id is never used again.
            shutil.rmtree(os.path.join(daemon.directory, "backups", backup_id))
    return alone, crowded


def in_a_row(daemon):
    """How many requests were answered as they should be, and the nanoseconds of all."""
    kinds, answered, begun = list(REFUSED.values()), 0, clock()
    for number in range(IN_A_ROW):
        payload, code, status = kinds[number % len(kinds)]
        reply = dbcalm_client.raw(daemon.socket, payload)
        answered += reply == json.dumps({"code": code, "status": status}).encode()
    return answered, clock() - begun


def at_once(daemon):
    """The same with all of them sent before the first reply is read."""
    kinds, connections, begun = list(REFUSED.values()), [], clock()
    answered = 0
    with contextlib.ExitStack() as stack:
        for number in range(IN_A_ROW):
            connection = stack.enter_context(socket.socket(socket.AF_UNIX, socket.SOCK_STREAM))
            connection.settimeout(5)
            connection.connect(daemon.socket)
            connection.sendall(kinds[number % len(kinds)][0])
            connections.append(connection)
        for number, connection in enumerate(connections):
            _, code, status = kinds[number % len(kinds)]
            reply = b""
            with contextlib.suppress(socket.timeout):
                while piece := connection.recv(4096):
                    reply += piece
            answered += reply == json.dumps({"code": code, "status": status}).encode()
    return answered, clock() - begun


class Table:
    """Figures, each beside its goal and its predecessors'."""

    HEAD = ("figure", "measured", "worst", "goal", "", "Python", "Go")

    def __init__(self):
        self.rows = [self.HEAD]

    def add(self, name, measured, worst="", goal="", met=None, python="", go=""):
        """A row; `met` says whether the goal is."""
        self.rows.append((name, measured, worst, goal, {True: "met", False: "MISSED", None: ""}[met], python, go))

    def title(self, text):
        """A line between two groups of rows."""
        self.rows.append((text,) + ("",) * 6)

    def show(self):
        """On stdout, aligned."""
        widths = [max(len(row[column]) for row in self.rows) for column in range(len(self.HEAD))]
        for number, row in enumerate(self.rows):
            cells = [row[0].ljust(widths[0])] + [cell.rjust(width) for cell, width in zip(row[1:], widths[1:])]
            print("  ".join(cells).rstrip())
            if number == 0:
                print("  ".join("-" * width for width in widths))


def machine(binary):
    """On what it was measured."""
    model = "unknown processor"
    with open("/proc/cpuinfo", encoding="utf-8", errors="replace") as cpuinfo:
        for line in cpuinfo:
            if line.startswith("model name"):
                model = line.split(":", 1)[1].strip()
                break
    version = subprocess.run(["mariadbd", "--no-defaults", "--version"], capture_output=True, text=True, check=True).stdout
    own = subprocess.run([binary, "--version"], capture_output=True, text=True, check=True).stdout.strip()
    load = " ".join(f"{value:.2f}" for value in os.getloadavg())
    print(f"{own}; {len(os.sched_getaffinity(0))} cores, {model}; Linux {platform.release()}, load {load};")
    print(f"MariaDB {version.split('Ver ', 1)[-1].split()[0]}, client Python {platform.python_version()}. ", end="")
    print("'worst' is the 99th percentile, of the 202 and the starts the longest.")
    print()


def starts(binary, directory, table):
    """The binary, and starts with a database that exists."""
    size = os.stat(binary).st_size / 2**20
    table.add("release binary, MiB", f"{size:.2f}", goal="6", met=size <= 6, go="7.7")
    since_fork, since_exec = [], []
    with Daemon(binary, directory):
        pass  # makes the database
    for _ in range(STARTS):
        with Daemon(binary, directory) as daemon:
            since_fork.append(daemon.since_fork)
            since_exec.append(daemon.since_exec)
    middle = ms(statistics.median(since_fork))
    table.add("accepting socket after fork and exec, ms", f"{middle:.2f}", f"{ms(max(since_fork)):.2f}", "5", middle <= 5, "724", "9.6")
    table.add("  from the return of exec", f"{ms(statistics.median(since_exec)):.2f}", f"{ms(max(since_exec)):.2f}")


def memory(daemon, table, when, idle_goal=False):
    """What the daemon holds now."""
    rss, anonymous = (value / 1024 for value in daemon.memory())
    more = {"goal": "6", "met": rss <= 6, "python": "61", "go": "6.9"} if idle_goal else {}
    table.add(f"VmRSS {when}, MiB", f"{rss:.2f}", **more)
    table.add("  of it RssAnon", f"{anonymous:.2f}")


def show_refusals(table, taken):
    """A row a kind."""
    for kind, times in taken.items():
        middle = ms(statistics.median(times))
        table.add(f"reply {kind}, ms", f"{middle:.3f}", f"{ms(percentile(times, 99)):.3f}", "0.15", middle <= 0.15, "201", "201")


def show_acceptances(table, times, pings):
    """The 202 beside the ping that it contains."""
    middle, bare = ms(statistics.median(times)), ms(statistics.median(pings))
    goal = f"{bare + 5:.2f}"
    table.add("bare mariadb-admin ping, ms", f"{bare:.2f}", f"{ms(max(pings)):.2f}")
    table.add("reply 202, ms", f"{middle:.2f}", f"{ms(max(times)):.2f}", goal, middle <= bare + 5, "240-275")
    table.add("  more than the bare ping", f"{middle - bare:.2f}", goal="5", met=middle - bare <= 5)


def main():
    """Measures everything, then prints."""
    binary, directory = os.path.abspath(sys.argv[1]), os.path.abspath(sys.argv[2])
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    table = Table()
    machine(binary)
    starts(binary, directory, table)
    with Daemon(binary, directory) as daemon:
        memory(daemon, table, "after the start", idle_goal=True)
        for number in range(100):
            daemon.timed(*REFUSED["404" if number % 2 else "400"])
        memory(daemon, table, "after 100 requests", idle_goal=True)
        records = sqlite3.connect(f"file:{directory}/db.sqlite3?mode=ro", uri=True, timeout=5)
        full_backup(daemon, records, "base")
        memory(daemon, table, "after a backup")
        quiet, held = refusals(daemon), refusals(daemon, IDLE)
        alone, crowded = acceptances(daemon, records)
        table.title("nobody else connected")
        show_refusals(table, quiet)
        show_acceptances(table, *alone)
        table.title(f"{IDLE} idle connections held open")
        show_refusals(table, held)
        show_acceptances(table, *crowded)
        with idle(daemon, IDLE):
            memory(daemon, table, f"with {IDLE} connections")
        memory(daemon, table, "after all this")
        table.title("one after the other, without a pause")
        for name, (answered, taken) in (("each after the last reply", in_a_row(daemon)), ("all before the first reply", at_once(daemon))):
            goal = f"{IN_A_ROW} of {IN_A_ROW}"
            table.add(f"{IN_A_ROW} requests, {name}", f"{answered} of {IN_A_ROW}", goal=goal, met=answered == IN_A_ROW)
            table.add("  in all, ms", f"{ms(taken):.1f}")
    table.show()


if __name__ == "__main__":
    main()
