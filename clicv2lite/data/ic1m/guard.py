"""How IC1M's photos are fetched: only http and https, only public addresses, no more bytes and seconds than allowed.

A table of addresses, and every server that redirects, is somebody else's word: it may name a file of this machine, a service
of its network, or an answer that never ends. img2dataset would follow it, so `engine` starts this file in img2dataset's
environment, and it puts `fetch` in the place of img2dataset's own download, in every process and on every machine. So it
uses the standard library alone, and nothing of this package.
"""

import contextlib
import functools
import http.client
import importlib
import io
import ipaddress
import json
import os
import signal
import socket
import ssl
import string
import sys
import threading
import time
import urllib.parse
from collections.abc import Callable
from dataclasses import dataclass
from email.message import Message
from typing import Any

PORTS, REDIRECTS, LONGEST_URL = (80, 443), 5, 8192
KINDS = ("image/", "application/octet-stream", "binary/octet-stream")
NAT64 = ipaddress.ip_network("64:ff9b::/96")  # an IPv4 address in the last 32 bits
AGENT = "Mozilla/5.0 (X11; Ubuntu; Linux x86_64; rv:72.0) Gecko/20100101 Firefox/72.0"  # img2dataset's


class NotAllowed(ValueError):
    """An address or an answer that is refused; another try would change nothing."""


@dataclass(frozen=True)
class Limits:
    """What a photo may cost."""

    timeout: float = 20  # seconds to wait at a time: for a connection, an answer, the next bytes
    seconds: float = 60  # from the first connection to the last byte, redirects included
    size: int = 32_000_000  # bytes
    private: bool = False  # also this machine, its network, and any port


class Watch:
    """Ends a connection when its time is over, whatever it waits for: a handshake, a header, the next byte."""

    def __init__(self, limits: Limits) -> None:
        self.over, self.timeout = False, min(limits.timeout, limits.seconds)
        self._sock: socket.socket | None = None
        self._timer = threading.Timer(limits.seconds, self._stop)
        self._timer.daemon = True
        self._timer.start()

    def close(self) -> None:
        """The download is over in time."""
        self._timer.cancel()

    def over_to(self, sock: socket.socket) -> None:
        """Watch this socket from now on, instead of the one before."""
        sock.settimeout(self.timeout)
        self._sock = sock
        if self.over:  # meanwhile
            raise TimeoutError

    def _stop(self) -> None:
        self.over = True
        if self._sock is not None:
            with contextlib.suppress(OSError):  # closed, or not yet connected
                socket.socket.shutdown(self._sock, socket.SHUT_RDWR)  # not TLS's own, which is for one thread


def take_apart(url: str, private: bool = False) -> tuple[str, str, int, str]:
    """The parts of an address: http or https, the host in ASCII, the port, the path with its query, quoted.

    Raises:
        NotAllowed: if it is not one of http or https, names a user or an odd port, or is malformed.
    """
    if len(url) > LONGEST_URL or any(letter <= " " or letter == "\x7f" for letter in url):
        raise NotAllowed("an address that is very long, or has blanks or control characters")
    try:
        parts = urllib.parse.urlsplit(url)
        host, port = (parts.hostname or "").encode("idna").decode(), parts.port
    except ValueError:  # UnicodeError is one
        raise NotAllowed("a malformed address") from None
    if parts.scheme not in ("http", "https") or not host:
        raise NotAllowed(f"only http and https are fetched, not {parts.scheme or 'a path'}")
    if "@" in parts.netloc:
        raise NotAllowed("a user name in the address")
    port = port or (443 if parts.scheme == "https" else 80)
    if port not in PORTS and not private:
        raise NotAllowed(f"port {port}")
    path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    return parts.scheme, host, port, urllib.parse.quote(path, safe="/%?=&~#+!$,;:'@()*[]")


def is_public(address: str) -> bool:
    """Whether an IP address is one of the public internet."""
    ip = ipaddress.ip_address(address.partition("%")[0])
    if isinstance(ip, ipaddress.IPv6Address):
        if ip in NAT64:
            ip = ipaddress.IPv4Address(int(ip) & 0xFFFFFFFF)
        elif ip.ipv4_mapped:
            ip = ip.ipv4_mapped
        elif ip.sixtofour or ip.teredo or ip.is_site_local:  # tunnels carry an address of their own
            return False
    return ip.is_global and not (ip.is_multicast or ip.is_reserved)


def fetch(url: str, limits: Limits, agent: str, tls: ssl.SSLContext, look: Callable[[Message], None] = lambda _: None) -> bytes:
    """The bytes at an address.

    `look` is shown the headers before the body is read; what it raises ends the download.

    Raises:
        NotAllowed: for an address or an answer beyond the limits, and for a status other than 200 ("HTTP Error 404 ...").
        OSError, http.client.HTTPException: if nothing whole arrives; TimeoutError if the time is over.
    """
    with contextlib.closing(Watch(limits)) as watch:
        try:
            for _ in range(REDIRECTS + 1):
                scheme, host, port, path = take_apart(url, limits.private)
                connection = _connect(scheme, host, port, limits.private, tls, watch)
                try:
                    connection.request("GET", path, headers={"User-Agent": agent})  # and no encoding but identity
                    answer = connection.getresponse()
                    where = answer.headers["Location"]
                    if where is None or answer.status not in (301, 302, 303, 307, 308):
                        data = _body(answer, limits, look)
                        if watch.over:  # what looks like the end was our own doing
                            raise TimeoutError
                        return data
                finally:
                    connection.close()
                quoted = urllib.parse.quote(where.strip(), encoding="iso-8859-1", safe=string.punctuation)  # its bytes
                url = urllib.parse.urljoin(url, quoted)
            raise NotAllowed(f"more than {REDIRECTS} redirects")
        except (OSError, ValueError, http.client.HTTPException):
            if watch.over:
                raise TimeoutError(f"timed out: not whole after {limits.seconds:g} s") from None
            raise


