"""Every line of a folder of own data with its pictures, each opened once and checked."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from mimo_vl.data.custom.line import DATA_FILE, CustomLine, Problems, read_lines
from mimo_vl.data.record import sha256_hex
from mimo_vl.errors import CorruptDataError
from mimo_vl.processing.images import decode_image
from mimo_vl.schema.sample import MediaRef


@dataclass(frozen=True, kw_only=True)
class CustomItem:
    """A line and where its pictures lie; `media[i]` describes the file `names[i]` of `folder`."""

    folder: Path
    number: int
    line: CustomLine
    names: tuple[str, ...]
    media: tuple[MediaRef, ...]

    def pictures(self) -> tuple[bytes, ...]:
        return tuple((self.folder / name).read_bytes() for name in self.names)


def open_folder(folder: Path) -> list[CustomItem]:
    """All lines, in order.

    Raises:
        InputError: names every line, field and picture that is wrong.
    """
    lines, problems = read_lines(folder), Problems(folder / DATA_FILE)
    known: dict[str, MediaRef] = {}
    items = []
    for number, line in lines:
        names = []
        for path in line.paths:
            name = str(PurePosixPath(path))
            try:
                known.setdefault(name, known.get(name) or _open_picture(folder, name))
                names.append(name)
            except CorruptDataError as error:
                problems.add(number, f"{'images' if line.images else 'image'}: got {path!r}: {error}")
        media = tuple(known[name] for name in names)
        items.append(CustomItem(folder=folder, number=number, line=line, names=tuple(names), media=media))
    problems.raise_if_any()
    return items


def _open_picture(folder: Path, name: str) -> MediaRef:
    """Raises CorruptDataError."""
    inner, path = PurePosixPath(name), folder / name
    is_inside = path.resolve().is_relative_to(folder.resolve())
    if inner.is_absolute() or ".." in inner.parts or not is_inside:
        raise CorruptDataError("leaves the folder; wanted a path relative to it and inside it")
    if not path.is_file():
        raise CorruptDataError("no such file in the folder; add it or correct the path")
    data = path.read_bytes()
    image = decode_image(data)
    return MediaRef(sha256=sha256_hex(data), kind="image", width=image.width, height=image.height)
