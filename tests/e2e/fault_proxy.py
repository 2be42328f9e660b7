"""A TCP proxy between callers and a coordinator that can delay, swallow and cut what passes through it.

One thread with an event loop of its own; every method may be called from any thread.
"""

import asyncio
import threading


class FaultProxy:
    def __init__(self, target_port):
        self.target_port = target_port
        self.connections = set()
        self.delay = 0.0
        self.swallowed = set()  # directions: "requests", "answers"
        self.refuses = False
        self.cuts = 0
        self.loop = asyncio.new_event_loop()
        ready = threading.Event()
        self.thread = threading.Thread(target=self._run, args=(ready,), daemon=True)
        self.thread.start()
        ready.wait()

    @property
    def address(self):
        return f"127.0.0.1:{self.port}"

    def cut(self):
        """Every connection ends with a reset; new ones are welcome."""
        self.loop.call_soon_threadsafe(self._cut)

    def slow(self, seconds):
        """Every piece of every connection arrives so much later."""
        self.delay = seconds

    def swallow(self, *directions):
        """Bytes vanish silently: both directions are a network that is gone, "answers" alone one that lost its way back."""
        self.swallowed = set(directions)

    def refuse(self):
        """No connection stands and none can be made."""
        self.refuses = True
        self.cut()

    def heal(self):
        """As at the start. A stream that lost bytes is no stream any more, so its connection ends."""
        had_holes = bool(self.swallowed)
        self.delay, self.swallowed, self.refuses = 0.0, set(), False
        if had_holes:
            self.cut()

    def close(self):
        self.loop.call_soon_threadsafe(self._cut)
        self.loop.call_soon_threadsafe(self.loop.stop)
        self.thread.join(timeout=5)

    def _run(self, ready):
        asyncio.set_event_loop(self.loop)
        server = self.loop.run_until_complete(asyncio.start_server(self._accept, "127.0.0.1", 0))
        self.port = server.sockets[0].getsockname()[1]
        ready.set()
        self.loop.run_forever()
        server.close()

    def _cut(self):
        for writer in self.connections:
            self.cuts += 1
            writer.transport.abort()

    async def _accept(self, reader, writer):
        if self.refuses:
            writer.transport.abort()
            return
        try:
            target_reader, target_writer = await asyncio.open_connection("127.0.0.1", self.target_port)
        except OSError:  # the coordinator is down: so is this
            writer.transport.abort()
            return
        self.connections |= {writer, target_writer}
        await asyncio.gather(self._pump(reader, target_writer, "requests"), self._pump(target_reader, writer, "answers"))
        self.connections -= {writer, target_writer}

    async def _pump(self, reader, writer, direction):
        try:
            while data := await reader.read(1 << 16):
                if self.delay:
                    await asyncio.sleep(self.delay)
                if direction not in self.swallowed:
                    writer.write(data)
                    await writer.drain()
        except (OSError, asyncio.CancelledError):
            pass
        finally:
            writer.transport.abort()
