"""API keys: who may ask for which scenes.

A key is 256 random bits, so its SHA-256 says nothing of it and needs no salt and no slow hash. Only that hash
is at rest. A line of a key file, or of the environment, is

    NAME SHA256 SCENE,SCENE,... [admin] [pixels-per-minute=N]

with * for all scenes and - for none. Several lines may have one name: that is how a key is changed without a
moment where none is valid. They are one client, with one quota.
"""

import hashlib
import re
import secrets
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from neurocity.errors import ConfigError

ALL_SCENES, NO_SCENES = "*", "-"
ADMIN, PIXELS_PER_MINUTE = "admin", "pixels-per-minute"
NAME = re.compile(r"[\w.-]{1,64}")


@dataclass(frozen=True, slots=True)
class Grant:
    """What a key or a signed link gives.

    scenes: the names of scenes, or `ALL_SCENES` among them. admin: whether it is an operator's, who may look
    at `/metrics` and `/v1/admin/`. pixels_per_minute: that may be rendered for all that have the name.
    """

    name: str
    scenes: frozenset[str]
    admin: bool = False
    pixels_per_minute: int | None = None

    def covers(self, scene: str) -> bool:
        """Whether that scene may be asked for."""
        return ALL_SCENES in self.scenes or scene in self.scenes


class ApiKeys:
    """The keys that are valid now, by their SHA-256."""

    def __init__(self, lines: Iterable[str], source: str) -> None:
        """Raises ConfigError that names the line of `source`."""
        self._grants: dict[str, Grant] = {}
        quotas: dict[str, int | None] = {}
        for place, digest, grant in read_grants(lines, source):
            if not re.fullmatch("[0-9a-f]{64}", digest):
                raise ConfigError(f"{place}: the second word is no SHA-256, see `neurocity-serve key`")
            if quotas.setdefault(grant.name, grant.pixels_per_minute) != grant.pixels_per_minute:
                raise ConfigError(
                    f"{place}: got {PIXELS_PER_MINUTE}={grant.pixels_per_minute} for {grant.name!r}, a line "
                    f"before has {quotas[grant.name]}; lines of one name have one quota"
                )
            self._grants[digest] = grant

    def __len__(self) -> int:
        return len(self._grants)

    def grant(self, key: str) -> Grant | None:
        """What that key gives; None when it is not valid."""
        return self._grants.get(hashlib.sha256(key.encode()).hexdigest())


def new_key(grant: Grant) -> tuple[str, str]:
    """A new key, to be given to its user, and its line of a key file."""
    key = secrets.token_urlsafe(32)
    digest = hashlib.sha256(key.encode()).hexdigest()
    words = [grant.name, digest, ",".join(sorted(grant.scenes)) or NO_SCENES]
    if grant.admin:
        words.append(ADMIN)
    if grant.pixels_per_minute is not None:
        words.append(f"{PIXELS_PER_MINUTE}={grant.pixels_per_minute}")
    return key, " ".join(words)


def parse_scenes(text: str) -> frozenset[str]:
    """The scenes of `SCENE,SCENE,...`."""
    return frozenset() if text == NO_SCENES else frozenset(filter(None, text.split(",")))


def read_grants(lines: Iterable[str], source: str) -> Iterator[tuple[str, str, Grant]]:
    """The place, the secret and the grant of each line that is neither empty nor a comment.

    Raises ConfigError that names the line, and tells nothing of the secret.
    """
    for number, line in enumerate(lines, 1):
        words = line.partition("#")[0].split()
        if not words:
            continue
        place = f"{source}, line {number}"
        if len(words) < 3 or not NAME.fullmatch(words[0]):
            raise ConfigError(f"{place}: expected three words: a name, a secret, and scenes; then options")
        name, secret, scenes, *options = words
        grant = Grant(name, parse_scenes(scenes))
        for option in options:
            grant = _with_option(grant, option, place)
        yield place, secret, grant


def _with_option(grant: Grant, option: str, place: str) -> Grant:
    name, _, value = option.partition("=")
    if option == ADMIN:
        return replace(grant, admin=True)
    if name == PIXELS_PER_MINUTE and value.isdecimal() and 0 < len(value) < 16 and int(value) > 0:
        return replace(grant, pixels_per_minute=int(value))
    raise ConfigError(f"{place}: got {option!r}, expected {ADMIN} or {PIXELS_PER_MINUTE}=N, 1 at least")


def read_lines(file: Path) -> list[str]:
    """The lines of a file of keys; raises ConfigError when it cannot be read."""
    try:
        return file.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{file}: cannot be read ({error})") from None
