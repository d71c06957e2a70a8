"""A hook: note in the app's data that it ran, on which release and beside which live one; fail if that is wanted."""

from __future__ import annotations

import json
import os
import sys
import time
import urllib.request
from pathlib import Path

data, name = Path(os.environ["FLASK_APACHE_DATA"]), sys.argv[1]
try:
    request = urllib.request.Request("http://127.0.0.1/", headers={"Host": "plain.example.com"})
    with urllib.request.urlopen(request, timeout=5) as answer:  # noqa: S310 - no file
        live = json.load(answer)["environment"]["FLASK_APACHE_RELEASE"]
except OSError:
    live = "nothing"
mine = os.environ["FLASK_APACHE_RELEASE"]
with (data / "hooks").open("a") as file:
    file.write(f"{name} {mine} beside {live} as {os.getuid()} in {Path.cwd()}\n")
(data / f"environment-{name}").write_text(json.dumps(dict(os.environ)))
print(f"{name} says hello", flush=True)
if (data / f"fail-{name}").exists():
    sys.exit(f"{name} found no table")
if (data / f"hang-{name}").exists():
    time.sleep(600)
