from django.conf import settings
from django.core.wsgi import get_wsgi_application
from django.urls import path

REST_FRAMEWORK = {
    "DEFAULT_THROTTLE_CLASSES": ["ratelimit.contrib.drf.AnonRateThrottle"],
    "DEFAULT_THROTTLE_RATES": {"anon": "20/day"},
    "DEFAULT_AUTHENTICATION_CLASSES": [],
    "UNAUTHENTICATED_USER": None,
}
RATELIMIT = {"shared": "example"}
settings.configure(ALLOWED_HOSTS=["*"], ROOT_URLCONF=__name__, REST_FRAMEWORK=REST_FRAMEWORK, RATELIMIT=RATELIMIT)
app = get_wsgi_application()

from rest_framework.decorators import api_view  # noqa: E402  (reads the settings)
from rest_framework.response import Response  # noqa: E402

hello = api_view()(lambda request: Response({"hello": "world"}))
urlpatterns = [path("", hello)]
