"""A server on loopback that says over TCP or TLS what a test writes, byte by byte."""

import asyncio
import ipaddress
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

from attrs import define, field, frozen
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

Talk = Callable[["Call"], Awaitable[None]]


@define(eq=False)
class Call:
    """One TCP connection, as the server has it."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter
    number: int

    async def head(self) -> bytes:
        """Return the head of the next request; IncompleteReadError when none comes."""
        return await self.reader.readuntil(b"\r\n\r\n")

    async def request(self) -> tuple[bytes, bytes]:
        """Return head and body of the next request."""
        head = await self.head()
        size = head.lower().partition(b"content-length: ")[2].partition(b"\r")[0]
        return head, await self.reader.readexactly(int(size or 0))

    async def say(self, data: bytes) -> None:
        """Send, and wait while it is not taken."""
        self.writer.write(data)
        await self.writer.drain()

    async def ended(self) -> None:
        """Wait until the client has gone."""
        try:
            while await self.reader.read(65536):
                pass
        except ConnectionError:
            return


@define(eq=False)
class Server:
    """Where it listens, and what it saw."""

    url: str
    calls: list[Call] = field(factory=list)
    open: int = 0
    _news: asyncio.Condition = field(factory=asyncio.Condition)

    async def changed(self) -> None:
        """Wake who waits for a fact."""
        async with self._news:
            self._news.notify_all()

    async def until(self, fact: Callable[[], bool]) -> None:
        """Wait until something is true of it; TimeoutError when it never is."""
        async with asyncio.timeout(20), self._news:
            await self._news.wait_for(fact)


@asynccontextmanager
async def talking(talk: Talk, *, tls: ssl.SSLContext | None = None) -> AsyncIterator[Server]:
    """Serve every connection with `talk`, and close it when that is over."""
    tasks: set[asyncio.Task[None]] = set()

    async def served(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        call = Call(reader, writer, len(server.calls))
        server.calls.append(call)
        server.open += 1
        await server.changed()
        try:
            await talk(call)
        except (OSError, EOFError):
            pass
        finally:
            writer.transport.abort() if writer.transport.is_closing() else writer.close()
            server.open -= 1
        await server.changed()

    def started(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.get_running_loop().create_task(served(reader, writer))
        tasks.add(task)
        task.add_done_callback(tasks.discard)

    listener = await asyncio.start_server(started, "127.0.0.1", 0, ssl=tls)
    port = listener.sockets[0].getsockname()[1]
    server = Server(f"{'http' if tls is None else 'https'}://127.0.0.1:{port}")
    try:
        yield server
    finally:
        listener.close()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


@frozen
class Authority:
    """A certificate authority that nobody knows, and a server's certificate of it."""

    file: Path
    """Its own certificate, PEM."""
    server: ssl.SSLContext

    @classmethod
    def founded(cls, folder: Path, *, address: str = "127.0.0.1") -> "Authority":
        """Make it in a folder; its server is the one at that address."""
        key, name = ec.generate_private_key(ec.SECP256R1()), _name("authority")
        own = _certificate(name, name, key, key, x509.BasicConstraints(True, 0))
        server_key = ec.generate_private_key(ec.SECP256R1())
        names = x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address(address))])
        signed = _certificate(name, _name("server"), server_key, key, names)
        chain, file = folder / "server.pem", folder / "authority.pem"
        file.write_bytes(own.public_bytes(serialization.Encoding.PEM))
        chain.write_bytes(
            signed.public_bytes(serialization.Encoding.PEM)
            + server_key.private_bytes(
                serialization.Encoding.PEM,
                serialization.PrivateFormat.PKCS8,
                serialization.NoEncryption(),
            )
        )
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(chain)
        context.set_alpn_protocols(["h2", "http/1.1"])
        return cls(file, context)


def _name(text: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)])


def _certificate(
    issuer: x509.Name,
    subject: x509.Name,
    key: ec.EllipticCurvePrivateKey,
    signer: ec.EllipticCurvePrivateKey,
    extension: x509.ExtensionType,
) -> x509.Certificate:
    now = datetime.now(UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(minutes=5))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(extension, critical=isinstance(extension, x509.BasicConstraints))
        .sign(signer, hashes.SHA256())
    )
