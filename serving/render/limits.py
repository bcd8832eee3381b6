"""What one picture may take."""

from dataclasses import dataclass

from neurocity.errors import NeuroCityError


class RequestError(NeuroCityError):
    """A request is well formed but cannot be met; `field` names the part that is wrong."""

    def __init__(self, message: str, field: str) -> None:
        super().__init__(message)
        self.field = field


@dataclass(frozen=True, kw_only=True)
class Limits:
    """What one picture may take.

    max_pixels: of width x height. max_side: of the width and of the height, in pixels.
    """

    max_pixels: int
    max_side: int

    def check(self, width: int, height: int) -> None:
        """Raise RequestError that names the field when a picture is larger."""
        for field, side in (("width", width), ("height", height)):
            if side > self.max_side:
                raise RequestError(f"{field} is {side} pixels, the limit is {self.max_side}", field)
        if width * height > self.max_pixels:
            raise RequestError(
                f"width x height is {width} x {height} = {width * height} pixels, "
                f"the limit is {self.max_pixels}",
                "width",
            )
