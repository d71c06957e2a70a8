"""Frequent causes of a failure lead to advice that names what to declare."""

from __future__ import annotations

import pytest

from flask_apachectl import causes

BUILDS = [
    ("error: command 'gcc' failed: No such file or directory", "[build-essential]"),
    ("error: command 'x86_64-linux-gnu-gcc' failed: No such file or directory", "[build-essential]"),
    ("unable to execute 'x86_64-linux-gnu-gcc': No such file or directory", "[build-essential]"),
    ("/bin/sh: 1: gcc: not found", "[build-essential]"),
    ("make: g++: No such file or directory\nbash: g++: command not found", "[build-essential]"),
    ("FileNotFoundError: [Errno 2] No such file or directory: 'make'", "[build-essential]"),
    ("../meson.build:1:0: ERROR: Unknown compiler(s): [['cc'], ['gcc'], ['clang']]", "[build-essential]"),
    ("CMake Error: No CMAKE_CXX_COMPILER could be found.", "[build-essential]"),
    ("error: linker `cc` not found", "[build-essential]"),
    ("gcc: fatal error: cannot execute 'cc1plus': execvp: No such file or directory", "[build-essential]"),
    ("src/a.c:1:10: fatal error: Python.h: No such file or directory", "[python3-dev]"),
    ("Error: pg_config executable not found.\n\npg_config is required to build psycopg2 from source.", "[libpq-dev]"),
    ("./psycopg/psycopg.h:36:10: fatal error: libpq-fe.h: No such file or directory", "[libpq-dev]"),
    ("c/_cffi_backend.c:15:10: fatal error: ffi.h: No such file or directory", "[libffi-dev]"),
    ("Package 'libffi', required by 'virtual:world', not found", "[libffi-dev]"),
    ("/bin/sh: 1: mysql_config: not found", "[default-libmysqlclient-dev, pkg-config]"),
    ("Exception: Specify MYSQLCLIENT_CFLAGS and MYSQLCLIENT_LDFLAGS env vars manually", "default-libmysqlclient-dev"),
    (
        "Error: make sure the libxml2 and libxslt development packages are installed.",
        "[libxml2-dev, libxslt1-dev]",
    ),
    ("fatal error: libxml/xpath.h: No such file or directory", "[libxml2-dev, libxslt1-dev]"),
    ("_openssl.c:575: fatal error: openssl/opensslv.h: No such file or directory", "[libssl-dev]"),
    ("Modules/constants.h:7:10: fatal error: lber.h: No such file or directory", "[libldap-dev, libsasl2-dev]"),
    ("RequiredDependencyException: The headers or library files could not be found for jpeg,", "[libjpeg-dev]"),
    ("The headers or library files could not be found for zlib,", "[zlib1g-dev]"),
    ('../cairo/meson.build:31: ERROR: Dependency "cairo" not found, tried pkgconfig', "[libcairo2-dev, pkg-config]"),
    ("fatal error: sql.h: No such file or directory", "[unixodbc-dev]"),
    ("__main__.ConfigurationError: Could not run curl-config: [Errno 2]", "[libcurl4-openssl-dev]"),
    ("/bin/sh: 1: krb5-config: not found", "[libkrb5-dev]"),
    ("error: can't find Rust compiler", "[rustc, cargo]"),
    ("Cargo, the Rust package manager\nThis package requires a Rust toolchain", "[rustc, cargo]"),
    ("CMake must be installed to build the following extensions: x", "[cmake]"),
    ("ERROR: Cannot find command 'git' - do you have 'git' installed and in your PATH?", "[git]"),
    ("a.c:1:10: fatal error: portaudio.h: No such file or directory", "`apt-file search portaudio.h`"),
]
NOT_BUILDS = [
    "error: command '/usr/bin/x86_64-linux-gnu-gcc' failed with exit code 1",
    "ERROR: No matching distribution found for flask==99",
    "ERROR: Could not install packages due to an OSError: [Errno 28] No space left on device",
]
RUNS = [
    (
        "PermissionError: [Errno 13] Permission denied: '/srv/flask-apache/shop/releases/.a.partial/app/instance/a'",
        "flask_apache_data_directories: [{name: instance, link: instance}]",
    ),
    (
        "PermissionError: [Errno 13] Permission denied: 'static/uploads/1.png'",
        "flask_apache_data_directories: [{name: static, link: static}]",
    ),
    ("PermissionError: [Errno 13] Permission denied: 'shop.db'", "The app may not write shop.db beside its code"),
    ("OSError: [Errno 30] Read-only file system: '/home/shop'", "/home/shop: it may write only below"),
    (
        (
            "PermissionError: [Errno 13] Permission denied: "
            "'/srv/flask-apache/shop/venvs/0f/lib/python3.11/site-packages/flog/log.txt'"
        ),
        "FLASK_APACHE_DATA",
    ),
    ("sqlite3.OperationalError: unable to open database file", "flask_apache_data_directories"),
    ("sqlite3.OperationalError: attempt to write a readonly database", "flask_apache_data_directories"),
    ("sqlite3.OperationalError: no such table: user", "no user: let a hook create it"),
    ('psycopg.errors.UndefinedTable: relation "users" does not exist\nLINE 1: ', "no users: let a hook create it"),
    ("psycopg2.errors.UndefinedColumn: column users.age does not exist", "no users.age: let a hook create it"),
    ("pymysql.err.ProgrammingError: (1146, \"Table 'shop.users' doesn't exist\")", "no shop.users: let a hook"),
    ("sqlite3.OperationalError: table users already exists", "flask db stamp head"),
    ('psycopg.errors.DuplicateTable: relation "users" already exists', "flask-apachectl run --release"),
    ("ImportError: libpq.so.5: cannot open shared object file: No such file or directory", "[libpq5]"),
    ("ImportError: failed to find libmagic.  Check your installation", "[libmagic1]"),
    ("OSError: cannot load library 'libpango-1.0-0'", "[libpango-1.0-0, libpangoft2-1.0-0]"),
    ("ImportError: libxyz.so.3: cannot open shared object file: No such file", "`apt-file search libxyz.so.3`"),
]
NOT_RUNS = [
    "ModuleNotFoundError: No module named 'flask'",
    "PermissionError: the user may not see this page",
    "git@example.com: Permission denied (publickey).",
    "KeyError: 'table'",
    "FileNotFoundError: [Errno 2] No such file or directory: 'settings.cfg'",
]


