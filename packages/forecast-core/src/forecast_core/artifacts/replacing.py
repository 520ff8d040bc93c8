"""Putting a directory in the place of another, so that one of the two is whole at every moment."""

from __future__ import annotations

import ctypes
import errno
import logging
import os
import re
import secrets
import stat
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from forecast_core.artifacts.layout import DIGEST, MANIFEST
from forecast_core.errors import ArtifactError

if sys.platform != "win32":
    import fcntl

__all__ = ["flush_directory", "new_directory", "put_in_place", "refuse_foreign", "swap_directories"]

_AT_FDCWD, _RENAME_EXCHANGE = -100, 2
_NO_EXCHANGE = (errno.ENOSYS, errno.EINVAL, errno.ENOTSUP, errno.EPERM)

_log = logging.getLogger("forecast")


@contextmanager
def new_directory(target: Path) -> Iterator[Path]:
    """An empty hidden sibling of `target` to write to; gone, with what is then in it, afterwards.

    Siblings that killed writers left behind are removed when nobody else is writing there.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    with _clearing(target):
        directory = target.with_name(f".{target.name}.tmp-{secrets.token_hex(8)}")
        directory.mkdir()
        try:
            yield directory
        finally:
            _discard(directory)


def put_in_place(new: Path, target: Path) -> None:
    """Move the directory `new` to `target`; an artifact that was there is then at `new`.

    Where the system can swap two directories in one step (Linux), readers and kills find the old or
    the new one whole. Elsewhere the old one steps aside for a moment; a kill in that moment leaves it in
    a hidden sibling, from where the next save takes it back first. On an error everything is as before.
    """
    replaces = refuse_foreign(target)
    if not replaces:
        try:
            os.rename(new, target)
        except OSError:
            if not (replaces := refuse_foreign(target)):  # unless another writer was quicker
                raise
    if replaces:
        swap_directories(new, target)
    try:
        flush_directory(target.parent)
    except BaseException:
        if replaces:
            swap_directories(new, target)
        else:
            os.rename(target, new)
        raise


def refuse_foreign(target: Path) -> bool:
    """Whether there is an artifact, or an empty directory, to replace; ArtifactError for anything else."""
    try:
        mode = os.lstat(target).st_mode
    except FileNotFoundError:
        return False
    if not stat.S_ISDIR(mode):
        raise ArtifactError(f"{target}: is there already and is no directory; choose another path")
    with os.scandir(target) as entries:
        plain = {entry.name: entry.is_file(follow_symlinks=False) for entry in entries}
    if plain and not ({MANIFEST, DIGEST} <= plain.keys() and all(plain.values())):
        raise ArtifactError(f"{target}: holds something other than an artifact; choose another path")
    return True


def flush_directory(path: Path) -> None:
    """Make the names in a directory last through a power cut."""
    if sys.platform == "win32":  # directories cannot be opened there
        return
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def swap_directories(first: Path, second: Path) -> None:
    """Swap two directories of one file system, in one step where the system can."""
    if not _exchange(first, second):
        _swap_stepwise(first, second)


def _exchange(first: Path, second: Path) -> bool:
    """Swap two directories in one step; False where the system or the file system cannot."""
    if sys.platform != "linux":
        return False
    library = ctypes.CDLL(None, use_errno=True)
    if not hasattr(library, "renameat2"):
        return False
    names = os.fsencode(first), os.fsencode(second)
    if library.renameat2(_AT_FDCWD, names[0], _AT_FDCWD, names[1], _RENAME_EXCHANGE) == 0:
        return True
    code = ctypes.get_errno()
    if code in _NO_EXCHANGE:
        return False
    raise OSError(code, os.strerror(code), str(second))


def _swap_stepwise(first: Path, second: Path) -> None:
    aside = second.with_name(f".{second.name}.old-{secrets.token_hex(8)}")
    os.rename(second, aside)
    try:
        os.rename(first, second)
        try:
            os.rename(aside, first)
        except BaseException:
            os.rename(second, first)
            raise
    except BaseException:
        os.rename(aside, second)
        raise


@contextmanager
def _clearing(target: Path) -> Iterator[None]:
    """Remove what killed writers left, if this is the only writer in the directory; count as one meanwhile.

    Writers hold a shared lock on the directory, which the system drops when they die. File systems
    without such locks keep the leftovers.
    """
    if sys.platform == "win32":
        yield
        return
    descriptor = os.open(target.parent, os.O_RDONLY)
    try:
        with suppress(OSError):
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            _clear(target)
        with suppress(OSError):
            fcntl.flock(descriptor, fcntl.LOCK_SH)
        yield
    finally:
        with suppress(OSError):  # a child process may hold the descriptor open for longer
            fcntl.flock(descriptor, fcntl.LOCK_UN)
        os.close(descriptor)


def _clear(target: Path) -> None:
    leftover = re.compile(rf"\.{re.escape(target.name)}\.(tmp|old)-[0-9a-f]{{16}}")
    for name in os.listdir(target.parent):
        if found := leftover.fullmatch(name):
            if found[1] == "old" and not os.path.lexists(target):
                os.rename(target.with_name(name), target)
            else:
                _discard(target.with_name(name))


def _discard(directory: Path) -> None:
    """Remove a flat directory; anything that is not flat is not ours and stays."""
    try:
        for name in os.listdir(directory):
            os.unlink(directory / name)
        os.rmdir(directory)
    except FileNotFoundError:
        return  # moved into place, or another writer was quicker
    except OSError as error:
        _log.warning("%s cannot be removed: %s", directory, error)
