# SPDX-License-Identifier: GPL-2.0-only
"""What machines counted."""


class NotJudged(Exception):
    """Why nothing can be said about claims."""


class NoFigure(NotJudged):
    """Something that is judged or shown was not counted."""

    def __init__(self, *names):
        super().__init__("no figure for " + " ".join(map(str, names)))


class Counted(dict):
    """Numbers by name, or by names. What is not there is an error by [], it is no 0; None by get()."""

    def __init__(self, whose="", values=()):
        super().__init__(values)
        self.whose = [whose] if whose else []

    def __missing__(self, name):
        raise NoFigure(*self.whose, *(name if isinstance(name, tuple) else (name,)))
