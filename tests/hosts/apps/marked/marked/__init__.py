"""An app whose every answer tells which release each of its parts came from. `__MARK__` is replaced in each file."""

from __future__ import annotations

import time

from flask import Flask

from . import misbehave, views

MARK = "__MARK__"
IMPORT_SECONDS = 3.0

misbehave.while_importing()
time.sleep(IMPORT_SECONDS)
misbehave.after_importing()
app = Flask(__name__)
app.register_blueprint(views.pages)
