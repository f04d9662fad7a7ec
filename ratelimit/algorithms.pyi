from typing import Literal, Self

from ._core import Limiter, _Clock, _OnFull
from ._limiter.parameters import Sizes
from .quota import Quota
from .table import Table

class TokenBucket(Limiter):
    def __new__(
        cls,
        quota: Quota | str,
        burst: int | None = None,
        *,
        max_keys: int | None = None,
        table: Table | None = None,
        on_full: _OnFull = "deny",
        clock: _Clock | None = None,
    ) -> Self: ...

class LeakyBucket(Limiter):
    def __new__(
        cls,
        quota: Quota | str,
        capacity: int | None = None,
        *,
        max_keys: int | None = None,
        table: Table | None = None,
        on_full: _OnFull = "deny",
        clock: _Clock | None = None,
    ) -> Self: ...

class FixedWindow(Limiter):
    def __new__(
        cls,
        quota: Quota | str,
        *,
        anchor: Literal["epoch", "first"] = "epoch",
        max_keys: int | None = None,
        table: Table | None = None,
        on_full: _OnFull = "deny",
        clock: _Clock | None = None,
    ) -> Self: ...

class SlidingWindow(Limiter):
    def __new__(
        cls,
        quota: Quota | str,
        *,
        max_keys: int | None = None,
        table: Table | None = None,
        on_full: _OnFull = "deny",
        clock: _Clock | None = None,
    ) -> Self: ...

class SlidingLog(Limiter):
    def __new__(
        cls,
        quota: Quota | str,
        *,
        max_keys: int | None = None,
        table: Table | None = None,
        on_full: _OnFull = "deny",
        clock: _Clock | None = None,
    ) -> Self: ...

def limiter_of(own: Sizes, table: Table) -> Limiter: ...
