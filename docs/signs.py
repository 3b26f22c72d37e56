"""Draws the three symbols for invisible characters, ␠ ⏎ ⇥, as a font that is embedded in .streamlit/config.toml.

    pip install fonttools brotli && python docs/signs.py

Prints the font as the data URL for the config. Few phones have a font with ␠ in it, and if they do, the symbol is wider
than a letter. These are as wide as a letter of the code font, 600 of 1,000 units.
"""

from __future__ import annotations

import base64
import io

from fontTools.fontBuilder import FontBuilder
from fontTools.pens.ttGlyphPen import TTGlyphPen

_WIDTH = 600
_SHAPES = {  # corners of polygons, clockwise, in units above the baseline
    0x2420: [[(60, 210), (130, 210), (130, 10), (470, 10), (470, 210), (540, 210), (540, -60), (60, -60)]],
    0x23CE: [
        [(460, 560), (520, 560), (520, 250), (230, 250), (230, 310), (460, 310)],
        [(60, 280), (240, 420), (240, 140)],
    ],
    0x21E5: [
        [(50, 310), (330, 310), (330, 250), (50, 250)],
        [(310, 420), (480, 280), (310, 140)],
        [(490, 460), (550, 460), (550, 100), (490, 100)],
    ],
}


def _glyph(polygons: list[list[tuple[int, int]]]):
    pen = TTGlyphPen(None)
    for first, *others in polygons:
        pen.moveTo(first)
        for corner in others:
            pen.lineTo(corner)
        pen.closePath()
    return pen.glyph()


def font() -> bytes:
    """The font, as WOFF2."""
    names = {code: f"uni{code:04X}" for code in _SHAPES}
    builder = FontBuilder(1000)
    builder.setupGlyphOrder([".notdef", *names.values()])
    builder.setupCharacterMap(names)
    builder.setupGlyf({".notdef": _glyph([])} | {names[code]: _glyph(shape) for code, shape in _SHAPES.items()})
    edges = {names[code]: min(x for polygon in shape for x, _ in polygon) for code, shape in _SHAPES.items()}
    builder.setupHorizontalMetrics({name: (_WIDTH, edge) for name, edge in ({".notdef": 0} | edges).items()})
    builder.setupHorizontalHeader(ascent=984, descent=-273)
    builder.setupNameTable({"familyName": "Signs", "styleName": "Regular"})
    builder.setupOS2()
    builder.setupPost(keepGlyphNames=False)
    builder.font.flavor = "woff2"
    file = io.BytesIO()
    builder.save(file)
    return file.getvalue()


if __name__ == "__main__":
    print("data:font/woff2;base64," + base64.b64encode(font()).decode())
