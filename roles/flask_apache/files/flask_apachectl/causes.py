"""Frequent causes of a failure: what a program said, and what to do about it."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

PATH = r"['\"](?P<path>[^'\"\n]+)['\"]"
DENIED = r"(?:Permission denied|Read-only file system|Operation not permitted)"
RELEASE = re.compile(r".*/releases/[^/]+/app/")  # what comes before a path of the source

# What a build says when a system package is missing: a pattern of it, the thing, the packages in Debian and Ubuntu.
MISSING = tuple(
    (re.compile(pattern), thing, packages)
    for pattern, thing, packages in (
        (
            (
                r"(?:command|execute|find|run) '?(?:\S*-)?(?:gcc|cc|g\+\+|c\+\+)(?:-[\d.]+)?'?(?: failed)?"
                r": No such file"
                r"|\b(?:gcc|cc|g\+\+|c\+\+|make): (?:command )?not found|Unknown compiler\(s\)|No CMAKE_CX*_COMPILER"
                r"|No such file or directory: '(?:\S*-)?(?:gcc|cc|g\+\+|c\+\+|make)'|linker `cc` not found|cc1plus"
                r"|unable to execute '\S*(?:gcc|cc|g\+\+|c\+\+)'|no acceptable C compiler"
            ),
            "a C compiler",
            "build-essential",
        ),
        (r"fatal error: Python\.h: |Python\.h: No such file", "Python.h", "python3-dev"),
        (r"pg_config executable not found|libpq-fe\.h: No such file", "pg_config", "libpq-dev"),
        (r"\bffi\.h: No such file|Package 'libffi'|Package libffi was not found", "ffi.h", "libffi-dev"),
        (
            (
                r"mysql_config(?:: (?:command )?not found|' failed)|mysql\.h: No such file|MYSQLCLIENT_CFLAGS"
                r"|mariadb_config(?:: (?:command )?not found| not found)"
            ),
            "MySQL's client library",
            "default-libmysqlclient-dev, pkg-config",
        ),
        (
            r"libxml2 and libxslt development packages|libxml/\w+\.h: No such file|xslt-config: (?:command )?not found",
            "libxml2 and libxslt",
            "libxml2-dev, libxslt1-dev",
        ),
        (r"openssl/\w+\.h: No such file|Could not find directory of OpenSSL", "OpenSSL's headers", "libssl-dev"),
        (r"\b(?:lber|ldap)\.h: No such file", "ldap.h", "libldap-dev, libsasl2-dev"),
        (r"\bsasl(?:/sasl)?\.h: No such file", "sasl.h", "libsasl2-dev"),
        (r"jpeglib\.h: No such file|could not be found for jpeg", "jpeglib.h", "libjpeg-dev"),
        (r"\bzlib\.h: No such file|could not be found for zlib", "zlib.h", "zlib1g-dev"),
        (r"ft2build\.h: No such file|could not be found for freetype", "freetype", "libfreetype-dev"),
        (r"\bcairo\.h: No such file|Dependency \"cairo\" not found", "cairo.h", "libcairo2-dev, pkg-config"),
        (r"\byaml\.h: No such file", "yaml.h", "libyaml-dev"),
        (r"\bsqlite3\.h: No such file", "sqlite3.h", "libsqlite3-dev"),
        (r"\bsql(?:ext)?\.h: No such file", "sql.h", "unixodbc-dev"),
        (r"Could not run curl-config|curl/curl\.h: No such file", "curl-config", "libcurl4-openssl-dev"),
        (r"krb5-config: (?:command )?not found|gssapi\S*\.h: No such file", "krb5-config", "libkrb5-dev"),
        (r"geos-config: (?:command )?not found|geos_c\.h: No such file", "geos_c.h", "libgeos-dev"),
        (r"gdal-config(?:: (?:command )?not found|'|.*gdal-config)", "gdal-config", "libgdal-dev"),
        (r"libmemcached/memcached\.h: No such file", "memcached.h", "libmemcached-dev"),
        (r"xmlsec1 is not installed|Package 'xmlsec1'|xmlsec/\w+\.h: No such", "xmlsec1", "libxmlsec1-dev, pkg-config"),
        (
            (
                r"can't find Rust compiler|Rust toolchain|cargo, the Rust package manager, is not|`cargo` .*not found"
                r"|No such file or directory: '(?:cargo|rustc)'"
            ),
            "a Rust compiler",
            "rustc, cargo",
        ),
        (r"CMake must be installed|No such file or directory: 'cmake'|cmake: (?:command )?not found", "CMake", "cmake"),
        (
            r"pkg-config: (?:command )?not found|No such file or directory: 'pkg-config'|Did not find pkg-config",
            "pkg-config",
            "pkg-config",
        ),
        (r"Cannot find command 'git'|No such file or directory: 'git'", "git", "git"),
        (r"no pq wrapper available|libpq\.so\.5: cannot open", "libpq", "libpq5"),
        (r"failed to find libmagic|libmagic\.so\.1: cannot open", "libmagic", "libmagic1"),
        (r"libGL\.so\.1: cannot open", "libGL.so.1", "libgl1"),
        (
            r"cannot load library '(?:lib)?(?:pango|gobject)[^']*'",
            "Pango",
            "libpango-1.0-0, libpangoft2-1.0-0",
        ),
    )
)
LIBRARY = re.compile(r"(?P<name>lib[\w+.-]+\.so[\w.]*): cannot open shared object file")
HEADER = re.compile(r"fatal error: (?P<name>[\w./+-]+\.h(?:pp)?): No such file")
TABLE = re.compile(
    r"no such (?:table|column): (?P<a>[\w.\"]+)"
    r"|(?:relation|column) \"?(?P<b>[\w.]+)\"? does not exist"
    r"|Table '(?P<c>[\w.$-]+)' doesn't exist|Unknown column '(?P<d>[\w.]+)'"
)
EXISTS = re.compile(
    r"(?:table|relation|Table) [\"'`]?(?P<name>[\w.]+)[\"'`]? already exists|DuplicateTable|Duplicate column name"
)


def _package(text: str) -> Iterator[str]:
    """Yield the advice for a missing system package: of a build, or of an import."""
    found = False
    for pattern, thing, packages in MISSING:
        if pattern.search(text):
            found = True
            yield f"{thing} is missing on the host: add it by flask_apache_system_packages: [{packages}]"
    unknown = None if found else LIBRARY.search(text) or HEADER.search(text)
    if unknown:
        yield (
            f"{unknown['name']} is missing on the host: add the Debian package that contains it to "
            f"flask_apache_system_packages (`apt-file search {unknown['name'].rpartition('/')[2]}` finds it)"
        )


@dataclass(frozen=True)
class _Denied:
    """A write that the app may not do."""

    path: str

    def advice(self) -> str:
        """Say where the app may write, and how a directory of its source gets there."""
        inside = RELEASE.sub("", self.path)
        if "/site-packages/" in self.path:
            return (
                f"The app may not write to {self.path}, which is in its virtual environment: configure it to write "
                "below the directory that the environment variable FLASK_APACHE_DATA names (flask_apache_environment)"
            )
        top = inside.removeprefix("./").partition("/")[0]
        if inside.startswith("/") or not re.fullmatch(r"[\w.-]+", top):
            return (
                f"The app may not use {self.path}: it may write only below /var/lib/flask-apache/<app>, which "
                "FLASK_APACHE_DATA names; flask_apache_data_directories creates directories there"
            )
        if "/" not in inside.removeprefix("./") and re.search(r"\.\w+$", top):  # a file beside the code
            return (
                f"The app may not write {top} beside its code, which is read-only: give its path below a data "
                "directory, such as by flask_apache_data_directories: [{name: data, link: data}] and data/" + top
            )
        return (
            f"The app may not write to {inside}, as its code is read-only: "
            f"flask_apache_data_directories: [{{name: {top.lstrip('.') or 'data'}, link: {top}}}] makes it a directory "
            "of data, which the app may write and releases share"
        )


def _permission(text: str) -> Iterator[str]:
    """Yield the advice for what the app may not write."""
    found = re.search(rf"(?:PermissionError|OSError): \[Errno (?:1|13|30)\] {DENIED}: {PATH}", text)
    if found:
        yield _Denied(found["path"]).advice()
    elif re.search(r"unable to open database file|attempt to write a readonly database", text):
        yield (
            "SQLite's file must be in a directory that the app may write: below /var/lib/flask-apache/<app>, which "
            "FLASK_APACHE_DATA names, or in one of flask_apache_data_directories"
        )


def _database(text: str) -> Iterator[str]:
    """Yield the advice for a database that does not fit the release."""
    missing, exists = TABLE.search(text), EXISTS.search(text)
    if missing:
        name = next(filter(None, missing.groups())).strip('"')
        yield (
            f"The database has no {name}: let a hook create it before the release starts, such as "
            'flask_apache_hooks: [{at: before_start, run: "flask db upgrade"}] (docs/migrations.md)'
        )
    elif exists:
        yield (
            "The database already has what a migration creates: if it was made without migrations, run "
            "`flask-apachectl run --release RELEASE -- flask db stamp head` once, then deploy again"
        )


def of_build(output: str) -> str:
    """Return what to do about the causes that a failed build's output names, one a line; nothing if none is known."""
    return "\n".join(_package(output))


def of_app(output: str) -> str:
    """Return the same for what the app itself, or a command that runs as the app, has said."""
    return "\n".join([*_permission(output), *_package(output), *_database(output)])
