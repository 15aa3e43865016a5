"""Plain text tables."""

from collections.abc import Collection, Sequence


def table(header: Sequence[str], rows: Sequence[Sequence[object]], left: Collection[str] | None = None) -> str:
    """Returns a table with aligned columns.

    Args:
      header: names of the columns.
      rows: their cells.
      left: the columns to align to the left; None for the first one. The others are aligned to the right.
    """
    cells = [[str(cell) for cell in row] for row in [header, *rows]]
    widths = [max(len(row[i]) for row in cells) for i in range(len(header))]
    left = header[:1] if left is None else left

    def line(row: list[str]) -> str:
        padded = [
            cell.ljust(width) if name in left else cell.rjust(width)
            for name, cell, width in zip(header, row, widths, strict=True)
        ]
        return "  ".join(padded).rstrip()

    return "\n".join(line(row) for row in cells)


def percent(value: float | None) -> str:
    """Returns a share as `93.3%`, `-` where it is undefined."""
    return "-" if value is None else f"{value:.1%}"
