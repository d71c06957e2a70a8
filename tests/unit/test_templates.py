"""What the role writes on a host: its own templates, rendered by Ansible itself, once for all cases."""

from __future__ import annotations

import json
import re
import shlex
import subprocess
import sys
from typing import Any

import pytest
import yaml

from tests.support.commands import ROOT
from tests.support.venv import PYTHON, environment
from tests.unit.programs import ROLE

SPECS = yaml.safe_load((ROLE / "meta/argument_specs.yml").read_text())["argument_specs"]
SPEC = SPECS["main"]["options"]
DEFAULTS = yaml.safe_load((ROLE / "defaults/main.yml").read_text())
SINCE = yaml.safe_load((ROLE / "vars/main.yml").read_text())["__flask_apache_daemon_since"]
DAEMON = sorted(name for name in SPEC if name.startswith("flask_apache_daemon_"))
TEMPLATES = sorted(path.name for path in (ROLE / "templates").iterdir())
CONFIGURATION = [name for name in TEMPLATES if name.endswith((".conf.j2", ".load.j2"))]

# WSGIDaemonProcess's options, from mod_wsgi's documentation of that directive.
KNOWN_TO_4_9_4 = {
    "chroot",
    "connect-timeout",
    "cpu-priority",
    "cpu-time-limit",
    "deadlock-timeout",
    "display-name",
    "eviction-timeout",
    "graceful-timeout",
    "group",
    "header-buffer-size",
    "home",
    "inactivity-timeout",
    "lang",
    "listen-backlog",
    "locale",
    "maximum-requests",
    "memory-limit",
    "processes",
    "python-eggs",
    "python-home",
    "python-path",
    "queue-timeout",
    "receive-buffer-size",
    "request-timeout",
    "response-buffer-size",
    "response-socket-timeout",
    "restart-interval",
    "script-group",
    "script-user",
    "send-buffer-size",
    "server-metrics",
    "shutdown-timeout",
    "socket-timeout",
    "socket-user",
    "stack-size",
    "startup-timeout",
    "supplementary-groups",
    "threads",
    "umask",
    "user",
    "virtual-memory-limit",
}
KNOWN_TO_6_1_1 = KNOWN_TO_4_9_4 | {"interrupt-timeout", "response-flush-delay", "switch-interval"}
OURS = {"display-name", "user", "group", "home", "python-home"}

NUMBERS = [name for name in DAEMON if SPEC[name]["type"] == "int"]
EVERY_OPTION: dict[str, Any] = {
    **{name: 100 + position for position, name in enumerate(NUMBERS)},
    "flask_apache_daemon_umask": "0022",
    "flask_apache_daemon_lang": "en_GB.UTF-8",
    "flask_apache_daemon_locale": "de_DE.UTF-8",
    "flask_apache_daemon_switch_interval": 0.005,
    "flask_apache_daemon_server_metrics": True,
    "flask_apache_daemon_supplementary_groups": ["adm", "ssl-cert"],
}
WRITTEN = {
    **{name: str(value) for name, value in EVERY_OPTION.items()},
    "flask_apache_daemon_server_metrics": "On",
    "flask_apache_daemon_supplementary_groups": "adm,ssl-cert",
}
PIP = {"flask_apache_mod_wsgi_source": "pip", "flask_apache_mod_wsgi_version": "6.1.1"}
TELEMETRY = {
    "flask_apache_mod_wsgi_telemetry": "unix:/run/telemetry.sock interval=2",
    "flask_apache_mod_wsgi_slow_requests": 0.5,
}
AS_STRINGS = {name: str(value) for name, value in DEFAULTS.items() if isinstance(value, (bool, int, float))}


def host(version: str = "4.9.4", ports: tuple[int, ...] = (80,), embedded: tuple[str, ...] = ()) -> dict[str, Any]:
    """Return what inspect_host.py says of a host."""
    return {
        "distribution": "Debian",
        "distribution_version": "12",
        "mod_wsgi_package": version,
        "python": "3.11",
        "systemd": True,
        "units": [],
        "configuration": {"ports": ports, "wsgi": embedded, "sites": []},
    }


WORKER = {"name": "queue", "command": r"""program 'a b' "100%" \d $HOME n{instance}"""}
TIMER = {"name": "nightly", "command": ["program", 'say "hi"'], "calendar": "Mon..Fri 04:30", "timeout": 60}

