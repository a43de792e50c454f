"""Pictures from URLs: within limits of time, size and redirects, and one clear line when they do not come."""

from __future__ import annotations

import socket
import threading
import urllib.parse
from collections.abc import Callable, Iterator
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import numpy as np
import pytest

from galago.errors import FetchError
from galago.media import PictureLimits, read_picture
from galago.media.fetch import shown_url
from pictures import colours, encoded

PNG = encoded(colours(), "PNG")
Answer = Callable[[BaseHTTPRequestHandler], None]


class Site:
    """A server on this machine; `release` lets go the handlers that wait for it."""

    def __init__(self) -> None:
        self.release = threading.Event()
        self.requests: list[str] = []
        self.answers: dict[str, Answer] = {}
        site = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                site.requests.append(self.path)
                site.answers[urllib.parse.urlsplit(self.path).path](self)

            def log_message(self, *arguments: object) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}"
        self.thread = threading.Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.01})
        self.thread.start()

    def close(self) -> None:
        self.release.set()
        self.server.shutdown()
        self.server.server_close()
        self.thread.join()


@pytest.fixture
def site(monkeypatch: pytest.MonkeyPatch) -> Iterator[Site]:
    monkeypatch.setenv("no_proxy", "*")
    site = Site()
    yield site
    site.close()


def body(data: bytes, status: int = 200, length: int | None = None, **headers: str) -> Answer:
    def answer(request: BaseHTTPRequestHandler) -> None:
        request.send_response(status)
        request.send_header("Content-Length", str(len(data) if length is None else length))
        for name, value in headers.items():
            request.send_header(name, value)
        request.end_headers()
        request.wfile.write(data)

    return answer


def test_a_picture_is_fetched(site):
    site.answers["/a.png"] = body(PNG)
    assert np.array_equal(read_picture(f"{site.url}/a.png?size=1#top").pixels, colours())
    assert site.requests == ["/a.png?size=1"]


def test_a_body_without_length_is_read_to_its_end(site):
    def answer(request: BaseHTTPRequestHandler) -> None:
        request.send_response(200)
        request.end_headers()
        request.wfile.write(PNG)

    site.answers["/"] = answer
    assert read_picture(site.url).width == 40


def test_a_chunked_body_is_put_together(site):
    def answer(request: BaseHTTPRequestHandler) -> None:
        request.protocol_version = "HTTP/1.1"
        request.send_response(200)
        request.send_header("Transfer-Encoding", "chunked")
        request.send_header("Connection", "close")
        request.end_headers()
        for part in (PNG[:50], PNG[50:], b""):
            request.wfile.write(b"%x\r\n%s\r\n" % (len(part), part))

    site.answers["/"] = answer
    assert read_picture(site.url).width == 40


def test_letters_and_spaces_in_an_address_are_sent_as_they_must_be(site):
    site.answers["/gr%C3%B6%C3%9Fe%20a%25.png"] = body(PNG)
    read_picture(f"{site.url}/größe a%25.png?q=ü x")
    assert site.requests == ["/gr%C3%B6%C3%9Fe%20a%25.png?q=%C3%BC%20x"]


def test_redirects_are_followed_up_to_the_limit(site):
    for n in range(3):
        site.answers[f"/{n}"] = body(b"", 302, Location=f"/{n + 1}")
    site.answers["/3"] = body(PNG)
    assert read_picture(f"{site.url}/0", limits=PictureLimits(max_redirects=3)).width == 40
    with pytest.raises(FetchError, match="redirects more than 2 times") as caught:
        read_picture(f"{site.url}/0", limits=PictureLimits(max_redirects=2))
    assert caught.value.hint


def test_a_redirect_in_a_circle_ends(site):
    site.answers["/"] = body(b"", 301, Location="/")
    with pytest.raises(FetchError, match="redirects more than 5 times"):
        read_picture(site.url)
    assert len(site.requests) == 6


@pytest.mark.parametrize(
    "place", ["file:///etc/passwd", "ftp://127.0.0.1/a.png", "data:image/png,x", "gopher://a"]
)
def test_a_redirect_to_anything_but_http_is_not_followed(site, place):
    site.answers["/"] = body(b"", 302, Location=place)
    with pytest.raises(FetchError, match=r"answered 302|unknown url type: ftp"):
        read_picture(site.url)


