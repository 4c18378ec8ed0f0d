"""Speed: what moto looks up on the disk at each call, although it never changes, is looked up once."""

import functools

from moto import backends
from moto.core import loaders, utils
from moto.moto_server.werkzeug_app import DomainDispatcherApplication, MotoRequestHandler

from .patch import around

modules = functools.cache(lambda find=backends.list_of_moto_modules: tuple(find()))
backends.list_of_moto_modules = modules
utils.create_loader = functools.cache(loaders.create_loader)  # it remembers what it has loaded
KNOWN = {}


@around(DomainDispatcherApplication, "get_backend_for_host")
def remembered(original, self, host):
    """Which service a host stands for is found by trying the patterns of all services."""
    if host not in KNOWN:
        KNOWN[host] = original(self, host)
    return KNOWN[host]


# An answer is sent in one piece, not a line of its head after the other.
MotoRequestHandler.wbufsize = -1
