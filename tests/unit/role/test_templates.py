"""The files that the role writes on a host: Apache's configuration, units and logs."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest

from controller import headers
from controller.pages import PAGES
from tests.unit.role.cases import CASES, CONSTANTS, directives, lines

if TYPE_CHECKING:
    from tests.unit.role.conftest import Rendered

VHOST, SERVER = "apache/vhost.conf.j2:plain", "apache/server.conf.j2"


@pytest.mark.parametrize("case", CASES)
def test_every_file_begins_by_saying_who_owns_it(rendered: Rendered, case: str) -> None:
    configuration = {name: text for name, text in rendered[case].items() if not name.startswith("pages/")}
    assert len(configuration) >= 7
    for text in configuration.values():
        assert text.splitlines()[:2] == ["#", "# Ansible managed"]
        assert text.endswith("\n")


@pytest.mark.parametrize("case", CASES)
def test_nothing_is_left_to_render(rendered: Rendered, case: str) -> None:
    for text in rendered[case].values():
        shown = re.sub("If-None-Match|(AllowOverride|AuthType|Options) None|(?m:^CustomLog .*)", "", text)
        assert not re.search(r"\{\{|\{%|\bNone\b|\bTrue\b|\bFalse\b|\bomit\b", shown)


@pytest.mark.parametrize("case", CASES)
def test_included_parts_do_not_run_into_each_other(rendered: Rendered, case: str) -> None:
    """Each section ends on a separate line, and none is left open."""
    for name in ("apache/app.conf.j2", "apache/pools.conf.j2", VHOST, SERVER):
        opened: list[str] = []
        for line in lines(rendered[case][name]):
            if line.startswith("</"):
                assert line == f"</{opened.pop()}>"
            elif line.startswith("<"):
                opened.append(line[1:].rstrip(">").split()[0])
            else:
                assert not re.search(r"</(Directory|Files|FilesMatch|Location|VirtualHost|IfDefine)", line)
        assert opened == []


def test_visitors_get_a_page_without_a_header(rendered: Rendered) -> None:
    for status, page in PAGES.items():
        text = rendered["defaults"][f"pages/{status}.html"]
        assert text.startswith("<!doctype html>\n")
        assert f"<h1>{page.title}</h1>" in text
        assert "prefers-color-scheme: dark" in text
        assert not re.search(r"(src|href)=|url\(|@import", text), "it needs no other file"


def test_names_are_lower_case(rendered: Rendered) -> None:
    assert directives(rendered["names"][VHOST], "ServerName") == [["www.example.com"]]
    assert directives(rendered["names"]["apache/pools.conf.j2"], "ServerName") == [["www.example.com"]], (
        "mod_wsgi compares"
    )
    assert directives(rendered["names"]["apache/app.conf.j2"], "ServerAlias") == [["example.com"], ["*.example.com"]]
    assert "/etc/flask-apache/vhosts/www.example.com-8080/*.conf" in rendered["names"][VHOST]


def test_a_port_is_opened_only_where_nothing_else_does(rendered: Rendered) -> None:
    """The engine chooses one of the variants."""
    listen = "apache/vhost.conf.j2:listen"
    for case, port in (("defaults", 80), ("strings", 80), ("names", 8080)):
        assert directives(rendered[case][VHOST], "Listen") == []
        assert directives(rendered[case][listen], "Listen") == [[str(port)]]
        for name in (VHOST, listen):
            assert "\n<VirtualHost @ADDRESSES@>\n" in rendered[case][name]  # the engine fills them in


def test_logs_are_rotated_by_pipe_unless_a_file_is_named(rendered: Rendered) -> None:
    for directive, kind in (("ErrorLog", "error"), ("CustomLog", "access")):
        ((target, *_),) = directives(rendered["defaults"]["apache/app.conf.j2"], directive)
        assert target == (
            f"|/usr/bin/rotatelogs -L /var/log/flask-apache/app/{kind}.log "
            f"/var/log/flask-apache/app/{kind}.%Y-%m-%d.log 86400"
        )
        ((target, *_),) = directives(rendered["logs"]["apache/app.conf.j2"], directive)
        assert target == f"/var/log/shop/{kind[0]}.log"


@pytest.mark.parametrize("case", ["defaults", "strict", "no-headers", "tls"])
def test_headers_are_set_where_the_app_has_not_set_them(rendered: Rendered, case: str) -> None:
    text = rendered[case]["apache/app.conf.j2"]
    own = [each for each in directives(text, "Header") if each[-1].startswith("expr=") and "X-Request-Id" not in each]
    names = [each[2] for each in own]
    standard, strict = list(headers.STANDARD), list(headers.STRICT)
    expected = {"strict": strict, "no-headers": []}.get(case, standard)
    assert names == 2 * expected  # for the app's answers, and for Apache's pages
    for always, verb, name, _, condition in own:
        assert (always, verb) == ("always", "set")
        assert f"&& -z resp('{name}')" in condition
        assert ("frame-ancestors" in condition) == (name == "X-Frame-Options")
    common = [each[2] for each in directives(rendered[case][VHOST], "Header") if each[-1].startswith("expr=")]
    assert common == standard


def test_what_concerns_the_whole_apache_is_in_one_file(rendered: Rendered) -> None:
    """A visitor of another site could notice the rest."""
    plain, sized = (rendered["defaults"][f"apache/harden_server.conf.j2:{variant}"] for variant in ("plain", "sized"))
    assert {line.split()[0] for line in lines(plain)} == {"ServerTokens", "TraceEnable", "HttpProtocolOptions"}
    added = [line.split()[0] for line in lines(sized)[len(lines(plain)) :]]
    sizes = ["ThreadsPerChild", "MinSpareThreads", "MaxSpareThreads", "MaxRequestWorkers", "AsyncRequestWorkerFactor"]
    assert added == ["<IfModule", *sizes, "</IfModule>"]


def test_embedded_mode_stays_allowed(rendered: Rendered) -> None:
    assert directives(rendered["defaults"][SERVER], "WSGIRestrictEmbedded") == []


def test_telemetry_needs_mod_wsgi_6(rendered: Rendered) -> None:
    expected = {
        "telemetry-6.1.1": ([["unix:/run/telemetry.sock", "interval=2"]], [["0.5"]]),
        "telemetry-4.9.4": ([], []),
        "every-6.1.1": ([], []),
    }
    for case, (service, slow) in expected.items():
        assert directives(rendered[case][SERVER], "WSGITelemetryService") == service
        assert directives(rendered[case][SERVER], "WSGISlowRequests") == slow


def test_the_built_module_is_loaded_by_version_and_python(rendered: Rendered) -> None:
    path = "/usr/local/lib/flask-apache/mod_wsgi-6.1.1-python3.11.so"
    assert directives(rendered["every-6.1.1"]["apache/wsgi.load.j2"], "LoadModule") == [["wsgi_module", path]]


def test_old_logs_go(rendered: Rendered) -> None:
    (line,) = lines(rendered["defaults"]["tmpfiles.conf.j2"])
    assert line.split() == ["e", "/var/log/flask-apache/app", "-", "-", "-", "14d"]


def settings(text: str) -> dict[str, list[str]]:
    """Return the settings of a unit, each with all its values."""
    found: dict[str, list[str]] = {}
    for name, _, value in (line.partition("=") for line in lines(text) if "=" in line):
        found.setdefault(name, []).append(value)
    return found


def test_systemd_takes_the_words_of_a_command_as_they_are(rendered: Rendered) -> None:
    prefix = "/srv/flask-apache/{0}/current/venv/bin/python /etc/flask-apache/{0}/entry.wsgi "
    worker = settings(rendered["unit-defaults"]["systemd/worker.j2"])["ExecStart"]
    assert worker == [prefix.format("app") + r'''-c "program 'a b' \"100%%\" \\d $$HOME n%i"''']
    job = settings(rendered["units"]["systemd/job.j2"])["ExecStart"]
    assert job == [prefix.format("my-shop") + r'''"program" "say \"hi\""''']


def test_workers_and_timers_are_one_target(rendered: Rendered) -> None:
    assert settings(rendered["units"]["systemd/target.j2"])["Wants"] == [
        "flask-apache-my-shop-queue@1.service",
        "flask-apache-my-shop-queue@2.service",
        "flask-apache-my-shop-nightly.timer",
    ]
    assert "systemd/target.j2" not in rendered["defaults"]


def test_a_timer_starts_its_job_by_the_calendar(rendered: Rendered) -> None:
    found = settings(rendered["units"]["systemd/timer.j2"])
    assert found["OnCalendar"] == ["Mon..Fri 04:30"]
    assert found["PartOf"] == ["flask-apache-my-shop.target"]


def test_a_unit_has_mod_wsgis_defaults_where_nothing_is_declared(rendered: Rendered) -> None:
    for name in ("systemd/worker.j2", "systemd/job.j2"):
        found = settings(rendered["unit-defaults"][name])
        assert (found["UMask"], found["Environment"]) == (["0022"], ["LANG=C.UTF-8"])
        assert settings(rendered["units"][name])["UMask"] == ["0027"]


def test_a_job_ends_and_a_worker_does_not(rendered: Rendered) -> None:
    worker = settings(rendered["unit-defaults"]["systemd/worker.j2"])
    assert (worker["Type"], worker["Restart"], worker["TimeoutStopSec"]) == (["exec"], ["always"], ["30"])
    assert worker["KillSignal"] == ["SIGTERM"]
    assert settings(rendered["units"]["systemd/worker.j2"])["TimeoutStopSec"] == ["5"]
    for case, seconds in (("units", "60"), ("unit-defaults", "3600")):
        job = settings(rendered[case]["systemd/job.j2"])
        assert (job["Type"], job["TimeoutStartSec"]) == (["oneshot"], [seconds])
        assert "Restart" not in job


def test_text_is_compressed_if_so_declared(rendered: Rendered) -> None:
    compressed = directives(rendered["defaults"]["apache/app.conf.j2"], "AddOutputFilterByType")
    types = CONSTANTS["__flask_apache_compressible"]
    assert compressed == [["BROTLI_COMPRESS", *types], ["DEFLATE", *types]]
    assert "text/event-stream" not in types
    plain = rendered["static"]["apache/app.conf.j2"]
    assert directives(plain, "AddOutputFilterByType") == []
    assert ["no-gzip", "1"] in directives(plain, "SetEnv")


def test_own_directives_come_last(rendered: Rendered) -> None:
    assert lines(rendered["static"]["apache/app.conf.j2"])[-2:] == ["SetEnv A b", "SetEnv C d"]
