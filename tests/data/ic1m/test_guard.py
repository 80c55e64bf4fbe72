import contextlib
import io
import itertools
import socket
import ssl
import threading
import zlib

import pytest

from clicv2lite.data.ic1m import guard, rounds
from clicv2lite.data.ic1m.guard import Limits, NotAllowed, explain, fetch, is_public, take_apart

HANG = 120  # seconds, which only a test that hangs waits for
SIZE = 100_000
OPEN = Limits(timeout=HANG, seconds=HANG, size=SIZE, private=True)
IMAGE = b"HTTP/1.1 200 OK\r\nContent-Type: image/jpeg\r\n"


class Server:
    """Answers each request with what `say` yields, on a free port of this machine, and counts the bytes that were taken."""

    def __init__(self, say) -> None:
        self.say, self.requests, self.sent, self.over = say, [], 0, threading.Event()
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        threading.Thread(target=self._serve, daemon=True).start()

    def url(self, path: str = "/a.jpg") -> str:
        return f"http://127.0.0.1:{self.port}{path}"

    def _serve(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                sock, _ = self.listener.accept()
                threading.Thread(target=self._answer, args=(sock,), daemon=True).start()

    def _answer(self, sock: socket.socket) -> None:
        with sock, contextlib.suppress(OSError):
            data = b""
            while b"\r\n\r\n" not in data:
                data += sock.recv(65536) or b"\r\n\r\n"
            self.requests.append(data.decode("latin-1"))
            for piece in self.say(self):
                sock.sendall(piece)
                self.sent += len(piece)
            sock.shutdown(socket.SHUT_WR)


@pytest.fixture
def server():
    """`server(say)` starts one; all end with the test."""
    started = []

    def start(*pieces, say=None):
        started.append(Server(say or (lambda _: pieces)))
        return started[-1]

    yield start
    for one in started:
        one.over.set()
        one.listener.close()


def get(url: str, limits: Limits = OPEN, **more) -> bytes:
    return fetch(url, limits, "clicv2lite", ssl.create_default_context(), **more)


def whole(data: bytes) -> bytes:
    return IMAGE + b"Content-Length: %d\r\n\r\n" % len(data) + data


def to(url: str, status: int = 302) -> bytes:
    return f"HTTP/1.1 {status} Moved\r\nLocation: {url}\r\nContent-Length: 0\r\n\r\n".encode()


def chunked(data: bytes) -> bytes:
    return b"Transfer-Encoding: chunked\r\n\r\n%x\r\n%s\r\n0\r\n\r\n" % (len(data), data)


PHOTO = bytes(range(256)) * 100


@pytest.mark.parametrize(
    "answer",
    [
        whole(PHOTO),
        IMAGE + b"\r\n" + PHOTO,  # until the connection ends
        IMAGE + chunked(PHOTO),
        b"HTTP/1.1 200 OK\r\nContent-Type: Application/Octet-Stream\r\n\r\n" + PHOTO,
        b"HTTP/1.1 200 OK\r\n\r\n" + PHOTO,  # the packer looks at the bytes
        b"HTTP/1.1 100 Continue\r\n\r\n" + whole(PHOTO),
    ],
)
def test_a_photo_arrives_whole(server, answer):
    one = server(answer)
    assert get(one.url("/a%20b/é.jpg?x=1&y=%2F#part")) == PHOTO
    asked = one.requests[0].splitlines()
    assert asked[0] == "GET /a%20b/%C3%A9.jpg?x=1&y=%2F HTTP/1.1" and f"Host: 127.0.0.1:{one.port}" in asked
    assert "User-Agent: clicv2lite" in asked and "Accept-Encoding: identity" in asked


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("file:///etc/passwd", "only http and https are fetched, not file"),
        ("FILE:///etc/passwd", "not file"),
        ("/etc/passwd", "not a path"),
        ("C:\\photo.jpg", "not c"),
        ("ftp://example.org/a.jpg", "not ftp"),
        ("data:image/png;base64,AAAA", "not data"),
        ("gopher://example.org/", "not gopher"),
        ("http:///a.jpg", "only http and https"),
        ("http://user:word@example.org/a.jpg", "a user name"),
        ("http://user@example.org/a.jpg", "a user name"),
        ("http://example.org@127.0.0.1/", "a user name"),
        ("http://example.org:22/a.jpg", "port 22"),
        ("https://example.org:8443/a.jpg", "port 8443"),
        ("http://example.org:99999/", "malformed"),
        ("http://example.org:x/", "malformed"),
        ("http://[::1/", "malformed"),
        ("http://a..b/", "malformed"),
        ("http://example.org/a\r\nHost: evil", "control characters"),
        ("http://example.org/\x00", "control characters"),
        ("http://exam\tple.org/", "control characters"),
        (" http://example.org/", "control characters"),
        ("http://example.org/" + "a" * 9000, "very long"),
    ],
)
def test_an_address_that_is_none_of_the_webs_is_refused_before_anything_is_opened(url, message, monkeypatch):
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: pytest.fail("a name was looked up"))
    with pytest.raises(NotAllowed, match=message) as caught:
        get(url, Limits())
    assert rounds.classify(explain(caught.value)) == rounds.BROKEN


