"""Write the table of the role's variables into its README, from meta/argument_specs.yml and defaults/main.yml.

``python docs/variables.py`` rewrites what stands between the two markers; ``--check`` only compares, and ends with 1
when they differ. Needs PyYAML, which ansible-core brings.
"""

# ruff: noqa: INP001 - a program, and no package

from __future__ import annotations

import json
import re
import sys
from pathlib import Path
from typing import Any

import yaml

ROLE = Path(__file__).resolve().parents[1] / "roles" / "flask_apache"
README = ROLE / "README.md"
BEGIN, END = "<!-- variables: written by docs/variables.py -->", "<!-- end of variables -->"


def sections(text: str) -> dict[str, str]:
    """Return the comment above each group of defaults, by the name of the group's first variable."""
    blocks = re.findall(r"(?m)^((?:# .*\n)+)(flask_apache_\w+):", text)
    return {name: " ".join(line.lstrip("# ") for line in comment.splitlines()) for comment, name in blocks}


def markdown(text: str) -> str:
    """Return Ansible's markup as Markdown that fits into a table's cell."""
    code = re.sub(r"[CVO]\(((?:\\.|[^)\\])*)\)", lambda found: "`" + found[1].replace("\\)", ")") + "`", text)
    return code.replace("|", "\\|").strip()


def is_plain(text: str) -> bool:
    """Tell whether YAML reads an unquoted text as that text."""
    try:
        return bool(text) and yaml.safe_load(text) == text
    except yaml.YAMLError:
        return False


def show(value: object) -> str:
    """Return a default as one would write it in YAML, on one line."""
    if isinstance(value, str):
        return value if is_plain(value) else f'"{value}"'
    if isinstance(value, list):
        return f"[{', '.join(show(item) for item in value)}]"
    return json.dumps(value)


def row(name: str, spec: dict[str, Any]) -> str:
    """Return a variable's line of the table."""
    description = markdown(spec["description"])
    if "choices" in spec:
        description += f" One of {', '.join(f'`{choice}`' for choice in spec['choices'])}."
    for key, option in spec.get("options", {}).items():
        description += f" `{key}`: {markdown(option['description'])}"
    kind = f"{spec['type']} of {spec['elements']}" if "elements" in spec else spec["type"]
    return f"| `{name}` | {kind} | `{show(spec['default'])}` | {description} |"


def heading(title: str, text: str) -> list[str]:
    """Return the lines above a table's rows."""
    return [
        "",
        f"### {title}",
        "",
        *([f"{text[:1].upper()}{text[1:].rstrip('.')}.", ""] if text else []),
        "| variable | type | default | meaning |",
        "|---|---|---|---|",
    ]


def render(specs: dict[str, dict[str, Any]], defaults: str) -> str:
    """Return the tables: of the role, one for each group of defaults; then one for each other entry point."""
    lines = []
    groups = sections(defaults)
    for name, spec in specs["main"]["options"].items():
        if name in groups:
            title, _, rest = groups[name].partition(": ")
            lines += heading(title, rest)
        lines.append(row(name, spec))
    for entry_point, spec in specs.items():
        if entry_point != "main":
            lines += heading(f"`tasks_from: {entry_point}`", markdown(" ".join(spec["description"])))
            lines += [row(name, option) for name, option in spec["options"].items()]
    return "\n".join([*lines[1:], ""])


def document(readme: str, tables: str) -> str:
    """Return the README with the tables between its markers."""
    before, _, rest = readme.partition(BEGIN)
    _, marker, after = rest.partition(END)
    if not marker:
        sys.exit(f"error: {README} lacks the lines {BEGIN} and {END}")
    return f"{before}{BEGIN}\n\n{tables}\n{END}{after}"


def main(arguments: list[str]) -> int:
    """Rewrite the README, or with ``--check`` compare it."""
    specs = yaml.safe_load((ROLE / "meta/argument_specs.yml").read_text(encoding="utf-8"))["argument_specs"]
    tables = render(specs, (ROLE / "defaults/main.yml").read_text(encoding="utf-8"))
    found = README.read_text(encoding="utf-8")
    wanted = document(found, tables)
    if "--check" not in arguments:
        README.write_text(wanted, encoding="utf-8")
    elif found != wanted:
        print("roles/flask_apache/README.md is out of date: run `python docs/variables.py`", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
