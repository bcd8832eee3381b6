"""JSON files, parsed; errors name the file and the line."""

import json
from pathlib import Path
from typing import Any

from neurocity.errors import DataError
from neurocity.pose_files.text import read_text


def read_json(path: Path) -> Any:
    """The value in `path`, whatever byte order mark it starts with. Raises DataError when it is not JSON."""
    try:
        return json.loads(read_text(path))
    except json.JSONDecodeError as error:
        raise DataError(f"{path}: line {error.lineno}: not valid JSON ({error.msg})") from None
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"{path}: cannot be read ({error})") from None
    except RecursionError:
        raise DataError(f"{path}: cannot be read (nested too deeply)") from None
