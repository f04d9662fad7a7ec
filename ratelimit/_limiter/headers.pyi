from typing import Literal

Style = Literal["draft", "legacy"] | None
STYLES: tuple[Style, ...]

def check_style(style: object, name: str = "style") -> None:
    """Refuse another style than those of `limit_fields`."""
