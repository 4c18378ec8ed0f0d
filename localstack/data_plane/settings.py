"""What can be changed while the emulator runs, by POST /_emulator/data-plane."""

from typing import Any

DEFAULTS = {
    "health_interval": None,  # seconds between two health probes of a target; None: as its target group says
    "metric_lag": 60,  # seconds from the end of a period until its metrics can be read
    "metric_period": 60,  # seconds that a datum covers at least
    "tick": 0.1,  # seconds between two rounds of the scheduler of tasks
}
LEAST = {"health_interval": 0.02, "metric_lag": 0, "metric_period": 1, "tick": 0.01}


class Settings(dict):
    """The settings by name. Any thread may read them at any time."""

    def change(self, asked: dict[str, Any]) -> None:
        """Takes all of the asked settings, or none of them and says what is wrong (ValueError)."""
        for name, value in asked.items():
            if name not in DEFAULTS:
                raise ValueError(f"no setting is called {name!r}; there are {', '.join(DEFAULTS)}")
            if value is None and DEFAULTS[name] is None:
                continue
            if isinstance(value, bool) or not isinstance(value, (int, float)) or not value >= LEAST[name]:
                raise ValueError(f"{name} is a number of seconds, at least {LEAST[name]}, not {value!r}")
            if name == "metric_period" and value != int(value):
                raise ValueError(f"metric_period is a whole number of seconds, not {value!r}")
        self.update(asked)


settings = Settings(DEFAULTS)
