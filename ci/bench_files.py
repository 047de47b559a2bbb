#!/usr/bin/env python3
"""Measures each path from backup to verify with many small files: bench_files.py BINARY DIRECTORY

DIRECTORY holds config.yml, credentials.cnf, data/, backups/ and run/, and a server answers at server.sock; ci/bench-files makes all that.
Each tree is the backup of that server, with so many files beside: tables of InnoDB by their names and the heads of their definitions. The
daemon's tool is ci/bench_stub.py, so that what is measured is the daemon's own part; the same stub alone, and coreutils, stand beside it.
All times are to the end of a `sync -f`, but those of what only reads.
"""

import argparse
import os
import shutil
import signal
import sqlite3
import statistics
import subprocess
import sys
import threading

import bench
from bench import Daemon, clock, request
from bench_backups import CORES, Stage, cpu_of, descendants, settle, settle_disk

HERE = os.path.dirname(os.path.abspath(__file__))
TABLES = 1000  # files in a database
TABLE = 16 * 1024  # bytes of one's rows: a page
DEFINITION = 1024  # bytes of one's definition
MOVED, UNDONE = "restore to the data directory", "restore that is undone"  # half-way
HEAD = bytes([0xFE, 0x01, 0x0A, 12]) + bytes(60)  # of a definition of InnoDB


class Watch(threading.Thread):
    """The most memory and descriptors that any one process has held, of these and their children: sampled."""

    def __init__(self, roots):
        super().__init__(daemon=True)
        self.roots, self.memory, self.descriptors, self.over = roots, 0, 0, threading.Event()

    def run(self):
        while not self.over.wait(0.02):
            for pid in list(self.roots) + descendants(self.roots):
                self.look(pid)

    def look(self, pid):
        """What one process holds, if it is ours."""
        try:
            if os.readlink(f"/proc/{pid}/exe").endswith("dbcalm-db-cmd"):
                with open(f"/proc/{pid}/status", encoding="ascii", errors="replace") as status:
                    held = [int(line.split()[1]) for line in status if line.startswith("RssAnon")]
                self.memory = max([self.memory, *held])
                self.descriptors = max(self.descriptors, len(os.listdir(f"/proc/{pid}/fd")))
        except (FileNotFoundError, ProcessLookupError, PermissionError):
            pass


class Took:
    """What one run took."""

    def __init__(self, seconds, cpu, watch):
        self.seconds, self.cpu = seconds, cpu
        self.memory, self.descriptors = (watch.memory, watch.descriptors) if watch else (0, 0)


