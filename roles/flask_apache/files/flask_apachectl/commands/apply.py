"""Prove Apache's configuration before it is installed."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from flask_apachectl.apache import proof
from flask_apachectl.errors import RefusedError

if TYPE_CHECKING:
    import argparse

    from flask_apachectl.app import App


def prove(app: App, options: argparse.Namespace) -> dict[str, Any]:
    """Try Apache's new configuration out before it is installed; used by the role."""
    changes = proof.differences(json.loads(options.wanted))
    if changes:
        proof.prove(app, options.wanted)
    return {
        "changed": bool(changes),
        "files": changes,
        "msg": f"proved {', '.join(changes)}" if changes else "no change",
    }


def shadow(_app: App, options: argparse.Namespace) -> dict[str, Any]:
    """Start Apache aside: part of prove."""
    if os.getpid() != 1:
        raise RefusedError("this is a part of prove, which runs it where it touches nothing")
    proof.shadow(json.loads(options.wanted), Path(options.copies))
    return {"msg": "it starts"}
