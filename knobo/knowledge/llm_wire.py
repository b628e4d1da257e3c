"""One request to an OpenAI-compatible server, and what its failure means. The only module that sees the API key."""

from __future__ import annotations

import asyncio
import email.utils
import ipaddress
import json
import math
import os
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from knobo.errors import InputError, MissingDependencyError
from knobo.knowledge.llm_request import is_about_prompt

if TYPE_CHECKING:
    from openai import AsyncOpenAI

OPENAI = "https://api.openai.com/v1"
_NO_KEY = "none-needed"
_SHORTEST_KEY = 8  # shorter ones are placeholders ("EMPTY", "ollama"), and their letters occur in any text
_RETRIED = {408, 429, 500, 502, 503, 504, 529}


@dataclass(frozen=True)
class RawReply:
    """What a server answered.

    Parameters
    ----------
    text : str, optional
        None when it gave no choice.
    finish : str
        Why the model stopped.
    prompt_tokens, completion_tokens : int, optional
        As the server counts them.
    refusal : str
        The model's words where it declines to answer.
    tokens : object
        The tokens of the text with their log-probabilities, as the server sent them.
    """

    text: str | None
    finish: str
    prompt_tokens: int | None
    completion_tokens: int | None
    refusal: str = ""
    tokens: object = None


@dataclass(frozen=True)
class Failure:
    """What went wrong with one request.

    Parameters
    ----------
    reason : str
        Such as ``"HTTP 429"`` or ``"timeout"``.
    detail : str
        The server's own words, without the key.
    status : int, optional
        HTTP status.
    retry : bool
        Whether trying again may help.
    wait : float, optional
        Seconds that the server asks to wait.
    sent : bool
        The server may have worked on it, and may bill it.
    """

    reason: str
    detail: str = ""
    status: int | None = None
    retry: bool = False
    wait: float | None = None
    sent: bool = False

    @property
    def about_prompt(self) -> bool:
        """Whether the prompt itself was refused, as too long or for its content."""
        return self.status == 413 or (self.status in (400, 422) and is_about_prompt(self.detail))

    def __str__(self) -> str:
        return f"{self.reason}: {self.detail}" if self.detail else self.reason


def check_address(base_url: str | None) -> str:
    """The address to use: the one given, else ``OPENAI_BASE_URL``, else OpenAI's.

    Raises
    ------
    InputError
        If it is no http address, or holds a password, a query or a fragment, where keys hide.
    """
    address = base_url or os.environ.get("OPENAI_BASE_URL") or OPENAI
    try:
        parts = urlsplit(address)
        host, _ = parts.hostname, parts.port
    except ValueError:
        host = None
    if not host or parts.scheme not in ("http", "https"):
        raise InputError("base_url must be an http address such as 'http://localhost:8000/v1'.")
    if "@" in parts.netloc or parts.query or parts.fragment:
        raise InputError(
            f"base_url of {host} must hold no user name, password, query or fragment; a key belongs into the "
            "environment variable OPENAI_API_KEY."
        )
    return address.rstrip("/")


def read_key(address: str) -> str:
    """The API key from the environment; a local server needs none.

    Raises
    ------
    InputError
        If there is none and the server is not local, or it cannot stand in a header. The key is never quoted.
    """
    key = os.environ.get("OPENAI_API_KEY", "").strip()
    if not key and not _is_local(urlsplit(address).hostname or ""):
        raise InputError(f"No API key for {address}: set the environment variable OPENAI_API_KEY.")
    if not all("!" <= character <= "~" for character in key):
        raise InputError("OPENAI_API_KEY holds blanks or characters beyond ASCII; copy the key again.")
    return key or _NO_KEY


def _is_local(host: str) -> bool:
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return "." not in host or host.endswith((".local", ".localhost", ".internal", ".lan"))
    return address.is_private or address.is_loopback


