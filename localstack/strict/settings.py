"""What can be changed while the emulator runs, by POST /_emulator/strict."""

from settings import Settings

DEFAULTS = {
    "settle": 0.3,  # seconds in which what is made, changed or deleted asynchronously gets there
    "lag": 0.2,  # seconds by which reads lag behind creates; the tagging index lags thrice as long
    "linger": 0.5,  # seconds for which network interfaces outlive what they belong to
    "ahead": 0,  # seconds by which the dates of answers are ahead, so that whatever was written seems so much older
    "max_vpcs": None,  # quotas of the account and region; None: none
    "max_addresses": None,
    "max_nat_gateways": None,  # in a zone
    "max_rules": None,  # in one direction of a security group
}

settings = Settings(DEFAULTS, dict.fromkeys(DEFAULTS, 0))
