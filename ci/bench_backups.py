#!/usr/bin/env python3
"""Measures whole backups and restores, ours beside the predecessors' commands and the bare tool: bench_backups.py BINARY DIRECTORY

DIRECTORY holds config.yml, credentials.cnf, data/, backups/ and run/, and a server answers at server.sock; ci/bench-backups makes all
that. In each round every contender of a comparison runs once, in an order that turns from round to round. Ours ends with everything
synced to the disk, so the others are timed to the end of a `sync -f` of what they wrote; what they take without it is said too.

The predecessors' commands are those of tests/commands.json, and for streams what the Go daemon gives to `sh -c`. The expert's are what somebody
types who knows the tools: as many threads as there are cores, memory for the prepare, a move at the end.
"""

import argparse
import datetime
import json
import os
import resource
import shutil
import signal
import sqlite3
import statistics
import subprocess
import sys
import threading
import time

import bench
from bench import Daemon, clock, request

TOOL = next(path for path in ("/usr/bin/mariabackup", "/usr/bin/mariadb-backup") if os.path.exists(path))
CORES = len(os.sched_getaffinity(0))
MEMORY = "1G"  # what the expert gives to a prepare


BUCKET = "bench"  # that of start_store in ci/lib.sh


def rclone_at(endpoint):
    """The command of rclone that reaches the store."""
    login = "RCLONE_S3_PROVIDER=Ceph RCLONE_S3_ACCESS_KEY_ID=BENCH RCLONE_S3_SECRET_ACCESS_KEY=SECRET"
    return f"env -u AWS_CA_BUNDLE RCLONE_CONFIG=/dev/null {login} RCLONE_S3_ENDPOINT={endpoint} rclone"


class Measured:
    """What one run of one contender took."""

    def __init__(self, seconds, unsynced, cpu, peak, size):
        self.seconds, self.unsynced, self.cpu, self.peak, self.size = seconds, unsynced, cpu, peak, size


class Peak(threading.Thread):
    """The most memory that processes have held at once, in KiB: sampled, of what is theirs alone (RssAnon)."""

    def __init__(self, roots):
        super().__init__(daemon=True)
        self.roots, self.most, self.over = roots, 0, threading.Event()

    def run(self):
        while not self.over.wait(0.02):
            self.most = max(self.most, sum(map(anonymous, descendants(self.roots()))))


def descendants(roots):
    """These processes' children, and theirs, and so on; not themselves."""
    parents = {}
    for name in filter(str.isdigit, os.listdir("/proc")):
        try:
            with open(f"/proc/{name}/stat", encoding="utf-8", errors="replace") as stat:
                parents.setdefault(int(stat.read().rsplit(")", 1)[1].split()[1]), []).append(int(name))
        except (FileNotFoundError, ProcessLookupError):
            pass
    found, open_ = [], list(roots)
    while open_:
        children = parents.get(open_.pop(), [])
        found += children
        open_ += children
    return found


def anonymous(pid):
    """A process's RssAnon in KiB; 0 if it has ended."""
    try:
        with open(f"/proc/{pid}/status", encoding="ascii", errors="replace") as status:
            return sum(int(line.split()[1]) for line in status if line.startswith("RssAnon"))
    except (FileNotFoundError, ProcessLookupError):
        return 0


def cpu_of(pid):
    """Seconds of CPU that a process and those it has waited for have taken."""
    with open(f"/proc/{pid}/stat", encoding="utf-8", errors="replace") as stat:
        fields = stat.read().rsplit(")", 1)[1].split()
    return sum(map(int, fields[11:15])) / os.sysconf("SC_CLK_TCK")


def size_of(path):
    """The bytes of a file, or of all files below a directory."""
    if os.path.isfile(path):
        return os.path.getsize(path)
    return sum(os.path.getsize(os.path.join(above, name)) for above, _, names in os.walk(path) for name in names)


