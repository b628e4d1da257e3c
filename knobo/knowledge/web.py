"""Polite requests to a public server: a rate limit, back-off, and downloads that go on where they stopped."""

from __future__ import annotations

import random
import shutil
import time
from collections.abc import Callable
from email.message import Message
from email.utils import parsedate_to_datetime
from http.client import HTTPException
from pathlib import Path
from typing import Any, Protocol, TypeVar
from urllib.error import HTTPError, URLError
from urllib.parse import urlsplit
from urllib.request import Request, urlopen

from tqdm.auto import tqdm

from knobo.errors import DownloadError, FileError, InputError
from knobo.knowledge.corpus import LFS_POINTER

AGENT = "knobo"
HEAD = 512  # bytes from which the kind of a file is told
_PASSING = (408, 429, 500, 502, 503, 504)  # answers that may be another one a moment later
_LONGEST = 600.0  # seconds that a server may make us wait before the user is told instead
_CHUNK = 1 << 18
T = TypeVar("T")


class Clock(Protocol):
    """What the module :mod:`time` offers and a test replaces."""

    def time(self) -> float: ...
    def monotonic(self) -> float: ...
    def sleep(self, seconds: float, /) -> None: ...


class BrokenAnswerError(Exception):
    """The server answered, but not with what was asked for; worth asking again."""


class Courier:
    """Sends requests one after the other, not faster than allowed, and again when a passing fault is in the way.

    Parameters
    ----------
    per_second : float
        Most requests a second.
    clock : Clock
        Time and sleep.
    timeout : float
        Seconds without a byte after which an attempt has failed.
    tries : int
        Attempts a request. Between them it waits 1, 2, 4, … seconds, each times a random number from 0.5 to 1.5, and
        never less than the server's ``Retry-After``.
    secret : str
        Text that is cut out of every message.
    """

    def __init__(
        self, *, per_second: float = 3.0, clock: Clock = time, timeout: float = 60.0, tries: int = 6, secret: str = ""
    ) -> None:
        self.clock, self.timeout, self.tries, self.secret = clock, timeout, tries, secret
        self._interval = 1.0 / per_second
        self._next = clock.monotonic()

    def send(self, ask: Callable[[], Request], take: Callable[[Any], T], what: str) -> T:
        """Send a request until ``take`` has accepted the response.

        Parameters
        ----------
        ask : callable
            Makes the request, anew for each attempt.
        take : callable
            Reads the response; raises :class:`BrokenAnswerError` to ask again.
        what : str
            Subject of an error message, such as the name of the file.

        Raises
        ------
        DownloadError
            If the server refuses, or all attempts fail.
        """
        reason = ""
        for attempt in range(self.tries):
            self._keep_pace()
            asked = 0.0
            try:
                with urlopen(ask(), timeout=self.timeout) as response:
                    return take(response)
            except HTTPError as error:
                reason = f"the server answers with status {error.code}{self._said(error)}"
                if error.code not in _PASSING:
                    raise DownloadError(f"{what}: {reason}. {_way_out(error.code)}") from None
                asked = _retry_after(error.headers, self.clock)
            except BrokenAnswerError as error:
                reason = str(error)
            except (URLError, HTTPException, TimeoutError, ConnectionError) as error:
                reason = f"the connection failed ({getattr(error, 'reason', None) or error or type(error).__name__})"
            if asked > _LONGEST:
                raise DownloadError(f"{what}: the server asks to wait {asked:.0f} s. Run it again after that.")
            if attempt + 1 < self.tries:
                self.clock.sleep(max(asked, 2.0**attempt * random.uniform(0.5, 1.5)))
        raise DownloadError(
            f"{what}: {self._hide(reason)}, {self.tries} times in a row. Check the network and run it again later; "
            "what was fetched is kept."
        )

    def _keep_pace(self) -> None:
        now = self.clock.monotonic()
        if now < self._next:
            self.clock.sleep(self._next - now)
        self._next = max(now, self._next) + self._interval

    def _said(self, error: HTTPError) -> str:
        """The first words of a refusal, if they are meant for people."""
        try:
            with error:
                body = error.read(1000)
        except (OSError, HTTPException):
            return ""
        words = " ".join(body.decode("utf-8", "replace").split())[:200]
        return f" ({self._hide(words)})" if words and not looks_like_html(body) else ""

    def _hide(self, text: str) -> str:
        return text.replace(self.secret, "***") if self.secret else text


def check_base_url(url: str, *, secret: bool = False) -> str:
    """Address of a server, with a slash at its end.

    Raises
    ------
    InputError
        If it is no http or https address, or a secret would travel to another machine unencrypted.
    """
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise InputError(f"base_url is {url!r}; give an address that begins with https:// or http://.")
    if secret and parts.scheme == "http" and parts.hostname not in ("127.0.0.1", "localhost", "::1"):
        raise InputError(f"base_url {url!r} would carry the API key unencrypted; use https:// or unset the key.")
    return url if url.endswith("/") else f"{url}/"


def looks_like_html(start: bytes) -> bool:
    """Whether a file begins as a web page, such as the error page of a proxy."""
    head = start[:HEAD].lower()
    return b"<!doctype html" in head or b"<html" in head


