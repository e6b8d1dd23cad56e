"""The errors that reach a person. Each says what was wrong, where, and what to do.

An exception's docstring is its title: the web answers it as a page or as problem+json (RFC 9457).
"""

from typing import ClassVar


class WatchbillError(Exception):
    """Something went wrong."""

    status: ClassVar[int] = 500
    code: ClassVar[str] = "error"

    def __init__(self, detail: str, *, hint: str = "", field: str = "") -> None:
        super().__init__(detail)
        self.detail, self.hint, self.field = detail, hint, field

    @property
    def title(self) -> str:
        return (type(self).__doc__ or "").strip().splitlines()[0].rstrip(".")


class NotFound(WatchbillError):
    """Not here, or not for you."""

    status, code = 404, "not-found"


class Denied(WatchbillError):
    """You may not do this."""

    status, code = 403, "denied"


class SignInNeeded(WatchbillError):
    """Sign in first."""

    status, code = 401, "sign-in-needed"


class Invalid(WatchbillError):
    """This value cannot be used."""

    status, code = 422, "invalid"


class Conflict(WatchbillError):
    """Somebody was here first."""

    status, code = 409, "conflict"


class TooLarge(WatchbillError):
    """That is more than the hub takes."""

    status, code = 413, "too-large"


class TooMany(WatchbillError):
    """Too many requests."""

    status, code = 429, "too-many"

    def __init__(self, detail: str, *, retry_after: int) -> None:
        super().__init__(detail, hint=f"Try again in {retry_after} s.")
        self.retry_after = retry_after


class Unavailable(WatchbillError):
    """The hub cannot do this right now."""

    status, code = 503, "unavailable"


class SettingError(WatchbillError):
    """A setting is wrong."""

    code = "setting"


class Broken(WatchbillError):
    """A rule of the house was broken by the program itself."""

    code = "broken"
