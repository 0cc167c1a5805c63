"""WebSocket: an echo server of a library that others use too, and a client's end inside HTTP/2."""

import asyncio
import struct
import threading

import websockets

from .http2 import CANCEL

BINARY = 0x82  # a whole message in one frame


class WebSocketServer:
    """An echo server by a library that others use too."""

    def __init__(self):
        self.port = None
        is_up = threading.Event()

        async def serve():
            async def echo(socket):
                async for message in socket:
                    await socket.send(message)
            self._loop, self._is_over = asyncio.get_running_loop(), asyncio.Event()
            async with websockets.serve(echo, "127.0.0.1", 0, max_size=None,
                                        subprotocols=["chat"]) as server:
                self.port = server.sockets[0].getsockname()[1]
                is_up.set()
                await self._is_over.wait()
        self._thread = threading.Thread(target=asyncio.run, args=(serve(),), daemon=True)
        self._thread.start()
        assert is_up.wait(30)

    def stop(self):
        self._loop.call_soon_threadsafe(self._is_over.set)
        self._thread.join(30)


class Socket:
    """A stream of an http2.Client that was opened by CONNECT (RFC 8441), as bytes both ways. What
    is sent keeps to the server's windows."""

    def __init__(self, client, path="/ws", headers=(), protocol="websocket"):
        self.client = client
        self.taken = 0
        self.stream = client.request(fields=[
            (":method", "CONNECT"), (":protocol", protocol), (":scheme", "http"),
            (":authority", "localhost"), (":path", path), *headers], ends=False)

    @property
    def answer(self):
        """Its head and what else came; waits for the head."""
        def is_answered():
            answer = self.client.answers.get(self.stream)
            return answer if answer and (answer.headers or answer.reset is not None) else None
        return self.client.until(is_answered)

    def send(self, data):
        sent = 0
        while sent < len(data):
            room = self.client.until(lambda: self.client.room(self.stream))
            part = data[sent:sent + min(room, 16384)]
            self.client.data(self.stream, part, ends=False)
            sent += len(part)

    def end(self):
        self.client.data(self.stream)

    def reset(self):
        self.client.reset(self.stream, CANCEL)

    def exactly(self, size):
        answer = self.answer
        self.client.until(lambda: len(answer.body) >= self.taken + size)
        self.taken += size
        return answer.body[self.taken - size:self.taken]

    def rest(self):
        answer = self.client.answer(self.stream)
        rest, self.taken = answer.body[self.taken:], len(answer.body)
        return rest

    # Messages. The mask of a client's frames is all zeros: what it covers stays as it is.

    def send_message(self, payload):
        size = len(payload)
        length = (bytes([0x80 | size]) if size < 126
                  else struct.pack(">BH", 0x80 | 126, size) if size < 65536
                  else struct.pack(">BQ", 0x80 | 127, size))
        self.send(bytes([BINARY]) + length + bytes(4) + payload)

    def message(self):
        kind, size = self.exactly(2)
        assert kind == BINARY
        if size >= 126:
            size = int.from_bytes(self.exactly(2 if size == 126 else 8), "big")
        return self.exactly(size)
