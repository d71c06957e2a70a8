"""Which files, links and directories an app needs."""

from __future__ import annotations

from dataclasses import fields
from itertools import pairwise

import pytest

from controller.daemon_options import version
from controller.declaration import Derived, derive
from controller.files import Template, apache_files, directories, server, templates, unit_files, vhosts, wsgi_load
from controller.pages import PAGES
from controller.source import clones_on_host, fetch_request, needs_key_file, packages
from tests.unit.programs import ROLE
from tests.unit.role.cases import CASES, CONSTANTS, variables_of

PAGE_PLACES = ("/etc/flask-apache/app/pages", "/usr/local/lib/flask-apache/pages")
VHOSTS, SYSTEMD = "/etc/flask-apache/vhosts", "/etc/systemd/system"


def derived(case: str) -> Derived:
    """Return what is derived in a case."""
    return derive(variables_of(case), CASES[case][1], CONSTANTS)


def own_files(found: Derived) -> list[Template]:
    """Return the app's own files."""
    return [*templates(found), *apache_files(found), *unit_files(found)]


def paths(case: str) -> set[str]:
    """Return the paths of the app's own files."""
    return {template.path for template in own_files(derived(case))}


def test_the_files_of_an_app() -> None:
    own = {
        f"{VHOSTS}/www.example.com-80/998-app.conf",
        "/etc/apache2/conf-available/flask-apache-app.conf",
        *(f"{place}/{status}.html" for place in PAGE_PLACES for status in PAGES),
        "/etc/tmpfiles.d/flask-apache-app.conf",
        "/etc/logrotate.d/apache2",
    }
    assert paths("defaults") == own
    assert paths("unit-defaults") - own == {
        f"{SYSTEMD}/flask-apache-app-queue@.service",
        f"{SYSTEMD}/flask-apache-app-nightly.service",
        f"{SYSTEMD}/flask-apache-app-nightly.timer",
        f"{SYSTEMD}/flask-apache-app.target",
    }


def test_the_deepest_mount_comes_first() -> None:
    mounts = ["/a/b/c", "/a/b", "/a", "/"]
    fragments = []
    for mount in mounts:
        variables = variables_of("names") | {"flask_apache_mount": mount}
        fragments.append(derive(variables, CASES["names"][1], CONSTANTS).paths.vhosts[0].fragment)
    assert fragments[0] == f"{VHOSTS}/www.example.com-8080/993-my-shop.conf"
    assert fragments == sorted(fragments)


@pytest.mark.parametrize("case", CASES)
def test_every_template_exists_and_every_path_is_one_files(case: str) -> None:
    found = derived(case)
    variants = [*(each for variants in vhosts(found).values() for each in variants.values()), server()]
    for template in [*own_files(found), *variants]:
        assert (ROLE / "templates" / template.template).is_file()
        assert (template.mode, template.group) == ("0644", "root")
    own = [template.path for template in own_files(found)]
    assert len(own) == len(set(own))
    assert not set(own) & {template.path for template in variants}


def test_shared_files_have_one_path_for_all_variants() -> None:
    (variants,) = vhosts(derived("names")).values()
    assert {template.path for template in variants.values()} == {
        "/etc/apache2/sites-available/flask-apache-www.example.com-8080.conf"
    }


def test_only_a_built_module_is_loaded_by_a_file_of_the_roles() -> None:
    assert wsgi_load(derived("defaults")) is None
    load = wsgi_load(derived("every-6.1.1"))
    assert load is not None
    assert load.path == "/etc/apache2/mods-available/flask_apache_wsgi.load"


def test_apaches_modules() -> None:
    assert derived("defaults").site.apache_modules == ["headers", "rewrite", "unique_id", "filter", "deflate", "brotli"]
    assert derived("static").site.apache_modules == ["headers", "rewrite", "unique_id"]


def test_directories_stand_after_their_parents() -> None:
    found = directories(derived("names"))
    places = [directory["path"] for directory in found]
    for path in places:
        parent = path.rpartition("/")[0]
        if parent in places:
            assert places.index(parent) < places.index(path)
    assert len(places) == len(set(places))
    modes = {directory["path"]: (directory["owner"], directory["group"], directory["mode"]) for directory in found}
    assert modes["/srv/flask-apache/my-shop"] == ("root", "clerk", "0751")
    assert modes["/srv/flask-apache/my-shop/incoming"] == ("root", "root", "0700")
    assert modes["/srv/flask-apache/my-shop/wheelhouses"] == ("root", "clerk", "0750")
    assert modes["/var/lib/flask-apache/my-shop"] == ("clerk", "clerk", "0750")
    assert modes["/var/cache/flask-apache/my-shop"] == ("build_my-shop", "root", "0700")
    assert modes["/var/log/flask-apache/my-shop"] == ("root", "adm", "0750")
    assert modes[f"{VHOSTS}/www.example.com-8080"] == ("root", "root", "0755")


def test_no_name_means_two_things_to_a_template() -> None:
    found = derived("units")
    parts = [getattr(found, field.name) for field in fields(found)]
    names = [field.name for part in parts for field in fields(part)]
    assert len(names) == len(set(names))
    assert set(found.as_app()) == set(names)
    assert not set(names) & set(dir(dict)), "Jinja would find the method"


def test_versions_compare_as_numbers() -> None:
    versions = ["0", "4.9.0", "4.9.4", "4.10", "5.0.2", "6.0.0", "6.0.2", "6.1.1"]
    assert all(version(older) < version(newer) for older, newer in pairwise(versions))
    assert version("6.0") == version("6.0.0")


# --- The source and the packages -------------------------------------------------------------------------------------


def test_the_control_node_fetches_unless_the_host_does() -> None:
    here = variables_of("names")
    there = here | {"flask_apache_source_type": "git", "flask_apache_git_on": "host"}
    assert not clones_on_host(here)
    assert not clones_on_host(here | {"flask_apache_git_on": "host"})
    assert clones_on_host(there)
    requests = [
        fetch_request(each, git_key="key", have=["1a"], plan=True, cache="/home/me/.cache") for each in (here, there)
    ]
    assert [(each["cache"], each["user"]) for each in requests] == [
        ("/home/me/.cache", ""),
        ("/var/cache/flask-apache/my-shop", "build_my-shop"),
    ]
    for each in requests:
        assert each["incoming"] == "/srv/flask-apache/my-shop/incoming"
        assert (each["git_key"], each["have"], each["plan"]) == ("key", ["1a"], True)
        assert (each["git_depth"], each["seconds"]) == (1, 900)


def test_a_key_is_a_text_or_a_file() -> None:
    for key, is_file in (("", False), ("-----BEGIN KEY-----", False), ("/home/me/key", True)):
        assert needs_key_file({"flask_apache_git_key": key}) is is_file


def test_packages() -> None:
    variables = variables_of("defaults")
    assert packages(variables, CONSTANTS) == ["apache2", "ca-certificates", "python3-venv", "libapache2-mod-wsgi-py3"]
    more = {
        "flask_apache_mod_wsgi_source": "pip",
        "flask_apache_source_type": "git",
        "flask_apache_git_on": "host",
        "flask_apache_system_packages": ["libpq5"],
    }
    found = packages(variables | more, CONSTANTS)
    assert {"apache2-dev", "gcc", "git", "libpq5"} <= set(found)
    assert "libapache2-mod-wsgi-py3" not in found
