"""The breaker: after three failures in a row every request is answered at once, until a probe succeeds."""

import logging
import random
import threading
from collections.abc import Callable

FAILURES = 3
FIRST_PAUSE, LONGEST_PAUSE = 0.05, 1.0  # seconds between two probes

log = logging.getLogger("ratelimit.valkey")


class Breaker:
    """Whether the engine answers, as far as this process knows.

    Args:
        probe: connects to the engine and asks whether it is there; raises if it is not.
        name: of the engine, for the log.

    Attributes:
        reason: the error because of which it opened last.

    While it is open a thread probes the engine, so that no request has to wait for an engine that is away.

    Thread-safety: every method may be called from any thread, also after a fork.
    """

    def __init__(self, probe: Callable[[], None], name: str) -> None:
        self.is_open = False
        self.opened_count = 0
        self.reason: BaseException | None = None
        self._probe = probe
        self._name = name
        self._failures = 0
        self._lock = threading.Lock()
        self._closing = threading.Event()

    def succeeded(self) -> None:
        if self._failures:
            self._failures = 0

    def failed(self, error: BaseException) -> None:
        with self._lock:
            self._failures += 1
            if self.is_open or self._failures < FAILURES:
                return
            self.is_open, self.reason = True, error
            self.opened_count += 1
        log.warning("%s does not answer (%s); requests get the answer of unreachable= until it does", self._name, error)
        self._start()

    def _start(self) -> None:
        threading.Thread(target=self._run, name="ratelimit-probe", daemon=True).start()

    def _run(self) -> None:
        pause = FIRST_PAUSE
        while True:
            self._closing.wait(pause * random.uniform(0.5, 1.0))
            try:
                self._probe()
            except Exception:
                pause = min(2 * pause, LONGEST_PAUSE)
                continue
            self._failures = 0
            self.is_open = False
            log.warning("%s answers again", self._name)
            return

    def after_fork(self) -> None:
        """Start again in a child process, which has none of the threads."""
        self._lock = threading.Lock()
        self._closing = threading.Event()
        if self.is_open:
            self._start()
