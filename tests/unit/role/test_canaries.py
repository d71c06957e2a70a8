"""Each option that may be a secret has a canary, which tests/security/test_secrets.py looks for everywhere."""

from __future__ import annotations

import yaml

from controller.checks.values import HIDDEN
from tests.security import leaks
from tests.support.commands import ROOT


def test_each_secret_has_a_canary() -> None:
    specs = yaml.safe_load((ROOT / "roles/flask_apache/meta/argument_specs.yml").read_text())["argument_specs"]
    hidden = {
        name.removeprefix("flask_apache_")
        for entry in specs.values()
        for name, spec in entry["options"].items()
        if spec.get("no_log")
    }
    assert hidden
    assert {*HIDDEN, *hidden} <= set(leaks.SECRETS)


def test_no_canary_is_a_part_of_another_one_or_short() -> None:
    found = [text for each in leaks.texts().values() for text in each]
    assert min(map(len, found)) > 10
    assert all(one not in other for one in found for other in found if one != other and not one.startswith("MII"))
    assert all(each.texts for each in leaks.SECRETS.values())


def test_a_leak_is_found() -> None:
    for name, secret in leaks.SECRETS.items():
        for text in secret.texts:
            assert leaks.found_in(f"it is {text}!") == [name]
    assert leaks.found_in("nothing") == []
