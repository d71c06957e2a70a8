"""Real applications from PyPI, deployed with docs/examples as they stand there, and used as their users do."""

from __future__ import annotations

import base64
import gzip
import hashlib
import html
import json
import os
import re
import subprocess
import time
from http.cookies import SimpleCookie
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode

import pytest

from tests.support.commands import ROOT
from tests.support.parallel import each
from tests.support.playbooks import play

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.support.hosts import Host, Response

DISTRIBUTIONS = ("debian-12-hot", "debian-13-hot")
PASSWORD = "correct horse"
SECRETS = {
    "vault_keystone_password": PASSWORD,
    "vault_klaus_htdigest": f"ada:klaus:{hashlib.md5(f'ada:klaus:{PASSWORD}'.encode()).hexdigest()}",  # noqa: S324
    "vault_pgadmin_password": PASSWORD,
}
LIGHT = ("httpbin", "ihatemoney", "klaus", "fava")


def deploy(hosts: list[Host], *examples: str) -> None:
    """Deploy examples as docs/examples/README.md says, one after the other in one run."""
    playbook = ROOT / "docs/examples/deploy.yml"
    plays = [{"ansible.builtin.import_playbook": str(playbook), "vars": {"example": name}} for name in examples]
    play(hosts, plays, SECRETS, timeout=1800)


@pytest.fixture(scope="module")
def pair(start_host: Callable[..., Host]) -> list[Host]:
    """Return a host of each distribution with the light apps."""
    hosts = each(DISTRIBUTIONS, start_host)
    deploy(hosts, *LIGHT)
    expect_sandbox(hosts)
    return hosts


def expect_sandbox(hosts: list[Host]) -> None:
    """Expect that each process of Apache's and of the apps is in the sandbox: what works here, works in it."""
    for host in hosts:
        states = host.run("cat /proc/[0-9]*/status", check=False).stdout.split("Name:\t")
        apache = [each for each in states if each.startswith("apache2\n")]
        assert len(apache) > len(LIGHT)
        assert all("\nNoNewPrivs:\t1\nSeccomp:\t2\n" in each for each in apache), apache


@pytest.fixture
def heavy(pair: list[Host], request: pytest.FixtureRequest) -> list[Host]:
    """Return the hosts with the heavy app of the test's parameter, or skip it."""
    if not request.config.getoption("--heavy-apps"):
        pytest.skip("a heavy one: asked for with --heavy-apps")
    deploy(pair, request.param)
    expect_sandbox(pair)
    return pair


class Browser:
    """A visitor of one app, with cookies and the forms' tokens."""

    def __init__(self, host: Host, name: str) -> None:
        """Begin without cookies."""
        self.host, self.name = host, name
        self.cookies: dict[str, str] = {}

    def ask(self, path: str, body: str | None = None, **headers: str) -> Response:
        """Send a request, and keep the answer's cookies."""
        cookie = "; ".join(f"{key}={value}" for key, value in self.cookies.items())
        more = {"Cookie": cookie, **{name.replace("_", "-"): value for name, value in headers.items()}}
        method = "GET" if body is None else "POST"
        answer = self.host.http(path, self.name, method=method, headers=more, body=body)
        for line in answer.headers.get_all("Set-Cookie") or []:
            self.cookies.update({key: morsel.value for key, morsel in SimpleCookie(line).items()})
        return answer

    def submit(self, path: str, form: str, **fields: str) -> Response:
        """Fill in the form of a page, and send it to a path."""
        page = html.unescape(self.ask(form).text)
        token = re.search(r"""csrf_?token"?(?: type="hidden")?(?: value=|: ?)"([^"]+)""", page, re.IGNORECASE)
        assert token, page
        sent = urlencode({"csrf_token": token[1], **fields})
        return self.ask(path, sent, Content_Type="application/x-www-form-urlencoded")


def call(host: Host, name: str, path: str, body: object = None, method: str = "", **headers: str) -> Any:  # noqa: ANN401
    """Send JSON, if any, and return the JSON of the answer, which must be a good one."""
    more = {"Content-Type": "application/json", **{key.replace("_", "-"): value for key, value in headers.items()}}
    method = method or ("GET" if body is None else "POST")
    answer = host.http(path, name, method=method, headers=more, body=None if body is None else json.dumps(body))
    assert 200 <= answer.status < 300, f"{host.name} {path}: {answer.status} {answer.text[:500]}"
    return answer.json()


def basic(user: str, password: str) -> str:
    """Return an Authorization header of HTTP's basic scheme."""
    return f"Basic {base64.b64encode(f'{user}:{password}'.encode()).decode()}"


