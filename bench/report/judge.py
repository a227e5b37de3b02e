# SPDX-License-Identifier: GPL-2.0-only
"""Claims, judged one after the other."""

from text import said


def verdict(missed, claims):
    return f"{missed} of {claims} claims missed" if missed else "every claim held"


class Judge:
    """The lines of a report about its claims, and how many of these did not hold."""

    def __init__(self, lead):
        self.lead, self.lines, self.missed = lead, [], 0

    def claim(self, held, text):
        self.lines.append(self.lead + said(held, text))
        self.missed += not held

    def verdict(self):
        return verdict(self.missed, len(self.lines))
