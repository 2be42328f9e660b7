"""What a program wrote to a terminal, as an SVG picture: text, bold, dim and the sixteen colours."""

import html
import pathlib
import re

SIZE, WIDTH, HEIGHT, MARGIN = 14, 8.43, 19, 16
COLOURS = ["#4b5563", "#e06c5f", "#7cc48d", "#d9a95b", "#6fa8e8", "#b48ead", "#66b8b8", "#d8dee9"]
HARD_SPACE = "\u00a0"  # several of them stay several
PIECE = re.compile(r"\x1b\[([0-9;]*)m|\x1b\[[0-9;?]*[a-zA-Z]|([^\x1b]+)")


def spans(line):
    """(column, text, style) of each run of characters that look the same."""
    column, colour, is_bold, is_dim = 0, "", False, False
    for codes, text in PIECE.findall(line):
        if text:
            style = (f' fill="{colour}"' if colour else "") + (' font-weight="bold"' if is_bold else "") + (' opacity=".6"' if is_dim else "")
            yield column, text, style
            column += len(text)
            continue
        for code in [int(word or 0) for word in codes.split(";")]:
            if code == 0:
                colour, is_bold, is_dim = "", False, False
            elif code in (1, 2):
                is_bold, is_dim = is_bold or code == 1, is_dim or code == 2
            elif 30 <= code <= 37 or 90 <= code <= 97:
                colour = COLOURS[code % 10]
            elif code == 39:
                colour = ""


def picture(screen: str, columns: int, path: pathlib.Path):
    lines = screen.replace("\r", "").rstrip("\n").split("\n")
    body = ""
    for row, line in enumerate(lines):
        for column, text, style in spans(line):
            if text.strip():
                # Each run has its length said, so that columns stay below each other whatever font there is.
                body += (f'<text x="{MARGIN + column * WIDTH:.1f}" y="{MARGIN + (row + 1) * HEIGHT - 5}" textLength="{len(text) * WIDTH:.1f}"'
                         f' lengthAdjust="spacingAndGlyphs"{style}>{html.escape(text.replace(" ", HARD_SPACE))}</text>\n')
    width, height = 2 * MARGIN + columns * WIDTH, 2 * MARGIN + len(lines) * HEIGHT
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width:.0f} {height}" width="{width:.0f}" height="{height}" '
                    f'font-family="DejaVu Sans Mono, Menlo, Consolas, monospace" font-size="{SIZE}" fill="#d8dee9">\n'
                    f'<rect width="100%" height="100%" rx="8" fill="#1b2028"/>\n{body}</svg>\n')
