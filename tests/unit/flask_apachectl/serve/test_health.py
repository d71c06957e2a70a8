"""The messages of failed health checks."""

from __future__ import annotations

import http.server
import threading

import pytest

from flask_apachectl.serve import health
from tests.unit.flask_apachectl.samples import shop


@pytest.mark.parametrize(
    ("kind", "said"),
    [("text/plain", " (the queue is full)"), ("application/json", " (the queue is full)"), ("text/html", "")],
)
def test_a_wrong_answer_is_quoted_unless_it_is_a_page(kind: str, said: str) -> None:
    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(503)
            self.send_header("Content-Type", kind)
            self.end_headers()
            self.wfile.write(b"the queue is\n full")

        def log_message(self, *_: object) -> None:
            """Do not answer."""

    with http.server.HTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.handle_request).start()
        more: dict[str, object] = {
            "health_host": "",
            "health_request_timeout": 5,
            "health_body": "",
            "health_status": [200],
        }
        app = shop(**more, port=server.server_port)
        answer = health.ask(app)
    assert health.explain(app, answer, "r") == f"/ answered 503{said}; expected one of [200]"
