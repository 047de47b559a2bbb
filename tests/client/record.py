#!/usr/bin/env python3
"""Records what a daemon answers and what rows it leaves: one JSON file an exchange, as in tests/exchanges.

In: the daemon's socket, its SQLite file, and what to say: a command on the command line, or a file of requests, a JSON object
a line: {"name": "full backup", "cmd": "full_backup", "args": {"id": "full-1"}, "given": {"server": "running"}}. Out: a file
`<number>-<name>.json` for each in the directory, and a line about it on stdout.

It speaks as dbcalm_client.py does, to the byte. What is given it takes on trust: whoever records brings it about. Ids and times
stay as they are; of outputs the beginning is kept, and `--path /tmp/x/backups=/var/backups/dbcalm` writes a path as it would
be on an ordinary server.

A daemon that is gone, says nothing, or says what is no reply is recorded too: `response` is then what the client itself makes
of it, or null, and `fault` says what happened (with what was said in `said`, if that was something). Such a file is no example
to follow, and the replay refuses it. Status 0: all were recorded; 1: a fault is among them; 2: nothing was sent.

It needs no more than Python's standard library, version 3.6 or later.
"""

import argparse
import contextlib
import json
import os
import re
import sqlite3
import sys
import time

import dbcalm_client

#: How much of an output is kept.
BEGINNING = 160
#: What may be given: the key, and its values; None stands for a list of ids.
GIVEN = {
    "server": ("running", "stopped"),
    "data_dir": ("empty", "not empty"),
    "credentials": ("missing", "no [client-dbcalm] section", "wrong password"),
    "backups": None,
}


class Mistake(Exception):
    """What is asked cannot be done, and nothing was sent."""


def checked(request, where):
    """A request of which all is known that is needed, or a Mistake that says where it is wrong."""
    if not isinstance(request, dict) or not isinstance(request.get("args", {}), dict):
        raise Mistake("%s: a request is an object with name, cmd, args and given" % where)
    unknown = set(request) - {"name", "cmd", "args", "given"}
    if unknown:
        raise Mistake("%s: unknown: %s" % (where, ", ".join(sorted(unknown))))
    for key in ("name", "cmd"):
        if not isinstance(request.get(key), str) or not request[key].strip():
            raise Mistake("%s: '%s' is missing" % (where, key))
    given = request.get("given") or {}
    if not isinstance(given, dict):
        raise Mistake("%s: 'given' is an object" % where)
    for key, value in given.items():
        if key not in GIVEN:
            raise Mistake("%s: given.%s is unknown; there are %s" % (where, key, ", ".join(GIVEN)))
        if GIVEN[key] is None:
            if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
                raise Mistake("%s: given.%s is a list of ids" % (where, key))
        elif value not in GIVEN[key]:
            raise Mistake("%s: given.%s is one of: %s" % (where, key, ", ".join(GIVEN[key])))
    if "server" not in given:
        given = dict([("server", "running")] + list(given.items()))
    return {"name": request["name"].strip(), "cmd": request["cmd"], "args": request.get("args", {}), "given": given}


def requests_of(options):
    """What is to be said, in order."""
    if options.requests:
        if options.command or options.name or options.given:
            raise Mistake("with --requests the file says it all")
        with open(options.requests, encoding="utf-8") as lines:
            numbered = [(number, line) for number, line in enumerate(lines, 1) if line.strip()]
        read = [checked(as_json(line, "line %d" % number), "line %d" % number) for number, line in numbered]
        if not read:
            raise Mistake("there is no request in '%s'" % options.requests)
        return read
    if not options.command or not options.name:
        raise Mistake("give --name and a command, or --requests FILE")
    request = {"name": options.name, "cmd": options.command, "args": as_json(options.args, "the arguments")}
    request["given"] = as_json(options.given, "--given") if options.given else {}
    return [checked(request, "the command line")]


def as_json(text, where):
    """What a text says in JSON."""
    try:
        return json.loads(text)
    except ValueError as why:
        raise Mistake("%s: not JSON: %s" % (where, why))


def places(directory, requests, overwrite):
    """The file of each request: the next free number, or, to be overwritten, the file that has the name."""
    there = {}
    for name in os.listdir(directory):
        found = re.match(r"(\d+)-(.+)\.json$", name)
        if found:
            there[found.group(2)] = (int(found.group(1)), name)
    last = max([number for number, _ in there.values()] or [0])
    paths = []
    for request in requests:
        slug = re.sub(r"[^a-z0-9]+", "-", request["name"].lower()).strip("-")
        if not slug:
            raise Mistake("no file can be named after '%s'" % request["name"])
        if slug not in there:
            last += 1
            there[slug] = (last, "%02d-%s.json" % (last, slug))
        elif not overwrite or os.path.join(directory, there[slug][1]) in paths:
            raise Mistake("'%s' is there already: take another name, or --overwrite" % there[slug][1])
        paths.append(os.path.join(directory, there[slug][1]))
    return paths


def ask(socket, request):
    """The reply as the client sees it, and what was wrong with it: an empty dictionary if nothing was."""
    try:
        said = dbcalm_client.raw(socket, dbcalm_client.payload(request["cmd"], request["args"]))
    except OSError as why:
        return None, {"fault": "no connection: %s" % (why.strerror or why)}
    if not said:
        return dbcalm_client.no_answer(), {"fault": "no answer"}
    text = said.decode("utf-8", "backslashreplace")
    try:
        reply = json.loads(text)
    except ValueError:
        return None, {"fault": "not JSON", "said": text}
    if not isinstance(reply, dict) or not isinstance(reply.get("code"), int):
        return None, {"fault": "no reply: an object with a code", "said": text}
    return reply, {}


