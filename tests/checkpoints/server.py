"""A server of this machine that stands for the addresses of published files."""

import io
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import torch


@contextmanager
def serve(content: dict) -> Iterator[str]:
    """Serve ``torch.save(content)`` at every path below the address that it gives."""
    out = io.BytesIO()
    torch.save(content, out)

    class Handler(BaseHTTPRequestHandler):
        def log_message(self, *args):
            pass

        def do_GET(self):
            self.send_response(200)
            self.send_header('Content-Length', str(len(out.getvalue())))
            self.end_headers()
            self.wfile.write(out.getvalue())

    with ThreadingHTTPServer(('127.0.0.1', 0), Handler) as server:
        server.daemon_threads = True
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f'http://127.0.0.1:{server.server_address[1]}'
        server.shutdown()