CASES: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "defaults": ({}, host()),
    "every-4.9.4": (EVERY_OPTION, host("4.9.4")),
    "every-6.0.0": (EVERY_OPTION | {**PIP, "flask_apache_mod_wsgi_version": "6.0.0"}, host()),
    "every-6.1.1": (EVERY_OPTION | PIP, host()),
    "nothing": ({**dict.fromkeys(DAEMON), "flask_apache_daemon_processes": 1, **PIP}, host()),
    "not-inspected": ({}, {**host(), "mod_wsgi_package": None}),  # mod_wsgi is not installed yet
    "metrics-off": ({"flask_apache_daemon_server_metrics": "no"}, host()),
    "metrics-on": ({"flask_apache_daemon_server_metrics": "yes"}, host()),
    "telemetry-4.9.4": (TELEMETRY, host()),
    "telemetry-6.1.1": (TELEMETRY | PIP, host()),
    "names": (
        {
            "flask_apache_app": "my-shop",
            "flask_apache_user": "clerk",
            "flask_apache_mount": "/a.b",
            "flask_apache_server_name": "WWW.Example.com",
            "flask_apache_server_aliases": ["Example.com", "*.example.com"],
            "flask_apache_port": 8080,
        },
        host(),
    ),
    "logs": (
        {"flask_apache_access_log": "/var/log/shop/a.log", "flask_apache_error_log": "/var/log/shop/e.log"},
        host(),
    ),
    "rolling": ({"flask_apache_strategy": "rolling", "flask_apache_idle_pool": "cold"}, host()),
    "units": (
        {
            "flask_apache_app": "my-shop",
            "flask_apache_workers": [{**WORKER, "instances": "2", "stop_timeout": "5"}],
            "flask_apache_timers": [TIMER],
            "unit": TIMER,
        },
        host(),
    ),
    "embedded": ({}, host(embedded=("/etc/apache2/sites-enabled/old.conf",))),
    "strings": (
        {**AS_STRINGS, "flask_apache_health_status": ["200", "204"], "flask_apache_manage_service": "false"},
        host(),
    ),
}

PLAYBOOK = [
    {
        "hosts": "all",
        "gather_facts": False,
        "vars_files": [str(ROLE / "vars/main.yml")],
        "tasks": [
            {
                "name": "Render every template for every case",
                "ansible.builtin.set_fact": {
                    "rendered": {
                        name: f"{{{{ lookup('ansible.builtin.template', '{ROLE}/templates/{name}', "
                        f"template_vars={{'item': {'timer' if name == 'timer.j2' else 'unit'}}}) }}}}"
                        for name in TEMPLATES
                    }
                },
            },
            {
                "name": "Write them all to one file",
                "ansible.builtin.copy": {
                    "content": "{{ dict(names | zip(names | map('extract', hostvars, 'rendered'))) | to_json }}",
                    "dest": "{{ scratch }}/rendered.json",
                    "mode": "0600",
                },
                "vars": {"names": "{{ groups['all'] }}"},
                "run_once": True,
            },
            {
                "name": "Write one as the role does",
                "ansible.builtin.template": {
                    "src": f"{ROLE}/templates/app.conf.j2",
                    "dest": "{{ scratch }}/app.conf",
                    "mode": "0600",
                },
                "when": "inventory_hostname == 'every-6.1.1'",
            },
        ],
    }
]


