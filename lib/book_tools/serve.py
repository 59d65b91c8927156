"""Show a folder of pages on localhost, to this machine only."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from book_tools.errors import InputError
from feature_learning.inference.interruption import exit_code

HOST = "127.0.0.1"
LAST_PORT = 65535


class _QuietHandler(SimpleHTTPRequestHandler):
    def log_message(self, format: str, *args: object) -> None:
        """Say nothing: a line per file would hide the address."""

    def end_headers(self) -> None:
        # A reader who builds again and reloads shall see the new book.
        self.send_header("Cache-Control", "no-cache")
        super().end_headers()


def make_server(folder: Path, port: int = 0) -> ThreadingHTTPServer:
    """A server of a folder that listens on localhost, on a free port unless one is given.

    Raises
    ------
    InputError
        If there is no such port, or if it is taken or not allowed.
    """
    if not 0 <= port <= LAST_PORT:
        raise InputError(f"port must be a whole number from 0 to {LAST_PORT}, not {port}")
    try:
        return ThreadingHTTPServer((HOST, port), partial(_QuietHandler, directory=str(folder)))
    except OSError as error:
        reason = error.strerror or error
        raise InputError(f"port {port} cannot be listened to: {reason}; choose another") from error


def address(server: ThreadingHTTPServer) -> str:
    """Where a browser finds the server."""
    return f"http://{HOST}:{server.server_address[1]}"


@contextmanager
def serving(folder: Path) -> Iterator[str]:
    """Serve a folder in the background and give its address."""
    with make_server(folder) as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        try:
            yield address(server)
        finally:
            server.shutdown()
            thread.join()


def serve_forever(folder: Path, port: int = 0) -> None:
    """Serve a folder until Ctrl-C."""
    with make_server(folder, port) as server:
        print(f"The book is at {address(server)}/ (Ctrl-C stops)", flush=True)
        try:
            server.serve_forever()
        except KeyboardInterrupt:
            if exit_code() != 128 + signal.SIGINT:
                raise
            print()  # Ctrl-C is how it is meant to end
