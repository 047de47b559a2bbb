#!/usr/bin/env python3
"""Measures the steps that store and extract a stream, ours beside the same by hand: bench_streams.py BINARY DIRECTORY

DIRECTORY is as ci/bench_backups.py has it; ci/bench-streams makes it. The stream is taken once and read from the same file system each time.
Everything is timed to the end of a `sync -f` of what was written, but what goes to a bucket, which the store has when its client has ended.
"""

import argparse
import os
import shutil
import signal
import subprocess
import sys
import uuid

import bench
from bench_backups import BUCKET, CORES, TOOL, Stage, compare, fill, rclone_at, size_of


class Streams:
    """The stream, and where everything goes."""

    def __init__(self, stage, endpoint):
        self.stage, self.endpoint = stage, endpoint
        self.stream = os.path.join(stage.directory, "stream")
        self.work = os.path.join(stage.directory, "theirs")
        self.keys = [os.path.join(stage.directory, name) for name in ("first.key", "second.key")]
        for key in self.keys:
            subprocess.run(["age-keygen", "-o", key], check=True, capture_output=True)
        told = [subprocess.run(["age-keygen", "-y", key], check=True, capture_output=True, text=True) for key in self.keys]
        self.recipients = [each.stdout.strip() for each in told]
        self.remote = f"--repository=s3://{BUCKET}/db1 --endpoint={endpoint} --path-style --credentials-file={stage.store_login()}"

    def take(self):
        """A full backup's stream."""
        command = [TOOL, *self.stage.login, "--backup", "--stream=xbstream", "--host=localhost", f"--parallel={CORES}"]
        target = os.path.join(self.stage.directory, "target")
        with open(self.stream, "wb") as file:
            subprocess.run([*command, f"--target-dir={target}"], stdout=file, stderr=subprocess.DEVNULL, check=True)

    def clean(self):
        """Nothing is left for the next one."""
        shutil.rmtree(self.work, ignore_errors=True)

    def run(self, text, kept):
        """A line of a shell, in a directory of its own."""
        os.makedirs(self.work, exist_ok=True)
        return self.stage.theirs([["bash", "-eo", "pipefail", "-c", f"cd {self.work}; {text}"]], os.path.join(self.work, kept))

    def store(self, to, name, more=""):
        """Our step, into a folder that it fills."""
        to = os.path.join(self.work, to)
        step = f"{self.stage.binary} store --into={to} --name={name} --flavour=mariadb --compression=zstd --threads={CORES}"
        return f"mkdir -p {to}; {step} {more} < {self.stream}"

    def extract(self, kept, source, more=""):
        """Our step, from a folder that is kept."""
        name = os.path.basename(source)
        step = f"{self.stage.binary} extract --name={name} --into=x --flavour=mariadb --threads={CORES}"
        return f"{step} --manifest={kept}/dbcalm.sha256 {more}"

    def keep(self, name, more=""):
        """A stream that stays, to be extracted; gives its folder."""
        kept = os.path.join(self.stage.directory, "kept", name)
        subprocess.run(["bash", "-ec", self.store(kept, name, more)], check=True, capture_output=True)
        return kept


