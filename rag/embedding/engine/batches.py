"""How inputs of different lengths are put into batches. Pure functions of lengths in tokens."""

from collections.abc import Iterator, Sequence


def longest_first(lengths: Sequence[int]) -> list[int]:
    """Indices by length, longest first: neighbours pad each other little, and a batch too large shows at once."""
    return sorted(range(len(lengths)), key=lengths.__getitem__, reverse=True)


def end_of_batch(order: Sequence[int], start: int, lengths: Sequence[int], budget: int, most: int) -> int:
    """Where the batch ends that begins at `start` of `order` (longest first).

    A batch costs its longest length times its count, which stays within `budget` tokens; one input always fits.
    """
    longest = max(1, lengths[order[start]])
    return min(len(order), start + max(1, min(most, budget // longest)))


def pieces(sizes: Sequence[int], most: int) -> Iterator[range]:
    """Neighbours of `most` in all, or one that is larger, piece by piece."""
    start = held = 0
    for at, size in enumerate(sizes):
        if at > start and held + size > most:
            yield range(start, at)
            start, held = at, 0
        held += size
    if sizes:
        yield range(start, len(sizes))
