"""A set of PMIDs that holds all of PubMed in a few megabytes."""

from __future__ import annotations

import numpy as np

_DIGITS = 8  # NLM gives a PMID at most eight


class PmidSet:
    """PMIDs as text, one bit for each number; whatever is no such number is kept as it is."""

    def __init__(self) -> None:
        self._bits = bytearray()
        self._others: set[str] = set()

    def __contains__(self, pmid: str) -> bool:
        if (number := _number(pmid)) is None:
            return pmid in self._others
        byte, bit = divmod(number, 8)
        return byte < len(self._bits) and bool(self._bits[byte] >> bit & 1)

    def add(self, pmid: str) -> None:
        """Put a PMID in."""
        if (number := _number(pmid)) is None:
            self._others.add(pmid)
            return
        byte, bit = divmod(number, 8)
        self._reach(byte + 1)
        self._bits[byte] |= 1 << bit

    def update(self, other: PmidSet) -> None:
        """Put all PMIDs of another set in."""
        self._others |= other._others
        self._reach(len(other._bits))
        bits = np.frombuffer(self._bits, dtype=np.uint8)
        bits[: len(other._bits)] |= np.frombuffer(other._bits, dtype=np.uint8)

    def _reach(self, n_bytes: int) -> None:
        self._bits.extend(bytes(max(0, n_bytes - len(self._bits))))


def _number(pmid: str) -> int | None:
    return int(pmid) if len(pmid) <= _DIGITS and pmid.isascii() and pmid.isdigit() and pmid[0] != "0" else None
