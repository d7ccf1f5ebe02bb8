"""An application's web server: it takes what a callback channel brings."""

from __future__ import annotations

import http.server
import json
import queue
import ssl
import threading


class Receiver:
    """Each request is a (method, path, headers, document) in `requests`. It is answered with the next of `answers`,
    and when there is none with 200. `None`: the connection is closed without an answer. A function is called for it."""

    def __init__(self, context: ssl.SSLContext | None = None, port: int = 0):
        self.requests: queue.Queue = queue.Queue()
        self.answers: queue.Queue = queue.Queue()
        receiver = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_PUT(self):
                receiver.take(self)

            do_POST = do_PUT

            def log_message(self, *args):
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", port), Handler)
        self.port = self.server.server_port
        if context is not None:
            self.server.socket = context.wrap_socket(self.server.socket, server_side=True)
        threading.Thread(target=self.server.serve_forever, args=(0.05,), daemon=True).start()

    def take(self, handler) -> None:
        body = handler.rfile.read(int(handler.headers["Content-Length"]))
        try:
            answer = self.answers.get_nowait()
        except queue.Empty:
            answer = 200
        self.requests.put((handler.command, handler.path, handler.headers, json.loads(body)))
        answer = answer() if callable(answer) else answer
        if answer is None:
            handler.close_connection = True
            return
        status, headers = answer if isinstance(answer, tuple) else (answer, {})
        handler.send_response(status)
        for name, value in headers.items():
            handler.send_header(name, value)
        handler.send_header("Content-Length", "0")
        handler.end_headers()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/app/hook?a=b"

    def document(self, timeout: float = 30) -> dict:
        return self.requests.get(timeout=timeout)[3]

    def message(self, kind: str, **members: object):
        """The next entry of that kind with these members; what comes before is dropped."""
        while True:
            for entry in self.document().get(kind, []):
                if isinstance(entry, str) or members.items() <= entry.items():
                    return entry

    def close(self) -> None:
        self.server.shutdown()
        self.server.server_close()
