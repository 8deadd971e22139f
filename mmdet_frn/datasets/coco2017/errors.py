"""The error of a download or of an archive."""


class FetchError(OSError):
    """A part of COCO that could not be fetched: one line with what, why and the remedy."""