@pytest.fixture(scope="session")
def rendered(tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, str]]:
    """Return the text of every template in every case."""
    scratch = tmp_path_factory.mktemp("templates")
    base = {
        **DEFAULTS,
        "flask_apache_source": "/source",
        "flask_apache_server_name": "www.example.com",
        "scratch": str(scratch),
        "unit": WORKER,
        "timer": TIMER,
        "ansible_connection": "local",
        "ansible_python_interpreter": sys.executable,
    }
    hosts = {
        name: {**base, **variables, "__flask_apache_inspection": {"stdout": json.dumps(inspected)}}
        for name, (variables, inspected) in CASES.items()
    }
    (scratch / "inventory.json").write_text(json.dumps({"all": {"hosts": hosts}}))
    (scratch / "playbook.json").write_text(json.dumps(PLAYBOOK))
    done = subprocess.run(
        [PYTHON.with_name("ansible-playbook"), "-i", "inventory.json", "playbook.json"],
        cwd=scratch,
        env=environment(ANSIBLE_CONFIG=str(ROOT / "ansible.cfg")),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    texts: dict[str, dict[str, str]] = json.loads((scratch / "rendered.json").read_text())
    assert texts["every-6.1.1"]["app.conf.j2"] == (scratch / "app.conf").read_text()
    return texts


def lines(text: str) -> list[str]:
    """Return the directives of a configuration, one a line."""
    joined = re.sub(r"\\\n[ \t]*", "", text)
    return [line.strip() for line in joined.splitlines() if line.strip() and not line.startswith("#")]


def directives(text: str, name: str) -> list[list[str]]:
    """Return the arguments of a directive, each time that it stands there."""
    return [shlex.split(line)[1:] for line in lines(text) if line.split()[0] == name]


def pools(text: str) -> dict[str, dict[str, str]]:
    """Return the options of each WSGIDaemonProcess."""
    return {
        name: dict(option.split("=", 1) for option in options)
        for name, *options in directives(text, "WSGIDaemonProcess")
    }


def options(text: str) -> dict[str, str]:
    """Return the options that come from variables, which both pools must have alike."""
    first, *others = ({key: value for key, value in pool.items() if key not in OURS} for pool in pools(text).values())
    assert all(other == first for other in others)
    return first


def option(variable: str) -> str:
    """Return the name of a variable's option."""
    return variable.removeprefix("flask_apache_daemon_").replace("_", "-")


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("template", CONFIGURATION)
def test_every_file_begins_by_saying_who_owns_it(rendered: dict[str, dict[str, str]], case: str, template: str) -> None:
    assert rendered[case][template].splitlines()[:2] == ["#", "# Ansible managed"]
    assert rendered[case][template].endswith("\n")


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("template", TEMPLATES)
def test_nothing_is_left_to_render(rendered: dict[str, dict[str, str]], case: str, template: str) -> None:
    text = rendered[case][template].replace("If-None-Match", "")
    assert not re.search(r"\{\{|\{%|\bNone\b|\bTrue\b|\bFalse\b|\bomit\b", text)


# --- The pools -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("case", CASES)
def test_the_installed_mod_wsgi_knows_every_option(rendered: dict[str, dict[str, str]], case: str) -> None:
    variables, inspected = CASES[case]
    version = variables.get("flask_apache_mod_wsgi_version", inspected["mod_wsgi_package"])
    known = (
        KNOWN_TO_6_1_1 if version == "6.1.1" else KNOWN_TO_4_9_4 | {option for option in SINCE if version == "6.0.0"}
    )
    for pool in pools(rendered[case]["pools.conf.j2"]).values():
        assert set(pool) <= known


def test_what_came_later_is_known_to_the_newest() -> None:
    assert set(SINCE) == KNOWN_TO_6_1_1 - KNOWN_TO_4_9_4


def test_every_variable_is_an_option() -> None:
    assert sorted(EVERY_OPTION) == DAEMON
    assert {option(name) for name in DAEMON} <= KNOWN_TO_6_1_1
    assert not {option(name) for name in DAEMON} & OURS


@pytest.mark.parametrize("variable", DAEMON)
def test_a_variable_becomes_its_option(rendered: dict[str, dict[str, str]], variable: str) -> None:
    name = option(variable)
    assert options(rendered["every-6.1.1"]["pools.conf.j2"])[name] == WRITTEN[variable]
    old = options(rendered["every-4.9.4"]["pools.conf.j2"])
    assert old.get(name) == (None if name in SINCE else WRITTEN[variable])


def test_an_option_comes_with_its_version(rendered: dict[str, dict[str, str]]) -> None:
    found = options(rendered["every-6.0.0"]["pools.conf.j2"])
    assert "interrupt-timeout" in found
    assert "response-flush-delay" not in found


def test_null_leaves_an_option_to_mod_wsgi(rendered: dict[str, dict[str, str]]) -> None:
    assert options(rendered["nothing"]["pools.conf.j2"]) == {"processes": "1"}
    expected = {option(name) for name in DAEMON if DEFAULTS[name] not in (None, [])}
    assert set(options(rendered["defaults"]["pools.conf.j2"])) == expected


def test_flags_are_apaches(rendered: dict[str, dict[str, str]]) -> None:
    for case, expected in (("metrics-on", "On"), ("metrics-off", "Off"), ("defaults", None)):
        assert options(rendered[case]["pools.conf.j2"]).get("server-metrics") == expected


def test_a_host_without_mod_wsgi_is_told_as_its_package_will_be(rendered: dict[str, dict[str, str]]) -> None:
    assert rendered["not-inspected"] == rendered["defaults"]


def test_the_pools(rendered: dict[str, dict[str, str]]) -> None:
    found = pools(rendered["names"]["pools.conf.j2"])
    assert set(found) == {"my-shop-blue", "my-shop-green"}
    for name, pool in found.items():
        slot = name.rpartition("-")[2]
        assert {key: pool[key] for key in OURS} == {
            "display-name": f"{slot}:my-shop",
            "user": "clerk",
            "group": "clerk",
            "home": f"/srv/flask-apache/my-shop/{slot}/app",
            "python-home": f"/srv/flask-apache/my-shop/{slot}/venv",
        }
    preloaded = directives(rendered["names"]["pools.conf.j2"], "WSGIImportScript")
    assert [arguments[1] for arguments in preloaded] == [f"process-group={name}" for name in found]
    assert directives(rendered["names"]["app.conf.j2"], "WSGIRestrictProcess") == [list(found)]


# --- The mount and the names -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("case", "hit", "miss"),
    [
        ("defaults", ["/", "/x", "/x/y", ""], []),
        ("names", ["/a.b", "/a.b/", "/a.b/c"], ["/", "/a", "/a.bc", "/aXb", "/x/a.b"]),
    ],
)
def test_only_requests_below_the_mount_get_a_pool(
    rendered: dict[str, dict[str, str]], case: str, hit: list[str], miss: list[str]
) -> None:
    rules = directives(rendered[case]["app.conf.j2"], "RewriteRule")
    pooled = [rule for rule in rules if "E=FLASK_APACHE_" in rule[2]]
    assert len(pooled) == 7  # live, a canary by cookie and by header, its cookie, a probe, a bypass, maintenance
    for pattern, substitution, _flags in pooled:
        assert substitution == "-"
        assert all(re.search(pattern, path) for path in hit)
        assert not any(re.search(pattern, path) for path in miss)