def children_cpu():
    """Seconds of CPU of all processes that were waited for here."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


class Stage:
    """The server, the daemon and the directories of a run."""

    def __init__(self, binary, directory, server_pid):
        self.binary, self.directory, self.server_pid = binary, directory, server_pid
        self.data, self.backups = os.path.join(directory, "data"), os.path.join(directory, "backups")
        self.number = 0
        self.tells_steps = False
        self.adjust = None  # what is done to the daemon before it is asked for anything
        with open(os.path.join(directory, "config.yml"), encoding="utf-8") as settings:
            self.settings = settings.read()
        self.login = [f"--defaults-file={directory}/credentials.cnf", "--defaults-group-suffix=-dbcalm"]

    def sql(self, statements):
        """Runs statements as root."""
        client = ["mariadb", "--no-defaults", f"--socket={self.directory}/server.sock", "--user=root", "--batch"]
        return subprocess.run(client, input=statements, capture_output=True, text=True, check=True).stdout

    def set(self, *lines):
        """Writes the settings with these lines beside; a daemon that is started then has them."""
        with open(os.path.join(self.directory, "config.yml"), "w", encoding="utf-8") as settings:
            settings.write(self.settings + "\n".join(lines) + "\n")

    def store_login(self):
        """The file of the key to the store."""
        path = os.path.join(self.directory, "store.credentials")
        with open(path, "w", opener=lambda path, flags: os.open(path, flags, 0o600), encoding="ascii") as file:
            file.write("[default]\naws_access_key_id = BENCH\naws_secret_access_key = SECRET\n")
        return path

    def kept_in(self, endpoint):
        """The settings for backups that are in the store alone."""
        own = [f"repository: s3://{BUCKET}/db1", f"repository_endpoint: {endpoint}", f"repository_credentials_file: {self.store_login()}"]
        return ["stream: true", "compression: zstd", "keep_local: false", *own]

    def new(self, prefix):
        """A name that is not taken."""
        self.number += 1
        return f"{prefix}-{self.number}"

    def ours(self, lines, make, kept):
        """A job of the daemon under these settings, to its success; `kept` is what it left."""
        self.set(*lines)
        with Daemon(self.binary, self.directory) as daemon:
            records = sqlite3.connect(f"file:{self.directory}/db.sqlite3?mode=ro", uri=True, timeout=5)
            if self.adjust:
                self.adjust(daemon.pid)
            before, peak = cpu_of(daemon.pid), Peak(lambda: [daemon.pid])
            peak.start()
            begun = clock()
            reply = daemon.timed(make, 202, "Accepted")[1]
            settle(records, reply["id"])
            seconds = (clock() - begun) / 1e9
            if self.tells_steps:
                tell_steps(records, reply["id"], begun)
            peak.over.set()
            cpu = cpu_of(daemon.pid) - before
            records.close()
        return Measured(seconds, None, cpu, peak.most, size_of(kept))

    def theirs(self, commands, kept, shell=False):
        """Commands one after the other, then a sync of what they wrote."""
        before, peak = children_cpu(), Peak(lambda: [os.getpid()])
        peak.start()
        begun = clock()
        for command in commands:
            done = subprocess.run(command, shell=shell, capture_output=True, check=False)
            if done.returncode:
                raise RuntimeError(f"{command}: {done.stderr.decode(errors='replace')[-2000:]}")
        unsynced = (clock() - begun) / 1e9
        subprocess.run(["sync", "-f", kept], check=True)
        seconds = (clock() - begun) / 1e9
        peak.over.set()
        return Measured(seconds, unsynced, children_cpu() - before, peak.most, size_of(kept))

    def stop_server(self):
        """Stops the server, which the script beside started."""
        os.kill(self.server_pid, signal.SIGTERM)
        while os.path.exists(f"{self.directory}/server.sock.pid"):
            time.sleep(0.05)

    def empty_data(self):
        """An empty data directory for a restore."""
        shutil.rmtree(self.data)
        os.mkdir(self.data, 0o700)
        settle_disk()


def tell_steps(records, command_id, begun):
    """Says how long each step of a job took, to the beginning of the next: what the daemon does in between is the step's before it."""
    query = "SELECT command, start_time FROM process WHERE command_id = ? ORDER BY id"
    rows = [(command, datetime.datetime.fromisoformat(start)) for command, start in records.execute(query, (command_id,))]
    ends = [start for _, start in rows[1:]]
    for (command, start), end in zip(rows, ends):
        print(f"    {(end - start).total_seconds():8.3f} s  {command[:150]}")
    took = (clock() - begun) / 1e9 - (rows[-1][1] - rows[0][1]).total_seconds()
    print(f"    {took:8.3f} s  {rows[-1][0][:150]}")


