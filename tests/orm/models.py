"""The tables as the two API processes map them, in SQLAlchemy 2.

`LAYOUTS` makes the classes `Process`, `Backup` and `Restore` of each layout: "python", to the letter that of
tests/schemas/schema-python.sql, where an enum is kept by its names in a column of type VARCHAR(8) and a row with anything else
cannot be read; and "go", with the columns of schema-go.sql.
"""

import enum
import json
import types

from sqlalchemy import JSON, DateTime, Enum, ForeignKey, Integer, String, Text, TypeDecorator
from sqlalchemy.orm import DeclarativeBase, mapped_column


class Target(enum.Enum):
    """Where a restore goes."""

    DATABASE = "database"
    FOLDER = "folder"


class Status(enum.Enum):
    """How far a process is."""

    RUNNING = "running"
    SUCCESS = "success"
    FAILED = "failed"


class Kind(enum.Enum):
    """What a process belongs to."""

    BACKUP = "backup"
    RESTORE = "restore"


class JsonText(TypeDecorator):
    """JSON in a column of type TEXT."""

    impl = Text
    cache_ok = True

    def process_bind_param(self, value, dialect):
        """To the database."""
        return json.dumps(value)

    def process_result_value(self, value, dialect):
        """From it."""
        return json.loads(value)


class EnumText(TypeDecorator):
    """An enum by its values, in a column of type TEXT; anything else cannot be read."""

    impl = Text
    cache_ok = True

    def __init__(self, kind):
        super().__init__()
        self.kind = kind

    def process_bind_param(self, value, dialect):
        """To the database."""
        return value.value

    def process_result_value(self, value, dialect):
        """From it."""
        return self.kind(value)


def python():
    """The tables of the Python API."""

    class Base(DeclarativeBase):
        """The tables of one layout."""

    class Backup(Base):
        """A backup that is whole."""

        __tablename__ = "backup"
        id = mapped_column(String, primary_key=True)
        from_backup_id = mapped_column(String)
        schedule_id = mapped_column(Integer)
        start_time = mapped_column(DateTime, nullable=False)
        end_time = mapped_column(DateTime)
        process_id = mapped_column(Integer, nullable=False)

    class Process(Base):
        """An external command."""

        __tablename__ = "process"
        id = mapped_column(Integer, primary_key=True)
        command = mapped_column(String, nullable=False)
        command_id = mapped_column(String, nullable=False)
        pid = mapped_column(Integer, nullable=False)
        status = mapped_column(String, nullable=False)
        output = mapped_column(String)
        error = mapped_column(String)
        return_code = mapped_column(Integer)
        start_time = mapped_column(DateTime)
        end_time = mapped_column(DateTime)
        type = mapped_column(String, nullable=False)
        args = mapped_column(JSON)

    class Restore(Base):
        """A restore that succeeded."""

        __tablename__ = "restore"
        id = mapped_column(Integer, primary_key=True)
        start_time = mapped_column(DateTime)
        end_time = mapped_column(DateTime)
        target = mapped_column(Enum(Target), nullable=False)
        target_path = mapped_column(String, nullable=False)
        backup_id = mapped_column(String, nullable=False)
        backup_timestamp = mapped_column(DateTime)
        process_id = mapped_column(Integer, nullable=False)

    return types.SimpleNamespace(Base=Base, Process=Process, Backup=Backup, Restore=Restore)


def go():
    """The tables of the Go API."""

    class Base(DeclarativeBase):
        """The tables of one layout."""

    class Schedule(Base):
        """Named by backups."""

        __tablename__ = "schedule"
        id = mapped_column(Integer, primary_key=True)
        backup_type = mapped_column(Text, nullable=False)
        frequency = mapped_column(Text, nullable=False)
        enabled = mapped_column(Integer, nullable=False, default=1)
        created_at = mapped_column(DateTime, nullable=False)
        updated_at = mapped_column(DateTime, nullable=False)

    class Process(Base):
        """An external command."""

        __tablename__ = "process"
        id = mapped_column(Integer, primary_key=True)
        command_id = mapped_column(Text, nullable=False)
        command = mapped_column(Text, nullable=False)
        pid = mapped_column(Integer)
        status = mapped_column(EnumText(Status), nullable=False)
        output = mapped_column(Text)
        error = mapped_column(Text)
        return_code = mapped_column(Integer)
        start_time = mapped_column(DateTime, nullable=False)
        end_time = mapped_column(DateTime)
        type = mapped_column(EnumText(Kind), nullable=False)
        args = mapped_column(JsonText, nullable=False)

    class Backup(Base):
        """A backup that is whole."""

        __tablename__ = "backup"
        id = mapped_column(Text, primary_key=True)
        from_backup_id = mapped_column(Text, ForeignKey("backup.id", ondelete="CASCADE"))
        schedule_id = mapped_column(Integer, ForeignKey("schedule.id", ondelete="SET NULL"))
        start_time = mapped_column(DateTime, nullable=False)
        end_time = mapped_column(DateTime)
        process_id = mapped_column(Integer, ForeignKey("process.id", ondelete="CASCADE"), nullable=False)
        size = mapped_column(Integer)

    class Restore(Base):
        """A restore that succeeded."""

        __tablename__ = "restore"
        id = mapped_column(Integer, primary_key=True)
        backup_id = mapped_column(Text, ForeignKey("backup.id", ondelete="CASCADE"), nullable=False)
        backup_timestamp = mapped_column(DateTime, nullable=False)
        target = mapped_column(EnumText(Target), nullable=False)
        target_path = mapped_column(Text, nullable=False)
        start_time = mapped_column(DateTime, nullable=False)
        end_time = mapped_column(DateTime)
        process_id = mapped_column(Integer, ForeignKey("process.id", ondelete="CASCADE"), nullable=False)

    return types.SimpleNamespace(Base=Base, Process=Process, Backup=Backup, Restore=Restore)


LAYOUTS = {"python": python, "go": go}
