#!/usr/bin/env python3
"""The picture of README.md, from the report of `make demo`: tools/readme_picture.py out/demo/report.html docs/demo.svg

The mask that came out above the uniform one of the same size, with their figures from the report's table.
"""

import pathlib
import re
import sys

STYLE = """
:root{--page:#fff;--ink:#1c211d;--soft:#5d675f;--line:#dfe4df;--leaf:#2f7d4f;--wood:#a0642b}
@media (prefers-color-scheme:dark){:root{--page:#1d211e;--ink:#e7ebe7;--soft:#98a39a;--line:#333a35;--leaf:#5fbf86;--wood:#d99a5b}}
text{font:12px system-ui,-apple-system,"Segoe UI",sans-serif;fill:var(--soft)}
text.label,text.off{fill:var(--ink)}text.on{fill:var(--page)}text.mid{fill:#121a14}rect.attention{fill:var(--leaf)}rect.ffn{fill:var(--wood)}
rect.page{fill:var(--page);stroke:var(--line)}.gone rect{fill:none;stroke:var(--soft);stroke-dasharray:3 3}.gone path{stroke:var(--soft)}
"""


def rows_of(report):
    """{name: (parameters, one-shot KL, one-shot perplexity, perplexity)} of the first table."""
    table = re.search(r"<table>(.*?)</table>", report, re.S).group(1)
    rows = [re.findall(r"<td>(.*?)</td>", row) for row in re.findall(r"<tr.*?</tr>", table, re.S)]
    return {row[0]: row[1:] for row in rows if row}


def masks_of(report):
    """{name: (inner SVG, width, height)}; the first picture is the result's."""
    names = ["searched", *re.findall(r"<h3>(\w+)</h3>", report)]
    found = re.findall(r'<svg[^>]*class="mask"[^>]*viewBox="0 0 (\d+) (\d+)"[^>]*>(.*?)</svg>', report, re.S)
    return {name: (inner, int(width), int(height)) for name, (width, height, inner) in zip(names, found)}


def main():
    report, output = pathlib.Path(sys.argv[1]).read_text(), pathlib.Path(sys.argv[2])
    rows, masks = rows_of(report), masks_of(report)
    dense, searched, uniform = rows["dense"], rows["searched"], rows["uniform"]
    titles = [
        ("searched", f"searched: {searched[0]} of {dense[0]} parameters, perplexity {searched[2]} before recovery, {searched[3]} after (dense {dense[3]})"),
        ("uniform", f"uniform: {uniform[0]} parameters, perplexity {uniform[2]} before recovery"),
    ]  # fmt: skip
    parts, y = [], 34
    for name, title in titles:
        inner, _, height = masks[name]
        parts.append(f'<text class="label" x="24" y="{y}">{title}</text><g transform="translate(24,{y + 12})">{inner}</g>')
        y += height + 44
    note = "Query heads and neurons kept in each layer of the bundled model; the stronger the colour, the more is left."
    parts.append(f'<text x="24" y="{y - 8}">{note}</text>')
    width, height = max(masks["searched"][1] + 48, 720), y + 10
    output.write_text(
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" role="img" '
        f'aria-label="what make demo found"><style>{STYLE}</style><rect class="page" x="0.5" y="0.5" width="{width - 1}" height="{height - 1}" '
        f'rx="10"/>{"".join(parts)}</svg>\n'
    )
    print(f"{output}: {output.stat().st_size} bytes")


if __name__ == "__main__":
    main()
