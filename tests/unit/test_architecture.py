"""The engine's imports only point to lower layers and are never lazy; no Python file or function is too long."""

from __future__ import annotations

import ast
import json
import os
import subprocess
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pytest

from tests.support.commands import ROOT
from tests.unit.programs import FILES

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

PACKAGE = "flask_apachectl"
# Lowest first. A module may import modules of its own layer and of those before it.
LAYERS = (
    ("errors", "paths", "causes", "bytecode"),
    ("host",),
    ("app", "declaration"),
    ("routing", "slots", "history", "releases", "environments", "venvs", "wheelhouses", "interpreter", "lock"),
    ("apache",),
    ("serve",),
    ("build",),
    ("diagnosis",),
    ("commands",),
    ("cli",),
    ("__main__",),
)
# They also run on the control node and as the build user, so they must not use an app or its state.
INDEPENDENT = ("build.locks", "build.fetch")
ALLOWED_THERE = ("errors", "host", *INDEPENDENT)
# Imports by a call, but not the engine: pip's copies of libraries.
IMPORTS_BY_NAME = ("build.locks.lockfile",)

MOST_LINES_OF_A_FILE = 400
MOST_LINES_OF_A_FUNCTION = 60


# --- What imports what -----------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Import:
    """An import of one module of the engine by another; names are relative to the package, '' is the package itself."""

    by: str
    line: int
    of: str
    typing_only: bool

    def __str__(self) -> str:
        """Return the import as messages show it."""
        return f"{PACKAGE}.{self.by}, line {self.line}, imports {PACKAGE}.{self.of}"


def modules_below(top: Path) -> dict[str, Path]:
    """Return the files of a package's modules by their names, which are relative to it."""
    found = {}
    for path in sorted(top.rglob("*.py")):
        parts = path.relative_to(top).with_suffix("").parts
        found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return found


MODULES = modules_below(FILES / PACKAGE)


def is_for_typing(node: ast.AST) -> bool:
    """Tell whether a statement is `if TYPE_CHECKING`."""
    return isinstance(node, ast.If) and ast.unparse(node.test) in ("TYPE_CHECKING", "typing.TYPE_CHECKING")


def imported(node: ast.AST, package: str, modules: Sequence[str]) -> Iterator[str]:
    """Yield the engine's modules that a statement imports, if it is an import. ``package`` is where it stands."""
    if isinstance(node, ast.Import):
        full = [alias.name for alias in node.names]
    elif isinstance(node, ast.ImportFrom):
        parts = f"{PACKAGE}.{package}".rstrip(".").split(".")
        base = ".".join(parts[: len(parts) - node.level + 1] + [node.module or ""] * bool(node.module))
        start = base if node.level else str(node.module)
        names = [f"{start}.{alias.name}" for alias in node.names]
        full = [name if name.removeprefix(f"{PACKAGE}.") in modules else start for name in names]
    else:
        return
    for name in dict.fromkeys(full):
        if name == PACKAGE or name.startswith(f"{PACKAGE}."):
            yield name.removeprefix(PACKAGE).removeprefix(".")


def imports_of(module: str, text: str, modules: Sequence[str], *, is_package: bool = False) -> list[Import]:
    """Return the imports of the engine anywhere in a module."""
    tree = ast.parse(text)
    typing_only = {id(node) for top in ast.walk(tree) if is_for_typing(top) for node in ast.walk(top)}
    package = module if is_package else module.rpartition(".")[0]
    return [
        Import(module, node.lineno, name, id(node) in typing_only)
        for node in ast.walk(tree)
        if isinstance(node, (ast.Import, ast.ImportFrom))
        for name in imported(node, package, modules)
    ]


IMPORTS = [
    found
    for module, path in MODULES.items()
    for found in imports_of(module, path.read_text(), list(MODULES), is_package=path.name == "__init__.py")
    if not (found.typing_only and found.of == "app")  # every function that takes an app says so
]


def layer(module: str) -> int:
    """Return the number of a module's layer: from 0, the lowest; -1 for the package itself."""
    if not module:
        return -1
    numbers = (number for number, names in enumerate(LAYERS) if module.partition(".")[0] in names)
    return next(numbers, len(LAYERS))


def is_within(module: str, packages: Sequence[str]) -> bool:
    """Tell whether a module is one of some packages, or in one of them."""
    return any(module == package or module.startswith(f"{package}.") for package in packages)


def upward(imports: Sequence[Import]) -> list[str]:
    """Return the imports of modules of a higher layer."""
    return [str(each) for each in imports if layer(each.of) > layer(each.by)]


def cycle(imports: Sequence[Import]) -> list[str]:
    """Return the modules of an import cycle, starting and ending with the same one, or nothing."""
    targets: dict[str, list[str]] = {}
    for each in imports:
        targets.setdefault(each.by, []).append(each.of)
    done: set[str] = set()

    def visit(module: str, way: list[str]) -> list[str]:
        if module in way:
            return [*way[way.index(module) :], module]
        if module not in done:
            for target in targets.get(module, []):
                found = visit(target, [*way, module])
                if found:
                    return found
            done.add(module)
        return []

    return next((found for module in sorted(targets) if (found := visit(module, []))), [])


