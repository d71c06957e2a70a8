"""Let Apache use the certificates that its mod_md has got from an authority."""

from __future__ import annotations

import contextlib
import ssl
import time
from typing import TYPE_CHECKING, Any

from flask_apachectl import app as apps
from flask_apachectl import lock, routing
from flask_apachectl.apache import acme, server
from flask_apachectl.apache import certificates as files_of
from flask_apachectl.errors import RefusedError
from flask_apachectl.host import facts, files, report

if TYPE_CHECKING:
    import argparse

    from flask_apachectl.app import App

BEGINS_WITHIN = 2.0  # seconds after a reload, unless mod_md has failed before
LOADED_WITHIN = 15.0  # seconds after a reload


def load(_options: argparse.Namespace) -> dict[str, Any]:
    """Reload Apache if it has got new certificates from an authority; the host's timer does so."""
    with lock.host_held():
        found = [app for app in _apps() if app.site.acme]
        waiting = [app for app in found if _is_waiting(app)]
        if waiting:
            _let_apache_load(waiting)
    done = ", ".join(dict.fromkeys(app.site.server_name for app in waiting))
    return {
        "changed": bool(waiting),
        "msg": f"loaded the certificates of {done}" if done else "there is nothing to load",
    }


def await_first(options: argparse.Namespace) -> dict[str, Any]:
    """Wait for the first certificate of an app, and let Apache load it. The app is served meanwhile."""
    app = apps.load_app(options.app)
    deadline, changed = time.monotonic() + options.seconds, False
    report.say(f"await   a certificate from {app.site.acme}")
    begins_by = time.monotonic() + BEGINS_WITHIN
    while not (app.is_certified or acme.is_at_work(app.site)) and time.monotonic() < begins_by:
        time.sleep(0.1)
    if not (app.is_certified or acme.is_at_work(app.site)):  # after a failure, mod_md waits for hours
        with lock.host_held():
            files.remove(acme.staging(app.site))
            server.reload()
    while not app.is_certified and time.monotonic() < deadline:
        if acme.is_staged(app.site):
            changed = load(options)["changed"] or changed
        else:
            time.sleep(0.5)
    if app.is_certified:
        serves = f"{app.url} serves {routing.live_release(app)}"
        return {"changed": changed, "msg": f"{app.url} has its certificate", "serves": serves, "pending": False}
    told = acme.problem(app.site)
    return {
        "changed": changed,
        "pending": True,
        "msg": f"no certificate from {app.site.acme} after {options.seconds:.0f} s{told and f' ({told})'}. Visitors "
        f"get {app.url} meanwhile, and the host goes on trying",
    }


def _apps() -> list[App]:
    """Return the apps whose declaration can be read."""
    found = []
    for name in apps.known_apps():
        with contextlib.suppress(RefusedError):
            found.append(apps.load_app(name))
    return found


def _is_waiting(app: App) -> bool:
    """Tell whether there is a certificate for Apache to load, or to be shown to visitors."""
    flag = app.site.https_flag
    return acme.is_staged(app.site) or bool(flag and flag.exists() and not app.is_certified)


def _let_apache_load(waiting: list[App]) -> None:
    """Reload Apache, see that it shows the new certificates, and let visitors be redirected to them."""
    for app in waiting:
        flag = app.site.https_flag
        if flag and not flag.exists():  # from now on, mod_md renews when it is time to
            flag.parent.mkdir(mode=0o755, exist_ok=True)
            files.write(flag, "")
    server.reload()
    for app in waiting:
        _expect_shown(app)
        flag = app.site.https_flag
        if flag and not app.is_certified:
            files.write(flag, "1\n")


def _expect_shown(app: App) -> None:
    """Wait until Apache shows the certificate that mod_md has. Raises RefusedError when it does not."""
    deadline = time.monotonic() + LOADED_WITHIN
    while not all(shown := [_shown(app, address) for address in server.addresses(app)]) or not shown:
        if time.monotonic() > deadline:
            raise RefusedError(
                f"Apache does not show the new certificate of {app.site.server_name} at port {app.site.https_port}: "
                "see `apache2ctl -S` and Apache's error log"
            )
        time.sleep(0.2)


def _shown(app: App, address: str) -> bool:
    """Tell whether an address shows the certificate that mod_md has."""
    found = files_of.BLOCK.search(facts.read(acme.certificate(app.site)))
    try:
        return found is not None and ssl.PEM_cert_to_DER_cert(found[0].strip()) == server.certificate(app, address)
    except OSError:
        return False
