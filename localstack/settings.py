"""Settings of the emulator that can be changed while it runs, each group of them at an address of its own."""

import json
from collections.abc import Callable, Mapping
from typing import Any

Others = Mapping[str, tuple[Callable[[Any], bool], str]]


class Settings(dict):
    """Numbers by name, and what is no number in `others`: a test and what it asks for, in words. Any thread may read them at
    any time. A setting whose default is None may be None."""

    def __init__(self, defaults: dict[str, Any], least: dict[str, float], whole: tuple[str, ...] = (), others: Others = {}):
        super().__init__(defaults)
        self.defaults, self.least, self.whole, self.others = defaults, least, whole, others

    def change(self, asked: dict[str, Any]) -> None:
        """Takes all of the asked settings, or none of them and says what is wrong (ValueError)."""
        for name, value in asked.items():
            if name not in self.defaults:
                raise ValueError(f"no setting is called {name!r}; there are {', '.join(self.defaults)}")
            if value is None and self.defaults[name] is None:
                continue
            if name in self.others:
                test, words = self.others[name]
                if not test(value):
                    raise ValueError(f"{name} is {words}, not {value!r}")
                continue
            if isinstance(value, bool) or not isinstance(value, (int, float)) or not value >= self.least[name]:
                raise ValueError(f"{name} is a number, at least {self.least[name]}, not {value!r}")
            if name in self.whole and value != int(value):
                raise ValueError(f"{name} is a whole number, not {value!r}")
        self.update(asked)


def endpoint(settings: Settings, tells, environ, start_response):
    """A WSGI application: GET tells the settings and what `tells()` adds; POST changes settings and tells them."""

    def changed():
        if environ["REQUEST_METHOD"] == "POST":
            settings.change(asked(environ))
        return {**settings, **tells()}

    return answer(start_response, changed)


def asked(environ) -> dict[str, Any]:
    """The object that a request holds."""
    content = environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))
    asked = json.loads(content or b"{}")
    if not isinstance(asked, dict):
        raise ValueError("an object is expected")
    return asked


def answer(start_response, tells):
    """Answers with what `tells()`; what is wrong with the request is a ValueError."""
    status = "200 OK"
    try:
        told = tells()
    except ValueError as wrong:
        status, told = "400 Bad Request", {"message": str(wrong)}
    body = json.dumps(told).encode()
    start_response(status, [("Content-Type", "application/json"), ("Content-Length", str(len(body)))])
    return [body]