def test_the_pool_comes_from_the_apps_own_map(rendered: dict[str, dict[str, str]]) -> None:
    text = rendered["names"]["app.conf.j2"]
    assert directives(text, "RewriteMap") == [["my-shop", "rnd:/etc/flask-apache/my-shop/live.map"]]
    live, *others = [flags for *_, flags in directives(text, "RewriteRule") if "E=FLASK_APACHE_POOL" in flags]
    assert live == "[E=FLASK_APACHE_POOL_MY_SHOP:my-shop-${my-shop:live}]"
    canary = "[E=FLASK_APACHE_POOL_MY_SHOP:my-shop-%1]"
    assert others == [canary, canary, "[E=FLASK_APACHE_POOL_MY_SHOP:my-shop-%1,E=FLASK_APACHE_PROBE:1]"]
    assert directives(text, "WSGIProcessGroup") == [["%{ENV:FLASK_APACHE_POOL_MY_SHOP}"]]
    assert directives(text, "WSGIScriptAlias") == [["/a.b", "/etc/flask-apache/my-shop/entry.wsgi"]]


def test_a_probe_comes_from_this_machine_and_has_a_token(rendered: dict[str, dict[str, str]]) -> None:
    conditions = {test: pattern for test, pattern, *_ in directives(rendered["names"]["app.conf.j2"], "RewriteCond")}
    address = conditions["%{CONN_REMOTE_ADDR}"]
    assert all(re.search(address, ip) for ip in ("127.0.0.1", "127.0.1.1", "::1"))
    assert not any(re.search(address, ip) for ip in ("192.0.2.1", "1270.0.0.1", "2001:db8::1", "::10"))
    token = conditions["%{HTTP:X-Flask-Apache-Probe}"]
    assert re.search(token, "0123456789abcdef" * 2)
    assert not any(re.search(token, text) for text in ("", "live", "0" * 31, "0" * 33, "0" * 32 + "}"))