def table(records, name, condition, values):
    """Rows as dictionaries, in the order in which they were written."""
    cursor = records.execute("SELECT * FROM %s WHERE %s ORDER BY rowid" % (name, condition), values)
    columns = [column[0] for column in cursor.description]
    return [dict(zip(columns, row)) for row in cursor]


def look(records, command_id):
    """All rows of a command, of one moment, and whether there will be no others.

    A predecessor says `success` between two steps of a restore, and records the backup or restore only afterwards: it is over
    when that row is there, or when a step failed.
    """
    records.execute("BEGIN")
    try:
        process = table(records, "process", "command_id = ?", (command_id,))
        of = "process_id IN (SELECT id FROM process WHERE command_id = ?)"
        backup, restore = (table(records, name, of, (command_id,)) for name in ("backup", "restore"))
    finally:
        records.execute("ROLLBACK")
    newest = process[-1]["status"].lower() if process else ""
    over = newest == "failed" or (newest == "success" and bool(backup or restore))
    return {"process": process, "backup": backup, "restore": restore}, over


def settled(database, command_id, patience):
    """The rows of a command when it is over, or when the time is, and what was wrong."""
    until = time.monotonic() + patience
    rows = None
    try:
        # As an API process sees it: in WAL mode a reader needs the file beside it to be writable, too.
        with contextlib.closing(sqlite3.connect("file:%s?mode=rw" % database, uri=True, timeout=5)) as records:
            records.isolation_level = None
            while True:
                rows, over = look(records, command_id)
                if over:
                    return rows, {}
                if time.monotonic() > until:
                    return rows, {"fault": "not over after %g s" % patience}
                time.sleep(0.02)
    except sqlite3.Error as why:
        return rows, {"fault": "the records cannot be read: %s" % why}


def tidy(value, paths):
    """Every text in it with ordinary paths, and outputs cut after their beginning."""
    if isinstance(value, dict):
        cut = {}
        for key, item in value.items():
            item = tidy(item, paths)
            if key in ("output", "error") and isinstance(item, str) and len(item) > BEGINNING:
                item = item[:BEGINNING] + "\u2026"
            cut[key] = item
        return cut
    if isinstance(value, list):
        return [tidy(item, paths) for item in value]
    if isinstance(value, str):
        for ours, ordinary in paths:
            value = value.replace(ours, ordinary)
    return value


def record(options, request):
    """One exchange, as it will be in its file."""
    reply, fault = ask(options.socket, request)
    exchange = {"name": request["name"], "given": request["given"]}
    exchange["request"] = {"cmd": request["cmd"], "args": request["args"]}
    exchange["response"] = reply
    exchange.update(fault)
    if reply and isinstance(reply.get("id"), str):
        rows, fault = settled(options.database, reply["id"], options.patience)
        exchange["rows"] = rows
        exchange.update(fault)
    return tidy(exchange, options.path)


def write(path, exchange, overwrite):
    """Whole or not at all, and over no other file unless that is asked for."""
    text = json.dumps(exchange, indent=1, ensure_ascii=False) + "\n"
    unfinished = "%s.%d" % (path, os.getpid())
    with open(unfinished, "x", encoding="utf-8") as file:
        file.write(text)
    if overwrite:
        os.replace(unfinished, path)
        return
    try:
        os.link(unfinished, path)
    finally:
        os.unlink(unfinished)


def path_pair(text):
    """FROM=TO."""
    ours, equals, ordinary = text.partition("=")
    if not ours or not equals:
        raise argparse.ArgumentTypeError("'%s' is not FROM=TO" % text)
    return ours, ordinary


def options_of(arguments):
    """The command line."""
    parser = argparse.ArgumentParser(
        prog="record", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--socket", required=True, help="where the daemon listens")
    parser.add_argument("--database", required=True, help="the SQLite file of its records")
    parser.add_argument("--out", required=True, help="the directory for the files, which has to be there")
    parser.add_argument("--requests", metavar="FILE", help="what to say, a JSON object a line")
    parser.add_argument("--name", help="of the one exchange")
    parser.add_argument("--given", metavar="JSON", help="what was given for it; the server runs unless it says otherwise")
    parser.add_argument("--path", metavar="FROM=TO", type=path_pair, action="append", default=[], help="any number of times")
    parser.add_argument("--patience", metavar="SECONDS", type=float, default=300.0, help="for the end of a command (300)")
    parser.add_argument(
        "--pause", metavar="SECONDS", type=float, default=0.7,
        help="between two requests (0.7: the Python daemon lost the second of two that were closer)",
    )
    parser.add_argument("--overwrite", action="store_true", help="replace the files that have these names")
    parser.add_argument("command", nargs="?", help="such as full_backup")
    parser.add_argument("args", nargs="?", default="{}", help="its arguments, in JSON")
    return parser.parse_args(arguments)


def main():
    """Records everything that is asked."""
    options = options_of(sys.argv[1:])
    # The longest first, so that a directory within another one keeps its own name.
    options.path.sort(key=lambda pair: len(pair[0]), reverse=True)
    try:
        requests = requests_of(options)
        paths = places(options.out, requests, options.overwrite)
    except (Mistake, OSError) as why:
        print("record: %s" % why, file=sys.stderr)
        return 2
    status = 0
    for number, (request, path) in enumerate(zip(requests, paths)):
        if number:
            time.sleep(options.pause)
        exchange = record(options, request)
        write(path, exchange, options.overwrite)
        response = exchange["response"] or {}
        said = exchange.get("fault") or "%s %s" % (response["code"], response.get("status"))
        # In ASCII: the terminal may know no more, and what was said may hold anything.
        print("%s: %s" % (os.path.basename(path), said.encode("ascii", "backslashreplace").decode("ascii")))
        status = 1 if "fault" in exchange else status
    return status


if __name__ == "__main__":
    sys.exit(main())
