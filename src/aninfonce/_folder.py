"""A run's folder: who may write into it, and how a new run takes the place of an old one without losing either.

    with claimed(out, config, overwrite=…, resume=…) as folder:   # refuses; changes nothing
        …                                                         # load, check: whatever can still fail
        folder.begin()                                            # an old run steps aside
        …                                                         # write
        folder.commit()                                           # there is something of the new run: the old one goes

What fails before `commit` leaves the folder as it was: a new one is removed again, an old run is back. The same holds
for a process that was killed: the next command in that folder tidies up first.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Literal

from aninfonce._atomic import sweep, witnessed
from aninfonce._manifest import LOCK, MANIFEST, PREVIOUS, There, append, existing, read_folder, stamp, start
from aninfonce._previous import finish_moving, forget, intended, move_aside, move_back, remove_run
from aninfonce._runs import MARKER

if sys.platform != "win32":
    import fcntl

__all__ = ["RunFolder", "claimed"]


@contextmanager
def claimed(
    out: Path,
    config: Mapping[str, Any],
    *,
    overwrite: bool = False,
    resume: bool | None = False,
    raising: Collection[str] = (),
) -> Iterator[RunFolder]:
    """Have a folder for a run of this configuration, for this process alone, while the block lasts.

    Arguments:
        out: the folder; made if it is missing.
        config: the run's configuration, JSON-serialisable, with the `command` that runs.
        overwrite: take the place of a run of the same command that is there. Only files that it wrote are removed.
        resume: keep what is there and go on; the configuration must be the same. None: the command cannot do that.
        raising: names of numbers in the configuration that may be larger than they were when the run goes on.

    Raises:
        ValueError: if the folder holds a run and neither flag is given (or both are), holds something else than a run,
            holds a run of another command or, with `resume`, of another configuration, cannot be written, or is in use
            by another process.
    """
    folder = RunFolder(out, config, overwrite=overwrite, resume=resume, raising=raising)
    folder.claim()
    try:
        with witnessed(folder.note):
            yield folder
        folder.commit()
    except BaseException:
        folder.abandon()
        raise
    finally:
        folder.release()


class RunFolder:
    """The folder of one run of this process; see `claimed`."""

    def __init__(
        self,
        out: Path,
        config: Mapping[str, Any],
        *,
        overwrite: bool,
        resume: bool | None,
        raising: Collection[str] = (),
    ) -> None:
        if overwrite and resume:
            raise ValueError("--overwrite and --resume exclude each other")
        self.path = out
        self.config = stamp(config)["config"]
        self._overwrite = overwrite
        self._resume = resume
        self._raising = raising
        self._lock: int | None = None
        self._made: list[Path] = []  # folders, and the lock, that were not there before, the outermost first
        self._state: Literal["claimed", "begun", "committed"] = "claimed"
        self._kind: Literal["fresh", "resumed", "replacing"] = "fresh"
        self._files: set[str] = set()
        self._checked = False  # whether a file that is there and not in `_files` is somebody else's

    @property
    def would_restore(self) -> bool:
        """Whether an old run stands aside, which a failure would bring back."""
        return self._state == "begun" and self._kind == "replacing"

    def claim(self) -> None:
        """Refuse, or lock the folder and tidy up what a killed process has left there."""
        if self.path.exists() and not self.path.is_dir():
            raise ValueError(f"the output folder {self.path} is a file")
        if self.path.is_symlink() and not self.path.exists():
            raise ValueError(f"the output folder {self.path} is a symbolic link to nowhere")
        if self.path.is_dir():
            self._refuse_foreign(read_folder(self.path))
        try:
            self._make_and_lock()
            self._tidy()
            there = read_folder(self.path)
            self._refuse_foreign(there)
            self._choose(there)
        except BaseException as error:
            self._unmake()
            self.release()
            if isinstance(error, OSError):
                raise self._unwritable(error) from error
            raise

    def begin(self) -> None:
        """Everything that could be refused has been: from now on the run writes. An old run steps aside.

        Raises:
            ValueError: if the folder cannot be written; it is as it was.
        """
        if self._state != "claimed":
            return
        self._state = "begun"
        try:
            if self._kind == "replacing" and intended(self.path) is None:
                move_aside(self.path, self.config, self._files)
                self._files = set()
            start(self.path, self.config, self._files, known=self._checked)
        except OSError as error:
            raise self._unwritable(error) from error

    def note(self, path: Path) -> None:
        """Take note of a file that is about to be written; the last part of its path may hold a `*`.

        Raises:
            ValueError: if it is there and not this run's.
        """
        try:
            name = path.absolute().relative_to(self.path.absolute()).as_posix()
        except ValueError:  # elsewhere
            return
        if self._state == "claimed" or name in self._files or path.name in (MARKER, MANIFEST) or self._nested(path):
            return
        if self._checked and os.path.lexists(path):
            raise ValueError(
                f"{path} exists already and was not written by this run; move it elsewhere (--resume then continues)"
            )
        append(self.path, name)
        self._files.add(name)

    def commit(self) -> None:
        """There is something of the new run now; the old one, if any, is gone for good."""
        if self._state == "begun":
            self._state = "committed"
            forget(self.path)

    def abandon(self) -> None:
        """The run has failed: if that was before `commit`, the folder is as it was."""
        if self._state == "begun" and self._kind == "fresh":
            remove_run(self.path)
            if read_folder(self.path).others:  # what another library has written: with our marker it hinders nobody
                start(self.path, self.config)
        if self._state == "begun" and self._kind == "replacing":
            move_back(self.path)
        if self._state == "claimed" or (self._state == "begun" and self._kind == "fresh"):
            self._unmake()

    def release(self) -> None:
        """Let others have the folder."""
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None

    def _refuse_foreign(self, there: There) -> None:
        aside = intended(self.path) is not None
        if os.path.lexists(self.path / PREVIOUS) and not aside:
            raise ValueError(f"{self.path / PREVIOUS} was not made by aninfonce; move it away, or choose another --out")
        if there.config is None and there.others and not aside:
            raise ValueError(
                f"the output folder {self.path} is not empty and holds no aninfonce run; choose another --out"
            )

    def _choose(self, there: There) -> None:
        """What to do about the run that is there."""
        pending = intended(self.path) is not None  # with --resume only: a replacement that was killed goes on
        self._checked = True
        if pending:
            self._kind = "replacing"
            if there.config == self.config:
                self._files = set(there.files)
            return
        if there.config is None:
            return
        if not there.others:  # a run that was killed before it had computed anything
            self._made.append(self.path / LOCK)
            return
        self._files, self._checked = set(there.files), there.known
        if self._resume:
            self._check_same(there.config)
            self._kind = "resumed"
            return
        command = there.config["command"]
        if command != self.config["command"]:
            raise ValueError(
                f"the output folder {self.path} holds a run of 'aninfonce {command}'; choose another --out"
            )
        if not self._overwrite:
            flags = "--overwrite" if self._resume is None else "--overwrite or --resume"
            raise ValueError(f"the output folder {self.path} already holds a run; pass {flags}")
        if not there.known:
            raise ValueError(
                f"the run in {self.path} does not say which files are its own ({MANIFEST} is missing or damaged); "
                "remove it yourself, or choose another --out"
            )
        existing(self.path, self._files)  # refuses what is not as the run wrote it
        self._kind = "replacing"

    def _check_same(self, there: Mapping[str, Any]) -> None:
        """Check that the run which is there is this one, perhaps with fewer of what may be raised."""
        raised = {name: self.config[name] for name in self._raising if _smaller(there.get(name), self.config.get(name))}
        if {**there, **raised} == self.config:
            return
        lowered = [name for name in self._raising if _smaller(self.config.get(name), there.get(name))]
        hint = f" ({' and '.join(lowered)} can be raised, not lowered)" if lowered else ""
        raise ValueError(f"cannot resume {self.path}: {_difference({**there, **raised}, self.config)}{hint}")

    def _make_and_lock(self) -> None:
        missing = [folder for folder in (self.path, *self.path.parents) if not folder.exists()]
        for folder in reversed(missing):
            with suppress(FileExistsError):
                folder.mkdir()
                self._made.append(folder)
        if sys.platform == "win32":  # no such locks there
            return
        lock = self.path / LOCK
        if not os.path.lexists(lock):
            self._made.append(lock)
        while True:
            handle = os.open(lock, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o666)
            try:
                fcntl.lockf(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
                if lock.exists() and os.fstat(handle).st_ino == lock.stat().st_ino:
                    break
            except BlockingIOError as error:
                self._made = []
                os.close(handle)
                raise ValueError(
                    f"another process is running in the output folder {self.path}; wait for it, or end it"
                ) from error
            os.close(handle)  # the process that had it has just removed it
        self._lock = handle

    def _nested(self, path: Path) -> bool:
        """Whether a file belongs to another run, which lies in this one's folder."""
        between = [folder for folder in path.absolute().parents if self.path.absolute() in folder.parents]
        return any((folder / MANIFEST).exists() for folder in between)

    def _unwritable(self, error: OSError) -> ValueError:
        return ValueError(f"cannot write to the output folder {self.path}: {error.strerror} ({error.filename})")

    def _tidy(self) -> None:
        """Bring the folder in order after a process that was killed."""
        if intended(self.path) is not None:
            if self._resume and intended(self.path) == self.config:
                finish_moving(self.path)
            else:
                move_back(self.path)
        for folder in {(self.path / name).parent for name in read_folder(self.path).files} | {self.path}:
            if folder.is_dir() and not folder.is_symlink():
                sweep(folder)

    def _unmake(self) -> None:
        """Remove the folders and the lock that were not there before, as far as they are empty."""
        for path in reversed(self._made):
            with suppress(OSError):  # not empty: somebody else has put something there
                path.rmdir() if path.is_dir() else path.unlink()
        self._made = []


def _smaller(one: object, other: object) -> bool:
    return isinstance(one, int | float) and isinstance(other, int | float) and one < other


def _difference(there: Mapping[str, Any], here: Mapping[str, Any]) -> str:
    changed = [key for key in sorted({*there, *here}) if there.get(key) != here.get(key)]
    return "it was started with other settings: " + ", ".join(
        f"{key} {there.get(key)!r}, now {here.get(key)!r}" for key in changed
    )
