#!/usr/bin/env python3
"""The records through an ORM, as an API process reads and writes them.

records.py LAYOUT DATABASE read              prints every row as JSON: {"process": [...], "backup": [...], "restore": [...]}
records.py LAYOUT DATABASE record BACKUP...  records each (in place of one with that id), and the process that took it

LAYOUT is `python` or `go`. Rows come newest first: processes and restores by id, backups by their time. A time is printed from
the `datetime` that it was read as, an enum as `Target.FOLDER`, the arguments as the object they are; what is read as another
type is an error. Before anything else the tables are held against the models: each column, with its type, and no other.
BACKUP is a JSON object with id, from_backup_id, schedule_id, and start_time in the form that datetime.fromisoformat reads.
"""

import datetime
import enum
import json
import os
import sys

from sqlalchemy import create_engine, event, inspect, select
from sqlalchemy.orm import Session
from sqlalchemy.schema import CreateTable

from models import LAYOUTS

SCHEMAS = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "schemas")


def check_python_layout(tables, dialect):
    """Its tables, as SQLAlchemy makes them, are the recorded ones to the letter."""
    made = [str(CreateTable(table).compile(dialect=dialect)).strip() + ";\n" for table in tables]
    with open(os.path.join(SCHEMAS, "schema-python.sql"), encoding="utf-8") as schema:
        recorded = schema.read()
    if "".join(made) != recorded:
        raise TypeError("the models make other tables than schema-python.sql:\n" + "".join(made))


def check_columns(engine, models):
    """The database's columns are those of the models."""
    for model in (models.Process, models.Backup, models.Restore):
        table = model.__table__
        compiled = {column.name: column.type.compile(engine.dialect) for column in table.columns}
        found = {column["name"]: column["type"].compile(engine.dialect) for column in inspect(engine).get_columns(table.name)}
        if found != compiled:
            raise TypeError("%s has the columns %s, the models have %s" % (table.name, found, compiled))


def plain(column, value):
    """A value that JSON can hold, and that says as what it was read."""
    if value is None or isinstance(value, (int, dict)):
        return value
    if isinstance(value, enum.Enum):
        return str(value)
    if isinstance(value, datetime.datetime) and value.tzinfo is None:
        return value.strftime("%Y-%m-%d %H:%M:%S.%f")
    if isinstance(value, str) and not column.endswith(("_time", "_timestamp")) and column not in ("args", "target"):
        return value
    raise TypeError("%s is read as %r" % (column, value))


def read(session, models):
    """Every row, newest first."""
    orders = {models.Process: models.Process.id, models.Backup: models.Backup.start_time, models.Restore: models.Restore.id}
    rows = {}
    for model, order in orders.items():
        names = [column.name for column in model.__table__.columns]
        found = session.scalars(select(model).order_by(order.desc())).all()
        rows[model.__tablename__] = [{name: plain(name, getattr(row, name)) for name in names} for row in found]
    print(json.dumps(rows))


def record(session, models, backup):
    """A backup that an API recorded, with the process that took it."""
    before = session.get(models.Backup, backup["id"])
    if before:
        session.delete(session.get(models.Process, before.process_id))
        session.delete(before)
        session.flush()
    start = datetime.datetime.fromisoformat(backup["start_time"])
    end = start + datetime.timedelta(seconds=1)
    kinds = {name: models.Process.__table__.columns[name].type for name in ("status", "type")}
    words = {"status": "success", "type": "backup"}
    words = {name: kinds[name].kind(word) if hasattr(kinds[name], "kind") else word for name, word in words.items()}
    process = models.Process(
        command="mariabackup --backup", command_id="of-the-api-" + backup["id"], pid=1, output="completed OK!", return_code=0,
        start_time=start, end_time=end, args={"id": backup["id"]}, **words
    )
    session.add(process)
    session.flush()
    told = {name: backup[name] for name in ("id", "from_backup_id", "schedule_id")}
    session.add(models.Backup(start_time=start, end_time=end, process_id=process.id, **told))
    session.commit()


def main():
    """One of the two."""
    layout, database, what = sys.argv[1:4]
    models = LAYOUTS[layout]()
    engine = create_engine("sqlite:///" + database)
    # As both APIs set their connections up; the Go API lets the keys between its tables be checked as well.
    event.listen(engine, "connect", lambda connection, _: connection.execute("PRAGMA busy_timeout = 5000"))
    if layout == "go":
        event.listen(engine, "connect", lambda connection, _: connection.execute("PRAGMA foreign_keys = ON"))
    else:
        check_python_layout([models.Backup.__table__, models.Process.__table__, models.Restore.__table__], engine.dialect)
    check_columns(engine, models)
    with Session(engine) as session:
        if what == "read":
            read(session, models)
        else:
            for backup in sys.argv[4:]:
                record(session, models, json.loads(backup))


if __name__ == "__main__":
    main()
