"""Asking a virus scanner: clamd's INSTREAM command (clamd(8))."""

import socket
import struct
from typing import IO

from watchbill.base.errors import Unavailable


def scan_stream(address: str, file: IO[bytes], *, seconds: float = 60) -> str:
    """What the scanner found, "" when nothing. ``address`` is host:port or a socket's path. Raises Unavailable."""
    try:
        with _connect(address, seconds) as scanner:
            scanner.sendall(b"zINSTREAM\0")
            for piece in iter(lambda: file.read(1 << 16), b""):
                scanner.sendall(struct.pack(">I", len(piece)) + piece)
            scanner.sendall(struct.pack(">I", 0))
            answer = b""
            while not answer.endswith(b"\0") and len(answer) < 4096:
                piece = scanner.recv(4096)
                if not piece:
                    break
                answer += piece
    except OSError as error:
        raise Unavailable(f"The virus scanner at {address} does not answer: {error}.") from None
    text = answer.rstrip(b"\0\n").decode(errors="replace")
    if text.endswith("OK"):
        return ""
    if text.endswith("FOUND"):
        return text.removeprefix("stream: ").removesuffix(" FOUND")
    raise Unavailable(f"The virus scanner answered “{text[:120]}”.")


def _connect(address: str, seconds: float) -> socket.socket:
    if address.startswith("/"):
        scanner = socket.socket(socket.AF_UNIX)
        scanner.settimeout(seconds)
        scanner.connect(address)
        return scanner
    host, _, port = address.rpartition(":")
    return socket.create_connection((host, int(port)), timeout=seconds)
