"""What the host says of itself."""

from __future__ import annotations

import os
import socket
import sys

import pytest

from flask_apachectl.host import facts, sockets


def test_packages(monkeypatch: pytest.MonkeyPatch) -> None:
    lines = [
        "apache2 ii  2.4.62-1~deb12u2",
        "libapache2-mod-wsgi-py3:amd64 ii  4.9.4-1+b2",
        "gcc rc  4:12.2.0-3",
        "python3-dev ii  3.11.2-1+b1",
        "epoch ii  4:12.2.0-3",
        "held hi  1.2-3",
        "half iF  1.2-3",
    ]
    monkeypatch.setattr(facts, "output", lambda *_command: "\n".join(lines))
    names = ["apache2", "libapache2-mod-wsgi-py3", "gcc", "epoch", "held", "half", "absent"]
    assert facts.packages(names) == {
        "apache2": "2.4.62",
        "libapache2-mod-wsgi-py3": "4.9.4",
        "epoch": "12.2.0",
        "held": "1.2",
    }


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ('NAME="Debian GNU/Linux"\nVERSION_ID="12"\nID=debian\n', ("Debian", "12")),
        ('ID=ubuntu\nID_LIKE=debian\nVERSION_ID="24.04"\n', ("Ubuntu", "24.04")),
        ("ID=debian\n", ("Debian", "")),
        ("", ("Unknown", "")),
    ],
)
def test_distributions(monkeypatch: pytest.MonkeyPatch, text: str, expected: tuple[str, str]) -> None:
    monkeypatch.setattr(facts, "read", lambda _path: text)
    assert facts.distribution() == expected


def test_who_listens_where() -> None:
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        port = server.getsockname()[1]
        assert port not in {each.port for each in sockets.listening()}
        server.listen()
        (found,) = (each for each in sockets.listening() if each.port == port)
        assert (found.address, found.is_of(os.getpid())) == ("127.0.0.1", True)
        assert str(found).endswith(f"(pid {found.pids[0]})")
        assert found.covers("127.0.0.1")
        assert found.covers("::")
        assert not found.covers("192.0.2.1")


def test_the_kernels_form_of_addresses() -> None:
    assert sockets.address_of("0100007F") == "127.0.0.1"
    assert sockets.address_of("00000000000000000000000001000000") == "::1"
    assert sockets.address_of("0000000000000000FFFF0000010012AC") == "172.18.0.1"
    assert sockets.address_of("00000000000000000000000000000000") == "::"


def test_interpreters() -> None:
    assert facts.interpreter(sys.executable) == "{}.{}".format(*sys.version_info)
    assert facts.interpreter("/nowhere/python3") is None
    assert facts.interpreter("/bin/false") is None


def test_users() -> None:
    assert (facts.user("root") or {})["uid"] == 0
    assert (facts.group("root"), facts.group(0)) == ("root", "root")
    assert facts.group("no-such-group") is None
    assert facts.user("no-such-user") is None