def settle_disk():
    """What earlier runs wrote is no later one's to wait for."""
    os.sync()


def settle(records, command_id):
    """Waits for a job's success."""
    query = "SELECT status, error, command FROM process WHERE command_id = ? ORDER BY id DESC LIMIT 1"
    while True:
        status, error, command = records.execute(query, (command_id,)).fetchone()
        if status == "success":
            return
        if status == "failed":
            raise RuntimeError(f"{command}: {error}")
        time.sleep(0.005)


def fill(stage, mib):
    """Tables with orders and texts, such as compress by half or so, of this size in all."""
    stage.sql(
        """CREATE DATABASE shop; USE shop;
        CREATE TABLE seed (w VARCHAR(16)) ENGINE=InnoDB;
        INSERT INTO seed SELECT substr(md5(seq), 1, 4 + seq % 9) FROM seq_1_to_4000;"""
    )
    rows, tables = mib * 1024 * 1024 // 4 // 420, 4
    for table in range(tables):
        # A third of a row is words of a few thousand, a third digits, the rest is chance.
        stage.sql(
            f"""USE shop;
            CREATE TABLE t{table} (id BIGINT PRIMARY KEY AUTO_INCREMENT, customer INT, made DATETIME, price DECIMAL(10,2),
              note VARCHAR(400), token BINARY(64), KEY (customer)) ENGINE=InnoDB;
            SET SESSION rand_seed1 = {table} + 1, rand_seed2 = 7;
            INSERT INTO t{table} (customer, made, price, note, token)
              SELECT floor(rand() * 100000), '2026-01-01' + INTERVAL seq SECOND, round(rand() * 1000, 2),
                repeat(concat(substr(md5(seq % 4096), 1, 7), ' ', substr(md5(seq % 1000), 1, 5), ' '), 15),
                concat(unhex(sha2(seq, 256)), unhex(sha2(-seq, 256)))
              FROM seq_1_to_{rows};"""
        )
    stage.sql("SET GLOBAL innodb_max_dirty_pages_pct = 0;")
    time.sleep(2)
    settle_disk()


def change(stage, number):
    """A tenth of the rows, in runs."""
    stage.sql(
        f"""USE shop; UPDATE t0 SET price = price + 1 WHERE id % 1000 < 100 AND id % 3 = {number};
        UPDATE t1 SET note = concat(note, '!') WHERE id < (SELECT max(id) / 10 FROM (SELECT id FROM t1) AS x);"""
    )


def compare(title, rounds, contenders, clean):
    """Runs each of these once a round; gives what each took."""
    taken = {name: [] for name in contenders}
    for number in range(rounds):
        names = list(contenders)
        turn = number % len(names)
        for name in names[turn:] + names[:turn]:
            settle_disk()
            taken[name].append(contenders[name]())
            clean()
    show(title, taken)


def show(title, taken):
    """A table: medians, and ours over each other as a ratio with the smallest and the largest of the rounds."""
    print(f"\n{title}")
    print(f"  {'':<34}{'seconds':>9}{'unsynced':>10}{'CPU s':>8}{'MiB mem':>9}{'MiB kept':>10}   ours over it (least to most)")
    ours = taken["ours"]
    for name, runs in taken.items():
        median = lambda key, runs=runs: statistics.median(getattr(run, key) for run in runs)  # noqa: E731
        unsynced = "" if runs[0].unsynced is None else f"{median('unsynced'):.2f}"
        ratio = ""
        if name != "ours":
            ratios = [our.seconds / other.seconds for our, other in zip(ours, runs)]
            ratio = f"{statistics.median(ratios):.2f} ({min(ratios):.2f} to {max(ratios):.2f})"
            if runs[0].unsynced is not None:
                bare = statistics.median(our.seconds / other.unsynced for our, other in zip(ours, runs))
                ratio += f", {bare:.2f} over it unsynced"
        figures = f"{median('seconds'):>9.2f}{unsynced:>10}{median('cpu'):>8.1f}{median('peak') / 1024:>9.0f}{median('size') / 2**20:>10.0f}"
        print(f"  {name:<34}{figures}   {ratio}")
    sys.stdout.flush()


