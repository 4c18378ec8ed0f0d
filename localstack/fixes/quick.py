"""Speed: what moto looks up at each call, although it never changes, is looked up once; what nobody asks for is not made."""

import functools
import inspect

from moto import backends
from moto.core import loaders, responses, utils
from moto.ec2.models import EC2Backend
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


class Methods:
    """The names of the methods of a class, of which one is looked for at each call."""

    def __init__(self, owner):
        self.owner = owner

    def __contains__(self, name):
        return inspect.isfunction(getattr(self.owner, name, None))


responses.method_names_from_class = Methods


class Tagged:
    """EC2 as the tagging index sees it: without the hundreds of images and snapshots that nobody has tagged."""

    def __init__(self, backend):
        self.backend = backend
        tagged = list(backend.tags)
        self.amis = {id: backend.amis[id] for id in tagged if id in backend.amis}
        self.snapshots = {id: backend.snapshots[id] for id in tagged if id in backend.snapshots}

    def __getattr__(self, name):
        return getattr(self.backend, name)


@around(EC2Backend, "iter_tagged_resources")
def tagged_only(original, self):
    return original(Tagged(self))


# An answer is sent in one piece, not a line of its head after the other.
MotoRequestHandler.wbufsize = -1