def conditions(text: str, tested: str) -> list[str]:
    """Return the patterns of the conditions on something of a request."""
    return [pattern for test, pattern, *_ in directives(text, "RewriteCond") if test == tested]


def test_a_cookie_keeps_a_visitor_with_a_release(rendered: dict[str, dict[str, str]]) -> None:
    text = rendered["names"]["app.conf.j2"]
    release, _bypass = conditions(text, "%{HTTP_COOKIE}")
    for cookies in ("flask_apache_my-shop=0a-1b", "a=b; flask_apache_my-shop=0a-1b", "flask_apache_my-shop=0a-1b;a=b"):
        match = re.search(release, cookies)
        assert match is not None
        assert match[1] == "0a-1b"
    for cookies in ("flask_apache_my-shop_bypass=0a-1b", "xflask_apache_my-shop=0a", "flask_apache_my-shop=0a|b", ""):
        assert not re.search(release, cookies)
    written = [" ".join(line) for line in directives(text, "Header") if "Set-Cookie" in line]
    assert len(written) == 2
    assert all("; Path=/a.b; HttpOnly; SameSite=Lax env=" in line for line in written)
    assert written[0].startswith("always add Set-Cookie flask_apache_my-shop=%{FLASK_APACHE_CANARY_MY_SHOP}e;")


def test_the_operator_passes_while_the_app_is_closed(rendered: dict[str, dict[str, str]]) -> None:
    text, secret = rendered["names"]["app.conf.j2"], "0123456789abcdef" * 2
    (query,), (_, cookie) = conditions(text, "%{QUERY_STRING}"), conditions(text, "%{HTTP_COOKIE}")
    for pattern, asked in (
        (query, f"flask_apache_bypass={secret}"),
        (query, f"a=b&flask_apache_bypass={secret}&c"),
        (cookie, f"a=b; flask_apache_my-shop_bypass={secret}"),
    ):
        match = re.search(pattern, asked)
        assert match is not None
        assert match[1] == secret
    assert not re.search(query, f"xflask_apache_bypass={secret}")
    assert not re.search(query, f"flask_apache_bypass={secret}0")
    assert conditions(text, "${my-shop:bypass-%1}:%1") == ["^on:(.+)$"]
    assert conditions(text, "${my-shop:maintenance}") == ["^on$"]


def test_visitors_are_told_when_to_come_back(rendered: dict[str, dict[str, str]]) -> None:
    text = rendered["names"]["app.conf.j2"]
    assert [line[-2:] for line in directives(text, "Header") if "Retry-After" in line] == [
        ["120", "env=FLASK_APACHE_CLOSED_MY_SHOP"],
        ["120", "env=REDIRECT_FLASK_APACHE_CLOSED_MY_SHOP"],
    ]
    assert ["503", "/.flask-apache/my-shop/503.html"] in directives(text, "ErrorDocument")
    assert directives(text, "Alias") == [["/.flask-apache/my-shop/", "/etc/flask-apache/my-shop/pages/"]]


@pytest.mark.parametrize(
    ("case", "path", "health"), [("defaults", "/-/ready", "/"), ("names", "/a.b/-/ready", "/a.b/")]
)
def test_load_balancers_get_the_health_check_or_503(
    rendered: dict[str, dict[str, str]], case: str, path: str, health: str
) -> None:
    drained, ready = (rule for rule in directives(rendered[case]["app.conf.j2"], "RewriteRule") if "ready" in rule[0])
    assert drained[1:] == ["-", "[R=503,L]"]
    assert ready[1:] == [health, "[PT]"]
    for pattern in (drained[0], ready[0]):
        assert re.search(pattern, path)
        assert not any(re.search(pattern, other) for other in (f"{path}/", f"/x{path}", path.replace("/-/", "/x/")))


def test_a_rolling_app_has_one_pool(rendered: dict[str, dict[str, str]]) -> None:
    text = rendered["rolling"]["pools.conf.j2"]
    assert list(pools(text)) == ["app-blue"]
    assert directives(rendered["rolling"]["app.conf.j2"], "WSGIRestrictProcess") == [["app-blue"]]
    assert [arguments[1] for arguments in directives(text, "WSGIImportScript")] == ["process-group=app-blue"]