def backups(stage, rounds):
    """Full backups of each form."""
    scratch = os.path.join(stage.directory, "theirs")

    def clean():
        shutil.rmtree(scratch, ignore_errors=True)
        for name in os.listdir(stage.backups):
            shutil.rmtree(os.path.join(stage.backups, name))

    def tool(*more, target=None):
        os.makedirs(scratch, exist_ok=True)
        target = target or os.path.join(scratch, "target")
        return [TOOL, *stage.login, "--backup", f"--target-dir={target}", "--host=localhost", *more]

    def ours(*lines):
        backup_id = stage.new("full")
        return stage.ours(lines, request("full_backup", id=backup_id), os.path.join(stage.backups, backup_id))

    def piped(stages, name, *more):
        command = tool("--stream=xbstream", *more)
        text = " ".join(command) + stages.format(f"{scratch}/{name}")
        return stage.theirs([text], os.path.join(scratch, name), shell=True)

    parallel = f"--parallel={CORES}"
    yield "directory", lambda: compare(
        "full backup to a directory",
        rounds,
        {
            "ours": ours,
            "the predecessors' command": lambda: stage.theirs([tool()], os.path.join(scratch, "target")),
            f"the expert's, {parallel}": lambda: stage.theirs([tool(parallel)], os.path.join(scratch, "target")),
        },
        clean,
    )
    # Ours are the levels of docs/settings.md, theirs those of the programs; the expert's with ours beside it.
    forms = {
        "stream": ([], "", " > {}", {"the expert's line": " > {}"}, "b.xbstream"),
        "zstd": (
            ["compression: zstd"],
            ": ours at level 1, theirs at 3",
            " | zstd - -c -T0 > {}",
            {"the expert's line": " | zstd -T0 > {}", "the expert's line, level 1": " | zstd -1 -T0 > {}"},
            "b.xbstream.zst",
        ),
        "gzip": (
            ["compression: gzip"],
            ": ours at level 3, theirs at 6",
            " | gzip > {}",
            {"the expert's line": " | pigz > {}"} if shutil.which("pigz") else {},
            "b.xbstream.gz",
        ),
    }
    for form, (lines, levels, theirs, experts, name) in forms.items():
        contenders = {
            "ours": lambda lines=lines: ours("stream: true", *lines),
            "the Go daemon's command": lambda theirs=theirs, name=name: piped(theirs, name),
        }
        for title, stages in experts.items():
            contenders[title] = lambda stages=stages, name=name: piped(stages, name, parallel)
        yield form, lambda form=form, levels=levels, contenders=contenders: compare(
            f"full backup to a stream, {form}{levels}", rounds, contenders, clean
        )


