"""Every error that knobo raises on purpose.

    KnoboError
    ├── InputError              (ValueError)    an argument or the data hold something unusable
    ├── InputTypeError          (TypeError)     an argument has the wrong type
    ├── FileError               (OSError)       a file is missing, unreadable or unwritable
    ├── FormatError             (ValueError)    a document has an unknown version or a broken field
    ├── DownloadError           (OSError)       a model or corpus could not be fetched
    ├── MissingDependencyError  (ImportError)   an optional package is not installed
    ├── ModelError              (RuntimeError)  a language model refuses, or cannot be reached
    ├── OutOfMemoryError        (MemoryError)   not even one image fits into memory together with the model
    ├── BudgetError             (RuntimeError)  the next call of a language model would exceed the budget
    └── NotFittedError          (sklearn's NotFittedError)

Each message names the item at fault, what was expected, and what to do next. The second base class is the one
that Python or scikit-learn would have raised, so code that catches that one keeps working.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sklearn.exceptions import NotFittedError as _SklearnNotFittedError


class KnoboError(Exception):
    """Base of all errors raised by knobo."""


class InputError(KnoboError, ValueError):
    """An argument or the data hold something that cannot be used."""


class InputTypeError(KnoboError, TypeError):
    """An argument has the wrong type."""


class FileError(KnoboError, OSError):
    """A file is missing, unreadable or cannot be written."""


class FormatError(KnoboError, ValueError):
    """A document has an unknown version or a broken field."""


class DownloadError(KnoboError, OSError):
    """A model or a corpus could not be fetched."""


class MissingDependencyError(KnoboError, ImportError):
    """An optional package is not installed."""


class ModelError(KnoboError, RuntimeError):
    """A language model refuses the request, or cannot be reached."""


class OutOfMemoryError(KnoboError, MemoryError):
    """Not even one image fits into memory together with the model."""


class BudgetError(KnoboError, RuntimeError):
    """The next call of a language model would exceed the budget.

    Attributes
    ----------
    answers : list of Answer or None
        One for each prompt; None where it was not asked, or not to the end.
    """

    def __init__(self, message: str, answers: Sequence[Any] = ()) -> None:
        super().__init__(message)
        self.answers = list(answers)


class NotFittedError(KnoboError, _SklearnNotFittedError):
    """An estimator was used before ``fit``."""
