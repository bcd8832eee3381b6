"""Encoded pictures that were made lately, within a bound of bytes."""

from collections import OrderedDict
from collections.abc import Hashable
from typing import Generic, TypeVar

Kept = TypeVar("Kept")

LARGEST_PART = 8
"""A picture larger than this part of the cache is not kept: it would push out too many others."""


class PictureCache(Generic[Kept]):
    """What was used last is kept, up to `limit` bytes; 0 keeps nothing."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._kept: OrderedDict[Hashable, tuple[Kept, int]] = OrderedDict()
        self.bytes = 0

    def get(self, key: Hashable) -> Kept | None:
        """What is kept under that key."""
        found = self._kept.get(key)
        if found is None:
            return None
        self._kept.move_to_end(key)
        return found[0]

    def put(self, key: Hashable, value: Kept, size: int) -> None:
        """Keep a value of that many bytes, unless it is too large."""
        if size > self._limit // LARGEST_PART:
            return
        if previous := self._kept.pop(key, None):
            self.bytes -= previous[1]
        self._kept[key] = value, size
        self.bytes += size
        while self.bytes > self._limit:
            _, (_, dropped) = self._kept.popitem(last=False)
            self.bytes -= dropped
