"""Images of bare hosts: a provider's fresh virtual machine, with systemd as PID 1, as a Docker image.

Every distribution has two: ``flask-apache-test:debian-12`` as bare as a host can be, and
``flask-apache-test:debian-12-hot`` with Apache, mod_wsgi and apt's lists already there, for tests that are
not about installing packages. In those, ensurepip copies an installed pip instead of installing one, which takes
three of the eight seconds of a processor that a first deploy costs.

``python3 -m tests.support.images [debian-12 debian-13-hot …]`` builds them, by default all that can be had
here, and starts Docker for it.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path

from tests.support import docker
from tests.support.commands import SetupError, apt_install, cache_directory, errors, run, say

REPOSITORY = "flask-apache-test"
RECIPE_LABEL = "flask-apache-test.recipe"
OLD_SECONDS = 7 * 24 * 3600
PULL_ANSWER_SECONDS = 15
PULL_SECONDS = 600

CA_VARIABLE = "FLASK_APACHE_TEST_CA"
CA_DEFAULT = "/usr/local/share/ca-certificates"
# Tells the programs that a test run starts what it has already learnt: why no image can be pulled.
NO_REGISTRY_VARIABLE = "FLASK_APACHE_TEST_NO_REGISTRY"

# Docker's own images keep services from starting by policy-rc.d; a host does not. And with a new date on the
# empty lists' directory, apt's cache_valid_time would take them for fresh.
BARE = """\
FROM {base}
ENV container=docker
RUN rm -f /usr/sbin/policy-rc.d \\
 && apt-get update --quiet \\
 && DEBIAN_FRONTEND=noninteractive apt-get install --yes --quiet --no-install-recommends \\
      systemd systemd-sysv dbus python3 python3-apt sudo ca-certificates iproute2 procps \\
 && rm -rf /var/lib/apt/lists/* /var/cache/apt/*.bin /var/cache/apt/archives/*.deb \\
 && touch --date=@0 /var/lib/apt/lists
COPY ca/ /usr/local/share/ca-certificates/
RUN update-ca-certificates
STOPSIGNAL SIGRTMIN+3
CMD ["/lib/systemd/systemd"]
"""

HOT = """\
FROM {base}
RUN printf '#!/bin/sh\\nexit 101\\n' >/usr/sbin/policy-rc.d && chmod 0755 /usr/sbin/policy-rc.d \\
 && apt-get update --quiet \\
 && DEBIAN_FRONTEND=noninteractive apt-get install --yes --quiet --no-install-recommends \\
      apache2 libapache2-mod-wsgi-py3 python3-venv \\
 && rm -f /usr/sbin/policy-rc.d /var/cache/apt/archives/*.deb
COPY copy_pip.py /tmp/
RUN python3 -m venv /tmp/venv && mv /tmp/venv/lib/python3*/site-packages /usr/local/lib/ensurepip && rm -r /tmp/venv \\
 && cat /tmp/copy_pip.py >>"$(python3 -c 'import ensurepip; print(ensurepip.__file__)')" && rm /tmp/copy_pip.py
"""
COPY_PIP = """

def _run_pip(args, additional_paths=None):
    import shutil, sysconfig

    shutil.copytree("/usr/local/lib/ensurepip", sysconfig.get_path("purelib"), dirs_exist_ok=True)
    return 0
"""


@dataclass(frozen=True)
class Distribution:
    """A distribution that the role supports."""

    name: str
    official: str
    codename: str

    @property
    def is_debian(self) -> bool:
        """Say whether mmdebstrap can make it where no registry answers."""
        return self.official.startswith("debian:")


DISTRIBUTIONS = {
    distribution.name: distribution
    for distribution in (
        Distribution("debian-12", "debian:12", "bookworm"),
        Distribution("debian-13", "debian:13", "trixie"),
        Distribution("ubuntu-22.04", "ubuntu:22.04", "jammy"),
        Distribution("ubuntu-24.04", "ubuntu:24.04", "noble"),
        Distribution("ubuntu-26.04", "ubuntu:26.04", "resolute"),
    )
}
TAGS = tuple(name + suffix for name in DISTRIBUTIONS for suffix in ("", "-hot"))


class ImageUnavailableError(SetupError):
    """The image can neither be pulled nor is it there, and nothing on this machine makes it."""


def ensure(name: str) -> str:
    """Make sure that a test image (one of TAGS) is there, from today's recipe and not older than a week.

    Returns its full tag. Raises ImageUnavailableError where no registry has it and it cannot be made here,
    SetupError when making it fails.
    """
    with (cache_directory() / "images.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if name.endswith("-hot"):
            return _ensure_hot(name)
        return _ensure_bare(DISTRIBUTIONS[name])


def _ensure_bare(distribution: Distribution) -> str:
    tag = f"{REPOSITORY}:{distribution.name}"
    recipe = _digest(BARE, *(certificate.read_bytes() for certificate in _ca_certificates()))
    if _is_current(tag, recipe, OLD_SECONDS):
        return tag
    try:
        _build(tag, BARE.format(base=_base(distribution)), recipe)
    except SetupError as error:
        if not _is_current(tag, recipe):
            raise
        say(f"{tag} is older than a week and stays, because: {error}")
    return tag


def _ensure_hot(name: str) -> str:
    bare = _ensure_bare(DISTRIBUTIONS[name.removesuffix("-hot")])
    tag = f"{REPOSITORY}:{name}"
    recipe = _digest(HOT, COPY_PIP, _image_id(bare) or "")
    if not _is_current(tag, recipe):
        _build(tag, HOT.format(base=bare), recipe)
    return tag


def _build(tag: str, dockerfile: str, recipe: str) -> None:
    say(f"building the image {tag}")
    old = _image_id(tag)
    with tempfile.TemporaryDirectory(prefix="flask-apache-image-") as scratch:
        context = Path(scratch)
        (context / "Dockerfile").write_text(dockerfile)
        (context / "copy_pip.py").write_text(COPY_PIP)
        (context / "ca").mkdir()
        for certificate in _ca_certificates():
            shutil.copyfile(certificate, context / "ca" / certificate.name)
        label = f"--label={RECIPE_LABEL}={recipe}"
        run(["docker", "build", "--no-cache", "--pull=false", "--force-rm", label, f"--tag={tag}", context])
    if old:
        run(["docker", "image", "rm", old], check=False)  # fails, as it should, while something uses it


def _base(distribution: Distribution) -> str:
    """Return the tag of the distribution's own minimal image, pulled, found, or bootstrapped."""
    reason = pull(distribution.official)
    if reason is None or _image_id(distribution.official):
        return distribution.official
    if distribution.is_debian:
        say(f"{distribution.official} cannot be pulled ({reason}): bootstrapping {distribution.codename}")
        return _bootstrap(distribution)
    raise ImageUnavailableError(f"image {distribution.official} can neither be pulled nor is it present ({reason})")