def check_start(start: bytes, name: str) -> None:
    """Refuse a download whose first bytes show that it is not the file.

    Raises
    ------
    DownloadError
        If it is empty, a git-LFS pointer, a web page, or not compressed though its name says so.
    """
    if not start:
        raise DownloadError(f"{name}: the server sent an empty file. Run it again later, or use another mirror.")
    if start.startswith(LFS_POINTER):
        raise DownloadError(
            f"{name}: the server sent a git-LFS pointer, not the file itself. Use the address of the content "
            "(on Hugging Face …/resolve/…, not …/raw/…), or fetch the file with git lfs pull."
        )
    if looks_like_html(start):
        raise DownloadError(
            f"{name}: the server sent a web page (HTML) instead of the file. Check the address; a proxy or a login "
            "may be in the way."
        )
    if name.endswith((".gz", ".tgz")) and not start.startswith(b"\x1f\x8b"):
        raise DownloadError(f"{name}: what the server sent is not gzip. Check the address, or use another mirror.")


def download(courier: Courier, url: str, part: Path, name: str, *, size: int | None, progress: bool = False) -> None:
    """Bring a file to ``part``, going on where an earlier attempt or an earlier run stopped.

    Beside it lies ``<part>.tag``, by which the server can tell whether its file is still the same; without one it
    begins anew.

    Raises
    ------
    DownloadError
        If the server refuses, sends something else, or all attempts fail.
    FileError
        If the place cannot be written or is full.
    """
    courier.send(lambda: _ask(url, part), lambda response: _append(response, part, name, size, progress), name)


def _tag(part: Path) -> Path:
    return part.with_name(f"{part.name}.tag")


def _ask(url: str, part: Path) -> Request:
    request = Request(url, headers={"User-Agent": AGENT})
    if part.is_file() and part.stat().st_size and _tag(part).is_file():
        # from the last byte, not behind it: a range that holds nothing is an error, and the file may be complete
        request.add_header("Range", f"bytes={part.stat().st_size - 1}-")
        request.add_header("If-Range", _tag(part).read_text(encoding="utf-8"))
    return request


def _append(response: Any, part: Path, name: str, size: int | None, progress: bool) -> None:
    start = part.stat().st_size - 1 if response.status == 206 else 0
    if start and not str(response.headers.get("Content-Range", "")).startswith(f"bytes {start}-"):
        part.unlink()
        raise BrokenAnswerError("the server sent another part of the file than asked for")
    length = response.headers.get("Content-Length")
    total = start + int(length) if length and length.isdigit() else None
    if size is not None and total is not None and total != size:
        raise DownloadError(
            f"{name}: the server's file has {total:,} bytes, the recipe says {size:,}. It was replaced or is broken; "
            "look for a newer recipe, or mend the size in a copy of this one."
        )
    if total is not None:
        _check_room(part, name, total - start)
    with tqdm(total=total, initial=start, unit="B", unit_scale=True, desc=name, disable=not progress) as bar:
        _write(response, part, name, start, bar)
    if total is not None and part.stat().st_size < total:
        raise BrokenAnswerError(f"the connection was cut after {part.stat().st_size:,} of {total:,} bytes")


def _write(response: Any, part: Path, name: str, start: int, bar: Any) -> None:
    """Append what comes; faults of the disk are told apart from faults of the network."""
    try:
        tag = response.headers.get("ETag", "")
        tag = tag if tag and not tag.startswith("W/") else response.headers.get("Last-Modified", "")
        _tag(part).unlink(missing_ok=True)
        file = part.open("r+b" if start else "wb")
        file.truncate(start)
        file.seek(start)
        if tag:
            _tag(part).write_text(tag, encoding="utf-8")
    except OSError as error:
        raise _unwritable(part, name, error) from error
    with file:
        while chunk := response.read1(_CHUNK):
            if not file.tell() and len(chunk) >= HEAD:
                _check_early(chunk, part, name)
            try:
                file.write(chunk)
                file.flush()
            except OSError as error:
                raise _unwritable(part, name, error) from error
            bar.update(len(chunk))


def _check_early(chunk: bytes, part: Path, name: str) -> None:
    """Stop before gigabytes of something else have come."""
    try:
        check_start(chunk, name)
    except DownloadError:
        part.unlink(missing_ok=True)
        _tag(part).unlink(missing_ok=True)
        raise


def _check_room(part: Path, name: str, needed: int) -> None:
    free = shutil.disk_usage(part.parent).free
    if free < needed:
        raise FileError(
            f"{name} needs {needed:,} more bytes, but {part.parent} has only {free:,} free. Free some room or choose "
            "another disk."
        )


def _unwritable(part: Path, name: str, error: OSError) -> FileError:
    return FileError(
        f"{name}: cannot write {part}: {error.strerror or error}. Free some room or choose another place, and run it "
        "again; what was fetched is kept."
    )


def _retry_after(headers: Message[str, str], clock: Clock) -> float:
    """Seconds that the server asks for, given as a number or as a date."""
    value = str(headers.get("Retry-After", "")).strip()
    if value.isdigit():
        return float(value)
    try:
        return max(0.0, parsedate_to_datetime(value).timestamp() - clock.time())
    except (TypeError, ValueError, OverflowError):
        return 0.0


def _way_out(status: int) -> str:
    if status in (404, 410):
        return "The file is not there (any more); look for a newer recipe, or give another base_url."
    if status in (401, 403):
        return "It wants a login or has blocked this machine; read the terms of use of the source."
    if status == 416:
        return "The file there is shorter than what was fetched; delete the .part file and run it again."
    return "Check what was asked for."
