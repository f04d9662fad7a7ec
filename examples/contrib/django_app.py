from django.conf import settings
from django.core.asgi import get_asgi_application
from django.core.wsgi import get_wsgi_application
from django.http import HttpResponse
from django.urls import path

from ratelimit.contrib.django import ratelimit

MIDDLEWARE = ["ratelimit.contrib.django.RateLimitMiddleware"]
RATELIMIT = {"limit": "100/day", "shared": "example"}
settings.configure(ALLOWED_HOSTS=["*"], ROOT_URLCONF=__name__, MIDDLEWARE=MIDDLEWARE, RATELIMIT=RATELIMIT)


@ratelimit("20/day")
async def search(request):
    return HttpResponse("found\n")


urlpatterns = [path("search", search), path("", lambda request: HttpResponse("hello\n"))]
wsgi, asgi = get_wsgi_application(), get_asgi_application()