def test_names_are_lower_case(rendered: dict[str, dict[str, str]]) -> None:
    assert directives(rendered["names"]["vhost.conf.j2"], "ServerName") == [["www.example.com"]]
    assert directives(rendered["names"]["pools.conf.j2"], "ServerName") == [["www.example.com"]], "mod_wsgi compares"
    assert directives(rendered["names"]["app.conf.j2"], "ServerAlias") == [["example.com"], ["*.example.com"]]
    assert "/etc/flask-apache/vhosts/www.example.com-8080/*.conf" in rendered["names"]["vhost.conf.j2"]


def test_a_port_is_opened_only_where_nothing_else_does(rendered: dict[str, dict[str, str]]) -> None:
    assert directives(rendered["defaults"]["vhost.conf.j2"], "Listen") == []
    assert directives(rendered["strings"]["vhost.conf.j2"], "Listen") == []  # "80" is 80
    assert directives(rendered["names"]["vhost.conf.j2"], "Listen") == [["8080"]]
    for case, port in (("defaults", 80), ("names", 8080)):
        assert f"<VirtualHost *:{port}>" in rendered[case]["vhost.conf.j2"]


def test_logs_are_rotated_by_pipe_unless_a_file_is_named(rendered: dict[str, dict[str, str]]) -> None:
    for directive, kind in (("ErrorLog", "error"), ("CustomLog", "access")):
        ((target, *_),) = directives(rendered["defaults"]["app.conf.j2"], directive)
        assert target == (
            f"|/usr/bin/rotatelogs -L /var/log/flask-apache/app/{kind}.log "
            f"/var/log/flask-apache/app/{kind}.%Y-%m-%d.log 86400"
        )
        ((target, *_),) = directives(rendered["logs"]["app.conf.j2"], directive)
        assert target == f"/var/log/shop/{kind[0]}.log"


# --- The whole Apache ------------------------------------------------------------------------------------------------


def test_embedded_mode_is_an_error_unless_another_site_uses_it(rendered: dict[str, dict[str, str]]) -> None:
    assert directives(rendered["defaults"]["host.conf.j2"], "WSGIRestrictEmbedded") == [["On"]]
    assert directives(rendered["embedded"]["host.conf.j2"], "WSGIRestrictEmbedded") == []
    assert "/etc/apache2/sites-enabled/old.conf" in rendered["embedded"]["host.conf.j2"]


def test_telemetry_needs_mod_wsgi_6(rendered: dict[str, dict[str, str]]) -> None:
    expected = {
        "telemetry-6.1.1": ([["unix:/run/telemetry.sock", "interval=2"]], [["0.5"]]),
        "telemetry-4.9.4": ([], []),
        "every-6.1.1": ([], []),
    }
    for case, (service, slow) in expected.items():
        assert directives(rendered[case]["host.conf.j2"], "WSGITelemetryService") == service
        assert directives(rendered[case]["host.conf.j2"], "WSGISlowRequests") == slow


def test_the_built_module_is_loaded_by_version_and_python(rendered: dict[str, dict[str, str]]) -> None:
    path = "/usr/local/lib/flask-apache/mod_wsgi-6.1.1-python3.11.so"
    assert directives(rendered["every-6.1.1"]["wsgi.load.j2"], "LoadModule") == [["wsgi_module", path]]


def test_old_logs_go(rendered: dict[str, dict[str, str]]) -> None:
    (line,) = lines(rendered["defaults"]["tmpfiles.conf.j2"])
    assert line.split() == ["e", "/var/log/flask-apache/app", "-", "-", "-", "14d"]


# --- The declaration -------------------------------------------------------------------------------------------------

TYPES: dict[str, type] = {
    "port": int,
    "processes": int,
    "health_timeout": int,
    "build_timeout": int,
    "keep_releases": int,
    "health_successes": int,
    "health_request_timeout": int,
    "soak": int,
    "soak_errors": int,
    "lock_wait": int,
    "manage_service": bool,
    "workers": list,
    "timers": list,
    "default_server": bool,
    "server_aliases": list,
    "requirements": type(None),
    "constraints": list,
    "extras": list,
    "extra_index_urls": list,
    "index_private": bool,
    "pip_args": list,
    "health_status": list,
    "static": list,
    "environment_secrets": list,
    "data_directories": list,
    "hooks": list,
    "irreversible": bool,
}


