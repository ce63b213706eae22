"""Contact sheet of a data set: one PNG with some images of each class, by Pillow."""

from __future__ import annotations

import io
import warnings
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from PIL.Image import Image as PillowImage

T = TypeVar("T")

__all__ = ["IMAGES", "draw_contact_sheet", "thumbnail"]

IMAGES = (".png", ".jpg", ".jpeg", ".gif", ".bmp", ".webp", ".tif", ".tiff", ".ppm", ".pgm")
TILE, GAP, LABEL, MARGIN = 96, 4, 18, 12  # pixels
BACKGROUND, TEXT, MISSING = (255, 255, 255), (40, 40, 40), (225, 225, 225)
LABEL_CHARACTERS = 60


def draw_contact_sheet(title: str, rows: Sequence[tuple[str, Sequence[T]]], read: Callable[[T], bytes | None]) -> bytes:
    """Draw rows of images, each with its label; returns a PNG.

    Args:
        rows: labels, and images.
        read: returns the content of an image; None if it is too large.
    """
    from PIL import Image, ImageDraw, ImageFont

    columns = max((len(images) for _, images in rows), default=1)
    width = max(2 * MARGIN + columns * (TILE + GAP) - GAP, 320)
    row_height = LABEL + TILE + 2 * GAP
    sheet = Image.new("RGB", (width, 2 * MARGIN + LABEL + len(rows) * row_height), BACKGROUND)
    draw = ImageDraw.Draw(sheet)
    font = ImageFont.load_default()
    draw.text((MARGIN, MARGIN), _printable(title), TEXT, font)
    for index, (label, images) in enumerate(rows):
        top = MARGIN + LABEL + index * row_height
        draw.text((MARGIN, top), _printable(label), TEXT, font)
        for column, image in enumerate(images):
            left = MARGIN + column * (TILE + GAP)
            tile = _tile(read(image))
            if tile is None:
                draw.rectangle((left, top + LABEL, left + TILE - 1, top + LABEL + TILE - 1), MISSING)
                draw.text((left + GAP, top + LABEL + TILE // 2), "no image", TEXT, font)
            else:
                x, y = (TILE - tile.width) // 2, (TILE - tile.height) // 2
                sheet.paste(tile, (left + x, top + LABEL + y))
    buffer = io.BytesIO()
    sheet.save(buffer, "PNG")
    return buffer.getvalue()


def thumbnail(content: bytes) -> bytes | None:
    """A small PNG of an image; None if it is damaged, or so large that it may be a decompression bomb."""
    tile = _tile(content)
    if tile is None:
        return None
    buffer = io.BytesIO()
    tile.save(buffer, "PNG")
    return buffer.getvalue()


def _tile(content: bytes | None) -> PillowImage | None:
    """Thumbnail of an image; None if it is damaged, or so large that it may be a decompression bomb."""
    from PIL import Image

    if content is None:
        return None
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            with Image.open(io.BytesIO(content)) as image:
                image.draft("RGB", (TILE, TILE))  # a JPEG is decoded at a fraction of its size
                tile: PillowImage = image.convert("RGB")
                tile.thumbnail((TILE, TILE))
                return tile
    except Exception:  # noqa: BLE001 - each format has exceptions of its own for what is damaged
        return None


def _printable(text: str) -> str:
    """Text with characters that the default font has."""
    return text[:LABEL_CHARACTERS].encode("latin-1", "replace").decode("latin-1")
