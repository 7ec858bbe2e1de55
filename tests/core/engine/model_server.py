"""A tiny model server for tests, run as a program: it does what its arguments and callers say."""

import json
import os
import signal
import subprocess
import sys
import time
from argparse import ArgumentParser
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path


class Handler(BaseHTTPRequestHandler):
    """Health and models to read; `/crash` and `/hang` to be posted to."""

    hangs = False
    gate: Path | None
    model: str
    child: int

    def do_GET(self):
        while Handler.hangs:
            time.sleep(60)
        is_open = self.gate is None or self.gate.exists()
        match self.path:
            case "/health":
                self._answer(200 if is_open else 503, {})
            case "/v1/models":
                self._answer(200, {"object": "list", "data": [{"id": self.model}]})
            case "/facts":
                self._answer(200, {"child": self.child, "environ": dict(os.environ)})
            case _:
                self._answer(404, {})

    def do_POST(self):
        if self.path == "/crash":
            os._exit(3)
        Handler.hangs = True
        self._answer(200, {})

    def _answer(self, status, value):
        body = json.dumps(value).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        """Say nothing."""


def main():
    parser = ArgumentParser()
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--model", default="tiny")
    parser.add_argument("--gate", type=Path, help="a file without which it is not well")
    parser.add_argument("--ignore-term", action="store_true")
    parser.add_argument("--last-words", help="print them and fail")
    parser.add_argument("--chatter", type=int, default=0, help="bytes to print at the start")
    given = parser.parse_args()
    if given.last_words:
        sys.exit(given.last_words)
    if given.ignore_term:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
    sys.stdout.write("x" * given.chatter)
    sys.stdout.flush()
    Handler.gate, Handler.model = given.gate, given.model
    Handler.child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"]).pid
    ThreadingHTTPServer(("127.0.0.1", given.port), Handler).serve_forever()


if __name__ == "__main__":
    main()