def _connect(scheme: str, host: str, port: int, private: bool, tls: ssl.SSLContext, watch: Watch) -> http.client.HTTPConnection:
    """A connection to an address that was checked."""
    found = [str(address[0]) for *_, address in socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)]
    for address in found:
        if not private and not is_public(address):
            raise NotAllowed(f"{host} is {address}, not a public address")
    sock = _dial(found, port, watch)
    try:
        watch.over_to(sock)
        if scheme == "https":
            sock = tls.wrap_socket(sock, server_hostname=host, do_handshake_on_connect=False)
            watch.over_to(sock)
            sock.do_handshake()
    except BaseException:
        sock.close()
        raise
    connection = (http.client.HTTPSConnection if scheme == "https" else http.client.HTTPConnection)(host, port)
    connection.sock = sock  # so it opens none itself: the name might lead elsewhere by now
    return connection


def _dial(found: list[str], port: int, watch: Watch) -> socket.socket:
    for k, address in enumerate(found):
        try:
            return socket.create_connection((address, port), watch.timeout)
        except OSError:
            if watch.over or k + 1 == len(found):
                raise
    raise OSError("no address")


def _body(answer: http.client.HTTPResponse, limits: Limits, look: Callable[[Message], None]) -> bytes:
    if answer.status != 200:
        raise NotAllowed(f"HTTP Error {answer.status}: {answer.reason}")
    look(answer.headers)
    kind = answer.headers.get("Content-Type", "").strip().lower()
    if kind and not kind.startswith(KINDS):
        raise NotAllowed(f"the server calls it {kind[:40]}, not an image")
    if answer.headers.get("Content-Encoding", "identity").strip().lower() != "identity":
        raise NotAllowed("compressed for the way, which was not asked for")
    said, pieces, size = answer.length, [], 0
    while max(size, said or 0) <= limits.size and (piece := answer.read(65_536)):
        pieces.append(piece)
        size += len(piece)
    if max(size, said or 0) > limits.size:
        raise NotAllowed(f"more than {limits.size:,} bytes")
    if said is not None and size < said:
        raise http.client.IncompleteRead(b"".join(pieces), said - size)
    return b"".join(pieces)


class Guarded:
    """img2dataset's `Downloader`, with our download in the place of its own. Every process gets it by pickle."""

    def __init__(self, limits: dict[str, Any], *args: Any, **options: Any) -> None:
        self.limits = limits
        self.downloader = importlib.import_module("img2dataset.downloader").Downloader(*args, **options)

    def __call__(self, row: Any) -> Any:
        """Download a shard."""
        downloader: Any = importlib.import_module("img2dataset.downloader")
        limits, tls = Limits(**self.limits), ssl.create_default_context()

        def download_image(row: Any, timeout: float, token: str, directives: Any) -> tuple[int, io.BytesIO | None, str | None]:
            def look(headers: Message) -> None:
                if directives and downloader.is_disallowed(headers, token, directives):
                    raise NotAllowed("Use of image disallowed by X-Robots-Tag directive")

            key, url = row
            agent = f"{AGENT} (compatible; {token}; +https://github.com/rom1504/img2dataset)"
            try:
                return key, io.BytesIO(fetch(url, limits, agent, tls, look)), None
            except Exception as error:
                return key, None, explain(error)

        downloader.download_image = download_image
        return self.downloader(row)


def explain(error: Exception) -> str:
    """The line about a failed download that img2dataset writes into its table, for `rounds.classify`."""
    text = str(error) or type(error).__name__
    if isinstance(error, NotAllowed):
        return text if text.startswith(("HTTP Error", "Use of image")) else f"not allowed: {text}"
    if isinstance(error, OSError | http.client.IncompleteRead):
        return f"urlopen error {text}"
    return f"not allowed: a bad answer ({text})"


def _end_with(parent: int) -> None:
    while os.getppid() == parent:  # which may be killed, and img2dataset gets no signal
        time.sleep(0.5)
    os.killpg(0, signal.SIGKILL)


if __name__ == "__main__":
    threading.Thread(target=_end_with, args=(os.getppid(),), daemon=True).start()
    here = os.path.dirname(os.path.abspath(__file__))
    sys.path = [path for path in sys.path if os.path.abspath(path) != here]  # our neighbours are no modules of that environment
    main: Any = importlib.import_module("img2dataset.main")  # the package has a function of that name
    main.Downloader = functools.partial(Guarded, json.loads(sys.argv.pop(1)))
    main.main()
