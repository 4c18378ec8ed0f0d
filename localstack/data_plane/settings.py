"""What can be changed while the emulator runs, by POST /_emulator/data-plane."""

import urllib.parse

from settings import Settings

DEFAULTS = {
    "health_interval": None,  # seconds between two health probes of a target; None: as its target group says
    "metric_lag": 60,  # seconds from the end of a period until its metrics can be read
    "metric_period": 60,  # seconds that a datum covers at least
    "tick": 0.1,  # seconds between two rounds of the scheduler of tasks
    "retry": 60,  # seconds until a function that failed in the background is called again; then twice as long
    "variables": {},  # environment variables that every function gets beside its own
    "postgres": None,  # URL of a superuser of a PostgreSQL server, on which instances of RDS are real databases
}
LEAST = {"health_interval": 0.02, "metric_lag": 0, "metric_period": 1, "tick": 0.01, "retry": 0}


def is_url(value) -> bool:
    """Whether it is a URL that psql takes and that names a host."""
    if not isinstance(value, str):
        return False
    parts = urllib.parse.urlsplit(value)
    return parts.scheme in ("postgres", "postgresql") and bool(parts.hostname)


def is_variables(value) -> bool:
    return isinstance(value, dict) and all(isinstance(each, str) for each in value.values())


OTHERS = {
    "postgres": (is_url, "a URL such as postgresql://user:password@localhost:5432/postgres"),
    "variables": (is_variables, "an object of texts"),
}

settings = Settings(DEFAULTS, LEAST, whole=("metric_period",), others=OTHERS)
