"""The numbers that the drop-ins for other packages share: bounds of windows, and the zero of a clock of seconds."""

from functools import lru_cache

from .._engine.constants import MOMENT_BITS, NS_PER_SECOND, STATE_BITS
from ..quota import Quota

LARGEST_FIRST = 2 ** (STATE_BITS - MOMENT_BITS) - 1  # the highest count of a window that starts with a first request
LARGEST_EPOCH = 2**31 - 1  # of a window that starts at a multiple of its period, which can count more
MAX_QUOTAS = 4_096  # that are remembered
ZERO_NS = 1_000_000_000 * NS_PER_SECOND  # where a clock starts that counts seconds from any zero

cached_quota = lru_cache(MAX_QUOTAS)(Quota)
