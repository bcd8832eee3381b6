"""What Triton loads of an artefact that is drawn where users are, so that it starts with the repository that
the artefact stands in: a model that takes nothing and renders nothing.
"""

from collections.abc import Sequence
from typing import Any

import triton_python_backend_utils as pb_utils


class TritonPythonModel:
    """Refuses what it is asked."""

    def execute(self, requests: Sequence[Any]) -> list[Any]:
        """An error for each request."""
        error = pb_utils.TritonError("this model is drawn where users are and renders nothing on a server")
        return [pb_utils.InferenceResponse(error=error) for _ in requests]