class Client(threading.Thread):
    """A client of the server that reads and writes single rows for as long as it lives: how many statements a second it gets done."""

    STATEMENTS = 500  # in a batch
    BATCH = "".join(
        f"SELECT SQL_NO_CACHE length(note) FROM t{n % 4} WHERE id = {n * 7919 % 100000 + 1};UPDATE t3 SET price = price + 1 WHERE id = {n + 1};"
        for n in range(STATEMENTS // 2)
    )

    def __init__(self, stage):
        super().__init__(daemon=True)
        self.stage, self.over, self.times = stage, threading.Event(), []

    def run(self):
        client = ["mariadb", "--no-defaults", f"--socket={self.stage.directory}/server.sock", "--user=root", "--unbuffered", "--skip-column-names", "shop"]
        with subprocess.Popen(client, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as one:
            while not self.over.is_set():
                begun = clock()
                one.stdin.write(self.BATCH + "SELECT 'done';\n")
                one.stdin.flush()
                while one.stdout.readline() not in ("done\n", ""):
                    pass
                self.times.append((clock() - begun) / 1e9)
            one.stdin.close()

    def beside(self, work):
        """Statements a second while this is done, but for the batches at both ends."""
        self.start()
        while len(self.times) < 3:
            time.sleep(0.01)
        first = len(self.times) + 1
        seconds = work()
        last = len(self.times)
        self.over.set()
        self.join()
        times = self.times[first:last] or self.times[first - 1 :]
        return self.STATEMENTS * len(times) / sum(times), seconds


def what_a_client_sees(stage, rounds):
    """Statements a second beside a directory backup, with the daemon and so its tools as nice as a unit can make them, and without."""
    kept = os.path.join(stage.backups, "beside")

    def wait():
        time.sleep(3)
        return 3.0

    def backup(adjust):
        stage.adjust = adjust
        taken = stage.ours([], request("full_backup", id=stage.new("beside")), stage.backups)
        stage.adjust = None
        return taken.seconds

    def nicer(pid):
        os.setpriority(os.PRIO_PROCESS, pid, 10)
        subprocess.run(["ionice", "-c", "3", "-p", str(pid)], check=True)

    def bare():
        parallel = [TOOL, *stage.login, "--backup", f"--target-dir={kept}", "--host=localhost", f"--parallel={CORES}"]
        return stage.theirs([parallel], kept).seconds

    contenders = {
        "no backup": wait,
        "ours": lambda: backup(None),
        "ours, Nice=10, IOSchedulingClass=idle": lambda: backup(nicer),
        "the bare tool": bare,
    }
    seen = {name: [] for name in contenders}
    for number in range(rounds):
        names = list(contenders)
        turn = number % len(names)
        for name in names[turn:] + names[:turn]:
            settle_disk()
            seen[name].append(Client(stage).beside(contenders[name]))
            for left in os.listdir(stage.backups):
                shutil.rmtree(os.path.join(stage.backups, left))
    print("\nwhat a client of the server gets done beside a full backup to a directory")
    print(f"  {'':<40}{'statements/s':>13}  {'(least to most)':<20}{'seconds':>9}")
    for name, runs in seen.items():
        rates, seconds = [rate for rate, _ in runs], statistics.median(seconds for _, seconds in runs)
        spread = f"({min(rates):.0f} to {max(rates):.0f})"
        print(f"  {name:<40}{statistics.median(rates):>13.0f}  {spread:<20}{seconds:>9.2f}")
    sys.stdout.flush()


def take_chains(stage, endpoint):
    """Chains of three in directories, in zstd streams and in the bucket, of the same moments; gives their ids."""
    chains = {"directory": [], "zstd": []}
    lines_of = {"directory": [], "zstd": ["stream: true", "compression: zstd"]}
    if endpoint:
        chains["bucket"], lines_of["bucket"] = [], stage.kept_in(endpoint)
    for number in range(3):
        if number:
            change(stage, number)
        for form, ids in chains.items():
            lines = lines_of[form]
            name = f"{form}-{number}"
            more = {"id": name, "from_backup_id": ids[-1]} if ids else {"id": name}
            kind = "incremental_backup" if ids else "full_backup"
            stage.ours(lines, request(kind, **more), os.path.join(stage.backups, name))
            ids.append(name)
    return chains


def restores(stage, rounds, chains, endpoint):
    """Database restores, of the first of a chain and of the whole; the server is down."""
    tmp = os.path.join(stage.directory, "theirs")

    def clean():
        shutil.rmtree(tmp, ignore_errors=True)
        stage.empty_data()

    def ours(ids, lines=()):
        return stage.ours(lines, request("restore_backup", id_list=ids, target="database"), stage.data)

    def theirs(ids):
        # Their applies consume the stored incremental: they get copies, made before the clock runs.
        os.makedirs(tmp)
        stored = [os.path.join(stage.backups, ids[0])]
        for name in ids[1:]:
            stored.append(os.path.join(tmp, f"stored-{name}"))
            shutil.copytree(os.path.join(stage.backups, name), stored[-1])
        settle_disk()
        work = os.path.join(tmp, ids[0])
        commands = [["/usr/bin/cp", "-r", stored[0], tmp], [TOOL, "--prepare", "--target-dir", work]]
        commands += [[TOOL, "--prepare", "--target-dir", work, "--incremental-dir", one] for one in stored[1:]]
        commands.append([TOOL, "--copy-back", "--target-dir", work, f"--datadir={stage.data}"])
        return stage.theirs(commands, stage.data)

    def experts(ids, unpack):
        """A private copy of each, all applied with memory to spare, and moved."""
        os.makedirs(tmp)
        work = os.path.join(tmp, ids[0])
        prepare = [TOOL, "--prepare", f"--use-memory={MEMORY}", "--target-dir", work]
        commands = []
        for name in ids:
            commands.append(unpack(name, os.path.join(tmp, name)))
            commands.append(prepare if name == ids[0] else [*prepare, "--incremental-dir", os.path.join(tmp, name)])
        commands.append([TOOL, "--move-back", "--target-dir", work, f"--datadir={stage.data}"])
        return stage.theirs(commands, stage.data)

    def copied(name, into):
        return ["cp", "-r", os.path.join(stage.backups, name), into]

    def extracted(name, into):
        stored = os.path.join(stage.backups, name, f"backup-{name}.xbstream.zst")
        os.makedirs(into)
        return ["sh", "-c", f"zstd -dc '{stored}' | mbstream -x -C '{into}' -p {CORES}"]

    def fetched(name, into):
        with open(os.path.join(stage.backups, name, "repository.json"), encoding="utf-8") as note:
            key = f"db1/v1/{name}/{json.load(note)['uuid']}/backup-{name}.xbstream.zst"
        os.makedirs(into)
        line = f"{rclone_at(endpoint)} cat ':s3:{BUCKET}/{key}' | zstd -dc | mbstream -x -C '{into}' -p {CORES}"
        return ["bash", "-o", "pipefail", "-c", line]

    for count, title in ((1, "full"), (3, "chain of 3")):
        if endpoint:
            yield f"restore bucket {title}", lambda count=count, title=title: compare(
                f"database restore, {title}, from a bucket on this machine, zstd",
                rounds,
                {
                    "ours": lambda: ours(chains["bucket"][:count], stage.kept_in(endpoint)),
                    "the expert's lines": lambda: experts(chains["bucket"][:count], fetched),
                },
                clean,
            )
        yield f"restore {title}", lambda count=count, title=title: compare(
            f"database restore, {title}, backups and data on one file system",
            rounds,
            {
                "ours": lambda: ours(chains["directory"][:count]),
                "the predecessors' commands": lambda: theirs(chains["directory"][:count]),
                "the expert's lines": lambda: experts(chains["directory"][:count], copied),
            },
            clean,
        )
        yield f"restore zstd {title}", lambda count=count, title=title: compare(
            f"database restore, {title}, of zstd streams (theirs: of directories, since they restore no stream)",
            rounds,
            {
                "ours": lambda: ours(chains["zstd"][:count]),
                "the predecessors' commands": lambda: theirs(chains["directory"][:count]),
                "the expert's lines": lambda: experts(chains["zstd"][:count], extracted),
            },
            clean,
        )


def main():
    """Measures, and prints each comparison when it is done."""
    parser = argparse.ArgumentParser()
    parser.add_argument("binary", type=os.path.abspath)
    parser.add_argument("directory", type=os.path.abspath)
    parser.add_argument("--mib", type=int, default=1024)
    parser.add_argument("--rounds", type=int, default=11)
    parser.add_argument("--only", default="")
    parser.add_argument("--steps", action="store_true", help="say how long each step of ours took")
    parser.add_argument("--endpoint", help="the store's address; none for nothing of a bucket")
    parser.add_argument("--server-pid", type=int, required=True)
    given = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    bench.machine(given.binary)
    stage = Stage(given.binary, given.directory, given.server_pid)
    fill(stage, given.mib)
    stage.tells_steps = given.steps
    print(f"data directory: {size_of(stage.data) / 2**20:.0f} MiB; {given.rounds} rounds; {TOOL}")
    for name, run in backups(stage, given.rounds):
        if given.only in name:
            run()
    if given.only in "client":
        what_a_client_sees(stage, given.rounds)
    chains = take_chains(stage, given.endpoint)
    stage.stop_server()
    stage.empty_data()
    for name, run in restores(stage, given.rounds, chains, given.endpoint):
        if given.only in name:
            run()


if __name__ == "__main__":
    main()
