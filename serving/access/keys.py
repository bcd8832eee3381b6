"""API keys: who may ask for which scenes.

A key is 256 random bits, so its SHA-256 says nothing of it and needs no salt and no slow hash. Only that hash
is at rest. A line of a key file, or of the environment, is

    NAME SHA256 SCENE,SCENE,...     or * for all scenes

and several lines may have one name: that is how a key is changed without a moment where none is valid.
"""

import hashlib
import re
import secrets
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from neurocity.errors import ConfigError

ALL_SCENES = "*"
NAME = re.compile(r"[\w.-]{1,64}")


@dataclass(frozen=True, slots=True)
class Grant:
    """What a key or a signed link gives. scenes: the names of scenes, or `ALL_SCENES` among them."""

    name: str
    scenes: frozenset[str]

    def covers(self, scene: str) -> bool:
        """Whether that scene may be asked for."""
        return ALL_SCENES in self.scenes or scene in self.scenes


class ApiKeys:
    """The keys that are valid now, by their SHA-256."""

    def __init__(self, lines: Iterable[str], source: str) -> None:
        """Raises ConfigError that names the line of `source`."""
        self._grants: dict[str, Grant] = {}
        for place, words in split_lines(lines, source):
            name, digest, scenes = words
            if not re.fullmatch("[0-9a-f]{64}", digest):
                raise ConfigError(f"{place}: the second word is no SHA-256, see `neurocity-serve key`")
            self._grants[digest] = Grant(name, parse_scenes(scenes))

    def __len__(self) -> int:
        return len(self._grants)

    def grant(self, key: str) -> Grant | None:
        """What that key gives; None when it is not valid."""
        return self._grants.get(hashlib.sha256(key.encode()).hexdigest())


def new_key(name: str, scenes: frozenset[str]) -> tuple[str, str]:
    """A new key, to be given to its user, and its line of a key file."""
    key = secrets.token_urlsafe(32)
    digest = hashlib.sha256(key.encode()).hexdigest()
    return key, f"{name} {digest} {','.join(sorted(scenes))}"


def parse_scenes(text: str) -> frozenset[str]:
    """The scenes of `SCENE,SCENE,...`."""
    return frozenset(filter(None, text.split(",")))


def split_lines(lines: Iterable[str], source: str) -> Iterable[tuple[str, list[str]]]:
    """The place and the three words of each line that is neither empty nor a comment.

    Raises ConfigError on another number of words and on a name that is none.
    """
    for number, line in enumerate(lines, 1):
        words = line.partition("#")[0].split()
        if not words:
            continue
        place = f"{source}, line {number}"
        if len(words) != 3 or not NAME.fullmatch(words[0]):
            raise ConfigError(f"{place}: expected three words: a name, a secret, and scenes")
        yield place, words


def read_lines(file: Path) -> list[str]:
    """The lines of a file of keys; raises ConfigError when it cannot be read."""
    try:
        return file.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{file}: cannot be read ({error})") from None
