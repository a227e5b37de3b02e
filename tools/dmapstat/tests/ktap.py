# SPDX-License-Identifier: GPL-2.0-only
"""unittest's results as the kernel's tests print theirs"""
import re
import unittest


class Ktap(unittest.TestResult):
    """To be counted with the tests of the kernel's files"""
    def run(self, tests):
        print(f'KTAP version 1\n1..1\n    KTAP version 1\n    # Subtest: dmapstat\n    1..{len(tests)}')
        for test in tests:
            test.run(self)
        print(f'{"" if self.wasSuccessful() else "not "}ok 1 dmapstat')
        return self.wasSuccessful()

    def startTest(self, test):
        super().startTest(test)
        self.wrong, self.skip = [], ''

    def addSkip(self, test, reason):
        self.skip = ' # SKIP ' + reason

    def addFailure(self, test, err):
        super().addFailure(test, err)
        lines = f'{err[0].__name__}: {err[1]}'.splitlines()
        self.wrong.append('\n'.join(line[:200] for line in lines[:40]))

    addError = addFailure

    def addSubTest(self, test, subtest, err):
        if err:
            self.addFailure(test, err)
            self.wrong[-1] = subtest._subDescription() + ' ' + self.wrong[-1]

    def stopTest(self, test):
        for text in self.wrong:
            print(re.sub('(?m)^', '    # ', text))
        name = test.id().replace('__main__.', '').replace('#', '_')
        print(f'    {"not " if self.wrong else ""}ok {self.testsRun} {name}{self.skip}', flush=True)