def test_every_module_has_a_layer() -> None:
    layered = {name for names in LAYERS for name in names}
    assert {module.partition(".")[0] for module in MODULES if module} <= layered


def test_imports_point_down() -> None:
    assert upward(IMPORTS) == []


def test_no_modules_import_each_other() -> None:
    assert cycle(IMPORTS) == []


def test_what_also_runs_elsewhere_knows_nothing_of_apps() -> None:
    assert [
        str(each) for each in IMPORTS if is_within(each.by, INDEPENDENT) and not is_within(each.of, ALLOWED_THERE)
    ] == []


FOUND = """
import flask_apachectl.paths
from flask_apachectl import lock, paths
from . import pools
from .pools import stop
from ..host.files import write
if TYPE_CHECKING:
    from flask_apachectl.app import App
def late():
    from flask_apachectl.commands.deploy import deploy
"""


def test_an_import_is_found_however_it_is_written() -> None:
    modules = ["", "paths", "lock", "app", "host", "host.files", "serve", "serve.pools", "commands.deploy"]
    found = imports_of("serve.start", FOUND, modules)
    expected = ["paths", "lock", "paths", "serve.pools", "serve.pools", "host.files", "app", "commands.deploy"]
    assert [each.of for each in sorted(found, key=lambda each: each.line)] == expected
    assert [each.of for each in found if each.typing_only] == ["app"]
    assert upward(found) == ["flask_apachectl.serve.start, line 10, imports flask_apachectl.commands.deploy"]


def test_a_circle_of_imports_is_found() -> None:
    pairs = [("d", "a"), ("a", "b"), ("b", "c"), ("c", "a")]
    imports = [Import(by, 1, of, typing_only=False) for by, of in pairs]
    assert cycle(imports) == ["a", "b", "c", "a"]
    assert cycle(imports[:-1]) == []


# --- Nothing is imported late: the engine's one file may be replaced while it runs ------------------------------------


def late_imports(module: str, text: str) -> list[str]:
    """Return the imports within functions, and those that are calls."""
    functions = (
        node for node in ast.walk(ast.parse(text)) if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef))
    )
    within = {
        node.lineno
        for function in functions
        for node in ast.walk(function)
        if isinstance(node, (ast.Import, ast.ImportFrom))
    }
    calls = {
        node.lineno
        for node in ast.walk(ast.parse(text))
        if isinstance(node, ast.Call) and ast.unparse(node.func).rpartition(".")[2] in ("import_module", "__import__")
    }
    late = within if module in IMPORTS_BY_NAME else within | calls
    return [f"{PACKAGE}.{module}, line {line}" for line in sorted(late)]


@pytest.mark.parametrize("module", MODULES, ids=lambda module: module or PACKAGE)
def test_no_function_imports(module: str) -> None:
    assert late_imports(module, MODULES[module].read_text()) == []


def test_a_late_import_is_found() -> None:
    text = "import a\ndef f():\n    import b\nc = importlib.import_module('c')\n"
    assert late_imports("cli", text) == ["flask_apachectl.cli, line 3", "flask_apachectl.cli, line 4"]


def test_the_command_line_imports_all_modules() -> None:
    program = f"import json, sys, {PACKAGE}.cli; print(json.dumps(sorted(sys.modules)))"
    environment = {**os.environ, "PYTHONPATH": str(FILES), "PYTHONDONTWRITEBYTECODE": "1"}
    done = subprocess.run([sys.executable, "-c", program], env=environment, check=True, capture_output=True, text=True)
    loaded = {name.removeprefix(PACKAGE).removeprefix(".") for name in json.loads(done.stdout) if PACKAGE in name}
    assert set(MODULES) - loaded == {"__main__"}


# --- Sizes -----------------------------------------------------------------------------------------------------------


def too_long(name: str, text: str) -> list[str]:
    """Return what is too long in a Python file, with its number of lines."""
    lines = len(text.splitlines())
    found = [f"{name} has {lines} lines"] if lines > MOST_LINES_OF_A_FILE else []
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            lines = (node.end_lineno or node.lineno) - node.lineno + 1
            if lines > MOST_LINES_OF_A_FUNCTION:
                found.append(f"{name}: {node.name} has {lines} lines")
    return found


def test_files_and_functions_are_short() -> None:
    command = ["git", "-c", "safe.directory=*", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    listed = subprocess.run([*command, "*.py", "*.wsgi"], cwd=ROOT, check=True, capture_output=True, text=True).stdout
    names = sorted({name for name in listed.split("\0") if (ROOT / name).is_file()})
    assert [problem for name in names for problem in too_long(name, (ROOT / name).read_text())] == []


def test_what_is_too_long_is_found() -> None:
    function = "def f():\n" + 60 * "    pass\n"
    assert too_long("a.py", function) == ["a.py: f has 61 lines"]
    assert too_long("a.py", function.replace("    pass\n", "", 1)) == []
    assert too_long("a.py", 401 * "pass\n") == ["a.py has 401 lines"]
