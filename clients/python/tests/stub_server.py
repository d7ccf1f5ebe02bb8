"""An HTTP server that plays Berth: it answers what the test says, and keeps what it was asked."""

import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class StubServer:
    def __init__(self):
        self.asked = []  # (method, path with query, body in JSON or bytes, headers)
        self.answers = {}
        stub = self

        class Handler(BaseHTTPRequestHandler):
            def handle_any(self):
                length = int(self.headers.get("Content-Length") or 0)
                body = self.rfile.read(length)
                if self.headers.get("Content-Type") == "application/json":
                    body = json.loads(body)
                stub.asked.append((self.command, self.path, body, dict(self.headers)))
                status, answer, headers = stub.answers[(self.command, self.path.partition("?")[0])]
                answer = answer(self.path) if callable(answer) else answer
                data = (
                    answer if isinstance(answer, bytes) else json.dumps(answer).encode() if answer is not None else b""
                )
                self.send_response(status)
                for name, value in headers.items():
                    self.send_header(name, value)
                if status != 204:
                    self.send_header("Content-Length", str(len(data)))
                self.end_headers()
                self.wfile.write(data)

            do_GET = do_PUT = do_POST = do_PATCH = do_DELETE = handle_any

            def log_message(self, *_):
                pass

        self.http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.http.server_port}"
        self.answer("GET", "/v1/events/last", {"last": 0, "oldest": 1})

    def answer(self, method, path, answer=None, status=200, **headers):
        """From now on this is answered to that: a document, bytes, or what a function makes of the path with its
        query."""
        self.answers[(method, path)] = (status, answer, headers)

    def problem(self, method, path, status, kind, **members):
        document = {
            "type": f"https://berth.dev/problems/{kind}",
            "title": "No",
            "status": status,
            "detail": "so",
            **members,
        }
        self.answer(method, path, document, status)

    def last(self):
        """(method, path, body) of what was asked last."""
        return self.asked[-1][:3]

    def __enter__(self):
        threading.Thread(target=self.http.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
        return self

    def __exit__(self, *_):
        self.http.shutdown()
        self.http.server_close()
