"""The package django-ratelimit, whose counts all worker processes of a host share: one changed import.

from ratelimit.contrib.django_ratelimit.decorators import ratelimit

@ratelimit(key="ip", rate="5/m")
def login(request): ...
"""

from typing import Final

ALL: Final = (None,)
"""All methods, for `method=`."""

UNSAFE: Final = ["DELETE", "PATCH", "POST", "PUT"]
"""The methods that change something, for `method=`."""
