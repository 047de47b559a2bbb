"""The terminal pictures of the docs: `record DEB` types the commands at a terminal and prints what came, as JSON; `render JSON DIR` draws it.

`record` runs in a root of its own (tests/packages/private), with the machine's own MariaDB and a real systemd. The drawing is the same for
the same recording: lines of text in an SVG, no script and no font of its own.
"""

import html
import json
import os
import pathlib
import pty
import re
import subprocess
import sys
import time

COLUMNS, ROWS = 100, 30
SETTINGS = "/usr/share/doc/dbcalm-db-cmd/examples/config.yml"
ACCOUNT = "[client-dbcalm]\nuser = dbcalm\npassword = secret\n"
DATA = """CREATE USER dbcalm@localhost IDENTIFIED BY 'secret';
GRANT RELOAD, PROCESS, LOCK TABLES, BINLOG MONITOR ON *.* TO dbcalm@localhost;
CREATE DATABASE shop;
USE shop;
CREATE TABLE shop.sale (id INT PRIMARY KEY, what BLOB);
INSERT INTO shop.sale SELECT seq, REPEAT(UNHEX(SHA2(seq, 512)), 120) FROM seq_1_to_60000"""
CHANGE = "USE shop; INSERT INTO shop.sale SELECT seq, REPEAT(UNHEX(SHA2(seq, 512)), 120) FROM seq_{step}0001_to_{step}4000"

# An escape sequence: a colour, or what erases to the end of the line.
ESCAPE = re.compile(r"\x1b\[([0-9;]*)([A-Za-z])")
COLOURS = {31: "#e06c75", 32: "#98c379", 33: "#e5c07b", 34: "#61afef", 35: "#c678dd", 36: "#56b6c2", 90: "#7f848e"}
PLAIN, GROUND, WIDTH, HEIGHT = "#dcdfe4", "#1e2127", 8.43, 18


def run(*argv, **options):
    subprocess.run(argv, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.STDOUT, **options)


def sql(text):
    run("mariadb", input=text, text=True)


def type_in(command):
    """What a terminal of this size is sent, in the pieces in which it comes."""
    pid, terminal = pty.fork()
    if pid == 0:
        os.environ.update(TERM="xterm-256color", COLUMNS=str(COLUMNS))
        os.execvp("sh", ["sh", "-c", f"stty cols {COLUMNS} rows {ROWS}; {command}"])
    pieces = []
    while True:
        try:
            piece = os.read(terminal, 1 << 16)
        except OSError:  # EIO: the other end is closed
            break
        if not piece:
            break
        pieces.append(piece)
    if os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) != 0:
        sys.exit(f"{command}: {b''.join(pieces).decode()}")
    return [b"".join(pieces[: end + 1]).decode(errors="replace") for end in range(len(pieces))]


def record(deb):
    run("rm", "-rf", "/etc/dbcalm", "/var/lib/dbcalm", "/var/log/dbcalm", "/var/backups/dbcalm", "/var/lib/mysql")
    run("install", "-d", "-o", "mysql", "-g", "mysql", "/var/lib/mysql")
    run("mariadb-install-db", "--user=mysql", "--datadir=/var/lib/mysql")
    run("systemctl", "start", "mariadb.service")
    run("dpkg", "--install", deb)
    run("install", "-o", "root", "-g", "dbcalm", "-m", "0640", SETTINGS, "/etc/dbcalm/config.yml")
    run("install", "-o", "root", "-g", "mysql", "-m", "0640", "/dev/stdin", "/etc/dbcalm/credentials.cnf", input=ACCOUNT, text=True)
    # A small database is backed up faster than progress is told: the tool is given as much of a disk as a busy one leaves.
    with open("/etc/dbcalm/config.yml", "a", encoding="utf-8") as settings:
        settings.write("\nbackup_options: [--throttle=150]\n")
    run("systemctl", "start", "dbcalm-db-cmd")
    sql(DATA)
    recorded = {}
    progress = type_in("dbcalm-db-cmd backup full")
    # The moments while the line says how much there is, of which the one in the middle.
    moving = [text for text in progress if "MiB" in "".join(character for character, _, _ in screen(text)[-1])]
    if not moving:
        sys.exit(f"no progress was shown: {progress[-1]!r}")
    recorded["progress"] = ["dbcalm-db-cmd backup full", moving[len(moving) // 2]]
    for step in (7, 8):
        sql(CHANGE.format(step=step))
        type_in("dbcalm-db-cmd backup incremental")
    recorded["verify"] = ["dbcalm-db-cmd verify --all", type_in("dbcalm-db-cmd verify --all")[-1]]
    recorded["list"] = ["dbcalm-db-cmd list", type_in("dbcalm-db-cmd list")[-1]]
    print("RECORDED", json.dumps(recorded))


def screen(text):
    """The lines that a terminal shows: each a list of (character, colour, bold)."""
    lines, column, colour, bold, at = [[]], 0, PLAIN, False, 0
    while at < len(text):
        found = ESCAPE.match(text, at)
        if found:
            at = found.end()
            if found[2] == "K":
                del lines[-1][column:]
            for code in (int(code or 0) for code in found[1].split(";")) if found[2] == "m" else ():
                if code == 0:
                    colour, bold = PLAIN, False
                elif code == 1:
                    bold = True
                elif code == 2:
                    colour = COLOURS[90]
                else:
                    colour = COLOURS.get(code, colour)
            continue
        character, at = text[at], at + 1
        if character == "\n":
            lines.append([])
            column = 0
        elif character == "\r":
            column = 0
        else:
            lines[-1].extend([(" ", PLAIN, False)] * (column - len(lines[-1])))
            lines[-1][column : column + 1] = [(character, colour, bold)]
            column += 1
    while lines and not lines[-1]:
        lines.pop()
    return lines


def draw(command, text):
    typed = [[("$", COLOURS[32], False)] + [(character, PLAIN, True) for character in f" {command}"]]
    lines = typed + screen(text)
    columns = max(60, *(len(line) for line in lines))
    width, height = round(columns * WIDTH + 32), len(lines) * HEIGHT + 28
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" viewBox="0 0 {width} {height}" role="img">',
        f"<title>{html.escape(command)}</title>",
        f'<rect width="100%" height="100%" rx="6" fill="{GROUND}"/>',
        f'<g font-family="ui-monospace, \'DejaVu Sans Mono\', Menlo, Consolas, monospace" font-size="14" fill="{PLAIN}" xml:space="preserve">',
    ]
    for number, line in enumerate(lines):
        spans, begin = [], 0
        for end in range(1, len(line) + 1):
            if end == len(line) or line[end][1:] != line[begin][1:]:
                run_of = "".join(character for character, _, _ in line[begin:end])
                style = (f' fill="{line[begin][1]}"' if line[begin][1] != PLAIN else "") + (' font-weight="bold"' if line[begin][2] else "")
                # Each run has its place and its length, so that columns meet whatever the font's width is.
                place = f'x="{16 + begin * WIDTH:.1f}" textLength="{len(run_of) * WIDTH:.1f}"'
                spans.append(f"<tspan {place}{style}>{html.escape(run_of)}</tspan>")
                begin = end
        if spans:
            parts.append(f'<text y="{number * HEIGHT + 28}">{"".join(spans)}</text>')
    return "\n".join([*parts, "</g>", "</svg>", ""])


def render(source, directory):
    for name, (command, text) in json.loads(pathlib.Path(source).read_text()).items():
        (pathlib.Path(directory) / f"{name}.svg").write_text(draw(command, text))


if __name__ == "__main__":
    {"record": record, "render": render}[sys.argv[1]](*sys.argv[2:])
