"""What a language model costs: prices, a hard cap, and a ledger on disk that a killed process leaves readable."""

from __future__ import annotations

import json
import os
import threading
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from knobo.errors import FileError, InputError

if TYPE_CHECKING:
    import pandas as pd

COLUMNS = (
    "time",
    "run",
    "model",
    "event",
    "n",
    "reason",
    "prompt_tokens",
    "completion_tokens",
    "estimated",
    "usd",
    "seconds",
    "key",
)

_BLANK = {"n": 1, "reason": "", "prompt_tokens": 0, "completion_tokens": 0, "estimated": False, "seconds": 0.0}


@dataclass(frozen=True)
class Price:
    """What a model costs, in US dollars per million tokens.

    Parameters
    ----------
    prompt : float
        Price of a million prompt tokens.
    completion : float
        Price of a million completion tokens.

    Raises
    ------
    InputError
        If a price is negative or no number.
    """

    prompt: float
    completion: float

    def __post_init__(self) -> None:
        if not (0 <= self.prompt < float("inf") and 0 <= self.completion < float("inf")):
            raise InputError(f"Prices must be at least 0 US dollars per million tokens, got {self}.")

    def of(self, prompt_tokens: float, completion_tokens: float) -> float:
        """Price of so many tokens, in US dollars."""
        return (prompt_tokens * self.prompt + completion_tokens * self.completion) / 1e6


@dataclass
class Spent:
    """Calls, tokens and money."""

    calls: int = 0
    tokens: int = 0
    usd: float = 0.0

    def __str__(self) -> str:
        return f"{self.calls} calls, {self.tokens} tokens, {self.usd:.4f} USD"


class Budget:
    """A hard cap on what is spent; several models can share one.

    It counts from the moment it is made, retries included. A call is sent only if its prompt and the longest reply that
    it may get still fit beside the calls under way. A prompt is taken for half as long again as about 4 characters a
    token give, and, once the server has counted tokens, for a tenth longer than its counts give.

    Parameters
    ----------
    calls : int, optional
        Most requests.
    tokens : int, optional
        Most tokens, of prompts and replies together.
    usd : float, optional
        Most US dollars; the model needs a ``price`` then.

    Attributes
    ----------
    spent : Spent
        What was spent so far. A request that was sent and got no reply counts in full, as it may be billed.

    Raises
    ------
    InputError
        If a cap is negative, or there is none.
    """

    def __init__(self, calls: int | None = None, tokens: int | None = None, usd: float | None = None) -> None:
        caps = [cap for cap in (calls, tokens, usd) if cap is not None]
        if not caps or not all(cap >= 0 for cap in caps):
            raise InputError("A budget needs calls=, tokens= or usd=, each at least 0.")
        self.calls, self.tokens, self.usd = calls, tokens, usd
        self.spent = Spent()
        self._reserved: dict[object, Spent] = {}
        self._lock = threading.Lock()

    def __repr__(self) -> str:
        return f"Budget(calls={self.calls}, tokens={self.tokens}, usd={self.usd})"

    def reserve(self, ticket: object, tokens: int, usd: float) -> bool | None:
        """Set one call aside: True if it fits, None if it may fit once the calls under way are settled, else False."""
        with self._lock:
            if self._fits([self.spent, *self._reserved.values()], tokens, usd):
                self._reserved[ticket] = Spent(1, tokens, usd)
                return True
            return None if self._fits([self.spent], tokens, usd) else False

    def settle(self, ticket: object, tokens: int, usd: float) -> None:
        """Put what a call has cost in the place of what was set aside."""
        with self._lock:
            del self._reserved[ticket]
            self.spent = Spent(self.spent.calls + 1, self.spent.tokens + tokens, self.spent.usd + usd)

    def _fits(self, used: list[Spent], tokens: int, usd: float) -> bool:
        return (
            (self.calls is None or sum(item.calls for item in used) + 1 <= self.calls)
            and (self.tokens is None or sum(item.tokens for item in used) + tokens <= self.tokens)
            and (self.usd is None or sum(item.usd for item in used) + usd <= self.usd * (1 + 1e-12))
        )


