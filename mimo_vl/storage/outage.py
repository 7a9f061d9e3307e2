"""What happens while an S3 server cannot be reached, or cannot serve? Requests are repeated, up to a deadline."""

from __future__ import annotations

import logging
import ssl
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

import tenacity
import urllib3

logger = logging.getLogger(__name__)

R = TypeVar("R")

# Timeout, too many requests, internal error, and what a gateway says for a server that is away.
_AWAY_STATUSES = {408, 429, 500, 502, 503, 504}
# Random waits below 0.25 s, 0.5 s, 1 s, ...: many ranks shall not come back at the same moment.
_FIRST_WAIT_S, _MAX_WAIT_S = 0.25, 5.0
_MAX_CONNECT_S = 10.0
# All repeating is ours, so that it ends at one deadline.
_REDIRECTS_ONLY = urllib3.Retry(total=None, connect=0, read=0, status=0, other=0, redirect=5)


class ServerAwayError(urllib3.exceptions.HTTPError):
    """The server cannot be reached, or cannot serve now. The text is safe to show: it holds no URL."""


def patiently(call: Callable[[], R], timeout_s: float) -> R:
    """Repeat `call` while it raises ServerAwayError, until `timeout_s` have passed; 0 = one try."""
    retrying = tenacity.Retrying(
        retry=tenacity.retry_if_exception_type(ServerAwayError),
        stop=tenacity.stop_after_delay(timeout_s),
        wait=tenacity.wait_random_exponential(multiplier=_FIRST_WAIT_S, max=_MAX_WAIT_S),
        before_sleep=lambda state: _tell(state, timeout_s),
        reraise=True,
    )
    return retrying(call)


@contextmanager
def away_errors() -> Iterator[None]:
    """ServerAwayError instead of urllib3's errors that a later try may not meet."""
    try:
        yield
    except ServerAwayError:
        raise
    except urllib3.exceptions.HTTPError as error:
        cause = getattr(error, "reason", None) or error
        if _is_permanent(cause):
            raise
        raise ServerAwayError(type(cause).__name__) from None


class PatientPool(urllib3.PoolManager):
    """Every request survives an outage of `outage_timeout_s`. Bodies are bytes and can be sent again."""

    def __init__(self, *, timeout_s: float, outage_timeout_s: float) -> None:
        timeout = urllib3.Timeout(connect=min(timeout_s, _MAX_CONNECT_S), read=timeout_s)
        super().__init__(timeout=timeout, retries=_REDIRECTS_ONLY, maxsize=8)
        self.outage_timeout_s = outage_timeout_s

    def urlopen(  # type: ignore[override]
        self, method: str, url: str, redirect: bool = True, **options: Any
    ) -> urllib3.BaseHTTPResponse:
        return patiently(lambda: self.try_once(method, url, redirect, **options), self.outage_timeout_s)

    def try_once(self, method: str, url: str, redirect: bool = True, **options: Any) -> urllib3.BaseHTTPResponse:
        with away_errors():
            response = super().urlopen(method, url, redirect, **options)
            if response.status not in _AWAY_STATUSES:
                return response
            text = f"HTTP {response.status} {error_code(response.data)}".rstrip()
            response.release_conn()
        raise ServerAwayError(text)


def error_code(body: bytes) -> str:
    """<Code> of an S3 error document."""
    text = body.decode(errors="replace")
    return text.partition("<Code>")[2].partition("</Code>")[0] if "<Code>" in text else ""


def _is_permanent(cause: BaseException) -> bool:
    """A wrong address or certificate, or too many redirects."""
    if isinstance(cause, urllib3.exceptions.SSLError):
        return any(isinstance(inner, ssl.SSLCertVerificationError) for inner in cause.args)
    return isinstance(cause, (urllib3.exceptions.LocationValueError, urllib3.exceptions.ResponseError))


def _tell(state: tenacity.RetryCallState, timeout_s: float) -> None:
    if state.attempt_number == 1 and state.outcome is not None:
        logger.warning("S3 server away cause=%s; trying again for %g s", state.outcome.exception(), timeout_s)
