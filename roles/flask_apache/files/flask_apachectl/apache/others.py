"""What the enabled Apache configuration that is not the role's says."""

from __future__ import annotations

import hashlib
import re
from pathlib import Path
from typing import Any

from flask_apachectl import paths
from flask_apachectl.host import facts

PAGE = Path("/var/www/html")


def is_stock(site: Path) -> bool:
    """Tell whether a site is Debian's own default site, unmodified and with nothing but its own page."""
    digest = hashlib.md5(facts.read(site).encode(), usedforsecurity=False).hexdigest()
    index = facts.read(PAGE / "index.html")
    return (
        site.name == "000-default.conf"
        and digest in facts.output("dpkg-query", "-W", "-f", "${Conffiles}", "apache2")
        and {path.name for path in PAGE.glob("*")} <= {"index.html"}
        and (not (PAGE / "index.html").exists() or "Debian" in index or "Ubuntu" in index)
    )


def without_absent_modules(text: str) -> str:
    """Return configuration without the <IfModule> sections of modules that are not enabled."""

    def keep(section: re.Match[str]) -> str:
        name = re.sub(r"^mod_|(_module|\.c)$", "", section[1])
        return section[2] if (paths.APACHE / "mods-enabled" / f"{name}.load").exists() else ""

    return re.sub(r"(?msi)^\s*<IfModule\s+(\w[\w.]*)>(.*?)^\s*</IfModule>", keep, text)


def configuration() -> dict[str, Any]:
    """Return the sites with their names and ports, the ports that are listened on, and what uses embedded mode."""
    sites, ports, embedded = [], [], []
    top = [paths.APACHE / "apache2.conf", paths.APACHE / "ports.conf"]
    for path in sorted([*top, *paths.APACHE.glob("conf-enabled/*"), *paths.APACHE.glob("sites-enabled/*")]):
        if "flask-apache" in path.name:
            continue
        text = without_absent_modules(re.sub(r"(?m)^\s*#.*", "", facts.read(path)))
        ports += re.findall(r"(?mi)^\s*Listen\s+(?:\S*:)?(\d+)\b", text)
        if re.search(r"(?mi)^\s*WSGI(ScriptAlias|HandlerScript)", text):
            embedded.append(str(path))
        for addresses, block in re.findall(r"(?msi)^\s*<VirtualHost\s+([^>]*)>(.*?)</VirtualHost>", text):
            names = " ".join(re.findall(r"(?mi)^\s*Server(?:Name|Alias)\s+(.*)", block)).lower().split()
            hosts = [re.sub(r'^"?(https?://)?|(:\d+)?"?$', "", name) for name in names]
            numbers = re.findall(r":(\d+)(?=\s|$)", addresses) or sorted(set(ports))  # none stands for all
            site = {"file": str(path), "hosts": hosts, "stock": is_stock(path)}
            sites += [{**site, "port": int(number)} for number in numbers]
    if not paths.APACHE.is_dir():
        ports = ["80"]  # as Debian's package will have it
    return {"sites": sites, "ports": sorted({int(port) for port in ports}), "wsgi": embedded}