class Bench(Stage):
    """Trees, and what is done with them."""

    def __init__(self, binary, directory, server_pid):
        super().__init__(binary, directory, server_pid)
        self.tool = os.path.join(directory, "stub")
        self.settings += f"backup_bin: {self.tool}/mariadb-backup\n"
        os.mkdir(self.tool)
        shutil.copy(os.path.join(HERE, "bench_stub.py"), os.path.join(self.tool, "mariadb-backup"))
        os.chmod(os.path.join(self.tool, "mariadb-backup"), 0o755)
        self.scratch = os.path.join(directory, "scratch")
        self.tree = ""

    def grow(self, count):
        """Makes the tree of so many files, of what the real tool has copied."""
        self.tree = os.path.join(self.directory, f"tree-{count}")
        real = ["mariadb-backup", *self.login, "--backup", f"--target-dir={self.tree}", "--host=localhost"]
        subprocess.run(real, check=True, capture_output=True)
        rows = os.urandom(TABLE)
        for number in range(count // 2):
            folder = os.path.join(self.tree, f"shop{number * 2 // TABLES}")
            os.makedirs(folder, exist_ok=True)
            for ending, content in (("frm", (HEAD + b"%08d" % number).ljust(DEFINITION, b".")), ("ibd", b"%08d" % number + rows[8:])):
                with open(os.path.join(folder, f"t{number}.{ending}"), "wb") as file:
                    file.write(content)
        link = os.path.join(self.tool, "tree")
        if os.path.lexists(link):
            os.unlink(link)
        os.symlink(self.tree, link)
        settle_disk()

    def run(self, command, synced=None, cwd=None):
        """A command to the end of a sync of what it wrote."""
        settle_disk()
        begun = clock()
        with open(os.path.join(self.directory, "command.stderr"), "w+b") as said:
            child = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=said, cwd=cwd)
            watch = Watch([child.pid])
            watch.start()
            _, status, used = os.wait4(child.pid, 0)
            child.returncode = os.waitstatus_to_exitcode(status)
            if child.returncode:
                said.seek(0)
                raise RuntimeError(f"{command}: {said.read()[-2000:].decode(errors='replace')}")
        if synced:
            subprocess.run(["sync", "-f", synced], check=True)
        seconds = (clock() - begun) / 1e9
        watch.over.set()
        watch.join()
        return Took(seconds, used.ru_utime + used.ru_stime, watch)

    def job(self, make, wanted="success"):
        """A job of the daemon to its end."""
        self.set()
        settle_disk()
        with Daemon(self.binary, self.directory) as daemon:
            records = sqlite3.connect(f"file:{self.directory}/db.sqlite3?mode=ro", uri=True, timeout=5)
            watch, before, begun = Watch([daemon.pid]), cpu_of(daemon.pid), clock()
            watch.start()
            reply = daemon.timed(make, 202, "Accepted")[1]
            try:
                settle(records, reply["id"])
                ended = "success"
            except RuntimeError as why:
                ended = "failed"
                if wanted != ended:
                    raise why
            seconds = (clock() - begun) / 1e9
            watch.over.set()
            watch.join()
            cpu = cpu_of(daemon.pid) - before
            records.close()
        if wanted != ended:
            raise RuntimeError(f"the job ended with {ended}")
        return Took(seconds, cpu, watch)

    def operator(self, *words):
        """A command of the operator's, timed as its daemon takes part in it."""
        self.set()
        settle_disk()
        with Daemon(self.binary, self.directory) as daemon:
            watch, before, begun = Watch([daemon.pid]), cpu_of(daemon.pid), clock()
            watch.start()
            command = [self.binary, "--config", f"{self.directory}/config.yml", "--socket", daemon.socket, *words]
            done = subprocess.run(command, capture_output=True, text=True, check=False)
            if done.returncode:
                raise RuntimeError(f"{words}: {done.stdout}{done.stderr}")
            seconds = (clock() - begun) / 1e9
            watch.over.set()
            watch.join()
            return Took(seconds, cpu_of(daemon.pid) - before, watch)

    def clear(self, path):
        """Takes something away without being measured."""
        shutil.rmtree(path, ignore_errors=True)
        settle_disk()

    def by_hand(self, *words):
        """The stub alone."""
        return [os.path.join(self.tool, "mariadb-backup"), *words]


def measure(bench_, only):
    """One round with the present tree: what each path took, ours and by hand, by name."""
    took, scratch, name = {}, bench_.scratch, bench_.new("files")
    stored = os.path.join(bench_.backups, name)
    # A backup, without which there is nothing to copy, verify or restore.
    hand = bench_.run(bench_.by_hand("--backup", f"--target-dir={scratch}"), scratch)
    bench_.clear(scratch)
    took["backup"] = (bench_.job(request("full_backup", id=name)), hand)
    if only in "copy":
        hand = bench_.run(["cp", "-r", stored, scratch], scratch)
        bench_.clear(scratch)
        ours = [bench_.binary, "copy", f"--from={stored}", f"--into={scratch}", f"--threads={CORES}"]
        took["copy"] = (bench_.run(ours, scratch), hand)
        bench_.clear(scratch)
    if only in "verify":
        hand = bench_.run(["sha256sum", "--check", "--quiet", "dbcalm.sha256"], cwd=stored)
        ours = [bench_.binary, "--config", f"{bench_.directory}/config.yml", "verify", name]
        took["verify"] = (bench_.run(ours), hand)
    if only in "restore to a folder":
        hand = bench_.run(["cp", "-r", stored, scratch], scratch)
        bench_.clear(scratch)
        took["restore to a folder"] = (bench_.job(request("restore_backup", id_list=[name], target="folder")), hand)
        bench_.clear(os.path.join(bench_.backups, "restores"))
    if only in "adopt":
        records = sqlite3.connect(f"{bench_.directory}/db.sqlite3")
        records.execute("DELETE FROM backup WHERE id = ?", (name,))
        records.commit()
        records.close()
        took["adopt"] = (bench_.operator("adopt", "--yes", name), None)
    if only in "remove":
        subprocess.run(["cp", "-r", stored, scratch], check=True)
        hand = bench_.run(["rm", "-rf", scratch], bench_.backups)
        took["remove"] = (bench_.operator("remove", "--yes", name), hand)
    bench_.clear(stored)
    return took


