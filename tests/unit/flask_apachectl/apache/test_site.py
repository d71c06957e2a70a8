"""What Apache's configuration is to be, derived from all apps of the host."""

from __future__ import annotations

import itertools
import json
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from flask_apachectl import paths
from flask_apachectl.apache import certificates, hardening, neighbours, others, site
from flask_apachectl.apache.listing import Listen, Listing, VirtualHost
from flask_apachectl.errors import RefusedError
from flask_apachectl.host import desired, files
from flask_apachectl.host.desired import File
from tests.unit.flask_apachectl.apache.hosts import STOCK, Apaches, enabled, make, rendered, tree
from tests.unit.flask_apachectl.samples import declared, listed, shop

if TYPE_CHECKING:
    from collections.abc import Sequence

WWW, BLOG = "www.example.com-80", "blog.example.com-80"
IN_BLOG = {"server_name": "blog.example.com"}


@pytest.fixture
def host(apache: Path, as_root: None) -> Apaches:  # noqa: ARG001
    """Return a host without apps; the distribution's page is served."""
    return Apaches()


def test_an_app(host: Apaches) -> None:
    host.deploy("shop")
    found = tree(paths.APACHE)
    assert found["conf-enabled/flask-apache-shop.conf"] == "-> ../conf-available/flask-apache-shop.conf"
    assert found["conf-enabled/flask-apache.conf"] == "-> ../conf-available/flask-apache.conf"
    assert found["conf-available/flask-apache-shop.conf"] == "# pools of shop\n"
    assert found[f"sites-enabled/zz-flask-apache-{WWW}.conf"] == f"-> ../sites-available/flask-apache-{WWW}.conf"
    assert found["mods-enabled/rewrite.load"] == "-> ../mods-available/rewrite.load"
    assert enabled() == ["000-default.conf", f"zz-flask-apache-{WWW}.conf"]
    assert enabled("mods") == ["headers.load", "rewrite.load", "wsgi.conf", "wsgi.load"]
    assert host.deploy("shop") == []


def test_a_built_mod_wsgi_takes_the_place_of_the_distributions(host: Apaches) -> None:
    host.deploy("shop", wsgi_load="LoadModule\n")
    assert enabled("mods") == ["flask_apache_wsgi.load", "headers.load", "rewrite.load"]
    assert (paths.APACHE / "mods-enabled/flask_apache_wsgi.load").read_text() == "LoadModule\n"
    host.deploy("shop")
    assert enabled("mods") == ["headers.load", "rewrite.load", "wsgi.conf", "wsgi.load"]
    host.deploy("shop", wsgi_load="LoadModule\n")
    host.remove("shop")
    assert not list(paths.APACHE.rglob("flask_apache_wsgi.load"))


# --- The default server, and the distribution's page


def test_a_default_server_comes_first_and_takes_the_place_of_the_distributions_page(host: Apaches) -> None:
    host.deploy("shop", default_server=True)
    assert enabled() == [f"00-flask-apache-{WWW}.conf"]
    kept = paths.APACHE / "sites-available" / site.REPLACED
    assert str(kept.readlink()) == STOCK
    host.deploy("shop", default_server=False)
    assert enabled() == ["000-default.conf", f"zz-flask-apache-{WWW}.conf"]
    assert str((paths.APACHE / "sites-enabled/000-default.conf").readlink()) == STOCK
    assert not kept.is_symlink()


def test_another_app_leaves_the_default_server_as_it_is(host: Apaches) -> None:
    host.deploy("shop", default_server=True)
    host.deploy("blog", **IN_BLOG)
    assert enabled() == [f"00-flask-apache-{WWW}.conf", f"zz-flask-apache-{BLOG}.conf"]
    host.deploy("forum", mount="/forum")  # below the same name
    assert enabled() == [f"00-flask-apache-{WWW}.conf", f"zz-flask-apache-{BLOG}.conf"]
    host.remove("blog")
    assert enabled() == [f"00-flask-apache-{WWW}.conf"]
    host.remove("shop")
    assert enabled() == ["000-default.conf", f"zz-flask-apache-{WWW}.conf"]


