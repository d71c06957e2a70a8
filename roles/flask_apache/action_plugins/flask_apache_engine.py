"""The role's steps, on the control node: each computes a request, and sends it to the host's engine by one call."""

from __future__ import annotations

import base64
import errno
import functools
import json
import os
import re
import secrets
import sys
import zlib
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml
from ansible.errors import AnsibleError, AnsibleFileNotFound
from ansible.plugins.action import ActionBase
from ansible.plugins.filter.core import comment
from jinja2 import Environment, FileSystemLoader, StrictUndefined

if TYPE_CHECKING:
    from collections.abc import Callable

    from controller.files import Template

MANAGED = "Ansible managed"
EMBEDDED_BYTES = 4 * 2**20  # of an archive that is sent with its request; a larger one is copied before


LINE = 78  # columns that a line of progress overwrites of what the terminal shows

Arguments = dict[str, Any]
Answer = dict[str, Any]


class ActionModule(ActionBase):  # type: ignore[misc] # Ansible has no types
    """Run one step: the option ``step`` names a method of this class; ``plan`` is what the step ``plan`` returned."""

    TRANSFERS_FILES = False  # a directory for each step would be two calls more; `_copy` makes one when it needs it
    _supports_check_mode = True
    _supports_diff = True

    def run(self, tmp: str | None = None, task_vars: Arguments | None = None) -> Answer:
        """Run the step and return its result."""
        result = super().run(tmp, task_vars)
        self.task_vars = task_vars or {}
        self.role = Path(self.task_vars["role_path"])
        self._import_from_role()
        step = getattr(self, f"step_{self._task.args['step']}")
        answer = step(**{name: plain(value) for name, value in self._task.args.items() if name != "step"})
        answer.pop("invocation", None)
        if not self._task.diff:
            answer.pop("diff", None)
        app = self._templar.template(self.task_vars.get("flask_apache_app", "app"))
        return {**result, "app": str(app), **answer}

    # --- The steps of a deploy, in its order

    def step_plan(self) -> Answer:
        """Look at the host, check every variable, and keep what the other steps need of both."""
        from controller import plan, requests
        from flask_apachectl import paths

        variables, constants = self.variables(), self.constants()
        question = requests.question(variables, constants)
        host = self.engine(["inspect"], question)
        if host.get("failed"):
            return host
        specs = yaml.safe_load((self.role / "meta/argument_specs.yml").read_text(encoding="utf-8"))
        known = [name for each in specs["argument_specs"].values() for name in each["options"]]
        distributions = constants["__flask_apache_distributions"]
        host["tls"] = host["tls"] or self._certificate()
        if errors := plan.check(variables, known, host, distributions, specs):
            return {"failed": True, "msg": "\n".join(errors)}
        warnings = list(plan.warnings(variables, host))
        app = variables["flask_apache_app"]
        if not host["reserved"] and not self._task.check_mode:
            host = self.engine(["--app", app, "reserve"], question)
            if host.get("failed"):
                return host
        left_out = ("progress", "seconds", "changed", "msg", "tls")
        kept = {name: value for name, value in host.items() if name not in left_out}
        kept["salt"] = kept["salt"] or secrets.token_hex(8)
        names = {"build_user": paths.build_user(app)}
        msg = f"{host['msg']}; live: {host['live'] or 'nothing yet'}"
        return {"changed": False, "host": kept, **names, "msg": msg, "warnings": warnings}

    def step_fetch(self, plan: Answer) -> Answer:
        """Get the source on the control node, and pack what the host does not have."""
        from controller import source
        from flask_apachectl.build import fetch

        variables = self.variables()
        if source.clones_on_host(variables):
            return {"changed": False, "msg": "the host fetches the source itself", "id": None}
        try:
            answer = fetch.get(fetch.Wanted.from_json(self._wanted(variables, plan["host"])))
            wheels = self._pack_wheels(variables, plan["host"])
        except fetch.SourceError as error:
            return {"failed": True, "msg": str(error)}
        return {"changed": False, "msg": f"the source is {answer['id']}", **answer, **wheels}

    def step_await_packages(self, plan: Answer) -> Answer:
        """Wait until no other program uses apt on the host.

        In check mode, it tells what is missing where Ansible's module ``apt`` would have to install something first.
        """
        host = plan["host"]
        if self._task.check_mode and not host["python_apt"]:
            return {"changed": True, "msg": f"would be installed: python3-apt, {', '.join(host['packages_missing'])}"}
        return self.engine(["await-packages"], {})

    def step_fetch_on_host(self, plan: Answer) -> Answer:
        """Get the source on the host, as the user of the app's builds."""
        variables = self.variables()
        host = plan["host"]
        if self._task.check_mode and (host["packages_missing"] or not host["build_user"]):
            missing = "git" if host["packages_missing"] else "the build user"
            return {"changed": True, "msg": f"{missing} would be installed first", "id": "unknown", "archive": None}
        request = self.declaration(plan, {})
        asked = {
            "app": request["app"],
            "lock_wait": request["site"]["lock_wait"],
            "directories": request["directories"],
        }
        return self.engine(["fetch"], {"wanted": self._wanted(variables, host), **asked})

    def step_prepare(self, plan: Answer, source: Answer) -> Answer:
        """Ship the source, and make it a release, unless the host serves just that."""
        from controller import requests

        request = self.declaration(plan, source)
        app, source_id = request["app"], source["id"]
        ids = requests.release_ids(request, source_id)
        if requests.is_live(request, plan["host"], source_id):
            release = plan["host"]["live"]
            return {"changed": False, "release": release, "msg": f"{release} is live already"}
        if self._task.check_mode:
            live = plan["host"]["live"] if plan["host"]["live"] in ids else None
            release = live or (ids[0] if source_id != "unknown" else f"{source_id}-?")
            return {
                "changed": not live,
                "release": release,
                "msg": f"{release} {'is live' if live else 'would be made'}",
            }
        request["archives"] = self._ship(source, request)
        return self.engine(["--app", app, "prepare", source_id, "--request"], request)

    def step_apply(self, plan: Answer, source: Answer) -> Answer:
        """Make the host have what is declared, unless it has just that."""
        request = self.declaration(plan, source)
        host = plan["host"]
        if host["digest"] == request["digest"] and not host["drift"]:
            return {"changed": False, "msg": f"{request['app']}: nothing to change"}
        command = ["--app", request["app"], "apply"]
        return self.engine([*command, *(["--plan"] if self._task.check_mode else [])], request)

    def step_before_start(self, plan: Answer, source: Answer, release: str) -> Answer:
        """Run the hooks that come before a release's start, if there are any."""
        request = self.declaration(plan, source)
        if not any(hook["at"] == "before_start" for hook in request["spec"]["hooks"]):
            return {"changed": False, "msg": "there are no such hooks"}
        return self._of_release("before-start", request, plan, release)

    def step_activate(self, plan: Answer, source: Answer, release: str) -> Answer:
        """Start the release, probe it, and switch."""
        request = self.declaration(plan, source)
        canary = self.variables()["flask_apache_canary"]
        return self._of_release("activate", request, plan, release, *(["--canary", str(canary)] if int(canary) else []))

    def step_await_certificate(self, plan: Answer) -> Answer:
        """Wait for the first certificate of an authority, unless the host has it."""
        from controller import declaration
        from controller.values import Values

        values = Values(self.variables())
        derived = declaration.derive(values.variables, plan["host"], self.constants())
        if plan["host"]["certified"] == derived.tls.https_flag:
            return {"changed": False, "msg": "the certificate is there"}
        if self._task.check_mode:
            return {"changed": True, "msg": f"a certificate from {values.text('acme_directory')} would be awaited"}
        answer = self.engine(["--app", values.text("app"), "await-certificate", str(values.number("acme_wait"))], {})
        return {**answer, "warnings": [answer["msg"]]} if answer.get("pending") else answer

    # --- Other steps

    def step_rollback(self) -> Answer:
        """Let a release that was live before serve again."""
        from controller.values import Values

        values = Values(self.variables())
        words = [values.text("rollback_to")] if values.text("rollback_to") else []
        words += ["--force"] if values.flag("rollback_force") else []
        words += ["--plan"] if self._task.check_mode else []
        return self.engine(["--app", values.text("app"), "rollback", *words], {})

    def step_remove(self) -> Answer:
        """Remove the app from the host."""
        from controller.values import Values

        values = Values(self.variables())
        app = values.text("app")
        if not re.fullmatch(r"(?!(tools|vhosts)$)[a-z][a-z0-9-]{0,31}", app):
            must = "must be a lower-case letter, then up to 31 letters, digits or hyphens"
            return {"failed": True, "msg": f"flask_apache_app {must}, got {app!r}; set the name of an app of this host"}
        request = {"user": values.text("user"), "data": values.flag("remove_data")}
        return self.engine(["--app", app, "remove", *(["--plan"] if self._task.check_mode else [])], request)

    # --- What they use

    def _of_release(self, command: str, request: Arguments, plan: Answer, release: str, *more: str) -> Answer:
        if self._task.check_mode and not plan["host"]["digest"]:
            return {"changed": True, "msg": f"{release} would be the first release of {request['app']}"}
        is_first = self.task_vars["inventory_hostname"] == self.task_vars["ansible_play_hosts"][0]
        words = [*more, *([] if is_first else ["--skip-once"])]
        words += ["--plan"] if self._task.check_mode else ["--declaration", request["digest"]]
        return self.engine(["--app", request["app"], command, release, *words], {})

    def engine(self, command: list[str], request: Arguments) -> Answer:
        """Run the engine on the host, and return its answer. Steps that take long are shown meanwhile."""
        from controller import artefact

        packed = {"engine": artefact.build(self.role / "files"), "request": json.dumps(request).encode()}
        arguments = {name: base64.b64encode(zlib.compress(each)).decode() for name, each in packed.items()}
        answer, shown = {"running": ""}, 0
        while "running" in answer:
            answer = self._execute_module(
                module_name="flask_apache_engine",
                module_args={"command": command, "running": answer["running"], **arguments},
                task_vars=self.task_vars,
            )
            if shown or "running" in answer:
                for line in answer.get("progress", [])[shown:]:
                    self._display.display(f"  {self.task_vars['inventory_hostname']}: {line}".ljust(LINE))
                shown = len(answer.get("progress", []))
        return answer

    def declaration(self, plan: Answer, source: Answer) -> Arguments:
        """Return all that the app is to have: the request of several steps."""
        from controller import artefact, requests

        files = self.role / "files"
        host = {**plan["host"], "wheelhouse": source.get("wheelhouse", "")}
        return requests.declaration_of(
            self.variables(),
            host,
            self.constants(),
            self.render(plan),
            engine=artefact.build(files),
            entry=(files / "entry.wsgi").read_text(encoding="utf-8"),
            completion=(files / "flask-apachectl.bash").read_text(encoding="utf-8"),
            pages=self._pages(),
            certificate=self._certificate(),
        )

    def render(self, plan: Answer) -> Callable[[Template], str]:
        """Return what renders a template, as Ansible's module ``template`` does."""
        from controller import declaration

        derived = declaration.derive(self.variables(), plan["host"], self.constants())
        managed = self._templar.template(self.task_vars.get("ansible_managed"))
        return renderer(self.role / "templates", derived.as_app(), managed or MANAGED)

    def variables(self) -> Arguments:
        """Return every variable ``flask_apache_*``, as plain data."""
        names = [name for name in self.task_vars if name.startswith("flask_apache_")]
        return {name: plain(self._templar.template(self.task_vars[name])) for name in names}

    def constants(self) -> Arguments:
        """Return the constants of vars/main.yml."""
        names = [name for name in self.task_vars if name.startswith("__flask_apache_")]
        wanted = ("distributions", "packages", "daemon_since", "compressible")
        names = [name for name in names if name.removeprefix("__flask_apache_") in wanted]
        return {name: plain(self._templar.template(self.task_vars[name])) for name in names}

    def _import_from_role(self) -> None:
        """Let this process, which ends with the task, import the role's own Python; byte code goes to the cache."""
        sys.pycache_prefix = str(self._cache().parent / "bytecode")
        sys.path.insert(0, str(self.role / "files"))

    def _cache(self) -> Path:
        """Return the directory of the control node for what is shipped of the app."""
        top = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
        return top / "flask_apache" / str(self._templar.template(self.task_vars.get("flask_apache_app", "app")))

    def _pages(self) -> dict[str, str]:
        """Return the user's own error pages by their status."""
        pages = self.variables()["flask_apache_error_pages"]
        try:
            return {str(status): Path(path).read_text(encoding="utf-8") for status, path in pages.items()}
        except (OSError, ValueError) as error:
            raise AnsibleError(f"flask_apache_error_pages must be readable on the control node: {error}") from None

    def _certificate(self) -> Answer:
        """Return the certificate, its chain and its key, as far as they are on the control node."""
        from controller import tls

        return tls.material(self.variables(), self._read)

    def _read(self, path: str) -> str:
        """Return the text of a file on the control node, which may be encrypted with Ansible Vault."""
        try:
            return Path(self._loader.get_real_file(str(Path(path).expanduser()))).read_text(encoding="utf-8")
        except AnsibleFileNotFound:
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT)) from None
        except AnsibleError as error:
            raise ValueError("it cannot be decrypted") from error

    def _wanted(self, variables: Arguments, host: Answer) -> Arguments:
        """Return what fetching reads."""
        from controller import source

        key = variables["flask_apache_git_key"]
        if source.needs_key_file(variables):
            try:
                key = self._read(key)
            except (OSError, ValueError) as error:  # whose text may be the key
                reason = getattr(error, "strerror", None) or type(error).__name__
                raise AnsibleError(f"flask_apache_git_key must be readable on the control node: {reason}") from None
        cache, plan = str(self._cache()), bool(self._task.check_mode)
        return source.fetch_request(variables, git_key=key, have=host["sources"], plan=plan, cache=cache)

    def _pack_wheels(self, variables: Arguments, host: Answer) -> Answer:
        """Return the id of the packed wheelhouse, and its archive if the host does not have it."""
        from flask_apachectl.build.fetch import pack

        directory = variables["flask_apache_wheelhouse"]
        if not directory:
            return {"wheelhouse": "", "wheels": None}
        found = pack.pack(Path(directory), self._cache() / "wheelhouse")
        return {"wheelhouse": found["id"], "wheels": None if found["id"] in host["wheelhouses"] else found["archive"]}

    def _ship(self, source: Answer, request: Arguments) -> Arguments:
        """Return what is shipped, as ``{path on the host: where it is}``: with the request, or copied before."""
        home = f"/srv/flask-apache/{request['app']}"
        shipped = {}
        for path, archive in (
            (f"{home}/incoming/{source['id']}.tar.gz", source.get("archive")),
            (f"{home}/wheelhouses/{source.get('wheelhouse')}.tar.gz", source.get("wheels")),
        ):
            if not archive or str(archive).startswith(home):
                continue
            if Path(archive).stat().st_size <= EMBEDDED_BYTES:
                shipped[path] = {"content": base64.b64encode(Path(archive).read_bytes()).decode()}
            else:
                shipped[path] = {"file": self._copy(archive)}
        return shipped

    def _copy(self, archive: str) -> str:
        """Copy a file to the host's temporary directory, and return its path there."""
        self._make_tmp_path()
        there = self._connection._shell.join_path(self._connection._shell.tmpdir, Path(archive).name)
        self._transfer_file(archive, there)
        return str(there)


@functools.cache
def templates_of(directory: Path) -> Environment:
    """Return the templates of a directory, which are compiled once."""
    environment = Environment(
        loader=FileSystemLoader(directory),
        trim_blocks=True,
        undefined=StrictUndefined,
        autoescape=False,  # noqa: S701 - these are configuration files
    )
    environment.filters["comment"] = comment
    return environment


def renderer(templates: Path, app: Arguments, managed: str) -> Callable[[Template], str]:
    """Return what renders a template of a directory for an app, as Ansible's module ``template`` does."""
    variables = {"app": app, "ansible_managed": managed}

    def render(template: Template) -> str:
        text = templates_of(templates).get_template(template.template).render(**variables, **template.variables)
        return text if text.endswith("\n") else f"{text}\n"

    return render


def plain(value: Any) -> Any:  # noqa: ANN401 - a variable has any type
    """Return a value without Ansible's own types: secrets of a vault as their text."""
    if value is None or isinstance(value, (bool, int, float)):
        return value
    if isinstance(value, dict) or hasattr(value, "items"):
        return {plain(name): plain(each) for name, each in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(each) for each in value]
    return str.__str__(value) if isinstance(value, str) else str(value)
