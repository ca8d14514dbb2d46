"""The one error that a user can cause: what was wrong, what was expected, what to do."""

from __future__ import annotations


class UserError(ValueError):
    """A mistake in what the user asked for or handed over.

    The message says what was wrong, what was expected and what to do. The command line prints it
    without a traceback and exits with code 2; in Python it is an ordinary ``ValueError``.

    Examples
    --------
    >>> raise UserError("wind_stress is not a parameter; did you mean wind_stress_south?")
    Traceback (most recent call last):
    ...
    warmstart.errors.UserError: wind_stress is not a parameter; did you mean wind_stress_south?
    """
