"""uvicorn as the gateway runs it: with bounded connections, and with workers that reload."""

import logging
import os
import signal
import ssl
from collections.abc import Callable
from typing import Any

from uvicorn import Config, Server
from uvicorn.config import STARTUP_FAILURE
from uvicorn.supervisors import Multiprocess

from .certificates import Certificates
from .logs import logging_of
from .uvicorn_compat import BoundedProtocol, BoundedWebSocket

log = logging.getLogger("ratelimit.gateway")


class Workers(Multiprocess):
    """uvicorn's supervisor; SIGHUP goes to the workers, which reload by themselves and drop nothing.

    SIGHUP is blocked, here and so in each worker until it can follow: it would kill one that is just starting.
    """

    def handle_signals(self) -> None:
        if signal.SIGHUP in signal.sigpending():
            signal.sigwait([signal.SIGHUP])
            self.handle_hup()
        super().handle_signals()

    def keep_subprocess_alive(self) -> None:
        """Replace those that ended. None is asked whether it lives: one that dies over that question would hold up
        the supervisor, which hears no signal and replaces no other meanwhile."""
        for process in self.processes:
            process.ping = lambda timeout=0.0: True  # type: ignore[method-assign]
        super().keep_subprocess_alive()

    def handle_hup(self) -> None:
        for process in self.processes:
            if process.pid is not None:
                os.kill(process.pid, signal.SIGHUP)


def run(app: Callable[[], Any], workers: int, frame: int, message: int, log_level: str, **options: Any) -> int:
    """Serve until a signal; the exit status.

    Args:
        app: makes the application of one worker.
        frame, message: the most bytes of a WebSocket frame and message.
        log_level: the lowest of the lines in the log.
        options: for uvicorn.Config.
    """
    config = Config(
        app,
        factory=True,
        workers=workers,
        http=BoundedProtocol,
        ws=BoundedWebSocket,
        ws_max_size=(message, frame),  # type: ignore[arg-type]  # as websockets takes it
        ws_per_message_deflate=False,
        proxy_headers=False,
        server_header=False,
        access_log=False,
        log_config=logging_of(log_level),
        lifespan="on",  # what cannot start must not serve
        ssl_cert_reqs=ssl.CERT_REQUIRED if options.get("ssl_ca_certs") else ssl.CERT_NONE,
        ssl_context_factory=Certificates.make_context if options.get("ssl_certfile") else None,
        **options,
    )
    server = Server(config)
    if workers == 1:
        server.run()
        return 0 if server.started else STARTUP_FAILURE
    try:
        sockets = [config.bind_socket()]
    except SystemExit:
        log.error("cannot listen at %s:%s", config.host, config.port)
        raise
    supervisor = Workers(config, sockets)
    supervisor.run()
    failed = any(process.exitcode == STARTUP_FAILURE for process in supervisor.processes)
    return STARTUP_FAILURE if failed else 0
