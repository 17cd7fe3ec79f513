"""Receivers of messages: real HTTP servers on loopback that do what they are told."""

import contextlib
import ssl
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

CERTIFICATES = (
    Path(__file__).parent / "certificates"
)  # of localhost, and of the authority that signed it; for a century


@dataclass
class Message:
    """What a receiver got."""

    path: str
    headers: dict[str, str]
    body: bytes


Reply = Callable[[BaseHTTPRequestHandler, Message], None]


@dataclass
class Receiver:
    """A server, what it got, and what it says next: the last reply is repeated."""

    port: int
    replies: list[Reply]
    messages: list[Message] = field(default_factory=list)
    names: list[str | None] = field(default_factory=list)  # that were asked for in TLS handshakes

    @property
    def origin(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def next_reply(self) -> Reply:
        return self.replies.pop(0) if len(self.replies) > 1 else self.replies[0]


def status(code: int, **headers: str) -> Reply:
    """Answer with a status."""

    def reply(handler: BaseHTTPRequestHandler, message: Message) -> None:
        handler.send_response(code)
        for name, value in headers.items():
            handler.send_header(name.replace("_", "-"), value)
        handler.send_header("Content-Length", "0")
        handler.end_headers()

    return reply


@contextlib.contextmanager
def receiving(*replies: Reply, tls: bool = False, port: int = 0) -> Iterator[Receiver]:
    """Run a receiver on 127.0.0.1."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            message = Message(self.path, {name.lower(): value for name, value in self.headers.items()}, body)
            receiver.messages.append(message)
            with contextlib.suppress(OSError):  # the sender may have hung up
                receiver.next_reply()(self, message)

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002  (the library's name)
            pass

    class Server(ThreadingHTTPServer):
        daemon_threads = True
        block_on_close = False

        def handle_error(self, request: object, client_address: object) -> None:
            pass  # a handshake that the sender broke off

    with Server(("127.0.0.1", port), Handler) as server:
        receiver = Receiver(server.server_address[1], list(replies))
        if tls:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(CERTIFICATES / "receiver.pem")
            context.sni_callback = lambda _, name, __: receiver.names.append(name)
            server.socket = context.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        try:
            yield receiver
        finally:
            server.shutdown()
            thread.join()
