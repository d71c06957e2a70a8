"""Flask-Migrate end to end: with PostgreSQL for a fleet, and with SQLite in the app's own directory on each host."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING, Any, NamedTuple

import pytest

from tests.support.commands import ROOT
from tests.support.parallel import each
from tests.support.playbooks import apply_role
from tests.support.releases import Deployed

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.support.hosts import Host
    from tests.support.playbooks import Play

DISTRIBUTIONS = ("debian-12-hot", "debian-13-hot")
EXAMPLE = ROOT / "docs/examples/guestbook"
SECOND_MIGRATION = """
import sqlalchemy as sa
from alembic import op

revision, down_revision = "0002", "0001"


def upgrade() -> None:
    op.add_column("entry", sa.Column("author", sa.String()))
"""
FIRST = {"alembic_version": ["version_num"], "entry": ["id", "text"]}
SECOND = {**FIRST, "entry": ["id", "text", "author"]}


class Guestbook(NamedTuple):
    """One way to keep the data: an app under a server name of its own."""

    name: str
    variables: dict[str, Any]

    def run_role(self, hosts: list[Host], source: Path, *, check: bool = True) -> Play:
        """Deploy it to both hosts."""
        declared: dict[str, Any] = {
            "flask_apache_app": self.name,
            "flask_apache_source": str(source),
            "flask_apache_wsgi": "app:create_app()",
            "flask_apache_server_name": f"{self.name}.example.com",
            "flask_apache_health_path": "/healthz",
        }
        return apply_role(hosts, {**declared, **self.variables}, check=check)

    def schema(self, host: Host) -> dict[str, list[str]]:
        """Return the database's tables and columns, as the app sees them."""
        found: dict[str, list[str]] = host.http("/schema", f"{self.name}.example.com").json()
        return found


SQLITE = Guestbook("sqlite", {"flask_apache_hooks": [{"at": "before_start", "run": "flask db upgrade"}]})


@pytest.fixture(scope="module")
def hosts(start_host: Callable[[str], Host]) -> list[Host]:
    """Return a host of each distribution."""
    return each(DISTRIBUTIONS, start_host)


@pytest.fixture(scope="module")
def postgresql(start_host: Callable[[str], Host]) -> Guestbook:
    """Start Debian's PostgreSQL on a host of its own; return the app that keeps its data there."""
    server = start_host("debian-13-hot")
    server.run("apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -yqq postgresql", timeout=600)
    server.run(
        "cd /etc/postgresql/*/main && echo \"listen_addresses = '*'\" >>postgresql.conf && "
        "echo 'host guestbook guestbook all scram-sha-256' >>pg_hba.conf && systemctl restart postgresql"
    )
    server.run(["runuser", "-u", "postgres", "psql"], stdin="CREATE ROLE guestbook LOGIN PASSWORD 'p%w d';")
    server.run(["runuser", "-u", "postgres", "--", "createdb", "--owner=guestbook", "guestbook"])
    url = f"postgresql+psycopg://guestbook:p%25w%20d@{server.ip}/guestbook"
    hook = {"at": "before_start", "run": "flask db upgrade", "once": True}
    return Guestbook("fleet", {"flask_apache_environment": {"DATABASE_URL": url}, "flask_apache_hooks": [hook]})


@pytest.fixture(params=["postgresql", "sqlite"])
def guestbook(request: pytest.FixtureRequest) -> Guestbook:
    """Return the app with one of the databases."""
    found: Guestbook = SQLITE if request.param == "sqlite" else request.getfixturevalue("postgresql")
    return found


def test_migrations_run_before_a_release_starts_and_a_failing_one_stops_it(
    guestbook: Guestbook, hosts: list[Host], tmp_path: Path
) -> None:
    """The first release makes the table, the second one cannot change it, and the third one can."""
    site = f"{guestbook.name}.example.com"
    source = tmp_path / "source"
    shutil.copytree(EXAMPLE, source, ignore=shutil.ignore_patterns("__pycache__"))
    guestbook.run_role(hosts, source)
    assert [guestbook.schema(host) for host in hosts] == [FIRST] * 2
    for number, host in enumerate(hosts):
        form = {"Content-Type": "application/x-www-form-urlencoded"}
        assert host.http("/", site, method="POST", headers=form, body=f"text=entry+{number}").status == 201
    shared = guestbook is not SQLITE
    written = [["entry 0", "entry 1"]] * 2 if shared else [["entry 0"], ["entry 1"]]
    assert [host.http("/", site).json() for host in hosts] == written

    before = [Deployed(host, guestbook.name).live() for host in hosts]
    migration = source / "migrations/versions/0002_author.py"
    migration.write_text(SECOND_MIGRATION.replace('"entry"', '"no_such_table"'))
    failed = guestbook.run_role(hosts, source, check=False)
    assert failed.rc != 0
    assert "`flask db upgrade` ended with 1" in failed.output
    assert "no_such_table" in failed.output
    assert [Deployed(host, guestbook.name).live() for host in hosts] == before
    assert [guestbook.schema(host) for host in hosts] == [FIRST] * 2

    migration.write_text(SECOND_MIGRATION)
    guestbook.run_role(hosts, source)
    assert [guestbook.schema(host) for host in hosts] == [SECOND] * 2
    assert [host.http("/", site).json() for host in hosts] == written
    assert guestbook.run_role(hosts, source).changed == 0
