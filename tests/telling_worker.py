"""Loaded into Dask workers by --preload: tells by a pipe when a worker begins and ends a task."""

import os

from distributed.diagnostics.plugin import WorkerPlugin


class Tells(WorkerPlugin):
    """Writes lines like ``0 executing`` into the pipe that the variable ``TELL`` names."""

    def setup(self, worker):
        """Opens the pipe."""
        self.pipe = os.open(os.environ["TELL"], os.O_WRONLY)

    def transition(self, key, start, finish, **more):
        """Tells of a task; runs before the worker goes on."""
        if str(key).startswith("posepile"):
            os.write(self.pipe, f"{os.environ['WORKER']} {finish}\n".encode())


async def dask_setup(worker):
    """Called by Dask when the worker begins."""
    await worker.plugin_add(Tells(), name="tells")
