"""Corrections of moto, one module a service. Importing a module applies its corrections.

Each correction is a function that `patch.around` puts around a method of moto (or `patch.define` adds to a class), and
whose docstring says what AWS does. All of them hold for moto 5.2.5, which `requirements.txt` pins.
"""

import importlib
import pkgutil


def install(application):
    """Applies every correction; returns the WSGI application to serve."""
    for module in sorted(info.name for info in pkgutil.iter_modules(__path__)):
        importlib.import_module(f"{__name__}.{module}")
    from .cbor import translating
    from .failures import readable

    return translating(readable(application))
