"""Connections that end when a server sends too slowly, or more than an answer can be.

A limit for each wait, as sockets have it, does not end an answer that comes byte by byte, nor one
whose head has no end. Here every byte is counted as it arrives, whatever it belongs to.
"""

from __future__ import annotations

import http.client
import io
import time

import urllib3

HEAD_BYTES = 128 << 10
HEAD_SECONDS = 120.0
SLOWEST = 1024  # bytes per second, looked at once a minute
WINDOW_SECONDS = 60.0
# A body of unknown length comes in chunks, each in a frame of 5 bytes or more: its length in
# hexadecimal and two ends of lines. With the frames it may be three times as long as without, as
# it is for chunks of 3 bytes (3 + 5 <= 3 * 3); nobody sends a file in smaller ones.
_MOST_FRAMED = 3
_ROOM = 1 << 20  # for the last chunk, for what follows it, and for what is read ahead

clock = time.monotonic


class TooMuch(http.client.HTTPException):
    """More came than an answer can be."""


class TooSlow(http.client.HTTPException):
    """So little came that the end is not in sight."""


def watch(pools: urllib3.PoolManager, limit: int) -> urllib3.PoolManager:
    """Makes the connections of a pool watched ones; returns it.

    Args:
        pools: What makes connections.
        limit: Most bytes of a body whose length is not declared.
    """

    class Response(_Response):
        most = _MOST_FRAMED * limit + _ROOM

    def watched(kind: type) -> type:
        connection = type("Connection", (kind.ConnectionCls,), {"response_class": Response})
        return type("Pool", (kind,), {"ConnectionCls": connection})

    kinds = {"http": urllib3.HTTPConnectionPool, "https": urllib3.HTTPSConnectionPool}
    pools.pool_classes_by_scheme = {scheme: watched(kind) for scheme, kind in kinds.items()}
    return pools


class _Response(http.client.HTTPResponse):
    """An answer whose bytes are counted.

    Attributes:
        most: Bytes of a body of unknown length, with what frames it.
    """

    most = 0

    def __init__(self, sock, *args, **kwargs):
        super().__init__(sock, *args, **kwargs)
        self._arriving = _Arriving(self.fp.detach())
        self.fp = io.BufferedReader(self._arriving)

    def begin(self) -> None:
        """Reads the head, of this answer and of all that only announce it."""
        super().begin()
        # Of a body of known length http.client takes no more than that.
        self._arriving.head_is_over(self.most if self.length is None else self.length + _ROOM)


class _Arriving(io.RawIOBase):
    """What arrives on a socket. The time in which we wait for it counts, no other."""

    def __init__(self, raw: io.RawIOBase):
        self._raw = raw
        self._in_head = True
        self._room = HEAD_BYTES
        self._waited, self._came = 0.0, 0

    def head_is_over(self, room: int) -> None:
        """What comes from now on is the body, of so many bytes."""
        self._in_head, self._room = False, room
        self._waited, self._came = 0.0, 0

    def readinto(self, buffer) -> int | None:
        """As of any file."""
        before = clock()
        n = self._raw.readinto(buffer)
        self._waited += clock() - before
        self._came += n or 0
        self._room -= n or 0
        if self._room < 0 and n:
            what = f"its head has more than {HEAD_BYTES} bytes" if self._in_head else "has no end"
            raise TooMuch(what)
        if self._in_head:
            if self._waited > HEAD_SECONDS:
                raise TooSlow(f"no whole answer after {self._waited:.0f} s")
        elif self._waited >= WINDOW_SECONDS:
            if n and self._came < SLOWEST * self._waited:
                raise TooSlow(
                    f"sends {self._came} bytes in {self._waited:.0f} s, at least {SLOWEST} a "
                    "second are expected"
                )
            self._waited, self._came = 0.0, 0
        return n

    def readable(self) -> bool:
        """As of any file."""
        return True

    def fileno(self) -> int:
        """As of any file."""
        return self._raw.fileno()

    def close(self) -> None:
        """As of any file."""
        self._raw.close()
        super().close()
