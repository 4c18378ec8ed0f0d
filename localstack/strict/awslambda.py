"""Lambda: functions in a network have interfaces there, which outlive them."""

from moto.awslambda.models import LambdaBackend

from fixes import users
from fixes.patch import around

from .later import after

GHOSTS = []


def functions(backend, part, id):
    """ARNs of the functions that have this subnet or group, and of those whose interfaces are still there."""
    live = of_region = users.of("lambda", backend)
    ghosts = [function for of, function in GHOSTS if of is of_region]
    for function in [*live.list_functions(), *ghosts]:
        if id in ((function.vpc_config or {}).get(part) or []):
            yield function.function_arn


def also(name, part):
    """Functions use subnets and groups too."""
    others = getattr(users, name)

    def all_users(backend, id):
        yield from others(backend, id)
        yield from functions(backend, part, id)

    setattr(users, name, all_users)


also("of_subnet", "SubnetIds")
also("of_group", "SecurityGroupIds")


@around(LambdaBackend, "delete_function")
def interfaces_outlive_functions(original, self, function_name, qualifier=None):
    """The interfaces of a function go a while after it (on AWS 20 minutes)."""
    function = None if qualifier else self.get_function(function_name)
    original(self, function_name, qualifier)
    if function is not None:
        ghost = (self, function)
        GHOSTS.append(ghost)
        after("linger", lambda: GHOSTS.remove(ghost))