def restore(bench_, name, only):
    """The same, of what needs the server to be down."""
    took, scratch, stored = {}, bench_.scratch, os.path.join(bench_.backups, name)
    ordered = request("restore_backup", id_list=[name], target="database")
    bench_.empty_data()
    if only in MOVED:
        shell = 'cp -r "$1" "$2" && "$3" --prepare --target-dir "$2" && "$3" --move-back --target-dir "$2" --datadir="$4"'
        hand = bench_.run(["sh", "-ec", shell, "sh", stored, scratch, bench_.by_hand()[0], bench_.data], bench_.data)
        bench_.clear(scratch)
        bench_.empty_data()
        took[MOVED] = (bench_.job(ordered), hand)
        bench_.empty_data()
    if only in UNDONE:
        fail = os.path.join(bench_.tool, "fail")
        with open(fail, "wb"):
            pass
        took[UNDONE] = (bench_.job(ordered, "failed"), None)
        os.unlink(fail)
        if left := os.listdir(bench_.data):
            raise RuntimeError(f"the data directory holds {left[:3]}")
    return took


def show(counts, rounds):
    """A table: for each path and number of files the medians, the ratio, and the slope to the number before."""
    print(f"  {'':<32}{'files':>8}{'seconds':>9}{'by hand':>9}{'ratio':>7}  {'(least to most)':<16}{'CPU s':>7}{'MiB mem':>9}{'fds':>5}{'slope':>7}")
    for path in rounds[counts[0]][0]:
        before = None
        for count in counts:
            runs = [round_[path] for round_ in rounds[count]]
            ours = [our for our, _ in runs]
            seconds = statistics.median(our.seconds for our in ours)
            hand, ratio, spread = "", "", ""
            if runs[0][1]:
                hand = f"{statistics.median(other.seconds for _, other in runs):.2f}"
                ratios = [our.seconds / other.seconds for our, other in runs]
                ratio, spread = f"{statistics.median(ratios):.2f}", f"({min(ratios):.2f} to {max(ratios):.2f})"
            cpu = statistics.median(our.cpu for our in ours)
            memory, descriptors = max(our.memory for our in ours) / 1024, max(our.descriptors for our in ours)
            slope = f"{seconds / count / before:.2f}" if before else ""
            before = seconds / count
            print(f"  {path:<32}{count:>8}{seconds:>9.2f}{hand:>9}{ratio:>7}  {spread:<16}{cpu:>7.2f}{memory:>9.1f}{descriptors:>5}{slope:>7}")
    sys.stdout.flush()


def main():
    """Measures with the server up, then with it down, and prints."""
    parser = argparse.ArgumentParser()
    parser.add_argument("binary", type=os.path.abspath)
    parser.add_argument("directory", type=os.path.abspath)
    parser.add_argument("--files", default="1000,10000,100000")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--only", default="")
    parser.add_argument("--server-pid", type=int, required=True)
    given = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    bench.machine(given.binary)
    bench_ = Bench(given.binary, given.directory, given.server_pid)
    counts = [int(count) for count in given.files.split(",")]
    is_down_too = given.only in MOVED or given.only in UNDONE
    rounds, kept = {}, {}
    for count in counts:
        bench_.grow(count)
        rounds[count] = [measure(bench_, given.only) for _ in range(given.rounds)]
        if is_down_too:
            kept[count] = bench_.new("kept")
            bench_.job(request("full_backup", id=kept[count]))
        bench_.clear(bench_.tree)
    if is_down_too:
        bench_.stop_server()
        for count in counts:
            for round_ in rounds[count]:
                round_.update(restore(bench_, kept[count], given.only))
    print(f"{given.rounds} rounds, in {given.directory}")
    show(counts, rounds)


if __name__ == "__main__":
    main()