class Ledger:
    """Every request, what came of it and what it cost; append-only, and safe for threads and processes.

    Parameters
    ----------
    model : str
        Name that the rows carry.
    path : Path, optional
        JSON Lines file; without it the rows are kept in memory.
    """

    def __init__(self, model: str, path: Path | None = None) -> None:
        self.run = os.urandom(4).hex()
        self._model, self._path = model, path
        self._lock = threading.Lock()
        self._rows: list[dict[str, Any]] = []
        self._mend = True

    def __repr__(self) -> str:
        totals = ", ".join(f"{name}={value}" for name, value in self.totals().items())
        return f"Ledger({totals})"

    def add(self, event: str, **fields: Any) -> None:
        """Append a row: an ``"answer"``, a ``"retry"``, a ``"failure"``, or ``"cached"`` answers (n of them)."""
        row = dict.fromkeys(COLUMNS, None) | {
            "time": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
            "run": self.run,
            "model": self._model,
            "event": event,
            **_BLANK,
            **fields,
        }
        with self._lock:
            self._rows.append(row)
            if self._path is not None:
                self._write(self._path, json.dumps(row))

    def _write(self, path: Path, line: str) -> None:
        """One write a line, which other processes cannot cut in two; a line that was torn is closed first."""
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            torn, self._mend = self._mend and _is_torn(path), False
            file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
            try:
                os.write(file, (("\n" if torn else "") + line + "\n").encode())
            finally:
                os.close(file)
        except OSError as error:
            raise FileError(f"Cannot write {path}: {error.strerror or error}. Choose another cache folder.") from error

    def totals(self) -> dict[str, float]:
        """Sums over this run: calls answered, cached hits, retries, failures, tokens, US dollars and seconds."""
        with self._lock:
            rows = list(self._rows)
        counts = {
            name: sum(row["n"] for row in rows if row["event"] == event)
            for name, event in (
                ("calls", "answer"),
                ("cached", "cached"),
                ("retries", "retry"),
                ("failures", "failure"),
            )
        }
        sums = {
            name: sum(row[name] or 0 for row in rows)
            for name in ("prompt_tokens", "completion_tokens", "usd", "seconds")
        }
        return counts | sums

    def to_frame(self) -> pd.DataFrame:
        """All rows as a table: those of the file, earlier runs included, or of this run if there is no file.

        Returns
        -------
        pandas.DataFrame
            Columns ``time`` (UTC), ``run``, ``model``, ``event`` (answer, retry, failure or cached), ``n``,
            ``reason``, ``prompt_tokens``, ``completion_tokens``, ``estimated`` (the server did not count the tokens,
            or the reply was lost), ``usd`` (missing without a price), ``seconds`` and ``key`` (of the cache).

        Raises
        ------
        FileError
            If the file cannot be read.
        """
        import pandas as pd

        with self._lock:
            rows = list(self._rows)
        if self._path is not None and self._path.exists():
            rows = _read_rows(self._path)
        frame = pd.DataFrame(rows, columns=list(COLUMNS))
        return frame.astype({"usd": float, "seconds": float})


def _is_torn(path: Path) -> bool:
    """Whether a file ends within a line."""
    if not path.is_file() or path.stat().st_size == 0:
        return False
    with path.open("rb") as file:
        file.seek(-1, os.SEEK_END)
        return file.read() != b"\n"


def _read_rows(path: Path) -> list[dict[str, Any]]:
    """Rows of a ledger; a line that a crash tore is left out."""
    try:
        lines = path.read_bytes().splitlines()
    except OSError as error:
        raise FileError(f"Cannot read {path}: {error.strerror or error}. Check its rights.") from error
    rows = []
    for line in lines:
        try:
            row = json.loads(line)
        except ValueError:
            continue
        if isinstance(row, dict) and row.keys() >= set(COLUMNS):
            rows.append(row)
    return rows
