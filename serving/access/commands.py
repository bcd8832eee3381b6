"""`neurocity-serve key` and `neurocity-serve sign`."""

import sys
from pathlib import Path

import tyro

from neurocity.errors import ConfigError
from serving.access.keys import ALL_SCENES, NAME, Grant, new_key, parse_scenes, read_lines
from serving.access.links import SigningKeys


def key(
    name: tyro.conf.Positional[str],
    scenes: str = ALL_SCENES,
    admin: bool = False,
    pixels_per_minute: int | None = None,
) -> None:
    """Make an API key: print the key on standard error and its line of a key file on standard output.

    Args:
        name: what the log calls the key's user.
        scenes: names of scenes with commas between them, * for all, or - for none.
        admin: whether it may look at /metrics and /v1/admin/.
        pixels_per_minute: that may be rendered for all keys of that name; by default, any number.
    """
    if not NAME.fullmatch(name):
        raise ConfigError(f"name: got {name!r}, expected up to 64 letters, digits, dots and hyphens")
    if pixels_per_minute is not None and pixels_per_minute < 1:
        raise ConfigError(f"pixels_per_minute: got {pixels_per_minute}, expected 1 or more")
    made, line = new_key(Grant(name, parse_scenes(scenes), admin, pixels_per_minute))
    print(f"The key, which is not kept anywhere: {made}", file=sys.stderr, flush=True)
    print(line)


def sign(
    url: tyro.conf.Positional[str],
    signing_key_file: Path,
    key_id: str | None = None,
    seconds: float = 3600.0,
) -> None:
    """Sign a link to a picture, so that it can be opened without an API key.

    Args:
        url: the link, or its path and query.
        signing_key_file: lines of NAME SECRET SCENES [OPTIONS], as the gateway has them.
        key_id: the name of the key; by default the last one.
        seconds: how long the link is valid.
    """
    keys = SigningKeys(read_lines(signing_key_file), str(signing_key_file))
    print(keys.sign(url, seconds, key_id))
