"""What a dataset's reader has to say, for those who run a command on it."""

import sys

from neurocity.data.scene import Scene
from neurocity.pose_files.text import printable


def print_remarks(scene: Scene) -> None:
    """Each of the scene's remarks as a line on stderr."""
    for remark in scene.remarks:
        print(f"neurocity: note: {printable(remark)}", file=sys.stderr)
