# SPDX-License-Identifier: GPL-2.0-only
"""Claims, judged one after the other."""

from text import said


class Judge:
    """The lines of a report about its claims, and how many of these did not hold."""

    def __init__(self, lead, word):
        self.lead, self.word = lead, word
        self.lines, self.missed = [], 0

    def claim(self, held, text):
        self.lines.append(self.lead + said(held, text, self.word))
        self.missed += not held

    def verdict(self):
        return f"{self.missed} claims {self.word}" if self.missed else "every claim held"
