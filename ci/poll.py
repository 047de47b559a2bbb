#!/usr/bin/env python3
"""Waits for the end of a command as the APIs do: by the newest row of its command_id in the table `process`.

poll.py DATABASE COMMAND_ID SECONDS PID [DIRECTORY]

Prints each step with the time it took (paths without DIRECTORY), and for a restore `target: <path>`. Ends with status 0
after a success; with 1, and the reason on stderr, after a failure, when the time is over, or when the daemon PID is gone.
"""

import datetime
import os
import shlex
import sqlite3
import sys
import time

NEWEST = "SELECT status, error, return_code FROM process WHERE command_id = ? ORDER BY id DESC LIMIT 1"
STEPS = "SELECT command, start_time, end_time FROM process WHERE command_id = ? ORDER BY id"
TARGET = "SELECT target_path FROM restore JOIN process ON process.id = restore.process_id WHERE command_id = ?"


def alive(pid):
    """Whether the process is there, and no zombie."""
    try:
        with open(f"/proc/{pid}/stat", encoding="ascii", errors="replace") as stat:
            return stat.read().rsplit(")", 1)[1].split()[0] != "Z"
    except FileNotFoundError:
        return False


def taken(start, end):
    """Seconds between two times of the records."""
    start, end = (datetime.datetime.strptime(text, "%Y-%m-%d %H:%M:%S.%f") for text in (start, end))
    return (end - start).total_seconds()


def short(command, directory):
    """The command without its path, its login and the directory that all paths share."""
    words = [word for word in shlex.split(command) if not word.startswith(("--defaults-", "--host="))]
    words = [os.path.basename(words[0])] + words[1:]
    return " ".join(words).replace(directory.rstrip("/") + "/", "") if directory else " ".join(words)


def wait(records, command_id, seconds, pid):
    """The reason of the failure, or None after a success."""
    until = time.monotonic() + seconds
    while True:
        there = alive(pid)
        row = records.execute(NEWEST, (command_id,)).fetchone()
        if row is None:
            return "no record of it"
        status, error, return_code = row
        if status == "success":
            return None
        if status == "failed":
            return f"failed with return code {return_code}: {error}"
        if not there:
            return "the daemon is gone"
        if time.monotonic() > until:
            return f"still {status} after {seconds:.0f} s"
        time.sleep(0.02)


def main():
    """Polls, then prints."""
    database, command_id, seconds, pid = sys.argv[1:5]
    directory = sys.argv[5] if len(sys.argv) > 5 else ""
    records = sqlite3.connect(f"file:{database}?mode=ro", uri=True, timeout=5)
    reason = wait(records, command_id, float(seconds), int(pid))
    for command, start, end in records.execute(STEPS, (command_id,)):
        spent = f"{taken(start, end):6.2f} s" if end else "   -    "
        print(f"{spent}  {short(command, directory)}")
    for (path,) in records.execute(TARGET, (command_id,)):
        print(f"target: {path}")
    if reason:
        print(reason, file=sys.stderr)
    return 1 if reason else 0


if __name__ == "__main__":
    sys.exit(main())
