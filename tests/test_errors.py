"""Errors derive from KnoboError and from the class that Python or scikit-learn would raise."""

import inspect

import pytest
import sklearn.exceptions

import knobo.errors as errors

PARENTS = {
    "InputError": ValueError,
    "InputTypeError": TypeError,
    "FileError": OSError,
    "FormatError": ValueError,
    "DownloadError": OSError,
    "MissingDependencyError": ImportError,
    "ModelError": RuntimeError,
    "OutOfMemoryError": MemoryError,
    "BudgetError": RuntimeError,
    "NotFittedError": sklearn.exceptions.NotFittedError,
}


@pytest.mark.parametrize(("name", "parent"), PARENTS.items())
def test_each_error_is_also_the_expected_builtin(name, parent):
    error = getattr(errors, name)
    assert issubclass(error, errors.KnoboError)
    assert issubclass(error, parent)


def test_the_tree_lists_every_error():
    defined = {n for n, c in inspect.getmembers(errors, inspect.isclass) if c.__module__ == "knobo.errors"}
    assert defined == set(PARENTS) | {"KnoboError"}
    assert all(name in errors.__doc__ for name in defined)