def test_a_name_in_other_letters_is_asked_for_in_ascii():
    assert take_apart("https://Bücher.example/ü?q=ö") == ("https", "xn--bcher-kva.example", 443, "/%C3%BC?q=%C3%B6")
    assert take_apart("http://①②⑦.⓪.⓪.①/")[1] == "127.0.0.1"


@pytest.mark.parametrize(
    ("address", "public"),
    [
        ("93.184.216.34", True),
        ("2606:2800:220:1:248:1893:25c8:1946", True),
        *((address, False) for address in ("127.0.0.1", "127.8.9.1", "0.0.0.0", "10.1.2.3", "172.16.0.1", "192.168.1.1")),
        *((address, False) for address in ("169.254.169.254", "100.64.0.1", "224.0.0.1", "240.0.0.1", "255.255.255.255")),
        *((address, False) for address in ("::1", "::", "fe80::1", "fe80::1%eth0", "fc00::1", "fec0::1", "ff02::1")),
        *((address, False) for address in ("::ffff:127.0.0.1", "::ffff:10.0.0.1", "64:ff9b::7f00:1", "2002:7f00:1::")),
        *((address, False) for address in ("2001:0:4136:e378:8000:63bf:3fff:fdd2", "2001:db8::1", "192.0.2.1")),
        ("::ffff:93.184.216.34", True),
        ("64:ff9b::5db8:d822", True),
    ],
)
def test_only_addresses_of_the_public_internet_are_public(address, public):
    assert is_public(address) == public


def resolve(monkeypatch, *answers: list[str]) -> list[str]:
    """The name server gives these answers, one after the other, then the last again; the connections that were tried."""
    asked, left = [], itertools.chain(answers, itertools.repeat(answers[-1]))
    monkeypatch.setattr(
        socket,
        "getaddrinfo",
        lambda host, port, *_, **__: [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (one, port)) for one in next(left)],
    )

    def connect(address, *_, **__):
        asked.append(address)
        raise ConnectionRefusedError("refused")

    monkeypatch.setattr(socket, "create_connection", connect)
    return asked


@pytest.mark.parametrize("addresses", [["127.0.0.1"], ["169.254.169.254"], ["93.184.216.34", "10.0.0.1"]])
def test_a_name_that_leads_into_this_network_is_refused(addresses, monkeypatch):
    asked = resolve(monkeypatch, addresses)
    with pytest.raises(NotAllowed, match=rf"photos.example is {addresses[-1]}, not a public address"):
        get("http://photos.example/a.jpg", Limits())
    assert not asked


def test_what_is_connected_to_is_the_address_that_was_checked(monkeypatch):
    """A name server that answers otherwise the second time (DNS rebinding) is not asked a second time."""
    asked = resolve(monkeypatch, ["93.184.216.34", "93.184.216.35"], ["127.0.0.1"])
    with pytest.raises(ConnectionRefusedError):
        get("http://photos.example/a.jpg", Limits())
    assert asked == [("93.184.216.34", 80), ("93.184.216.35", 80)]


def test_a_redirect_is_followed_and_relative_ones_too_and_letters_are_asked_for_as_they_came(server):
    last = server(whole(PHOTO))
    hops = {"/a": to("b c/d", 301), "/b%20c/d": to("/é%20ü?x=ö&y", 308), "/%C3%A9%20%C3%BC?x=%C3%B6&y": to(last.url("/x"), 307)}
    one = server(say=lambda me: [hops[me.requests[-1].split()[1]]])
    assert get(one.url("/a")) == PHOTO and len(one.requests) == 3 and last.requests[0].startswith("GET /x ")


