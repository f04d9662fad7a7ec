from starlette.applications import Starlette
from starlette.responses import PlainTextResponse
from starlette.routing import Route

from ratelimit.contrib.asgi import RateLimitMiddleware


async def home(request):
    return PlainTextResponse("hello\n")


app = Starlette(routes=[Route("/", home)])
app.add_middleware(RateLimitMiddleware, limit="100/day", shared="example", exempt=["/health"])
