"""A real PostgreSQL server of our own: a fresh cluster in a temporary directory, on a free port."""

from __future__ import annotations

import os
import pwd
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


def binaries() -> Path | None:
    """Where the server's programs are; ``None`` if it isn't installed."""
    found = shutil.which("initdb")
    installed = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"))
    return Path(found).parent if found else installed[-1].parent if installed else None


@contextmanager
def running_postgresql() -> Iterator[str]:
    """Start a server; gives the URL of its database. It refuses to run as root, so root runs it as somebody else."""
    folder = binaries()
    assert folder is not None
    account = _unprivileged_account() if os.geteuid() == 0 else None
    home = Path(tempfile.mkdtemp(prefix="candlewick-postgresql-"))
    data = home / "data"
    try:
        if account is not None:
            os.chown(home, account.pw_uid, account.pw_gid)
        options = {"check": True, "capture_output": True, "cwd": home, "user": account and account.pw_uid}
        subprocess.run([folder / "initdb", "-D", data, "-U", "candle", "-A", "trust", "-N"], **options)
        with socket.create_server(("127.0.0.1", 0)) as probe:
            port = probe.getsockname()[1]
        settings = f"-p {port} -k {home} -c listen_addresses=127.0.0.1 -c fsync=off"
        start = [folder / "pg_ctl", "-D", data, "-l", home / "log", "-w", "-o", settings, "start"]
        subprocess.run(start, **options | {"capture_output": False, "stdout": subprocess.DEVNULL})
        try:
            yield f"postgresql://candle@127.0.0.1:{port}/postgres"
        finally:
            subprocess.run([folder / "pg_ctl", "-D", data, "-m", "immediate", "-w", "stop"], **options)
    finally:
        shutil.rmtree(home, ignore_errors=True)


def _unprivileged_account() -> pwd.struct_passwd:
    names = {account.pw_name: account for account in pwd.getpwall()}
    return names.get("postgres") or names["nobody"]
