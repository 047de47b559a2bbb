#!/usr/bin/env python3
"""A client that behaves on the wire as the Python API's does.

It connects, sends one JSON object and does not close its write side. It reads 16 bytes at a time, takes the reply as whole
after 0.2 s of silence or at the end of the stream, and gives up after 5 s with a 503 of its own. It needs no more than
Python's standard library, version 3.6 or later.

As a program: dbcalm_client.py SOCKET COMMAND [ARGS as JSON], prints the reply and ends with status 0 for a 202.
"""

import json
import select
import socket
import sys
import time

#: Bytes a read takes at most.
READ = 16
#: Seconds of silence after which what has come is the reply.
SILENCE = 0.2
#: Seconds after which there will be no reply.
PATIENCE = 5.0


def raw(path, payload):
    """Sends bytes, gives back the bytes of the reply (none in time: an empty reply)."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
        connection.connect(path)
        connection.sendall(payload)
        begun = time.monotonic()
        reply = b""
        while time.monotonic() - begun < PATIENCE:
            readable, _, _ = select.select([connection], [], [], SILENCE)
            if not readable:
                if reply:
                    break
                continue
            piece = connection.recv(READ)
            if not piece:
                break
            reply += piece
        return reply


def payload(command, args=None):
    """The bytes of a request."""
    return json.dumps({"cmd": command, "args": args or {}}).encode("utf-8")


def no_answer():
    """The client's own reply, where there was none."""
    return {"code": 503, "status": "no answer within 5 s"}


def send(path, command, args=None):
    """Sends one command, gives back the reply as a dictionary."""
    reply = raw(path, payload(command, args))
    if not reply:
        return no_answer()
    return json.loads(reply.decode("utf-8"))


def main():
    """Runs one command from the command line."""
    path, command = sys.argv[1:3]
    args = json.loads(sys.argv[3]) if len(sys.argv) > 3 else {}
    reply = send(path, command, args)
    print(json.dumps(reply))
    return 0 if reply["code"] == 202 else 1


if __name__ == "__main__":
    sys.exit(main())
