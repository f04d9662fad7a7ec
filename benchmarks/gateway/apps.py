"""The compared applications: each function makes one."""

import os

BODY = b'{"pets": ["dog", "cat"]}'
RATE, BURST = 200, 100  # of the application that is overloaded
REQUEST_ID = (b"x-amzn-requestid", b"0123456789ab-1a2b3c")  # as long as one of the gateway's
NGINX = os.environ.get("NGINX", "80")


def _gateway(routes, throttles=None, account=(1e8, 2**30), **more):
    from ratelimit.gateway import Api, Configuration, Gateway, Stage, Throttle

    stage = Stage(throttle=Throttle(1e8, 2**30), route_throttles=throttles or {"*": Throttle(1e8, 2**30)}, **more)
    return Gateway(
        Configuration(apis={"shop": Api(routes=routes, stages={"$default": stage})}, throttle=Throttle(*account))
    )


def _mock():
    from ratelimit.gateway import Mock, Route

    return Route(mock=Mock(body=BODY.decode()))


def mock():
    """Make the gateway with method, stage and account levels, all of which admit."""
    return _gateway({"GET /pets": _mock()})


def by_client():
    """Make the same gateway with a bucket for each client as well."""
    from ratelimit.gateway import ClientThrottle

    return _gateway({"GET /pets": _mock()}, client_throttle=ClientThrottle(1e8, 2**30, by=("address",)))


def refusing():
    """Make the same gateway with a method level that refuses."""
    from ratelimit.gateway import Throttle

    return _gateway({"GET /pets": _mock()}, {"*": Throttle(0.001, 1)})


def limited():
    from ratelimit.gateway import Throttle

    return _gateway({"GET /pets": _mock()}, {"*": Throttle(RATE, BURST)})


def routes_10():
    return _gateway({f"GET /r{i}/pets/{{id}}": _mock() for i in range(10)})


def routes_1000():
    return _gateway({f"GET /r{i}/pets/{{id}}": _mock() for i in range(1_000)})


def proxy():
    from ratelimit.gateway import Proxy, Route

    return _gateway({"$default": Route(proxy=Proxy(to=[f"http://127.0.0.1:{NGINX}"]))})


def bare():
    """Make an application that sends the bytes of the gateway's mock, and does nothing else."""
    policy = b'"method";q=1073741824;w=11, "stage";q=1073741824;w=11, "account";q=1073741824;w=11'
    return _bare(200, BODY, [REQUEST_ID, (b"ratelimit-policy", policy), (b"ratelimit", b'"method";r=1073741823;t=1')])


def bare_refusing():
    """Make an application that sends the bytes of the gateway's refusal, and does nothing else."""
    policy = b'"method";q=1;w=1000, "stage";q=1073741824;w=11, "account";q=1073741824;w=11'
    more = [
        (b"x-amzn-errortype", b"TooManyRequestsException"),
        REQUEST_ID,
        (b"ratelimit-policy", policy),
        (b"ratelimit", b'"method";r=0;t=1000'),
        (b"retry-after", b"1000"),
    ]
    return _bare(429, b'{"message":"Too Many Requests"}', more)


def _bare(status, body, more):
    headers = [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(body)), *more]

    async def app(scope, receive, send):
        if scope["type"] == "lifespan":
            for kind in ("startup", "shutdown"):
                await receive()
                await send({"type": f"lifespan.{kind}.complete"})
            return
        await send({"type": "http.response.start", "status": status, "headers": headers})
        await send({"type": "http.response.body", "body": body})

    return app


def slowapi():
    from fastapi import FastAPI, Request
    from fastapi.responses import Response
    from slowapi import Limiter
    from slowapi.util import get_remote_address

    app = FastAPI()
    app.state.limiter = limiter = Limiter(key_func=get_remote_address)

    @app.get("/pets")
    @limiter.limit("100000000/second")
    async def pets(request: Request):
        return Response(BODY, media_type="application/json")

    return app


def limits():
    import limits as library
    from limits.aio.storage import MemoryStorage
    from limits.aio.strategies import FixedWindowRateLimiter
    from starlette.applications import Starlette
    from starlette.responses import Response
    from starlette.routing import Route

    limiter, limit = FixedWindowRateLimiter(MemoryStorage()), library.parse("100000000/second")

    async def pets(request):
        if not await limiter.hit(limit, request.client.host):
            return Response("Too Many Requests", 429)
        return Response(BODY, media_type="application/json")

    return Starlette(routes=[Route("/pets", pets)])


def httpx_proxy():
    """As one would write it: httpx, one client, streaming."""
    import httpx

    client = httpx.AsyncClient(base_url=f"http://127.0.0.1:{NGINX}")
    hop = {b"connection", b"transfer-encoding", b"host"}

    async def app(scope, receive, send):
        if scope["type"] == "lifespan":
            for kind in ("startup", "shutdown"):
                await receive()
                await send({"type": f"lifespan.{kind}.complete"})
            return
        body = (await receive())["body"]
        headers = [header for header in scope["headers"] if header[0] not in hop]
        request = client.build_request(scope["method"], scope["path"], headers=headers, content=body)
        answer = await client.send(request, stream=True)
        headers = [(name, value) for name, value in answer.headers.raw if name.lower() not in hop]
        await send({"type": "http.response.start", "status": answer.status_code, "headers": headers})
        async for chunk in answer.aiter_raw():
            await send({"type": "http.response.body", "body": chunk, "more_body": True})
        await send({"type": "http.response.body", "body": b""})
        await answer.aclose()

    return app