def comparisons(streams, rounds):
    """Each with its name."""
    plain, sealed = "b.xbstream.zst", "b.xbstream.zst.age"
    to = " ".join(f"--recipient={key}" for key in streams.recipients)
    by_hand = " ".join(f"-r {key}" for key in streams.recipients)
    run, clean = streams.run, streams.clean
    zstd = f"zstd -1 -T{CORES} -c"

    def go(title, contenders):
        return lambda: compare(title, rounds, contenders, clean)

    yield "store", go(
        "a stream stored, zstd",
        {
            "ours": lambda: run(streams.store("d", plain), "d"),
            f"zstd -1 -T{CORES}": lambda: run(f"{zstd} < {streams.stream} > f", "f"),
        },
    )
    yield "store encrypted", go(
        "a stream stored, zstd, encrypted to two",
        {
            "ours": lambda: run(streams.store("d", sealed, to), "d"),
            "ours, not encrypted": lambda: run(streams.store("d", plain), "d"),
            f"zstd -1 -T{CORES} | age": lambda: run(f"{zstd} < {streams.stream} | age {by_hand} > f", "f"),
        },
    )
    open_, closed = streams.keep(plain), streams.keep(sealed, to)
    mbstream = f"mkdir x; {{}} | zstd -dc | mbstream -x -p {CORES} -C x"
    yield "extract", go(
        "a stream extracted, zstd",
        {
            "ours": lambda: run(streams.extract(open_, plain, f"--from={open_}/{plain}"), "x"),
            "zstd -d | mbstream": lambda: run(mbstream.format(f"cat {open_}/{plain}"), "x"),
        },
    )
    secret = f"--from={closed}/{sealed} --identity={streams.keys[1]}"
    yield "extract encrypted", go(
        "a stream extracted, zstd, encrypted",
        {
            "ours": lambda: run(streams.extract(closed, sealed, secret), "x"),
            "ours, not encrypted": lambda: run(streams.extract(open_, plain, f"--from={open_}/{plain}"), "x"),
            "age -d | zstd -d | mbstream": lambda: run(mbstream.format(f"age -d -i {streams.keys[1]} {closed}/{sealed}"), "x"),
        },
    )
    if streams.endpoint:
        yield from of_bucket(streams, go, plain, zstd, mbstream)


def of_bucket(streams, go, plain, zstd, mbstream):
    """To a bucket, and from there."""
    rclone = rclone_at(streams.endpoint)

    def send(name):
        own = f"{streams.remote} --uuid={uuid.uuid4()} --like={streams.stage.data}"
        return streams.store(name, plain, own)

    yield "store bucket", go(
        "a stream stored in a bucket, zstd",
        {
            "ours": lambda: streams.run(send(streams.stage.new("d")), "."),
            "zstd to a file, rclone rcat": lambda: streams.run(
                f"{zstd} < {streams.stream} > f; {rclone} rcat :s3:{BUCKET}/hand/{streams.stage.new('f')} < f", "f"
            ),
        },
    )
    own = str(uuid.uuid4())
    kept = os.path.join(streams.stage.directory, "kept", "remote")
    more = f"{streams.remote} --uuid={own} --like={streams.stage.data}"
    subprocess.run(["bash", "-ec", streams.store(kept, plain, more)], check=True, capture_output=True)
    key = f"db1/v1/remote/{own}/{plain}"
    yield "extract bucket", go(
        "a stream extracted from a bucket, zstd",
        {
            "ours": lambda: streams.run(streams.extract(kept, plain, f"--key={key} {streams.remote}"), "x"),
            "rclone cat | zstd -d | mbstream": lambda: streams.run(mbstream.format(f"{rclone} cat :s3:{BUCKET}/{key}"), "x"),
        },
    )


def main():
    """Measures, and prints each comparison when it is done."""
    parser = argparse.ArgumentParser()
    parser.add_argument("binary", type=os.path.abspath)
    parser.add_argument("directory", type=os.path.abspath)
    parser.add_argument("--mib", type=int, default=1024)
    parser.add_argument("--rounds", type=int, default=11)
    parser.add_argument("--only", default="")
    parser.add_argument("--endpoint", help="the store's address; none for nothing of a bucket")
    parser.add_argument("--server-pid", type=int, required=True)
    given = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    bench.machine(given.binary)
    stage = Stage(given.binary, given.directory, given.server_pid)
    fill(stage, given.mib)
    streams = Streams(stage, given.endpoint)
    streams.take()
    stage.stop_server()
    print(f"a stream of {size_of(streams.stream) / 2**20:.0f} MiB; {given.rounds} rounds; {TOOL}")
    for name, run in comparisons(streams, given.rounds):
        if given.only in name:
            run()


if __name__ == "__main__":
    main()
