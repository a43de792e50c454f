"""The bytes behind a URL: http(s) within limits of time, size and redirects, and data: URLs.

The proxies of the environment are used. Nothing is kept on disk.
"""

from __future__ import annotations

import base64
import binascii
import http.client
import re
import socket
import threading
import urllib.error
import urllib.parse
import urllib.request
from contextlib import suppress
from typing import Any

from galago.errors import FetchError, PictureError
from galago.files import reason
from galago.media.picture import PictureLimits

_CHUNK_BYTES = 1 << 16
_CHECK = "check the address"
_DATA_URL = re.compile(r"data:([^,]*),", re.IGNORECASE)
_HINTS = {
    401: "it needs a login: download it and give the file",
    403: "it is not public: download it and give the file",
    404: _CHECK,
    410: _CHECK,
    429: "too many requests: try again later",
}


def fetch(url: str, limits: PictureLimits) -> bytes:
    """The body that an http(s) URL answers with.

    Raises FetchError for any other kind of URL, a status that is no success, a body over the limit, too many
    redirects, a broken connection, or when the whole takes longer than `limits.timeout_s`.
    """
    task = _Fetch(url, limits)
    # In a thread of its own: no time limit of sockets covers the look-up of the name, or a server that
    # sends one byte now and then.
    thread = threading.Thread(target=task.run, name="galago-fetch", daemon=True)
    thread.start()
    thread.join(limits.timeout_s)
    if thread.is_alive():
        task.cancel()
        raise _too_slow(url, limits)
    if task.error is not None:
        raise task.error
    return bytes(task.data)


def data_url_bytes(url: str, limits: PictureLimits) -> bytes:
    """The bytes in a data: URL, base64 or percent-encoded. Raises PictureError."""
    match = _DATA_URL.match(url)
    if match is None:
        raise PictureError("the data: URL has no comma before its data", hint="data:image/png;base64,...")
    body = url[match.end() :]
    limits.check_bytes(len(body) * 3 // 4, "the data: URL")
    if not match[1].lower().endswith(";base64"):
        return urllib.parse.unquote_to_bytes(body)
    try:
        return base64.b64decode(re.sub(r"\s", "", urllib.parse.unquote(body)), validate=True)
    except (binascii.Error, ValueError) as error:
        raise PictureError(
            f"the data: URL is not base64: {error}", hint="data:image/png;base64,..."
        ) from None


def shown_url(url: str) -> str:
    """A URL for messages: without what may be secret in it, and not long."""
    scheme, _, rest = url.partition("://")
    address, _, query = rest.partition("#")[0].partition("?")
    host, slash, path = address.partition("/")
    text = f"{scheme}://{host.rpartition('@')[2]}{slash}{path}{'?...' if query else ''}"
    return text if len(text) <= 100 else text[:97] + "..."


class _Fetch:
    """One download: `data`, or `error`, when `run` has ended."""

    def __init__(self, url: str, limits: PictureLimits) -> None:
        self.data = bytearray()
        self.error: FetchError | None = None
        self._url, self._limits = url, limits
        self._sockets: list[socket.socket] = []

    def run(self) -> None:
        try:
            self._read()
        except FetchError as error:
            self.error = error
        except PictureError as error:
            self.error = FetchError(str(error), hint=error.hint)
        except urllib.error.HTTPError as error:
            with error:
                self.error = FetchError(
                    f"{shown_url(self._url)} answered {error.code} {error.reason}",
                    hint=_HINTS.get(error.code, "try again later" if error.code >= 500 else _CHECK),
                )
        except (OSError, http.client.HTTPException, ValueError) as error:
            self.error = self._broken(error)

    def cancel(self) -> None:
        """End the download: whatever the thread waits for ends too."""
        for one in self._sockets:
            with suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)

    def _read(self) -> None:
        name = shown_url(self._url)
        request = urllib.request.Request(  # noqa: S310 - _address lets http and https pass only
            _address(self._url), headers={"User-Agent": "galago", "Accept": "image/*"}
        )
        with self._opener().open(request, timeout=self._limits.timeout_s) as response:
            length = response.headers.get("Content-Length", "")
            expected = int(length) if length.isdecimal() else None
            self._limits.check_bytes(expected or 0, name)
            while chunk := response.read1(_CHUNK_BYTES):
                self.data += chunk
                self._limits.check_bytes(len(self.data), name)
        if expected is not None and len(self.data) < expected:
            raise FetchError(f"{name} broke off after {len(self.data)} of {expected} bytes", hint="try again")

    def _opener(self) -> urllib.request.OpenerDirector:
        """With handlers for http and https and nothing else: no files, no FTP."""
        sockets = self._sockets

        def watched(kind: type[http.client.HTTPConnection]) -> Any:
            class Connection(kind):  # type: ignore[misc, valid-type]
                def connect(self) -> None:
                    super().connect()
                    sockets.append(self.sock)

            return Connection

        class Http(urllib.request.HTTPHandler):
            def http_open(self, request: urllib.request.Request) -> http.client.HTTPResponse:
                return self.do_open(watched(http.client.HTTPConnection), request)

        class Https(urllib.request.HTTPSHandler):
            def https_open(self, request: urllib.request.Request) -> http.client.HTTPResponse:
                return self.do_open(watched(http.client.HTTPSConnection), request)

        opener = urllib.request.OpenerDirector()
        for handler in (
            urllib.request.ProxyHandler(),
            Http(),
            Https(),
            _Redirects(self._url, self._limits.max_redirects),
            urllib.request.HTTPDefaultErrorHandler(),
            urllib.request.HTTPErrorProcessor(),
            urllib.request.UnknownHandler(),
        ):
            opener.add_handler(handler)
        return opener

    def _broken(self, error: Exception) -> FetchError:
        cause = error.reason if isinstance(error, urllib.error.URLError) else error
        if isinstance(cause, TimeoutError):
            return _too_slow(self._url, self._limits)
        what = reason(cause) if isinstance(cause, OSError) else str(cause) or type(cause).__name__
        return FetchError(f"{shown_url(self._url)} cannot be fetched: {what}", hint=_CHECK)


