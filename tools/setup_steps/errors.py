"""The one exception of the set-up."""


class SetupError(Exception):
    """The set-up cannot go on; the message says in one line what is wrong and what to do."""
