"""Compiled loops over pixels that are spread over several bins."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from ringwatch_pipelines.compiled import compiled
from ringwatch_pipelines.patterns import FloatArray


@compiled
def add_split_rows(  # noqa: PLR0917 - compiled functions take no keyword-only arguments
    image: NDArray[Any],
    first_bin: NDArray[Any],
    bins_of_pixel: NDArray[Any],
    coefficients: NDArray[np.float32],
    row_starts: NDArray[np.int64],
    low: Any,
    high: Any,
    first: int,
    last: int,
    sums: FloatArray,
    squares: FloatArray,
    out_in_row: NDArray[np.bool_],
) -> None:
    """Add ``c * counts`` and ``c**2 * counts`` of rows `first` to `last`.

    A pixel spreads over `bins_of_pixel` neighbouring bins from its `first_bin`; its coefficients follow
    those of the pixel before it. Indices are unsigned, which spares a look at every one whether it counts
    from the end. `sums` and `squares` are (2, bins): odd and even columns.
    """
    columns = image.shape[1]
    one, two = np.uint64(1), np.uint64(2)
    for row in range(first, last):
        counts = image[row]
        k = np.uint64(row_starts[row])
        bad = np.int32(0)
        for i in range(columns):
            spread = np.uint64(bins_of_pixel[row, i])
            x = counts[i]
            if (x >= low) & (x <= high):
                value = np.float64(x)
                b = np.uint64(first_bin[row, i])
                lane = i & 1
                if spread == 3:
                    # The commonest case, without a loop whose end the processor would have to guess.
                    c0 = np.float64(coefficients[k])
                    c1 = np.float64(coefficients[k + one])
                    c2 = np.float64(coefficients[k + two])
                    sums[lane, b] += c0 * value
                    sums[lane, b + one] += c1 * value
                    sums[lane, b + two] += c2 * value
                    squares[lane, b] += c0 * c0 * value
                    squares[lane, b + one] += c1 * c1 * value
                    squares[lane, b + two] += c2 * c2 * value
                else:
                    for step in range(spread):
                        j = np.uint64(step)
                        c = np.float64(coefficients[k + j])
                        sums[lane, b + j] += c * value
                        squares[lane, b + j] += c * c * value
            else:
                bad += spread > 0
            k += spread
        out_in_row[row] = bad > 0


@compiled
def add_split_pixels(  # noqa: PLR0917 - compiled functions take no keyword-only arguments
    pixels: NDArray[np.int64],
    values: FloatArray,
    first_bin: NDArray[Any],
    bins_of_pixel: NDArray[Any],
    coefficients: NDArray[np.float32],
    row_starts: NDArray[np.int64],
    sums: FloatArray,
    squares: FloatArray,
) -> None:
    """Add ``c * value`` and ``c**2 * value`` of a list of pixels, given as ascending flat indices."""
    columns = first_bin.shape[1]
    row = np.int64(-1)
    column = 0
    k = np.int64(0)
    for place in range(pixels.size):
        if pixels[place] // columns != row:
            row = pixels[place] // columns
            column = 0
            k = row_starts[row]
        while column < pixels[place] % columns:
            k += np.int64(bins_of_pixel[row, column])
            column += 1
        b = np.int64(first_bin[row, column])
        for j in range(np.int64(bins_of_pixel[row, column])):
            c = np.float64(coefficients[k + j])
            sums[b + j] += c * values[place]
            squares[b + j] += c * c * values[place]
