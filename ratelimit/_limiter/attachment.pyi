from typing import Literal

from typing_extensions import disjoint_base

COUNTS: tuple[Literal["keep", "scale", "reset"], ...]

@disjoint_base
class Attachment:
    """What every limiter has. Its class sets `_parameters`: the function that turns a quota into RuleParameters."""
