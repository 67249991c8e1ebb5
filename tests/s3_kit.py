"""A local S3 server (moto's), and a relay before it that counts bytes and can fail.

moto wants another botocore than s3fs has, so its server is a program of an environment of its own:
``moto_server`` on the path, or what ``MOTO_SERVER`` names; ``make test-clusters`` installs it.
Benchmarks have a store from here too, so pytest is imported late.
"""

import contextlib
import os
import re
import shutil
import socket
import subprocess
import threading
import time

from posepile.remote import stores

ENVIRONMENT = {
    "AWS_ACCESS_KEY_ID": "nobody",
    "AWS_SECRET_ACCESS_KEY": "nothing",
    "AWS_DEFAULT_REGION": "us-east-1",
    "AWS_CONFIG_FILE": os.devnull,
    "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
    "AWS_EC2_METADATA_DISABLED": "true",
    "AWS_RETRY_MODE": "standard",
    "AWS_MAX_ATTEMPTS": "1",  # how often we try is enough for tests
}


def moto_program():
    """The server's program; None if there is none."""
    return os.environ.get("MOTO_SERVER") or shutil.which("moto_server")


class Relay:
    """Hands connections on to a server of this machine.

    Attributes:
        port: Where it listens.
        n_bytes: From the server so far, with all that HTTP adds.
        left: Bytes after which connections break; None = never.
        users: The access keys (not the secret ones) of all requests.
    """

    def __init__(self, to):
        self.to, self.n_bytes, self.left = to, 0, None
        self.users = set()
        self._lock = threading.Lock()
        self._open = set()
        self._listening = socket.create_server(("127.0.0.1", 0))
        self.port = self._listening.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self):
        with contextlib.suppress(OSError):
            while True:
                client, _ = self._listening.accept()
                if self.left is not None and self.left <= 0:
                    client.close()
                    continue
                server = socket.create_connection(("127.0.0.1", self.to))
                self._open |= {client, server}
                for pair in ((client, server, False), (server, client, True)):
                    threading.Thread(target=self._hand_on, args=pair, daemon=True).start()

    def _hand_on(self, source, target, counted):
        with contextlib.suppress(OSError):
            while data := source.recv(1 << 16):
                if counted:
                    with self._lock:
                        self.n_bytes += len(data)
                        if self.left is not None:
                            data = data[: max(0, self.left)]
                            self.left -= len(data)
                else:
                    self.users |= {k.decode() for k in re.findall(rb"Credential=(\w+)/", data)}
                target.sendall(data)
                if self.left is not None and self.left <= 0:
                    break
        for end in (source, target):
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
            self._open.discard(end)

    def close(self):
        self._listening.close()
        for end in list(self._open):
            end.close()


class Store:
    """The server and its relay, and the environment that leads to it."""

    def __init__(self):
        with socket.create_server(("127.0.0.1", 0)) as s:
            port = s.getsockname()[1]
        self._server = subprocess.Popen(
            [moto_program(), "-H", "127.0.0.1", "-p", str(port)],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        self._wait_for(port)
        self.relay = Relay(port)
        self.environment = {
            **ENVIRONMENT,
            "AWS_ENDPOINT_URL": f"http://127.0.0.1:{self.relay.port}",
        }

    def _wait_for(self, port):
        end = time.monotonic() + 30
        while True:
            try:
                socket.create_connection(("127.0.0.1", port)).close()
                return
            except OSError:
                if time.monotonic() > end or self._server.poll() is not None:
                    raise
                time.sleep(0.05)  # until a program that was just started listens

    def close(self):
        self.relay.close()
        self._server.terminate()
        self._server.wait()


@contextlib.contextmanager
def store_in_environment():
    """A store with the bucket ``bucket``, which the environment of this process leads to."""
    import fsspec
    import pytest

    store = Store()
    with pytest.MonkeyPatch.context() as patch:
        for name, value in store.environment.items():
            patch.setenv(name, value)
        # fsspec and we keep what was connected to the store of another module's tests.
        fsspec.get_filesystem_class("s3").clear_instance_cache()
        stores._systems.clear()
        store.system = fsspec.filesystem("s3", use_listings_cache=False)
        store.system.mkdir("bucket")
        yield store
    store.close()
