"""A process that calls one Python function, as AWS Lambda's runtime does. It needs nothing but Python itself.

The gateway starts it as `runner.py FD HANDLER FOLDER [LAYER ...]`, where FD is a socket. Each message on it is JSON,
with its length before it. The first one from here reports that the function is loaded, or why not; then each event is
answered with a result or an error.
"""

import json
import os
import socket
import sys
import time
import traceback
import uuid
from importlib import import_module
from typing import Any

LENGTH = 4  # bytes, big-endian


class Context:
    """The second argument of a handler: the attributes and methods of the context that AWS Lambda passes.

    Args:
        name: of the function.
        deadline: by `time.monotonic`, when the call is given up.
        memory: in MB; only reported.
    """

    function_version = "$LATEST"
    identity = None
    client_context = None

    def __init__(self, name: str, deadline: float, memory: int = 128) -> None:
        self.function_name = name
        self.invoked_function_arn = f"arn:aws:lambda:us-east-1:123456789012:function:{name}"
        self.memory_limit_in_mb = str(memory)
        self.aws_request_id = str(uuid.uuid4())
        self.log_group_name = f"/aws/lambda/{name}"
        self.log_stream_name = "local"
        self._deadline = deadline

    def get_remaining_time_in_millis(self) -> int:
        """Return the milliseconds until the call is given up."""
        return max(0, int((self._deadline - time.monotonic()) * 1000))


def read(stream: Any) -> Any:
    """Read one message; None at the end."""
    head = stream.read(LENGTH)
    return json.loads(stream.read(int.from_bytes(head))) if len(head) == LENGTH else None


def write(stream: Any, value: Any) -> None:
    """Write one message."""
    body = json.dumps(value).encode()
    stream.write(len(body).to_bytes(LENGTH) + body)
    stream.flush()


def failure(error: BaseException) -> dict[str, Any]:
    """Return an error as a message."""
    return {"error": {"errorMessage": str(error), "errorType": type(error).__name__}}


def reach_gateway(event: Any, domains: set[str]) -> None:
    """Let boto3 reach this gateway by http, where a handler writes `https://` before the domain of its event.

    That is how handlers address the clients of a WebSocket API. botocore is changed once, when it has been imported.
    """
    context = event.get("requestContext") if isinstance(event, dict) else None
    client = sys.modules.get("botocore.client")
    if client is None or not isinstance(context, dict) or not context.get("connectionId"):
        return
    if not domains:
        create: Any = client.ClientCreator.create_client

        def create_client(*arguments: Any, **given: Any) -> Any:
            url = given.get("endpoint_url") or ""
            if url.startswith("https://") and url.split("/")[2] in domains:
                given["endpoint_url"] = f"http://{url[8:]}"
            return create(*arguments, **given)

        client.ClientCreator.create_client = create_client
    domains.add(context["domainName"])


def main(fd: str, handler: str, folder: str, *layers: str) -> None:
    """Load a function and answer events until the gateway is gone."""
    python = [os.path.join(layer, "python") for layer in layers]
    sys.path[:1] = [folder, *python, *layers]
    stream = socket.socket(fileno=int(fd)).makefile("rwb")
    try:
        module, _, name = handler.rpartition(".")
        function = getattr(import_module(module.replace("/", ".")), name)
    except BaseException as error:  # its module runs, and may end in any way
        traceback.print_exc()
        write(stream, failure(error))
        return
    write(stream, {})
    domains: set[str] = set()
    while (call := read(stream)) is not None:
        context = Context(os.environ["AWS_LAMBDA_FUNCTION_NAME"], time.monotonic() + call["timeout"], call["memory"])
        if "RATELIMIT_GATEWAY_TLS" not in os.environ:
            reach_gateway(call["event"], domains)
        try:
            answer: Any = {"result": function(call["event"], context)}
            json.dumps(answer)
        except BaseException as error:
            traceback.print_exc()
            answer = failure(error)
        sys.stdout.flush()
        write(stream, answer)


if __name__ == "__main__":
    main(*sys.argv[1:])