def test_a_page_that_is_no_link_is_somebodys(host: Apaches) -> None:
    stock = paths.APACHE / "sites-enabled/000-default.conf"
    stock.unlink()
    stock.write_text("mine\n")
    host.deploy("shop", default_server=True)
    host.remove("shop")
    assert stock.read_text() == "mine\n"


def test_a_page_that_somebody_disabled_stays_disabled(host: Apaches) -> None:
    (paths.APACHE / "sites-enabled/000-default.conf").unlink()
    host.deploy("shop", default_server=True)
    host.remove("shop")
    assert enabled() == []


# --- Several apps


def test_apps_below_one_name_share_a_virtual_host(host: Apaches) -> None:
    host.deploy("shop")
    host.deploy("forum", mount="/forum")
    vhost = paths.ETC / "vhosts" / WWW
    assert listed(vhost) == ["993-forum.conf", "998-shop.conf"]  # the deepest mount comes first
    assert enabled() == ["000-default.conf", f"zz-flask-apache-{WWW}.conf"]
    host.remove("shop")
    assert listed(vhost) == ["993-forum.conf"]
    assert enabled("conf") == ["flask-apache-forum.conf", "flask-apache.conf", hardening.ENABLED]
    host.remove("forum")
    assert not vhost.exists()
    assert not [name for name in tree(paths.APACHE) if "flask-apache" in name]
    assert enabled() == ["000-default.conf"]


def test_one_name_on_two_ports_is_two_virtual_hosts(host: Apaches) -> None:
    host.deploy("shop")
    host.deploy("admin", port=8080)
    assert listed(paths.ETC / "vhosts") == [WWW, "www.example.com-8080"]


def test_an_app_moves_to_another_virtual_host(host: Apaches) -> None:
    host.deploy("shop")
    host.deploy("shop", **IN_BLOG)
    assert listed(paths.ETC / "vhosts") == [BLOG]
    assert enabled() == ["000-default.conf", f"zz-flask-apache-{BLOG}.conf"]
    assert not (paths.APACHE / f"sites-available/flask-apache-{WWW}.conf").exists()


def test_a_virtual_host_stays_while_another_app_is_in_it(host: Apaches) -> None:
    host.deploy("shop", default_server=True)
    host.deploy("forum", mount="/forum")
    host.deploy("shop", **IN_BLOG)
    assert listed(paths.ETC / "vhosts" / WWW) == ["993-forum.conf"]
    assert enabled() == ["000-default.conf", f"zz-flask-apache-{BLOG}.conf", f"zz-flask-apache-{WWW}.conf"]


def test_an_app_moves_to_another_mount(host: Apaches) -> None:
    host.deploy("shop")
    host.deploy("shop", mount="/shop")
    assert listed(paths.ETC / "vhosts" / WWW) == ["994-shop.conf"]


@pytest.mark.usefixtures("host")
def test_a_deserted_virtual_host_goes() -> None:
    """Such as one that a run was killed in."""
    deserted = paths.ETC / "vhosts/old.example.com-80"
    deserted.mkdir()
    (deserted / "998-old.conf").write_text("")
    (paths.APACHE / "sites-available/flask-apache-old.example.com-80.conf").write_text("")
    (paths.APACHE / "sites-enabled/flask-apache-old.example.com-80.conf").symlink_to(
        "../sites-available/flask-apache-old.example.com-80.conf"
    )
    steps = site.wanted({"shop": shop().site}, "shop", rendered("shop", shop().site))
    make(steps)
    assert listed(paths.ETC / "vhosts") == [WWW]
    assert enabled() == ["000-default.conf", f"zz-flask-apache-{WWW}.conf"]