class _Redirects(urllib.request.HTTPRedirectHandler):
    """Follows as many redirects as allowed; where they may lead is the opener's matter."""

    max_redirections = max_repeats = 1 << 30  # counted here

    def __init__(self, url: str, limit: int) -> None:
        self._url, self._limit, self._count = url, limit, 0

    def redirect_request(self, *arguments: Any) -> urllib.request.Request | None:
        self._count += 1
        if self._count > self._limit:
            arguments[1].close()  # the answer that redirects
            raise FetchError(
                f"{shown_url(self._url)} redirects more than {self._limit} times",
                hint="give the address it leads to, or allow more: PictureLimits(max_redirects=...)",
            )
        return super().redirect_request(*arguments)


def _address(url: str) -> str:
    """The URL in ASCII, as it is sent. Raises FetchError for what cannot be sent."""
    try:
        parts = urllib.parse.urlsplit(url.strip())
        host = (parts.hostname or "").encode("idna").decode("ascii")
        port = f":{parts.port}" if parts.port is not None else ""
    except ValueError as error:  # also for names that IDNA does not allow
        raise FetchError(f"{shown_url(url)} is not a URL: {error}", hint=_CHECK) from None
    if parts.scheme.lower() not in ("http", "https"):
        raise FetchError(f"{shown_url(url)}: {parts.scheme} is not supported", hint="use http or https")
    if not host:
        raise FetchError(f"{shown_url(url)} names no host", hint=_CHECK)
    if "@" in parts.netloc:
        raise FetchError(
            f"{shown_url(url)}: URLs with a user name are not supported", hint="download it and give the file"
        )
    host = f"[{host}]" if ":" in host else host
    path = urllib.parse.quote(parts.path or "/", safe="/%:=&~+!$,;'@()*")
    query = urllib.parse.quote(parts.query, safe="/%:=&?~+!$,;'@()*[]")
    return urllib.parse.urlunsplit((parts.scheme, host + port, path, query, ""))


def _too_slow(url: str, limits: PictureLimits) -> FetchError:
    return FetchError(
        f"{shown_url(url)} took longer than {limits.timeout_s:g} s",
        hint="try again, or allow more: PictureLimits(timeout_s=...)",
    )
