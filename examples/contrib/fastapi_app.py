from fastapi import APIRouter, Depends, FastAPI

from ratelimit.contrib.asgi import RateLimitMiddleware
from ratelimit.contrib.fastapi import RESPONSES, RateLimit

router = APIRouter()


@router.get("/search", dependencies=[Depends(RateLimit("20/day", shared="example"))], responses=RESPONSES)
def search():
    return {"found": 42}


app = FastAPI()
app.add_middleware(RateLimitMiddleware, limit="100/day", shared="example", key=lambda request: request.path)
app.include_router(router)