@pytest.mark.parametrize(
    "where", ["file:///etc/passwd", "ftp://127.0.0.1/", "data:image/png;base64,AA", "http://a:b@127.0.0.1/", "http://[::1/"]
)
def test_a_redirect_to_what_is_no_address_of_the_web_is_refused(server, where):
    with pytest.raises(ValueError) as caught:
        get(server(to(where)).url())
    assert rounds.classify(explain(caught.value)) == rounds.BROKEN and explain(caught.value).startswith("not allowed: ")


@pytest.mark.parametrize("port", [True, False])
def test_every_hop_is_checked_like_the_first(server, port, monkeypatch):
    """The first server is taken for a public one; it sends us to another port, or to an address, of this machine."""
    hidden = server(whole(PHOTO))
    one = server(to(hidden.url("/") if port else "http://127.0.0.1/"))
    real = socket.create_connection
    monkeypatch.setattr(guard, "is_public", lambda address: address == "93.184.216.34")
    monkeypatch.setattr(socket, "create_connection", lambda address, *rest: real(("127.0.0.1", one.port), *rest))
    message = f"port {hidden.port}" if port else "127.0.0.1 is 127.0.0.1, not a public address"
    with pytest.raises(NotAllowed, match=message):
        get("http://93.184.216.34/a.jpg", Limits())
    assert len(one.requests) == 1 and not hidden.requests


def test_redirects_end(server):
    one = server(say=lambda me: [to(me.url(f"/{len(me.requests)}"))])
    with pytest.raises(NotAllowed, match="more than 5 redirects"):
        get(one.url())
    assert len(one.requests) == 6


def test_a_size_that_is_said_is_believed_before_the_body_is_read(server):
    one = server(say=lambda me: drip(me, IMAGE + b"Content-Length: 600000000\r\n\r\n", b"x"))
    with pytest.raises(NotAllowed, match="more than 100,000 bytes"):
        get(one.url())


@pytest.mark.parametrize("head", [b"\r\n", b"Content-Length: -5\r\n\r\n", b"Transfer-Encoding: chunked\r\n\r\n"])
def test_a_body_without_end_is_left_at_the_limit(server, head):
    piece = bytes(60_000)
    if b"chunked" in head:
        piece = b"%x\r\n%s\r\n" % (len(piece), piece)
    one = server(say=lambda _: itertools.chain([IMAGE + head], itertools.repeat(piece)))
    with pytest.raises(NotAllowed, match="more than 100,000 bytes"):
        get(one.url())
    assert one.sent < 50e6  # what the sockets hold, and no more


def test_a_photo_of_exactly_the_limit_is_taken(server):
    data = bytes(SIZE)
    assert get(server(whole(data)).url()) == get(server(IMAGE + chunked(data)).url()) == data
    with pytest.raises(NotAllowed):
        get(server(whole(data + b"x")).url())


def test_a_body_shorter_than_said_is_not_whole(server):
    with pytest.raises(Exception, match="25600 bytes read, 400 more expected") as caught:
        get(server(IMAGE + b"Content-Length: 26000\r\n\r\n" + PHOTO).url())
    assert rounds.classify(explain(caught.value)) == rounds.UNREACHABLE


def drip(me: Server, first: bytes, again: bytes):
    """A byte now and then, so that no single wait is long."""
    yield first
    while not me.over.wait(0.02):
        yield again


@pytest.mark.parametrize(
    ("first", "again"),
    [
        (IMAGE + b"Content-Length: 90000\r\n\r\n", b"x"),
        (IMAGE + b"\r\n", b"x"),  # without a length, the end of the connection looks like the end of the body
        (IMAGE, b"X"),  # a header that never ends
        (b"", b"H"),
        (b"", b"HTTP/1.1 100 Continue\r\n\r\n"),
    ],
)
def test_a_slow_answer_ends_when_its_time_is_over(server, first, again):
    one = server(say=lambda me: drip(me, first, again))
    with pytest.raises(TimeoutError, match="timed out") as caught:
        get(one.url(), Limits(timeout=HANG, seconds=0.5, size=SIZE, private=True))
    assert rounds.classify(explain(caught.value)) == rounds.UNREACHABLE


def test_redirects_share_one_time(server):
    def say(me):
        me.over.wait(0.1)
        yield to(me.url())

    with pytest.raises(TimeoutError, match="timed out"):
        get(server(say=say).url(), Limits(timeout=HANG, seconds=0.15, private=True))


