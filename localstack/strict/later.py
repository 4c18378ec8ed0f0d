"""Time: what happens later, what is young, and states that are reached in their own time."""

import threading
import time

from moto.moto_server.werkzeug_app import MotoRequestHandler

from fixes.patch import around

from .settings import settings

WAITING = []
LOCK = threading.RLock()
BORN = {}


def after(setting, function):
    """Calls the function once the seconds of this setting are over, before a request is served."""
    with LOCK:
        WAITING.append((time.monotonic(), setting, function))


def due(application):
    """Does what is due before each request."""

    def serve(environ, start_response):
        with LOCK:
            now = time.monotonic()
            for waiting in [each for each in WAITING if now - each[0] >= settings[each[1]]]:
                WAITING.remove(waiting)
                waiting[2]()
        return application(environ, start_response)

    return serve


@around(MotoRequestHandler, "date_time_string")
def dated(original, self):
    """The date of an answer."""
    return original(self, time.time() + settings["ahead"])


def bear(*key):
    """Something was made now, unless it is known already."""
    if settings["lag"]:
        BORN.setdefault(key, time.monotonic())


def bury(*key):
    """It may be made again under this name."""
    BORN.pop(key, None)


def young(*key, times=1):
    """Whether reads, which lag so many times, do not show it yet."""
    born = BORN.get(key)
    return born is not None and time.monotonic() - born < times * settings["lag"]


def settling(passing, name):
    """A property that keeps its value in `name`, and for the time of `settle` after it was set to a value of `passing`
    shows what stands there instead."""

    def get(self):
        value, since = getattr(self, name), getattr(self, name + "_since")
        if since and time.monotonic() - since >= settings["settle"]:
            since = None
            setattr(self, name + "_since", None)
        return passing.get(value, value) if since else value

    def set(self, value):
        if getattr(self, name, None) != value:
            setattr(self, name, value)
            setattr(self, name + "_since", time.monotonic())

    return property(get, set)