class Wire:
    """A connection to one server, for one event loop; use it as an async context manager.

    Parameters
    ----------
    address : str
        From :func:`check_address`.
    timeout : float
        Seconds that one request may take.

    Raises
    ------
    MissingDependencyError
        If the openai package is not installed.
    InputError
        If there is no usable key.
    """

    def __init__(self, address: str, timeout: float) -> None:
        try:
            import openai
        except ImportError as error:
            raise MissingDependencyError(
                'Language models need the openai package: pip install "knobo[llm]". Answers that are in the cache are '
                "read without it."
            ) from error
        self._openai, self._address, self._timeout, self._key = openai, address, timeout, read_key(address)

    def __repr__(self) -> str:
        return f"Wire({self._address!r})"

    async def __aenter__(self) -> Wire:
        self._client: AsyncOpenAI = self._openai.AsyncOpenAI(
            api_key=self._key, base_url=self._address, max_retries=0, timeout=self._timeout
        )
        return self

    async def __aexit__(self, *error: object) -> None:
        await self._client.close()

    def clean(self, text: str, most: int | None = None) -> str:
        """Text without the key, on at most so many characters."""
        if len(self._key) >= _SHORTEST_KEY and self._key != _NO_KEY:
            text = text.replace(self._key, "[key]")
        return text if most is None or len(text) <= most else text[:most] + "…"

    async def send(self, body: dict[str, Any]) -> RawReply | Failure:
        """Send one request, once. No exception of the client gets out: their texts may quote the key."""
        openai = self._openai
        try:
            create = self._client.chat.completions.with_raw_response.create(**body)
            response = await asyncio.wait_for(create, self._timeout)
        except (openai.APITimeoutError, asyncio.TimeoutError):
            return Failure("timeout", f"no reply within {self._timeout:g} s", retry=True, sent=True)
        except openai.APIStatusError as error:
            return self._refusal(error.status_code, error.response.text, error.response.headers.get("retry-after"))
        except openai.APIConnectionError as error:
            if type(error.__cause__).__name__ in ("ConnectError", "ConnectTimeout"):
                return Failure("no connection", retry=True)
            return Failure("cut connection", retry=True, sent=True)
        except (openai.OpenAIError, ValueError) as error:
            return Failure(f"unusable response ({type(error).__name__})", retry=True, sent=True)
        return self._read(response.text)

    def _refusal(self, status: int, text: str, retry_after: str | None) -> Failure:
        detail = " ".join(self.clean(_message(text)).split())
        exhausted = status == 429 and "insufficient_quota" in text
        return Failure(
            f"HTTP {status}",
            self.clean(detail, 500),
            status=status,
            retry=status in _RETRIED and not exhausted,
            wait=read_retry_after(retry_after),
        )

    def _read(self, text: str) -> RawReply | Failure:
        try:
            document = json.loads(text)
        except (ValueError, RecursionError):
            document = None
        if not isinstance(document, dict) or not isinstance(document.get("choices", []), list):
            return Failure("no chat completion", "what came back is not what /chat/completions gives", sent=True)
        choice = next((item for item in document.get("choices", []) if isinstance(item, dict)), {})
        message, logprobs = choice.get("message"), choice.get("logprobs")
        content, refusal = (message.get(name) if isinstance(message, dict) else None for name in ("content", "refusal"))
        usage = document.get("usage")
        return RawReply(
            self.clean(content) if isinstance(content, str) else None,
            str(choice.get("finish_reason") or ""),
            _count(usage, "prompt_tokens"),
            _count(usage, "completion_tokens"),
            refusal=self.clean(refusal, 300) if isinstance(refusal, str) and not content else "",
            tokens=logprobs.get("content") if isinstance(logprobs, dict) else None,
        )


def _message(text: str) -> str:
    """The server's message, wherever it stands in an error body."""
    try:
        document = json.loads(text)
    except (ValueError, RecursionError):
        return text
    while isinstance(document, dict):
        document = next((document[name] for name in ("error", "message", "detail") if document.get(name)), text)
    return document if isinstance(document, str) else text


def _count(usage: object, name: str) -> int | None:
    value = usage.get(name) if isinstance(usage, dict) else None
    return value if isinstance(value, int) and not isinstance(value, bool) and value >= 0 else None


def read_retry_after(value: str | None) -> float | None:
    """Seconds that the header ``Retry-After`` asks for, given as seconds or as an HTTP date; None if unreadable."""
    if not value:
        return None
    try:
        seconds = float(value)
    except ValueError:
        try:
            seconds = email.utils.parsedate_to_datetime(value).timestamp() - time.time()
        except (ValueError, TypeError, OverflowError):
            return None
    return max(seconds, 0.0) if math.isfinite(seconds) else None
