"""The error tree: what went wrong decides what happens next, so each class carries its process exit code.

MimoError
├── PermanentError            exit 2: retrying cannot help; the user must change something
│   ├── ConfigError           unknown key, wrong type, impossible combination
│   ├── InputError            missing file, wrong digest, truncated shard, corrupt image
│   │   ├── DigestMismatchError
│   │   └── CorruptDataError
│   ├── NonFiniteLossError    NaN or infinite loss: a bit-exact retry would meet it again
│   └── WeightVersionError    RL: completions of mixed or wrong weight versions would make the update off-policy
├── RetryableError            exit 1: disk full, a store that stays down; counts against retry.maxAttempts
│   ├── StorageError
│   ├── ServiceUnavailableError   a service on the network does not answer, or refuses work, for too long
│   └── PreconditionFailedError   somebody else wrote first (conditional create or swap)
└── InterruptedAfterSaveError exit 75: the work is saved, start me again
    └── AttemptClaimedError   another process owns this attempt; nothing was written
"""

from __future__ import annotations

from typing import ClassVar

# sysexits.h EX_TEMPFAIL: "resume me".
EXIT_DONE, EXIT_RETRY, EXIT_PERMANENT, EXIT_RESUME = 0, 1, 2, 75


class MimoError(Exception):
    """Root of all errors that this package raises on purpose."""

    exit_code: ClassVar[int] = EXIT_RETRY


class PermanentError(MimoError):
    exit_code = EXIT_PERMANENT


class ConfigError(PermanentError):
    """Lists every wrong field at once, each as `path: got -> wanted (remedy)`."""


class InputError(PermanentError):
    pass


class DigestMismatchError(InputError):
    pass


class CorruptDataError(InputError):
    pass


class NonFiniteLossError(PermanentError):
    pass


class WeightVersionError(PermanentError):
    pass


class RetryableError(MimoError):
    exit_code = EXIT_RETRY


class StorageError(RetryableError):
    pass


class ServiceUnavailableError(RetryableError):
    pass


class ArtifactNotFoundError(InputError):
    pass


class PreconditionFailedError(RetryableError):
    pass


class InterruptedAfterSaveError(MimoError):
    exit_code = EXIT_RESUME


class AttemptClaimedError(InterruptedAfterSaveError):
    pass
