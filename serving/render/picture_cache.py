"""Encoded pictures that were made lately, within a bound of bytes."""

from collections.abc import Callable, Hashable
from typing import Generic, TypeVar

from cachetools import LRUCache

Kept = TypeVar("Kept")

LARGEST_PART = 8
"""A picture larger than this part of the cache is not kept: it would push out too many others."""


class PictureCache(Generic[Kept]):
    """What was used last is kept, up to `limit` bytes, as `size_of` counts them; 0 keeps nothing."""

    def __init__(self, limit: int, size_of: Callable[[Kept], int]) -> None:
        self._kept: LRUCache[Hashable, Kept] = LRUCache(limit, size_of)
        self._largest = limit // LARGEST_PART

    def get(self, key: Hashable) -> Kept | None:
        """What is kept under that key."""
        return self._kept.get(key)

    def put(self, key: Hashable, value: Kept) -> None:
        """Keep a value, unless it is too large."""
        if self._kept.getsizeof(value) <= self._largest:
            self._kept[key] = value

    def bytes(self) -> int:
        """What is kept, together."""
        return round(self._kept.currsize)
