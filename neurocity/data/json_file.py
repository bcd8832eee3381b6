"""JSON files, parsed; errors name the file and the line."""

import json
from pathlib import Path
from typing import Any

from neurocity.errors import DataError


def read_json(path: Path) -> Any:
    """The value in `path`, UTF-8 with or without byte order mark. Raises DataError when it is not JSON."""
    try:
        return json.loads(path.read_text(encoding="utf-8-sig"))
    except json.JSONDecodeError as error:
        raise DataError(f"{path}: line {error.lineno}: not valid JSON ({error.msg})") from None
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"{path}: cannot be read ({error})") from None
    except RecursionError:
        raise DataError(f"{path}: cannot be read (nested too deeply)") from None