@pytest.mark.parametrize("case", CASES)
def test_the_declaration_has_its_types(rendered: dict[str, dict[str, str]], case: str) -> None:
    found = json.loads(rendered[case]["app.json.j2"])
    if CASES[case][0].get("flask_apache_daemon_umask", "") is None:
        assert found.pop("umask") is None
    assert {name: type(value) for name, value in found.items()} == {name: TYPES.get(name, str) for name in found}
    assert {type(status) for status in found["health_status"]} == {int}


def test_the_declaration_is_the_same_from_strings(rendered: dict[str, dict[str, str]]) -> None:
    found, expected = (json.loads(rendered[case]["app.json.j2"]) for case in ("strings", "defaults"))
    assert found == expected | {"health_status": [200, 204], "manage_service": False}


def test_the_engine_finds_all_that_it_reads(rendered: dict[str, dict[str, str]]) -> None:
    """Whatever it reads of its configuration is declared, and nothing else is but what the role itself reads again."""
    program = "".join(path.read_text() for path in (ROLE / "files/flask_apachectl").rglob("*.py"))
    read = set(re.findall(r"""config(?:\[|\.get\()"(\w+)\"""", program))
    again = {"app", "server_aliases", "default_server", "python_version"}  # inspect_host.py, for preflight.py
    assert set(json.loads(rendered["defaults"]["app.json.j2"])) == read | again


def test_the_declaration(rendered: dict[str, dict[str, str]]) -> None:
    found = json.loads(rendered["names"]["app.json.j2"])
    expected = {
        "app": "my-shop",
        "user": "clerk",
        "server_name": "www.example.com",
        "server_aliases": ["example.com", "*.example.com"],
        "port": 8080,
        "mount": "/a.b",
        "python_version": "3.11",
        "access_log": "/var/log/flask-apache/my-shop/access.log",
        "error_log": "/var/log/flask-apache/my-shop/error.log",
        "strategy": "blue_green",
        "ready_path": "/-/ready",
    }
    assert {name: found[name] for name in expected} == expected
    assert json.loads(rendered["logs"]["app.json.j2"])["error_log"] == "/var/log/shop/e.log"


# --- Units -----------------------------------------------------------------------------------------------------------


def settings(text: str) -> dict[str, list[str]]:
    """Return the settings of a unit, each with all its values."""
    found: dict[str, list[str]] = {}
    for name, _, value in (line.partition("=") for line in lines(text) if "=" in line):
        found.setdefault(name, []).append(value)
    return found


def test_systemd_takes_the_words_of_a_command_as_they_are(rendered: dict[str, dict[str, str]]) -> None:
    prefix = "/srv/flask-apache/{0}/current/venv/bin/python /etc/flask-apache/{0}/entry.wsgi "
    worker = settings(rendered["defaults"]["service.j2"])["ExecStart"]
    assert worker == [prefix.format("app") + r'''-c "program 'a b' \"100%%\" \\d $$HOME n%i"''']
    job = settings(rendered["units"]["service.j2"])["ExecStart"]
    assert job == [prefix.format("my-shop") + r'''"program" "say \"hi\""''']


def test_workers_and_timers_are_one_target(rendered: dict[str, dict[str, str]]) -> None:
    assert settings(rendered["units"]["target.j2"])["Wants"] == [
        "flask-apache-my-shop-queue@1.service",
        "flask-apache-my-shop-queue@2.service",
        "flask-apache-my-shop-nightly.timer",
    ]
    declared = json.loads(rendered["units"]["app.json.j2"])
    assert declared["workers"] == [{"name": "queue", "instances": 2, "stop_timeout": 5}]
    assert declared["timers"] == ["nightly"]


def test_a_job_ends_and_a_worker_does_not(rendered: dict[str, dict[str, str]]) -> None:
    worker, job = (settings(rendered[case]["service.j2"]) for case in ("defaults", "units"))
    assert (worker["Type"], worker["Restart"], worker["TimeoutStopSec"]) == (["exec"], ["always"], ["30"])
    assert (job["Type"], job["TimeoutStartSec"]) == (["oneshot"], ["60"])
    assert "Restart" not in job
