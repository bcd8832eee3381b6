"""Where the camera of a live view will be, by where it was."""

import time
from collections import deque
from collections.abc import Callable
from dataclasses import replace

import numpy as np

from neurocity.cameras import Camera
from neurocity.poses import look_at

MEMORY_SECONDS = 0.5
"""How long ago a place may be that the speed is told from."""

AHEAD_SECONDS = 1.0
"""How far it is looked: about what it takes to load a few blocks of a city."""

MOST_TURN = 1.0
"""The most that the direction is taken to change, as a length: about 60 degrees."""


class Movement:
    """The movement of one camera. clock: gives seconds."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._seen = deque[tuple[float, Camera]]()

    def ahead(self, camera: Camera) -> Camera | None:
        """Where the camera will be that is there now, if it goes on as before; None where it stands still."""
        now = self._clock()
        while self._seen and now - self._seen[0][0] > MEMORY_SECONDS:
            self._seen.popleft()
        self._seen.append((now, camera))
        then, before = self._seen[0]
        pose, past = camera.camera_to_world, before.camera_to_world
        if now <= then or np.array_equal(pose, past):
            return None
        steps = AHEAD_SECONDS / (now - then)
        eye = pose[:3, 3] + steps * (pose[:3, 3] - past[:3, 3])
        turn = steps * (past[:3, 2] - pose[:3, 2])
        turn *= min(1.0, MOST_TURN / max(float(np.linalg.norm(turn)), 1e-12))
        forward = turn - pose[:3, 2]
        return replace(
            camera, camera_to_world=look_at(*(each.tolist() for each in (eye, eye + forward, pose[:3, 1])))
        )
