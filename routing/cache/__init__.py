"""The cache of answers: what was answered before is given again, at once and at no cost, to who may have it.

`keys` says which requests are the same and `rules` which of them use the cache at all and which answers are kept;
`lookup` is the way of a request through it: the process's memory (`memory`), then an identical request under way
(`collapse`, `broadcast`), then the further layers: Redis (`shared`), where there is one. `reshape` and `replay` give an
answer as it was asked for, whole or as a stream, and `purge` takes answers back in every process.
"""

from routing.cache.lookup import Cache, current

__all__ = ["Cache", "current"]
