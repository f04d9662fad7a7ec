"""Functions in processes of their own, each with its own folder, path and environment."""

import asyncio
import json
import logging
import os
import socket
import sys
import tempfile
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ..http.request import Request
from . import runner

log = logging.getLogger("ratelimit.gateway")
MAX_PROCESSES = 10  # of one function, in each worker; further calls wait
START_TIMEOUT = 30.0  # seconds in which a function must be loaded
_DEFAULTS = {"AWS_REGION": "us-east-1", "AWS_DEFAULT_REGION": "us-east-1", "AWS_ACCESS_KEY_ID": "local",
             "AWS_SECRET_ACCESS_KEY": "local"}  # fmt: skip


class FunctionError(Exception):
    """The function raised an exception, or was ended.

    Args:
        errorMessage, errorType: as Lambda reports them.
    """

    def __init__(self, errorMessage: str, errorType: str = "") -> None:
        super().__init__(f"{errorType}: {errorMessage}" if errorType else errorMessage)
        self.message = errorMessage


def has_traceback(error: Exception) -> bool:
    """Whether the log needs the traceback of a failed call: a function elsewhere has printed its own."""
    return not isinstance(error, FunctionError)


@dataclass(frozen=True)
class ProcessSettings:
    """How a function is run.

    Args:
        name: of the function.
        handler: such as "app.handler".
        folder: with its code.
        code: of the module of the handler, in place of a folder.
        environment: variables that are added to those of the gateway.
        timeout: seconds after which a call is ended.
        memory: in MB; only reported.
        layers: folders with further modules.
    """

    name: str
    handler: str
    folder: str = "."
    code: str | None = None
    environment: Mapping[str, str] = field(default_factory=dict)
    timeout: float = 3.0
    memory: int = 128
    layers: tuple[str, ...] = ()


class FunctionProcesses:
    """The processes of one function: each makes one call at a time.

    Attributes:
        is_removed: whether each call has a process of its own, as only a WebSocket still has the function.
    """

    def __init__(self, settings: ProcessSettings) -> None:
        self.settings = settings
        self._idle: list[_Process] = []
        self._free = asyncio.Semaphore(MAX_PROCESSES)
        self._changed = 0
        self._generation = 0  # of the processes that later calls may use
        self.is_removed = False
        self._inline: tempfile.TemporaryDirectory[str] | None = None

    async def invoke(self, event: dict[str, Any], timeout: float, request: Request | None = None) -> Any:
        """Return the result of the function; see `Function`."""
        async with asyncio.timeout(timeout), self._free:
            self._follow_code()
            generation, process = self._generation, await self._take()
            try:
                result = await self._call(process, event)
            except BaseException:
                process.kill()
                raise
            if generation == self._generation and not self.is_removed:
                self._idle.append(process)
            else:
                process.kill()
        if "error" in result:
            raise FunctionError(**result["error"])
        return result["result"]

    async def _call(self, process: "_Process", event: dict[str, Any]) -> Any:
        settings = self.settings
        try:
            async with asyncio.timeout(settings.timeout):
                return await process.ask({"event": event, "timeout": settings.timeout, "memory": settings.memory})
        except TimeoutError:
            raise FunctionError(f"the function {settings.name} timed out after {settings.timeout:g} seconds") from None
        except (asyncio.IncompleteReadError, OSError) as error:
            raise FunctionError(f"the process of function {settings.name} ended") from error

    def _follow_code(self) -> None:
        changed = self._state()
        if changed != self._changed:
            self.close()
            self._changed = changed

    async def _take(self) -> "_Process":
        while self._idle:
            process = self._idle.pop()
            if process.is_alive():
                return process
        return await _Process.start(self.settings, self._folder())

    def _folder(self) -> str:
        if self.settings.code is None:
            return os.path.abspath(self.settings.folder)
        if self._inline is None:
            self._inline = tempfile.TemporaryDirectory(prefix="ratelimit-function-")
            module = Path(self._inline.name, *self.settings.handler.rpartition(".")[0].split("."))
            module.parent.mkdir(parents=True, exist_ok=True)
            module.with_suffix(".py").write_text(self.settings.code)
        return self._inline.name

    def _state(self) -> int:
        """Return when the file of the handler was changed: after a change new processes are started."""
        module = self.settings.handler.rpartition(".")[0].replace(".", "/")
        try:
            return os.stat(os.path.join(self._folder(), f"{module}.py")).st_mtime_ns
        except OSError:
            return 0

    def close(self) -> None:
        """End the processes: one that makes a call, after that."""
        self._generation += 1
        while self._idle:
            self._idle.pop().kill()


