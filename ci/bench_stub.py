#!/usr/bin/env python3
"""Stands for the backup tool in ci/bench-files: copies, prepares and moves a tree of files by the simplest means.

Its own name is `mariadb-backup`, and beside it lie `tree`, a link to what it copies, and, for a move that is to fail half-way, `fail`.
"""

import os
import re
import subprocess
import sys

HERE = os.path.dirname(os.path.abspath(__file__))


def option(name):
    """The value of an option, given in one word or two."""
    for index, word in enumerate(sys.argv):
        if word == name:
            return sys.argv[index + 1]
        if word.startswith(name + "="):
            return word.split("=", 1)[1]
    return None


def rewrite(path, pattern, text):
    """Writes a small file anew with something else in it."""
    with open(path, encoding="utf-8") as file:
        found = file.read()
    with open(path, "w", encoding="utf-8") as file:
        file.write(re.sub(pattern, text, found))


def metadata(target, name):
    """One of the tool's own files, by whatever name it has."""
    names = (f"xtrabackup_{name}", f"mariadb_backup_{name}")
    return next(path for path in (os.path.join(target, name) for name in names) if os.path.exists(path))


def backup(target):
    """A copy of the tree, with the target's name in its metadata."""
    os.makedirs(target, exist_ok=True)
    subprocess.run(["cp", "-r", os.path.join(HERE, "tree") + "/.", target], check=True)
    rewrite(metadata(target, "info"), r"--target-dir=\S+", f"--target-dir={target}")


def prepare(target):
    """Says what a prepare does, of which the files need nothing."""
    with open(metadata(target, "checkpoints"), encoding="utf-8") as file:
        last = re.search(r"last_lsn = (\d+)", file.read())[1]
    rewrite(metadata(target, "checkpoints"), r"backup_type = \S+", "backup_type = log-applied")
    print(f"2026-11-30 12:00:00 0 [Note] InnoDB: End of log at LSN={last}", file=sys.stderr)


def move_back(target, datadir):
    """Renames each file; as far as half of them, if it is to fail."""
    left = None
    if os.path.exists(os.path.join(HERE, "fail")):
        left = sum(len(names) for _, _, names in os.walk(target)) // 2
    for above, directories, names in os.walk(target):
        into = os.path.join(datadir, os.path.relpath(above, target))
        for name in directories:
            os.mkdir(os.path.join(into, name))
        for name in names:
            if left == 0:
                sys.exit("a move that fails half-way")
            left = left and left - 1
            os.rename(os.path.join(above, name), os.path.join(into, name))


def main():
    """What it was asked for."""
    if "--version" in sys.argv:
        print("mariadb-backup based on MariaDB server 10.11.19-MariaDB debian-linux-gnu (x86_64)", file=sys.stderr)
        return
    target = option("--target-dir")
    if "--backup" in sys.argv:
        backup(target)
    elif "--prepare" in sys.argv:
        prepare(target)
    else:
        move_back(target, option("--datadir"))
    print("[00] 2026-11-30 12:00:00 completed OK!", file=sys.stderr)


if __name__ == "__main__":
    main()