def test_what_is_no_apps_file_is_left(host: Apaches) -> None:
    host.deploy("shop")
    (paths.ETC / "vhosts" / WWW / "mine.conf").write_text("mine\n")
    host.deploy("shop", mount="/shop")
    assert listed(paths.ETC / "vhosts" / WWW) == ["994-shop.conf", "mine.conf"]


# --- What cannot be read


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ('{"app": ', r"app\.json is damaged"),
        ("[]", r"app\.json must be a mapping, got list"),
        ('{"format": 9}', r"app\.json was written by a newer flask_apache"),
        ('{"format": 2, "site": {"port": 80}}', r"app\.json lacks "),
        (None, r"app\.json is missing"),
    ],
)
def test_an_app_that_cannot_be_read_stops_a_change(host: Apaches, text: str | None, problem: str) -> None:
    host.deploy("shop", default_server=True)
    before = tree(paths.APACHE)
    path = paths.ETC / "shop/app.json"
    if text is None:
        path.unlink()
    else:
        path.write_text(text)
    message = rf"(?s){problem}.*\nNothing is changed.*: run the role for shop first"
    with pytest.raises(RefusedError, match=message):
        host.deploy("blog", **IN_BLOG)
    with pytest.raises(RefusedError, match=message):
        host.remove("blog")
    assert tree(paths.APACHE) == before
    host.deploy("shop", default_server=True)  # its own run heals it
    host.deploy("blog", **IN_BLOG)


def test_an_app_of_the_first_version_is_known(host: Apaches) -> None:
    host.deploy("shop", default_server=True)
    flat = {"app": "shop", **declared(default_server=True)["site"], "wsgi": "app:app"}
    (paths.ETC / "shop/app.json").write_text(json.dumps(flat))
    host.deploy("blog", **IN_BLOG)
    assert enabled() == [f"00-flask-apache-{WWW}.conf", f"zz-flask-apache-{BLOG}.conf"]


# --- What depends on other sites, and the digest


LISTENING_ON_81 = Listing(
    (
        VirtualHost("192.0.2.7", 80, ("old.example.com",), "/old.conf", 1),
        VirtualHost("192.0.2.7", 0, ("old.example.com",), "/old.conf", 2),
        VirtualHost("192.0.2.8", 81, ("old.example.com",), "/old.conf", 3),
        VirtualHost("[2001:db8::7]", 0, ("old.example.com",), "/old.conf", 4),
    ),
    (Listen("", 81, "/ports.conf", 1),),
)


def test_a_virtual_host_joins_the_other_sites(host: Apaches, monkeypatch: pytest.MonkeyPatch) -> None:
    vhost = paths.APACHE / f"sites-available/flask-apache-{WWW}.conf"
    host.deploy("shop")
    assert vhost.read_text() == "# plain\n<VirtualHost *:80>\n"
    monkeypatch.setattr(others, "everything", lambda: LISTENING_ON_81)
    host.deploy("shop")
    assert vhost.read_text() == "# listen\n<VirtualHost *:80 192.0.2.7:80 [2001:db8::7]:*>\n"
    host.deploy("shop", default_server=True)
    assert vhost.read_text() == "# listen\n<VirtualHost *:80>\n"


def digest(steps: Sequence[desired.Wanted]) -> str:
    """Return the digest that an app's file tells."""
    (text,) = (step.content for step in steps if isinstance(step, desired.File) and step.path.name == "998-shop.conf")
    name, found = text.decode().removeprefix("# ").split()
    assert name == "shop"
    return found