class _Process:
    def __init__(self, process: asyncio.subprocess.Process, ends: tuple[Any, asyncio.StreamWriter]) -> None:
        self._process = process
        self._reader, self._writer = ends

    @classmethod
    async def start(cls, settings: ProcessSettings, folder: str) -> "_Process":
        if not os.path.isdir(folder):
            raise FunctionError(f"the folder {folder} of function {settings.name} is missing")
        ours, theirs = socket.socketpair()
        try:
            process = await asyncio.create_subprocess_exec(
                sys.executable, "-u", runner.__file__, str(theirs.fileno()), settings.handler, folder,
                *map(os.path.abspath, settings.layers),
                cwd=folder, env=_environment(settings, folder), pass_fds=[theirs.fileno()], start_new_session=True,
                stdin=asyncio.subprocess.DEVNULL,
            )  # fmt: skip
        except BaseException:
            ours.close()
            raise
        finally:
            theirs.close()
        started = cls(process, await asyncio.open_connection(sock=ours))
        try:
            async with asyncio.timeout(START_TIMEOUT):
                loaded = await started.read()
        except BaseException as error:
            started.kill()
            if isinstance(error, asyncio.IncompleteReadError | OSError):
                raise FunctionError(f"the process of function {settings.name} cannot be started: {error!r}") from error
            raise
        if "error" in loaded:
            started.kill()
            raise FunctionError(f"function {settings.name} cannot be loaded: {loaded['error']['errorMessage']}")
        return started

    async def ask(self, message: Any) -> Any:
        body = json.dumps(message).encode()
        self._writer.write(len(body).to_bytes(runner.LENGTH) + body)
        return await self.read()

    async def read(self) -> Any:
        length = int.from_bytes(await self._reader.readexactly(runner.LENGTH))
        return json.loads(await self._reader.readexactly(length))

    def is_alive(self) -> bool:
        return self._process.returncode is None and not self._reader.at_eof()

    def kill(self) -> None:
        self._writer.close()
        if self._process.returncode is None:
            self._process.kill()


def _environment(settings: ProcessSettings, folder: str) -> dict[str, str]:
    """Return the variables of the gateway with those that Lambda sets and those of the function."""
    own = {
        "AWS_LAMBDA_FUNCTION_NAME": settings.name, "AWS_LAMBDA_FUNCTION_VERSION": "$LATEST",
        "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": str(settings.memory), "_HANDLER": settings.handler,
        "AWS_LAMBDA_LOG_GROUP_NAME": f"/aws/lambda/{settings.name}", "AWS_LAMBDA_LOG_STREAM_NAME": "local",
        "LAMBDA_TASK_ROOT": folder, "TZ": ":UTC", **settings.environment,
    }  # fmt: skip
    inherited = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    return {**_DEFAULTS, **inherited, **own}


class FunctionRegistry:
    """The functions of a gateway, over reloads."""

    def __init__(self) -> None:
        self._functions: list[FunctionProcesses] = []

    def of(self, settings: ProcessSettings) -> FunctionProcesses:
        """Return the function with these settings."""
        for one in self._functions:
            if one.settings == settings:
                return one
        self._functions.append(FunctionProcesses(settings))
        return self._functions[-1]

    def keep(self, used: Iterable[FunctionProcesses]) -> None:
        """End all processes, and forget the functions that are not used: a reload takes new code."""
        kept = list(used)
        for one in self._functions:
            one.close()
            one.is_removed = one not in kept
        self._functions = kept
