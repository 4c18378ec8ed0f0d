"""As strict as AWS: what is made shows late, becomes ready in its own time, and what is deleted holds on for a while.

`install` is called once, by emulator.py --strict, after the corrections of the package `fixes`. Importing a module of this
package, one a service, applies its corrections. `settings.py` has their times.
"""

import importlib
import pkgutil

PATH = "/_emulator/strict"


def install(application):
    """Applies every correction; returns the WSGI application to serve."""
    for module in sorted(info.name for info in pkgutil.iter_modules(__path__)):
        importlib.import_module(f"{__name__}.{module}")
    from . import later, tagging

    return later.due(tagging.watched(application))


def endpoint(environ, start_response):
    """GET tells the settings; POST changes them and tells them."""
    import settings as shared

    from .settings import settings

    return shared.endpoint(settings, dict, environ, start_response)
