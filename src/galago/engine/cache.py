"""Image features that were already computed: in memory and on disk, each below a cap.

Files are written whole or not at all and carry a checksum, so a crash, a second process or a damaged disk
costs a recomputation at most. A disk that cannot be written is said once, and the answer comes all the same.
"""

from __future__ import annotations

import os
import time
import warnings
from collections import OrderedDict
from contextlib import suppress
from pathlib import Path

from galago.engine.features import EncodedImage, Maker
from galago.errors import FeaturesError, GalagoWarning
from galago.files import reason

RAM_BYTES = 64 << 20
KEPT = 24
"""Pictures that are kept in memory at most, however small: a process is soon as large as it will ever be."""
DISK_BYTES = 1 << 30
KEPT_AFTER_TRIM = 0.9
"""Share of the disk cap that is left when the oldest files are deleted, so that not every write deletes."""
RECOUNT = 64
"""Files written between two looks at the folder: other processes write there too."""
STALE_PART_S = 3600
"""An unfinished file this old belongs to a process that died."""


def cache_folder() -> Path:
    """Where image features are kept: $GALAGO_CACHE, else `galago` in the user's cache folder (XDG)."""
    own = os.environ.get("GALAGO_CACHE")
    if own:
        return Path(own).expanduser()
    xdg = os.environ.get("XDG_CACHE_HOME")
    base = Path(xdg) if xdg and Path(xdg).is_absolute() else Path("~/.cache").expanduser()
    return base / "galago"


class FeatureCache:
    """Features by content key, least recently used ones dropped first.

    `folder` None keeps nothing on disk. The folder is made at the first write. Not safe for two threads at
    once; any number of processes may share the folder.
    """

    def __init__(
        self, folder: Path | None, *, ram_bytes: int = RAM_BYTES, disk_bytes: int = DISK_BYTES
    ) -> None:
        self.trouble: str | None = None
        self._folder = folder
        self._ram: OrderedDict[str, EncodedImage] = OrderedDict()
        self._ram_bytes, self._disk_bytes = ram_bytes, disk_bytes
        self._written = 0
        self._disk_used: int | None = None

    @property
    def nbytes(self) -> int:
        """Bytes of features held in memory."""
        return sum(image.features.nbytes for image in list(self._ram.values()))

    def get(self, key: str, maker: Maker) -> EncodedImage | None:
        """The features of this key, or None; a damaged file is deleted.

        Warns as `put` where the folder cannot be read.
        """
        if key in self._ram:
            self._ram.move_to_end(key)
            return self._ram[key]
        if self._folder is None:
            return None
        path = self._path(key)
        try:
            if not path.exists():
                return None
            image = EncodedImage.load(path)
            if image.key != key:
                raise FeaturesError(f"{path} holds the features of another picture")
            image.check_maker(maker)
        except FeaturesError:
            with suppress(OSError):
                path.unlink()
            return None
        except OSError as error:
            self._complain(reason(error))
            return None
        with suppress(OSError):
            os.utime(path)  # the time of last use decides what goes first
        self._remember(image)
        return image

    def peek(self, key: str) -> EncodedImage | None:
        """The features of this key if they are in memory; any thread may ask, and nothing is touched."""
        return self._ram.get(key)

    def put(self, image: EncodedImage) -> None:
        """Keep features; warns with GalagoWarning, once, when the disk does not take them."""
        self._remember(image)
        if self._folder is None or self.trouble or image.features.nbytes > self._disk_bytes:
            return
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            path = self._path(image.key)
            image.save(path)
            self._written += 1
            if self._disk_used is None or self._written % RECOUNT == 0:
                self._disk_used = self._count()
            else:
                with suppress(FileNotFoundError):  # another process has trimmed the folder meanwhile
                    self._disk_used += path.stat().st_size
            if self._disk_used > self._disk_bytes:
                self._disk_used = self._trim()
        except (FeaturesError, OSError) as error:
            self._complain(reason(error) if isinstance(error, OSError) else str(error))

    def clear(self) -> None:
        """Forget what is in memory; files stay."""
        self._ram.clear()

    def _complain(self, why: str) -> None:
        """Say once, with GalagoWarning, that the disk does not do."""
        if self.trouble is None:
            self.trouble = f"image features are not kept on disk: {why}"
            warnings.warn(f"{self.trouble} ({self._folder})", GalagoWarning, stacklevel=3)

    def _remember(self, image: EncodedImage) -> None:
        if image.features.nbytes > self._ram_bytes:
            return
        self._ram[image.key] = image
        self._ram.move_to_end(image.key)
        while len(self._ram) > KEPT or self.nbytes > self._ram_bytes:
            self._ram.popitem(last=False)

    def _path(self, key: str) -> Path:
        assert self._folder is not None
        return self._folder / f"{key}.safetensors"

    def _count(self) -> int:
        return sum(size for _, size, _ in self._files())

    def _trim(self) -> int:
        """Delete the files used longest ago, and what dead processes left; the bytes that remain."""
        files = sorted(self._files())
        used = sum(size for _, size, _ in files)
        for _, size, path in files:
            if used <= self._disk_bytes * KEPT_AFTER_TRIM:
                break
            with suppress(FileNotFoundError):  # another process was faster
                path.unlink()
            used -= size
        return used

    def _files(self) -> list[tuple[float, int, Path]]:
        """Time of last use, size and path of every kept file."""
        assert self._folder is not None
        found = []
        with os.scandir(self._folder) as entries:
            for entry in entries:
                with suppress(FileNotFoundError):
                    status = entry.stat()
                    if entry.name.endswith(".safetensors"):
                        found.append((status.st_mtime, status.st_size, Path(entry.path)))
                    elif entry.name.endswith(".part") and time.time() - status.st_mtime > STALE_PART_S:
                        Path(entry.path).unlink()
        return found