@pytest.mark.parametrize(
    ("status", "hint"),
    [
        (404, "check the address"),
        (403, "download it"),
        (401, "login"),
        (429, "later"),
        (500, "later"),
        (418, "check"),
    ],
)
def test_a_bad_status_is_named_with_a_way_out(site, status, hint):
    site.answers["/a.png"] = body(PNG, status)
    with pytest.raises(FetchError, match=rf"127\.0\.0\.1:\d+/a\.png answered {status} ") as caught:
        read_picture(f"{site.url}/a.png")
    assert hint in caught.value.hint


def test_a_page_in_place_of_a_picture_is_named(site):
    site.answers["/"] = body(b"<!doctype html><title>Login</title>")
    with pytest.raises(FetchError, match=r"127\.0\.0\.1.* is a web page") as caught:
        read_picture(site.url)
    assert caught.value.hint


def test_a_body_that_is_announced_too_long_is_not_read(site):
    site.answers["/"] = body(b"", length=5001)
    with pytest.raises(FetchError, match="has more than 5,000 bytes"):
        read_picture(site.url, limits=PictureLimits(max_bytes=5000))


def test_a_body_that_never_ends_is_cut_at_the_limit(site):
    def answer(request: BaseHTTPRequestHandler) -> None:
        request.send_response(200)
        request.end_headers()
        with suppress(OSError):  # the reader goes
            while not site.release.is_set():
                request.wfile.write(bytes(1000))

    site.answers["/"] = answer
    with pytest.raises(FetchError, match="has more than 50,000 bytes"):
        read_picture(site.url, limits=PictureLimits(max_bytes=50_000))


def test_a_body_that_breaks_off_is_named(site):
    site.answers["/"] = body(PNG[:100], length=len(PNG))
    with pytest.raises(FetchError, match=f"broke off after 100 of {len(PNG)} bytes") as caught:
        read_picture(site.url)
    assert caught.value.hint == "try again"


def silent(site: Site) -> Answer:
    return lambda _request: site.release.wait() and None


def half(site: Site) -> Answer:
    def answer(request: BaseHTTPRequestHandler) -> None:
        request.send_response(200)
        request.send_header("Content-Length", str(len(PNG)))
        request.end_headers()
        request.wfile.write(PNG[:100])
        site.release.wait()

    return answer


def dripping(site: Site) -> Answer:
    """Sends a byte of the headers faster than any limit of one reading."""

    def answer(request: BaseHTTPRequestHandler) -> None:
        request.wfile.write(b"HTTP/1.0 200 OK\r\n")
        with suppress(OSError):  # the reader goes
            while not site.release.wait(0.02):
                request.wfile.write(b"X")

    return answer


@pytest.mark.parametrize("slow", [silent, half, dripping])
def test_the_time_limit_holds_for_the_whole(site, slow):
    site.answers["/"] = slow(site)
    with pytest.raises(FetchError, match=r"took longer than 0\.2 s") as caught:
        read_picture(site.url, limits=PictureLimits(timeout_s=0.2))
    assert caught.value.hint
    for thread in threading.enumerate():
        if thread.name == "galago-fetch":
            thread.join(5)
            assert not thread.is_alive(), "the download went on"


def test_a_server_that_is_not_there_is_named():
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    with pytest.raises(FetchError, match=rf"127\.0\.0\.1:{port}/ cannot be fetched: Connection refused"):
        read_picture(f"http://127.0.0.1:{port}/")


def test_a_server_that_speaks_no_http_is_named(site):
    site.answers["/"] = lambda request: request.wfile.write(b"SSH-2.0-x\r\n")
    with pytest.raises(FetchError, match="cannot be fetched: "):
        read_picture(site.url)


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("http://", "names no host"),
        ("https:///a.png", "names no host"),
        ("http://me:secret@host/a.png", "URLs with a user name"),
        ("http://host:99999/", "is not a URL"),
        ("http://[::1/", "is not a URL"),
        ("http://" + "a" * 70 + ".de/", "is not a URL"),
    ],
)
def test_an_address_that_cannot_be_asked_is_named(url, said):
    with pytest.raises(FetchError, match=said) as caught:
        read_picture(url)
    assert caught.value.hint
    assert "secret" not in str(caught.value)


def test_messages_show_no_secrets_and_no_endless_addresses():
    assert shown_url("https://me:pw@host:1/a/b.png?token=1#x") == "https://host:1/a/b.png?..."
    assert len(shown_url("https://host/" + "a" * 5000)) == 100
