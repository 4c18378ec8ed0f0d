"""What the tests of the strict emulator share. Each module beside this one tests those of one service."""

import functools
import time

from botocore.exceptions import ClientError

from checks import Case, settings


strict = functools.partial(settings, "strict")


class Strict(Case):
    """Everything is at once, but for what the test makes `long`."""

    def setUp(self):
        strict(settle=0, lag=0, linger=0)

    def long(self, *names):
        """Lets these times be endless for the rest of the test, or until `over`."""
        strict(**dict.fromkeys(names, 3600))
        self.addCleanup(strict, **dict.fromkeys(names, 0))

    def over(self, *names):
        strict(**dict.fromkeys(names, 0))

    def eventually(self, call, *arguments, **keywords):
        """The answer, once the call is not refused any more."""
        deadline = time.monotonic() + 10
        while True:
            try:
                return call(*arguments, **keywords)
            except ClientError:
                if time.monotonic() > deadline:
                    raise
                time.sleep(0.02)