def test_httpbin_echoes_compresses_and_authenticates(pair: list[Host]) -> None:
    name = "httpbin.example.com"
    for host in pair:
        assert call(host, name, "/anything/%C3%A4", {"letters": "日本"})["json"] == {"letters": "日本"}
        assert host.http("/brotli", name).headers["Content-Encoding"] == "br"
        assert host.http("/basic-auth/ada/secret", name).status == 401
        assert call(host, name, "/basic-auth/ada/secret", Authorization=basic("ada", "secret"))["authenticated"]
        assert len(host.http("/stream-bytes/100000?chunk_size=1000", name).body) == 100000
        assert host.http("/image/png", name).body.startswith(b"\x89PNG")


def test_ihatemoney_keeps_a_budget(pair: list[Host]) -> None:
    name = "budget.example.com"
    own = {"Authorization": basic("trip", PASSWORD)}
    for host in pair:
        project = {"id": "trip", "name": "Trip", "password": PASSWORD, "contact_email": "ada@example.com"}
        assert call(host, name, "/api/projects", {**project, "default_currency": "XXX"}) == "trip"
        ada, bob = (call(host, name, "/api/projects/trip/members", {"name": who}, **own) for who in ("Ada", "Bob"))
        bill = {"date": "2026-01-02", "what": "Boat", "payer": ada, "payed_for": [ada, bob], "amount": 30}
        call(host, name, "/api/projects/trip/bills", {**bill, "bill_type": "Expense"}, **own)
        members = call(host, name, "/api/projects/trip", **own)["members"]
        assert {member["name"]: member["balance"] for member in members} == {"Ada": 15.0, "Bob": -15.0}


def git(*arguments: str, directory: Path) -> subprocess.CompletedProcess[str]:
    """Run git as a developer does, asking nobody for a password."""
    command = ["git", "-c", "http.extraHeader=Host: git.example.com", "-c", "user.name=Ada", "-c", "user.email=a@b.c"]
    environment = {**os.environ, "GIT_TERMINAL_PROMPT": "0", "GIT_CONFIG_GLOBAL": "/dev/null"}
    return subprocess.run(
        [*command, *arguments], cwd=directory, env=environment, check=False, capture_output=True, text=True
    )


def test_klaus_takes_a_push_and_shows_it(pair: list[Host], tmp_path: Path) -> None:
    git("init", "--initial-branch=main", directory=tmp_path)
    (tmp_path / "poem").write_bytes(os.urandom(5_000_000))  # larger than git sends in one piece
    git("add", "poem", directory=tmp_path)
    git("commit", "--message=Roses are red", directory=tmp_path)
    for host in pair:
        address = f"ada:{PASSWORD.replace(' ', '%20')}@{host.ip}/project"
        refused = git("push", f"http://{address.replace('horse', 'cow')}", "main", directory=tmp_path)
        assert "Authentication failed" in refused.stderr
        pushed = git("push", f"http://{address}", "main", directory=tmp_path)
        assert pushed.returncode == 0, pushed.stderr
        assert "Roses are red" in host.http("/project/", "git.example.com").text
        git("clone", "--branch=main", f"http://{host.ip}/project", host.name, directory=tmp_path)
        assert (tmp_path / host.name / "poem").read_bytes() == (tmp_path / "poem").read_bytes()


def test_fava_books_under_a_mount(pair: list[Host]) -> None:
    name = "apps.example.com"
    accounts = ("Expenses:Food", "Assets:Cash")
    for host in pair:
        page = host.http("/fava/", name).headers["Location"]
        assert page.startswith("/fava/"), page
        static = re.search(r'"(/fava/static/app\.js[^"]*)"', host.http(page, name).text)
        assert static
        assert host.http(static[1], name).status == 200
        postings = [{"account": account, "amount": f"{sign}3.50 EUR"} for account, sign in zip(accounts, ("", "-"))]  # noqa: B905
        entry = {"t": "Transaction", "date": "2026-01-02", "flag": "*", "payee": "Baker", "narration": "Bread"}
        entries = [{**entry, "tags": [], "links": [], "meta": {}, "postings": postings}]
        ledger = page.split("/")[2]
        call(host, name, f"/fava/{ledger}/api/add_entries", {"entries": entries}, "PUT")
        assert call(host, name, f"/fava/{ledger}/api/changed")["data"]
        query = urlencode({"query_string": "select account, sum(number) group by account"})
        rows = call(host, name, f"/fava/{ledger}/api/query?{query}")["data"]["rows"]
        assert {account: float(amount) for account, amount in rows} == {accounts[0]: 3.5, accounts[1]: -3.5}


