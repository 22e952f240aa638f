"""Every exception that ray_ft raises on purpose, so that callers can catch by cause; anything else is a bug.

RayFTError
├── ConfigError (ValueError)                    a key, a value or a run folder that cannot work
├── DataError (ValueError)                      documents that give no training set
├── MissingArtifactError (FileNotFoundError)    a stage's input that no verb has made yet
├── StorageError                                storage that denies, cannot be reached or lacks what it should hold
├── MissingDependencyError (ImportError)        an optional package that is not installed
├── ModelError (ValueError)                     a model or adapter that cannot be loaded or does not belong
├── DoesNotFitError                             no strategy fits the hardware
├── TrainingError                               a run that cannot go on: non-finite loss, full disk
├── GenerationError                             an engine that did not answer
│   └── PromptTooLongError                      a prompt that the model's context cannot hold
└── JobError                                    a cluster that cannot be reached, or a job that failed
"""


class RayFTError(Exception):
    """Base of all errors a user can act on: the message says what, where, what was given and what would work."""

    exit_code = 1


class ConfigError(RayFTError, ValueError):
    """A configuration key, value or run folder that cannot work."""

    exit_code = 2


class DataError(RayFTError, ValueError):
    """Documents from which no training set can be made."""


class MissingArtifactError(RayFTError, FileNotFoundError):
    """A stage's input does not exist; the message names the verb that makes it."""


class StorageError(RayFTError):
    """Storage behind a URI does not do what is asked; the message names the object and what storage says."""


class MissingDependencyError(RayFTError, ImportError):
    """An optional package is missing; the message holds the install command."""


class ModelError(RayFTError, ValueError):
    """A model or adapter that cannot be found or loaded, or that belongs to another base model."""


class DoesNotFitError(RayFTError):
    """No strategy fits the hardware; the message names the closest one and what would make it fit."""


class TrainingError(RayFTError):
    """Training cannot go on: a non-finite loss, a full disk, or workers that keep failing."""


class GenerationError(RayFTError):
    """An engine could not answer."""


class EngineStoppedError(GenerationError):
    """A loaded model cannot answer any more."""


class PromptTooLongError(GenerationError):
    """A prompt is longer than the model's context."""


class JobError(RayFTError):
    """A cluster cannot be reached, or a submitted job failed."""


def first_line(error: BaseException) -> str:
    """What another library's error says first, or its name where it says nothing; our messages are one line."""
    lines = str(error).strip().splitlines()
    return lines[0] if lines else type(error).__name__


def last_line(error: object) -> str:
    """What another process's error says last: Ray's errors end with their cause, below a traceback."""
    lines = [line.strip(" .") for line in str(error).splitlines() if line.strip()]
    return lines[-1][:300] if lines else type(error).__name__
