#!/usr/bin/env python3
"""Measures what a person waits for `list`: bench_list.py BINARY DIRECTORY [BACKUPS]

Makes records and folders of 10,000 backups in DIRECTORY, weeks of a full backup and six incrementals, each taken from the one
before it, and prints for each command the median and the range of its runs, from fork to the end of its output, in milliseconds.
"""

import datetime
import json
import os
import sqlite3
import statistics
import subprocess
import sys
import time

RUNS = 30  # of each command
WEEK = 7  # backups in a chain
COMMANDS = ("list", "list --json", "list --limit 20", "list processes --limit 5", "list --failed", "show latest")
SAID = "[00] 2026-11-22 08:46:51 >> log scanned up to (46981)\n" * 60  # 3 KiB, what a tool says of a small server

SCHEMA = """
CREATE TABLE backup (id VARCHAR NOT NULL, from_backup_id VARCHAR, schedule_id INTEGER, start_time DATETIME NOT NULL,
  end_time DATETIME, process_id INTEGER NOT NULL, PRIMARY KEY (id));
CREATE TABLE process (id INTEGER NOT NULL, command VARCHAR NOT NULL, command_id VARCHAR NOT NULL, pid INTEGER NOT NULL,
  status VARCHAR NOT NULL, output VARCHAR, error VARCHAR, return_code INTEGER, start_time DATETIME, end_time DATETIME,
  type VARCHAR NOT NULL, args JSON, PRIMARY KEY (id));
CREATE TABLE restore (id INTEGER NOT NULL, start_time DATETIME, end_time DATETIME, target VARCHAR(8) NOT NULL,
  target_path VARCHAR NOT NULL, backup_id VARCHAR NOT NULL, backup_timestamp DATETIME, process_id INTEGER NOT NULL,
  PRIMARY KEY (id));
"""


def make(directory, count):
    """The records, and a folder for each backup with what `list` looks for."""
    backups = os.path.join(directory, "backups")
    os.mkdir(backups)
    with open(os.path.join(directory, "config.yml"), "w", encoding="utf-8") as settings:
        settings.write(f"db_type: mariadb\nbackup_dir: {backups}\ndatabase_path: {directory}/db.sqlite3\n")
    records = sqlite3.connect(os.path.join(directory, "db.sqlite3"))
    records.executescript("PRAGMA journal_mode = WAL;" + SCHEMA)
    begun = datetime.datetime.now(datetime.timezone.utc).replace(tzinfo=None) - datetime.timedelta(hours=count)
    verified, base = {}, None
    for number in range(count):
        start = begun + datetime.timedelta(hours=number)
        times = [at.strftime("%Y-%m-%d %H:%M:%S.%f") for at in (start, start + datetime.timedelta(minutes=3))]
        backup, base = f"backup-{number:05}", base if number % WEEK else None
        args = json.dumps({"id": backup} | ({"from_backup_id": base} if base else {}))
        records.execute(
            "INSERT INTO process VALUES (?, 'mariabackup --backup', ?, 1, 'success', ?, NULL, 0, ?, ?, 'backup', ?)",
            (number + 1, f"00000000-0000-4000-8000-{number:012}", SAID, *times, args),
        )
        records.execute("INSERT INTO backup VALUES (?, ?, 1, ?, ?, ?)", (backup, base, *times, number + 1))
        folder = os.path.join(backups, backup)
        os.mkdir(folder)
        for name in ("backup-my.cnf", "xtrabackup_checkpoints", "xtrabackup_info", "ibdata1", "dbcalm.sha256"):
            with open(os.path.join(folder, name), "w", encoding="utf-8"):
                pass
        verified[backup] = {"begun": times[0], "when": times[1], "depth": "content", "outcome": "ok", "problems": []}
        base = backup
    records.commit()
    records.close()
    with open(os.path.join(directory, "verified.json"), "w", encoding="utf-8") as kept:
        json.dump(verified, kept)


def main():
    """Makes, measures and prints."""
    binary, directory = sys.argv[1:3]
    count = int(sys.argv[3]) if len(sys.argv) > 3 else 10_000
    make(directory, count)
    settings = ["--config", os.path.join(directory, "config.yml")]
    print(f"of {count} backups: median of {RUNS} runs, in ms, and their range")
    for command in COMMANDS:
        times = []
        for _ in range(RUNS):
            begun = time.perf_counter_ns()
            done = subprocess.run([binary, *command.split(), *settings], stdout=subprocess.PIPE, check=True)
            times.append((time.perf_counter_ns() - begun) / 1e6)
        lines = done.stdout.count(b"\n")
        print(f"{command:<26} {statistics.median(times):6.1f}  {min(times):.1f} to {max(times):.1f}  ({lines} lines)")


main()