@pytest.mark.parametrize("heavy", ["otterwiki"], indirect=True)
def test_otterwiki_lets_its_user_write_a_page(heavy: list[Host]) -> None:
    name = "wiki.example.com"
    for host in heavy:
        browser = Browser(host, name)
        assert browser.submit("/poems/save", "/-/login", content="weeds").status == 403
        person = {"email": "ada@example.com", "name": "Ada"}
        browser.submit("/-/register", "/-/register", **person, password1=PASSWORD, password2=PASSWORD)
        assert browser.submit("/-/login", "/-/login", email="ada@example.com", password=PASSWORD).status == 302
        browser.submit("/poems/save", "/-/create", content="# Roses\n\n*are* red", commit="first")
        assert "<em>are</em> red" in host.http("/poems", name).text
        assert "Ada" in host.http("/poems/history", name).text


@pytest.mark.parametrize("heavy", ["keystone"], indirect=True)
def test_keystone_issues_a_token_and_keeps_a_project(heavy: list[Host]) -> None:
    name = "keystone.example.com"
    user = {"name": "admin", "domain": {"id": "default"}, "password": PASSWORD}
    scope = {"project": {"name": "admin", "domain": {"id": "default"}}}
    auth = {"identity": {"methods": ["password"], "password": {"user": user}}, "scope": scope}
    for host in heavy:
        answer = host.http(
            "/v3/auth/tokens",
            name,
            method="POST",
            headers={"Content-Type": "application/json"},
            body=json.dumps({"auth": auth}),
        )
        assert answer.status == 201, answer.text
        token = answer.headers["X-Subject-Token"]
        made = call(host, name, "/v3/projects", {"project": {"name": f"of {host.name}"}}, X_Auth_Token=token)
        found = call(host, name, f"/v3/projects/{made['project']['id']}", X_Auth_Token=token)
        assert found["project"]["name"] == f"of {host.name}"
        assert host.http("/v3/projects", name).status == 401


@pytest.mark.parametrize("heavy", ["mlflow"], indirect=True)
def test_mlflow_tracks_a_run_and_stores_its_file(heavy: list[Host]) -> None:
    name, api = "mlflow.example.com", "/api/2.0/mlflow"
    for host in heavy:
        experiment = call(host, name, f"{api}/experiments/create", {"name": "tides"})["experiment_id"]
        started = {"experiment_id": experiment, "start_time": int(time.time() * 1000)}
        run = call(host, name, f"{api}/runs/create", started)["run"]["info"]["run_id"]
        metric = {"run_id": run, "key": "height", "value": 1.5, "timestamp": started["start_time"]}
        call(host, name, f"{api}/runs/log-metric", metric)
        found = call(host, name, f"{api}/runs/get?run_id={run}")["run"]["data"]["metrics"]
        assert [(item["key"], item["value"]) for item in found] == [("height", 1.5)]
        path = f"/api/2.0/mlflow-artifacts/artifacts/{experiment}/{run}/artifacts/chart"
        assert host.http(path, name, method="PUT", body=b"\0\1" * 1000).status == 200
        assert host.http(path, name).body == b"\0\1" * 1000
        assert "<title>MLflow</title>" in host.http("/", name).text


@pytest.mark.parametrize("heavy", ["pgadmin4"], indirect=True)
def test_pgadmin_logs_in_and_keeps_a_server(heavy: list[Host]) -> None:
    server = {"name": "orders", "host": "127.0.0.1", "port": 5432, "db": "postgres", "username": "ada"}

    def log_in(host: Host, password: str) -> tuple[Browser, str]:
        browser = Browser(host, "pgadmin.example.com")
        fields = {"email": "admin@example.com", "password": password, "internal_button": "Login"}
        browser.submit("/authenticate/login", "/login", **fields)
        token = re.search(r"csrf_token'\] = '([^']+)'", browser.ask("/browser/js/utils.js").text)
        return browser, token[1] if token else ""

    for host in heavy:
        assert log_in(host, "wrong")[1] == ""
        browser, token = log_in(host, PASSWORD)
        headers = {"Content_Type": "application/json", "X_pgA_CSRFToken": token}
        made = browser.ask("/browser/server/obj/1/", json.dumps({**server, "connection_params": []}), **headers)
        assert made.status == 200, made.text
        browser, token = log_in(host, PASSWORD)
        nodes = json.loads(browser.ask("/browser/server/nodes/1/", X_pgA_CSRFToken=token).text)["result"]
        assert [node["label"] for node in nodes] == ["orders"]
        script = browser.ask("/static/js/generated/app.bundle.js", Accept_Encoding="gzip")
        assert script.headers["Content-Encoding"] == "gzip"
        assert len(gzip.decompress(script.body)) > 1_000_000
        assert "Content-Disposition" not in script.headers, "the app has sent it, not Apache"
