"""Counts what comes from a server, as it goes over the network: headers, frames and service workers included."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable
from contextlib import suppress
from urllib.parse import urlsplit

CHUNK = 65_536


class Relay:
    """Passes connections on to the server of `target`; `received` is how many bytes came back so far."""

    def __init__(self, target: str) -> None:
        address = urlsplit(target)
        self._target = ("127.0.0.1", address.port or 80)
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._counting = threading.Lock()
        self.received = 0
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}"

    def __enter__(self) -> Relay:
        _in_background(self._accept)
        return self

    def __exit__(self, *_: object) -> None:
        # Wakes the thread that accepts; the connections end with the browser's.
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                server = socket.create_connection(self._target)
                _in_background(self._pass_on, client, server, False)
                _in_background(self._pass_on, server, client, True)

    def _pass_on(self, source: socket.socket, sink: socket.socket, counts: bool) -> None:
        with suppress(OSError):
            while data := source.recv(CHUNK):
                if counts:
                    with self._counting:
                        self.received += len(data)
                sink.sendall(data)
        for end in (source, sink):
            with suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)


def _in_background(do: Callable[..., None], *args: object) -> None:
    threading.Thread(target=do, args=args, daemon=True).start()
