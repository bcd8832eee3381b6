"""The exceptions that users meet. Messages say what was got, what is expected and what would work."""


class NeuroCityError(Exception):
    """Base of every error that a user can cause and mend."""


class DataError(NeuroCityError):
    """A dataset, camera file or image is missing, corrupt or inconsistent; names the file and the frame."""


class ReducedImagesError(DataError):
    """A dataset's images are there in `images_N/` alone; `downscale` is the N that reads them."""

    def __init__(self, message: str, downscale: int) -> None:
        super().__init__(message)
        self.downscale = downscale


class CameraError(NeuroCityError):
    """A pose, an intrinsic or a lens is not usable (not finite, not a rotation, out of range).

    `field` names the wrong part in the caller's own spelling (`camera_to_world`, `fl_x`, ...), so that a
    gateway can point at it.
    """

    def __init__(self, message: str, field: str = "camera") -> None:
        super().__init__(message)
        self.field = field


class ConfigError(NeuroCityError):
    """An option or a configuration value is unknown, out of range or contradicts another."""


class CheckpointError(NeuroCityError):
    """A checkpoint is truncated, foreign, from a future version, or of an unknown family."""


class TrainingError(NeuroCityError):
    """Training cannot go on (loss not finite, no ray meets occupied space, ...)."""


class TrainingInterruptedError(TrainingError):
    """Training was ended by a signal; says what is saved."""


class ManifestError(NeuroCityError):
    """A manifest is missing, malformed or of a schema version that this release does not read."""


class UnreadableError(ManifestError):
    """A file of a version folder cannot be read now, which says nothing of what is in it."""


class ExportError(NeuroCityError):
    """An artefact could not be written (converter failure, existing target, ...)."""


class ParityError(ExportError):
    """An artefact was written but is not equal to the model; nothing was shipped."""


class UnsupportedError(ExportError):
    """This family, format or precision is not offered; says which are."""


class StorageError(NeuroCityError):
    """Object storage cannot be reached, refuses, or has not got what is asked for."""


class VideoError(NeuroCityError):
    """A film cannot be encoded or written; says what the encoder said."""


class MissingDependencyError(NeuroCityError):
    """An optional package or a device is absent; says the command or extra that brings it."""


class EngineError(NeuroCityError):
    """An inference engine failed, is not ready, or returned what is not a render."""


class EngineUnavailableError(EngineError):
    """The engine cannot be reached or is not ready now; the same request may work later."""


class DeadlineExceededError(EngineError):
    """A render did not end before its deadline."""


class SceneNotFoundError(NeuroCityError):
    """No scene of that name is served; lists those that are."""
