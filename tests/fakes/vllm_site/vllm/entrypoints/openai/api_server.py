"""
Stands in for vLLM where that is not installed: its flags, its paths, and an answer that tells.

The answer's text is the request as JSON, with the flags and device it was started with, so that a
test sees what would have reached the model. A prompt that begins with `wait` is answered when the
client has gone.
"""

import json
import os
import sys
import time
from argparse import ArgumentParser
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    model: str

    def do_GET(self):
        if self.path == "/health":
            self._answer(200, {})
        elif self._has_key():
            self._answer(200, {"object": "list", "data": [{"id": self.model}]})

    def do_POST(self):
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        if not self._has_key():
            return
        if body["model"] != self.model:
            self._answer(404, {"error": {"message": "no such model", "code": 404}})
            return
        device = os.environ.get("CUDA_VISIBLE_DEVICES")
        told = {"request": body, "flags": sys.argv[1:], "device": device, "pid": os.getpid()}
        if body.get("stream"):
            self._stream(body, json.dumps(told))
        else:
            choice = {"index": 0, "finish_reason": "stop"}
            message = {"role": "assistant", "content": json.dumps(told)}
            self._answer(200, self._object(choices=[choice | {"message": message}], usage=USAGE))

    def _stream(self, body, text):
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream")
        self.send_header("Connection", "close")
        self.end_headers()
        waits = body["messages"][0]["content"].startswith("wait")
        try:
            self._event({"content": text})
            while waits:
                self._event({"content": "."})
                time.sleep(0.01)
        except OSError:
            sys.stderr.write("the client has gone\n")
            return
        self._event({}, finish="stop")
        self.wfile.write(f"data: {json.dumps(self._object(choices=[], usage=USAGE))}\n\n".encode())
        self.wfile.write(b"data: [DONE]\n\n")

    def _event(self, delta, finish=None):
        choice = {"index": 0, "delta": delta, "finish_reason": finish}
        self.wfile.write(f"data: {json.dumps(self._object(choices=[choice]))}\n\n".encode())

    def _object(self, **fields):
        return {"id": "chatcmpl-1", "object": "chat.completion", "model": self.model, **fields}

    def _has_key(self):
        key = os.environ.get("VLLM_API_KEY")
        if key is None or self.headers["Authorization"] == f"Bearer {key}":
            return True
        self._answer(401, {"error": "Unauthorized"})
        return False

    def _answer(self, status, value):
        body = json.dumps(value).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        """Say nothing."""


class Server(ThreadingHTTPServer):
    request_queue_size = 128  # of five, the kernel forgets connections of a burst; vLLM has 2,048


USAGE = {"prompt_tokens": 3, "completion_tokens": 2, "total_tokens": 5}


def main():
    parser = ArgumentParser()
    parser.add_argument("--host", required=True)
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--model", required=True)
    parser.add_argument("--served-model-name", required=True)
    given, _ = parser.parse_known_args()
    Handler.model = given.served_model_name
    Server((given.host, given.port), Handler).serve_forever()


if __name__ == "__main__":
    main()
