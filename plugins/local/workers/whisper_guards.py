"""Say what is wrong with a model, or with a device, in words that may leave the process."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from junctor.core.errors import ProviderBusyError, ProviderUnavailableError

REQUIRED: Final = ("model.bin", "config.json", "tokenizer.json")
"""Without its tokenizer, faster-whisper would go and ask a model hub for one."""
OUT_OF_MEMORY: Final = ("out of memory", "OUT_OF_MEMORY", "bad allocation", "cudaErrorMemory")


def check_folder(folder: Path) -> None:
    """
    Make sure that a model folder has what is needed.

    Raises:
        ProviderUnavailableError: it has not; the path is only printed, for the operator's log.

    """
    missing = [name for name in REQUIRED if not (folder / name).is_file()]
    if missing:
        print(f"{folder} lacks {', '.join(missing)}", file=sys.stderr)  # noqa: T201 - the log of a child
        what = "is missing" if len(missing) == len(REQUIRED) else f"lacks {', '.join(missing)}"
        raise ProviderUnavailableError(f"The model's folder {what}.", provider="")


@contextmanager
def loading() -> Iterator[None]:
    """Say why a model cannot be loaded, without saying where it lies."""
    try:
        yield
    except (RuntimeError, ValueError, OSError) as error:
        print(error, file=sys.stderr)  # noqa: T201 - the log of a child
        if is_out_of_memory(error):
            raise ProviderBusyError(
                "The device has no memory for this model.", provider=""
            ) from error
        if type(error).__name__ == "LocalEntryNotFoundError":
            reason = "The model is not on this machine: allow `download`, or give a folder."
        else:
            reason = "The model cannot be loaded: it is damaged, or does not fit the device."
        raise ProviderUnavailableError(reason, provider="") from error


@contextmanager
def decoding() -> Iterator[None]:
    """Tell a device out of memory, which another candidate may serve, from a defect."""
    try:
        yield
    except RuntimeError as error:
        if not is_out_of_memory(error):
            raise
        raise ProviderBusyError("The device is out of memory.", provider="") from error


def is_out_of_memory(error: Exception) -> bool:
    """Whether a native library complains about memory."""
    return any(sign in str(error) for sign in OUT_OF_MEMORY)
