"""Cases of bad input: variables that differ from good ones, and what the error must say."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from tests.support.commands import ROOT

if TYPE_CHECKING:
    from collections.abc import Mapping

GOOD = {
    "flask_apache_app": "good",
    "flask_apache_source": str(ROOT / "sample_app"),
    "flask_apache_wsgi": "flask_apache_sample:create_app()",
    "flask_apache_health_path": "/healthz",
    "flask_apache_server_name": "good.example.com",
}


class Case(NamedTuple):
    """One bad input: the variables that differ from good ones, and what the error must say."""

    variables: Mapping[str, Any]
    says: tuple[str, ...]


def case(says: str | tuple[str, ...], **variables: object) -> Case:
    """Return a case; the variables without their prefix."""
    full = {name if name.startswith("_") else f"flask_apache_{name}": value for name, value in variables.items()}
    return Case(full, (says,) if isinstance(says, str) else says)


CASES = {
    "a port that is a word": case(("flask_apache_port", "eighty"), port="eighty"),
    "a port beyond the last": case("flask_apache_port must be a number from 1 to 65535, got 70000", port=70000),
    "a port of another program": case(("no other program uses, got 8099; python3", "set another port"), port=8099),
    "a server name with a space": case(
        "flask_apache_server_name must be a host name, such as www.example.com, got 'my site'", server_name="my site"
    ),
    "a directive in a server name": case(
        "flask_apache_server_name must not contain control characters, got 'x\\nAlias /x /etc'",
        server_name="x\nAlias /x /etc",
    ),
    "a variable that a web process cannot follow": case(
        ("flask_apache_environment.LD_PRELOAD must not be set: the dynamic loader reads it only when", "Apache's"),
        environment={"LD_PRELOAD": "/usr/lib/libx.so"},
    ),
    "a variable that is too large for Linux": case(
        "flask_apache_environment.BIG must have at most 131,072 bytes with its name, got 140,005",
        environment={"BIG": "x" * 140_000},
    ),
    "a page that is not there": case(
        "flask_apache_error_pages.503 must be a file on the control node that can be read, got '/none/503.html'",
        error_pages={"503": "/none/503.html"},
    ),
    "a name for a proxy": case(
        "flask_apache_trusted_proxies[0] must be an address or a network, such as 192.0.2.7 or 192.0.2.0/24, got 'lb'",
        trusted_proxies=["lb"],
    ),
    "a load balancer that is not named": case(
        "flask_apache_proxy_protocol must be false without flask_apache_trusted_proxies, got true; name the load",
        proxy_protocol=True,
    ),
    "the PROXY protocol at another site's port": case(
        "flask_apache_proxy_protocol must be false at the port of /etc/apache2/sites-enabled/somebody.conf:3, got true",
        proxy_protocol=True,
        trusted_proxies=["192.0.2.7"],
        port=8090,
    ),
    "a password that is a number": case(
        "flask_apache_basic_auth[0].users.alice must be a string, got a value that is not shown; put the password in",
        basic_auth=[{"users": {"alice": 1234}}],
    ),
    "a login outside the app": case(
        "flask_apache_basic_auth[0].path must be a path below the mount, such as /admin, got '/../admin'",
        basic_auth=[{"path": "/../admin", "users": {"alice": "secret"}}],
    ),
    "a network with a host's address": case(
        "flask_apache_allow[0].from[0] must be the first address of a network, got '192.0.2.7/24'; write 192.0.2.0/24",
        allow=[{"path": "/admin", "from": ["192.0.2.7/24"]}],
    ),
    "a setting that the sandbox does not have": case(
        "flask_apache_sandbox_without[0] must be a setting of the sandbox, such as ProtectHome, got 'ProtectHomes'",
        sandbox_without=["ProtectHomes"],
    ),
    "a relative path for the sandbox": case(
        "flask_apache_sandbox_writable[0] must be the absolute path of a directory on the host, such as /srv/media",
        sandbox_writable=["srv/media"],
    ),
    "a quote in an alias": case(
        "flask_apache_server_aliases[0] must not contain quotes, backslashes or ${, got 'a\"b'", server_aliases=['a"b']
    ),
    "an alias that is an address": case(
        "flask_apache_server_aliases[0] must be a host name", server_aliases=["http://example.com/"]
    ),
    "a path for a name": case(("flask_apache_app must be a lower-case", "got '../etc'"), app="../etc"),
    "a capital in the name": case(("flask_apache_app must be a lower-case", "got 'Shop'"), app="Shop"),
    "root as the user": case(
        "flask_apache_user must be a Unix user of the app's own, not one of the system, got 'root'", user="root"
    ),
    "Apache's user as the user": case("app's own, not one of the system, got 'www-data'", user="www-data"),
    "another app's user": case("app's own, got 'good'; the app good runs as this user", app="other", user="good"),
    "another app's mount": case(
        "must be free on good.example.com, got '/'; the app good is mounted there", app="other"
    ),
    "another app's mount by an alias": case(
        "must be good.example.com to share good.example.com with the app good, got 'b.example.com'",
        app="other",
        server_name="b.example.com",
        server_aliases=["GOOD.example.com"],
    ),
    "a mount without its slash": case(("flask_apache_mount must be / or a path", "got 'shop'"), mount="shop"),
    "a mount with a slash too many": case(("flask_apache_mount must be / or a path", "got '/shop/'"), mount="/shop/"),
    "a mount that climbs": case(("flask_apache_mount must be / or a path", "got '/a/../b'"), mount="/a/../b"),
    "a variable of Apache in a mount": case(
        "flask_apache_mount must not contain quotes, backslashes or ${, got '/${HOME}'", mount="/${HOME}"
    ),
    "static files outside": case(
        "flask_apache_static[0].path must be a relative path in the source, such as shop/static, got '../x'",
        static=[{"url": "/static", "path": "../x"}],
    ),
    "a module without a callable": case(
        "flask_apache_wsgi must be module:callable or module:factory(), got 'app'", wsgi="app"
    ),
    "code in a factory's arguments": case(
        "flask_apache_wsgi must be module:factory() with literal arguments",
        wsgi="app:create(__import__('os').getcwd())",
    ),
    "a source that is not there": case("a directory on the control node, got '/nowhere'", source="/nowhere"),
    "a relative source": case(
        "flask_apache_source must be the absolute path of a directory on the control node, got 'sample_app'",
        source="sample_app",
    ),
    "a missing requirements file": case(
        ("flask_apache_requirements[0] must be a file in", "'prod.txt'"), requirements=["prod.txt"]
    ),
    "a requirements file outside": case(
        ("flask_apache_requirements[0] must be the relative path", "got '../x'"), requirements=["../x"]
    ),
    "a missing constraints file": case(
        ("flask_apache_constraints[0] must be a file in", "'limits.txt'"), constraints=["limits.txt"]
    ),
    "an extra that is none": case(
        "flask_apache_extras[0] must be the name of an extra, such as postgresql, got '[pg]'", extras=["[pg]"]
    ),
    "credentials in an argument": case(
        "flask_apache_pip_args[0] must not contain credentials, got '--index-url=https://****@",
        pip_args=["--index-url=https://user:secret@pypi.example.com/simple"],
    ),
    "an index that is none": case(
        "flask_apache_index_url must be an address such as https://host/path", index_url="pypi"
    ),
    "a user without a password": case(
        "flask_apache_extra_index_urls[0] must contain a user and a password",
        extra_index_urls=["https://token@example.com"],
    ),
    "an empty wheelhouse": case(
        "flask_apache_wheelhouse must be the absolute path of a directory on the control node that contains wheels",
        wheelhouse="/usr",
    ),
    "an unknown installer": case(("flask_apache_installer", "pip, uv"), installer="conda"),
    "a version of uv that is none": case(
        "flask_apache_uv_version must be a version of uv, such as 0.13.9, got 'latest'", uv_version="latest"
    ),
    "a package with a version": case(("flask_apache_system_packages[0] must be", "got 'a=1'"), system_packages=["a=1"]),
    "a repository over http": case(
        "flask_apache_source must be a repository: https://", source_type="git", source="http://h/x.git"
    ),
    "a repository by ssh without host keys": case(
        "flask_apache_git_known_hosts must contain a host key of h, got []; add the output of `ssh-keyscan h`",
        source_type="git",
        source="git@h:x.git",
    ),
    "a repository that is not there": case(
        "ssh://****@127.0.0.1:9/x cannot be fetched: it cannot be reached",
        source_type="git",
        source="ssh://git@127.0.0.1:9/x",
        git_known_hosts=["[127.0.0.1]:9 ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIKJ0"],
    ),
    "an archive without a checksum": case(
        "flask_apache_archive_checksum must be sha256:", source_type="archive", source="https://h/x"
    ),
    "an archive with another checksum": case(
        "has the checksum sha256:",
        source_type="archive",
        source=str(ROOT / "LICENSE"),
        archive_checksum=f"sha256:{'0' * 64}",
    ),
    "a package without a version": case(
        "flask_apache_source must be a package: name==version", source_type="package", source="shop"
    ),
    "an interpreter that is not there": case(
        "flask_apache_python must be an interpreter that runs on the host, got '/opt/py'", python="/opt/py"
    ),
    "an interpreter of another version": case(
        ("the version of the distribution's mod_wsgi, got", "it is Python 3.99"), python="/opt/other-python"
    ),
    "an unknown variable": case(
        "flask_apache_prot must not be set: the role has no such variable; did you mean flask_apache_port?", prot=8080
    ),
    "an unknown source of mod_wsgi": case(("flask_apache_mod_wsgi_source", "package, pip"), mod_wsgi_source="apt"),
    "a version that is none": case(
        "must be a version of mod_wsgi, such as 6.1.1, got 'latest'", mod_wsgi_version="latest"
    ),
    "no releases kept": case(
        ("flask_apache_keep_releases must be a number of releases from 2", "got 0"), keep_releases=0
    ),
    "a status that is none": case(
        "flask_apache_health_status[0] must be an HTTP status from 100 to 599, got 42", health_status=[42]
    ),
    "a health path without its slash": case(
        "flask_apache_health_path must be a path below the mount, such as /healthz, got 'healthz'",
        health_path="healthz",
    ),
    "a umask in decimal": case("flask_apache_daemon_umask must be a string, got 18; put it in quotes", daemon_umask=18),
    "an ASCII locale": case(
        "flask_apache_daemon_lang must be a UTF-8 locale, such as C.UTF-8, got 'C'", daemon_lang="C"
    ),
    "no processes": case(
        "flask_apache_daemon_processes must be a number of processes from 1 to 1000, got 0", daemon_processes=0
    ),
    "memory in megabytes": case(
        ("flask_apache_daemon_memory_limit must be a number of bytes from", "got 512"), daemon_memory_limit=512
    ),
    "a tiny buffer": case(
        ("flask_apache_daemon_header_buffer_size must be a number of bytes from 8192", "got 100"),
        daemon_header_buffer_size=100,
    ),
    "a hyphen in an environment variable": case(
        ("flask_apache_environment must have names of at most 255 letters", "got 'MY-KEY'"), environment={"MY-KEY": "x"}
    ),
    "a mapping in the environment": case(
        "flask_apache_environment.A must be a string or a number, got a mapping", environment={"A": {"b": "c"}}
    ),
    "the role's own environment": case(
        "must not have names that begin with FLASK_APACHE_, got 'FLASK_APACHE_X'", environment={"FLASK_APACHE_X": "1"}
    ),
    "data outside": case(
        "flask_apache_data_directories[0] must be a relative path, such as static/uploads, got '../etc'",
        data_directories=["../etc"],
    ),
    "a hook of no point": case(("hooks", "before_start"), hooks=[{"at": "sometime", "run": "flask db upgrade"}]),
    "an unclosed quote in a hook": case(
        "flask_apache_hooks[0].run must be a program and its arguments",
        hooks=[{"at": "before_start", "run": "echo 'a"}],
    ),
    "a ready path that is taken": case(
        "flask_apache_ready_path must differ from flask_apache_health_path, got '/healthz'", ready_path="/healthz"
    ),
    "a certificate that is none": case(
        "flask_apache_ca_certificates[0] must be the absolute path of a PEM certificate",
        ca_certificates=[str(ROOT / "LICENSE")],
    ),
    "a relative log": case(
        ("flask_apache_error_log must be an absolute path", "got 'error.log'"), error_log="error.log"
    ),
    "an unknown format of the log": case(("access_log_format", "combined", "json"), access_log_format="common"),
    "metrics for a name": case(
        "flask_apache_metrics_allow[0] must be an address or a network, such as 192.0.2.7 or 2001:db8::/32, got 'here'",
        metrics_allow=["here"],
    ),
    "metrics at the readiness address": case(
        "flask_apache_metrics_path must differ from flask_apache_ready_path, got '/-/ready'",
        metrics_allow=["192.0.2.7"],
        metrics_path="/-/ready",
    ),
    "somebody else's server name": case(
        ("flask_apache_server_name must not be the name of another site, got 'somebody.example.com'", "somebody.conf"),
        server_name="somebody.example.com",
    ),
    "default server before somebody's site": case(
        "flask_apache_default_server must be false, got true; true would take requests away from", default_server=True
    ),
    "an unsupported distribution": case(
        "host: the distribution must be Debian 7, got Debian", __flask_apache_distributions={"Debian": {"7": "3"}}
    ),
    "a hyphen in a worker's name": case(
        ("flask_apache_workers[0].name must be a lower-case letter", "got 'a-b'"),
        workers=[{"name": "a-b", "command": "x"}],
    ),
    "a worker without a command": case(("flask_apache_workers", "command"), workers=[{"name": "a"}]),
    "a calendar that systemd cannot read": case(
        ("flask_apache_timers[0].calendar must be a calendar event that systemd can read", "got 'whenever'"),
        timers=[{"name": "a", "command": "x", "calendar": "whenever"}],
    ),
    "a line break at a command's end": case(
        "flask_apache_workers[0].command must not contain control characters, got 'sleep 9\\n'; remove the line break",
        workers=[{"name": "a", "command": "sleep 9\n"}],
    ),
    "three at once": case(
        ("flask_apache_mount must be", "flask_apache_daemon_threads must be", "flask_apache_tiemout must not be set"),
        mount="x",
        daemon_threads=0,
        tiemout=3,
    ),
}