def test_the_digest_depends_on_the_whole_configuration(host: Apaches) -> None:
    assert host.apps == {}
    own = shop().site
    first = rendered("shop", own)
    (host_name,) = first.vhosts
    path, text = first.fragments[host_name]
    texts = dict(first.vhosts[host_name])
    variants = [
        first,
        replace(first, fragments={host_name: (path, text + "\n")}),
        replace(first, pools=(first.pools[0], "# other\n")),
        replace(first, server="# other\n"),
        replace(first, vhosts={host_name: {**texts, "plain": "# other\n"}}),
        replace(first, certificate="certificate\n"),
        replace(first, certificate="certificate\n", key="key\n"),
        replace(first, wsgi_load="LoadModule\n"),
        replace(first, modules=("headers",)),
    ]
    found = [digest(site.wanted({"shop": own}, "shop", each)) for each in [*variants, first]]
    assert len(set(found)) == len(variants)
    assert found[0] == found[-1]
    assert all(len(each) == 16 for each in found)
    unused = replace(first, vhosts={host_name: {**texts, "listen": "# other\n"}})
    assert digest(site.wanted({"shop": own}, "shop", unused)) == found[0]


# --- Any changes, in any order

NAMES = ("shop", "blog", "forum")
SITES = st.fixed_dictionaries(
    {
        "server_name": st.sampled_from(["a.example.com", "b.example.com"]),
        "port": st.sampled_from([80, 8080]),
        "https_port": st.sampled_from([0, 443]),
        "mount": st.sampled_from(["/", "/deep"]),
        "default_server": st.booleans(),
    }
)
CHANGES = st.lists(st.tuples(st.sampled_from(NAMES), st.one_of(st.none(), SITES)), max_size=6)


@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(changes=CHANGES)
def test_the_configuration_depends_on_the_apps_and_not_on_their_history(
    host: Apaches, changes: list[tuple[str, dict[str, Any] | None]]
) -> None:
    assert host.apps == {}
    by_way, final = with_own_directories(changes)
    directly, _ = with_own_directories(list(final.items()))
    assert by_way == directly
    links = {name: text for name, text in by_way.items() if name.startswith("apache2/sites-enabled/")}
    sites = [shop(**own).site for own in final.values()]
    defaults = {place.host for place in neighbours.all_places(each for each in sites if each.default_server)}
    hosts = {place.host for place in neighbours.all_places(sites)}
    expected = {f"{'00-' if each in defaults else 'zz-'}flask-apache-{each}.conf" for each in hosts}
    is_replaced = any(each.endswith("-80") for each in defaults)
    alone = {int(each.rpartition("-")[2]) for each in hosts - defaults} - neighbours.default_ports(sites) - {80}
    expected |= {f"zy-flask-apache-none_{port}.conf" for port in alone}
    assert {Path(name).name for name in links} == expected | ({"000-default.conf"} if not is_replaced else set())


def with_own_directories(
    changes: Sequence[tuple[str, dict[str, Any] | None]],
) -> tuple[dict[str, str], dict[str, dict[str, Any]]]:
    """Apply changes to a fresh host; return its tree and what its apps are at the end."""
    final: dict[str, dict[str, Any]] = {}
    with tempfile.TemporaryDirectory() as top, pytest.MonkeyPatch.context() as patch:
        patch.setattr(paths, "APACHE", Path(top, "apache2"))
        patch.setattr(paths, "ETC", Path(top, "etc"))
        for kind, place in itertools.product(("conf", "sites", "mods"), ("available", "enabled")):
            (paths.APACHE / f"{kind}-{place}").mkdir(parents=True)
        (paths.ETC / "vhosts").mkdir(parents=True)
        (paths.APACHE / "ports.conf").write_text("Listen 80\n")
        made = (
            File(paths.ETC / "vhosts/none_/certificate.pem", b"made"),
            File(paths.ETC / "vhosts/none_/key.pem", b""),
        )
        patch.setattr(certificates, "self_signed", lambda *_: made)
        host = Apaches()
        host.deploy("last")  # that the modules stay
        for name, own in changes:
            if own is None:
                host.remove(name)
                final.pop(name, None)
            else:
                host.deploy(name, **own)
                assert host.deploy(name, **own) == []
                final[name] = own
        host.remove("last")
        files.remove(paths.APACHE / "mods-enabled")  # modules are enabled once, and stay
        return {name: text.replace(top, "") for name, text in tree(Path(top)).items()}, final