def pull(official: str) -> str | None:
    """Pull an official image. Returns None, or why it cannot be had.

    A registry that does not answer is asked once a run: a machine without one must not wait for it.
    """
    known = os.environ.get(NO_REGISTRY_VARIABLE)
    if known:
        return known
    say(f"docker pull {official}")
    with tempfile.TemporaryFile("w+") as output:
        program = subprocess.Popen(
            ["docker", "pull", official], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=output
        )
        # The first line comes once the registry has answered; what follows is the download.
        unanswered = threading.Timer(PULL_ANSWER_SECONDS, program.kill)
        unfinished = threading.Timer(PULL_SECONDS, program.kill)
        unanswered.start()
        unfinished.start()
        answered = False
        for _line in program.stdout or ():
            answered = True
            unanswered.cancel()
        status = program.wait()
        unanswered.cancel()
        unfinished.cancel()
        if status == 0:
            return None
        output.seek(0)
        said = [line for line in output.read().splitlines() if line.strip()]
    # Docker chains its errors: "Error response from daemon: Get …: dial tcp: lookup …: no such host".
    reason = said[-1].rpartition(": ")[2] if said else "the registry does not answer"
    if not answered and not any(word in reason for word in ("not found", "manifest", "denied")):
        os.environ[NO_REGISTRY_VARIABLE] = reason
    return reason


def _bootstrap(distribution: Distribution) -> str:
    """Make Debian's minimal system from its packages. Returns the tag that it is imported as."""
    tag = f"{REPOSITORY}-base:{distribution.name}"
    archive = cache_directory() / f"{distribution.name}-minbase.tar"
    if not archive.exists() or time.time() - archive.stat().st_mtime > OLD_SECONDS:
        if shutil.which("mmdebstrap") is None:
            apt_install("mmdebstrap", "debian-archive-keyring")
        partial = archive.with_suffix(".partial.tar")
        make = ["mmdebstrap", "--variant=minbase", "--include=ca-certificates"]
        done = run([*make, distribution.codename, partial], check=False)
        if done.returncode != 0:
            partial.unlink(missing_ok=True)
            raise SetupError(f"Debian's packages cannot be reached: {errors(done)}")
        partial.replace(archive)
    run(["docker", "import", archive, tag])
    return tag


def _is_current(tag: str, recipe: str, seconds: float = float("inf")) -> bool:
    """Say whether an image is there, comes from this recipe, and is not older than some seconds."""
    template = f'--format={{{{index .Config.Labels "{RECIPE_LABEL}"}}}} {{{{.Created}}}}'
    done = run(["docker", "image", "inspect", template, tag], check=False)
    label, _, created = done.stdout.strip().partition(" ")
    if done.returncode != 0 or label != recipe:
        return False
    built = datetime.strptime(created[:19], "%Y-%m-%dT%H:%M:%S").replace(tzinfo=timezone.utc)
    return time.time() - built.timestamp() < seconds


def _image_id(tag: str) -> str | None:
    done = run(["docker", "image", "inspect", "--format={{.Id}}", tag], check=False)
    return done.stdout.strip() if done.returncode == 0 else None


def _ca_certificates() -> list[Path]:
    """List the certificates that test hosts must trust beside their distribution's: this machine's own."""
    return sorted(Path(os.environ.get(CA_VARIABLE, CA_DEFAULT)).glob("*.crt"))


def _digest(*parts: str | bytes) -> str:
    digest = hashlib.sha256()
    for part in parts:
        digest.update(part.encode() if isinstance(part, str) else part)
        digest.update(b"\0")
    return digest.hexdigest()


def main(names: list[str]) -> int:
    """Build the named images, or all that this machine can have."""
    unknown = [name for name in names if name not in TAGS]
    if unknown:
        print(f"unknown: {' '.join(unknown)}; known: {' '.join(TAGS)}", file=sys.stderr)
        return 2
    docker.ensure()
    for name in names or TAGS:
        try:
            print(ensure(name))
        except ImageUnavailableError as error:  # noqa: PERF203 - each image for itself
            if names:
                raise
            print(f"skipped {name}: {error}")
    return 0


if __name__ == "__main__":
    try:
        sys.exit(main(sys.argv[1:]))
    except SetupError as error:
        sys.exit(f"error: {error}")