def test_a_server_that_says_nothing_is_left_in_time(server):
    silent = server(say=lambda me: [b""] if me.over.wait(HANG) else [])
    with pytest.raises(TimeoutError) as caught:
        get(silent.url(), Limits(timeout=0.1, seconds=HANG, private=True))
    assert rounds.classify(explain(caught.value)) == rounds.UNREACHABLE
    with pytest.raises(TimeoutError, match="timed out"):  # a handshake that never comes
        get(silent.url().replace("http:", "https:"), Limits(timeout=HANG, seconds=0.1, private=True))


@pytest.mark.parametrize(
    ("head", "message"),
    [
        (
            b"HTTP/1.1 200 OK\r\nContent-Type: text/html; charset=utf-8\r\n\r\n<html>",
            "calls it text/html; charset=utf-8, not an",
        ),
        (b"HTTP/1.1 200 OK\r\nContent-Type: application/zip\r\n\r\n", "calls it application/zip"),
        (IMAGE + b"Content-Encoding: gzip\r\n\r\n" + zlib.compress(bytes(10**7)), "compressed for the way"),
        (b"HTTP/1.1 200 OK\r\n" + b"X: y\r\n" * 1000 + b"\r\n", "a bad answer"),
        (b"HTTP/1.1 200 OK\r\nX: " + b"y" * 10**6 + b"\r\n\r\n", "a bad answer"),
        (b"SSH-2.0-OpenSSH_9.6\r\n", "a bad answer"),
    ],
)
def test_an_answer_that_is_no_photo_is_refused_for_good(server, head, message):
    with pytest.raises(Exception) as caught:
        get(server(head).url())
    said = explain(caught.value)
    assert said.startswith("not allowed: ") and message in said and rounds.classify(said) == rounds.BROKEN


@pytest.mark.parametrize(
    ("status", "kind"), [(404, rounds.GONE), (429, rounds.REFUSED), (503, rounds.REFUSED), (206, rounds.BROKEN)]
)
def test_a_status_is_said_as_it_is(server, status, kind):
    with pytest.raises(NotAllowed, match=f"HTTP Error {status}: Reason") as caught:
        get(server(b"HTTP/1.1 %d Reason\r\nContent-Length: 3\r\n\r\nabc" % status).url())
    assert rounds.classify(explain(caught.value)) == kind


def test_the_headers_are_shown_before_the_body_is_read(server):
    def look(headers):
        raise NotAllowed(f"robots {headers['X-Robots-Tag']}")

    one = server(say=lambda me: drip(me, IMAGE + b"X-Robots-Tag: noai\r\nContent-Length: 9000\r\n\r\n", b"x"))
    with pytest.raises(NotAllowed, match="robots noai"):
        get(one.url(), look=look)


def test_no_proxy_is_asked(server, monkeypatch):
    one, proxy = server(whole(PHOTO)), server(whole(b""))
    monkeypatch.setenv("http_proxy", proxy.url())
    monkeypatch.setenv("HTTP_PROXY", proxy.url())
    assert get(one.url()) == PHOTO and not proxy.requests


def test_guarded_puts_itself_in_the_place_of_img2datasets_download(server, monkeypatch):
    import sys
    import types

    module, one = types.ModuleType("img2dataset.downloader"), server(whole(PHOTO))

    class Downloader:
        def __call__(self, row):
            return module.download_image(row, 1, "clicv2lite", {"noai"})

    module.Downloader, module.is_disallowed = Downloader, lambda headers, token, directives: False
    package = types.ModuleType("img2dataset")
    package.downloader = module
    monkeypatch.setitem(sys.modules, "img2dataset", package)
    monkeypatch.setitem(sys.modules, "img2dataset.downloader", module)
    limits = {"timeout": HANG, "seconds": HANG, "size": SIZE, "private": True}
    key, stream, error = guard.Guarded(limits)((7, one.url()))
    assert (key, stream.read(), error) == (7, PHOTO, None) and isinstance(stream, io.BytesIO)
    assert "(compatible; clicv2lite;" in one.requests[0]
    module.is_disallowed = lambda headers, token, directives: (token, directives) == ("clicv2lite", {"noai"})
    assert guard.Guarded(limits)((8, one.url())) == (8, None, "Use of image disallowed by X-Robots-Tag directive")
    assert guard.Guarded(limits)((9, "file:///x"))[2] == "not allowed: only http and https are fetched, not file"
