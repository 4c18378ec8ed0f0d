"""What can be changed while the emulator runs, by POST /_emulator/data-plane."""

from settings import Settings

DEFAULTS = {
    "health_interval": None,  # seconds between two health probes of a target; None: as its target group says
    "metric_lag": 60,  # seconds from the end of a period until its metrics can be read
    "metric_period": 60,  # seconds that a datum covers at least
    "tick": 0.1,  # seconds between two rounds of the scheduler of tasks
}
LEAST = {"health_interval": 0.02, "metric_lag": 0, "metric_period": 1, "tick": 0.01}

settings = Settings(DEFAULTS, LEAST, whole=("metric_period",))