@pytest.mark.parametrize(("output", "expected"), BUILDS)
def test_a_build_that_lacks_a_system_package(output: str, expected: str) -> None:
    found = causes.of_build(f"Collecting x\n  {output}\n  [end of output]\n")
    assert expected in found
    assert "flask_apache_system_packages" in found
    assert found.count("\n") == 0  # one cause


@pytest.mark.parametrize(("output", "expected"), RUNS)
def test_what_the_app_said(output: str, expected: str) -> None:
    found = causes.of_app(f"Traceback (most recent call last):\n{output}\n")
    assert expected in found
    assert found.count("\n") == 0


def test_a_missing_table_leads_to_a_hook() -> None:
    assert 'flask_apache_hooks: [{at: before_start, run: "flask db upgrade"}]' in causes.of_app("no such table: a")


@pytest.mark.parametrize("output", NOT_BUILDS)
def test_a_build_that_fails_for_another_reason(output: str) -> None:
    assert causes.of_build(output) == ""


@pytest.mark.parametrize("output", NOT_RUNS)
def test_another_error_of_the_app(output: str) -> None:
    assert causes.of_app(output) == ""


def test_each_cause_is_told_once() -> None:
    text = "sqlite3.OperationalError: no such table: a\n" * 5
    assert causes.of_app(text).count("hook create it") == 1
