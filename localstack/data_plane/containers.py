"""What a container is made of: image, environment, secrets, log. What cannot be had is told in the words of AWS."""

import json
import re
from dataclasses import dataclass

from moto.ecr.models import ecr_backends
from moto.logs.models import logs_backends
from moto.secretsmanager.models import secretsmanager_backends
from moto.ssm.models import ssm_backends

ECR = re.compile(r"(\d{12})\.dkr\.ecr\.([a-z0-9-]+)\.amazonaws\.com/([^:@]+)")
STOP_TIMEOUT = 30.0
SECRETS = "ResourceInitializationError: unable to pull secrets or registry auth: execution resource retrieval failed: "
ASM = SECRETS + "unable to retrieve secret from asm: service call has been retried 1 time(s): "
SSM = SECRETS + "unable to retrieve secrets from ssm: service call has been retried 1 time(s): "
LOGS = "ResourceInitializationError: failed to validate logger args: create stream has been retried 1 times: "
LOGS += "failed to create Cloudwatch log stream: "


class CannotStart(Exception):
    """Why a task fails before it runs."""


@dataclass
class Plan:
    """All that starts a container."""

    name: str
    tag: str
    environment: dict[str, str]
    command: list[str]
    ports: list[int]
    log: "Log | None"
    needs: list[dict]
    essential: bool
    stop_timeout: float


@dataclass
class Log:
    """A stream of a log group."""

    backend: object
    group: str
    stream: str


def plan(backend, task, container: dict) -> Plan:
    tag = pulled(container["image"])
    override = next((o for o in task.overrides.get("containerOverrides", []) if o.get("name") == container["name"]), {})
    environment = {pair["name"]: pair["value"] for pair in container.get("environment") or []}
    environment |= {secret["name"]: secret_value(backend, secret["valueFrom"]) for secret in container.get("secrets") or []}
    environment |= {pair["name"]: pair["value"] for pair in override.get("environment") or []}
    return Plan(
        name=container["name"],
        tag=tag,
        environment=environment,
        command=override.get("command") or container.get("command") or [],
        ports=[m["containerPort"] for m in container.get("portMappings") or [] if m.get("protocol", "tcp") == "tcp"],
        log=log_of(backend, task, container),
        needs=container.get("dependsOn") or [],
        essential=container.get("essential", True),
        stop_timeout=float(container.get("stopTimeout") or STOP_TIMEOUT),
    )


def pulled(image: str) -> str:
    """The tag of the image, also of one that is named by its digest."""
    name, _, digest = image.partition("@")
    tag = name.rpartition("/")[2].partition(":")[2]
    if digest:
        tag = tag_of_digest(name, digest) or tag or digest.rpartition(":")[2][:12]
    tag = tag or "latest"
    if "missing" in re.split(r"[-.]", tag):
        text = f"failed to resolve ref {image}: {image}: not found"
        raise CannotStart(f"CannotPullContainerError: pull image manifest has been retried 1 time(s): {text}")
    return tag


def tag_of_digest(name: str, digest: str) -> str | None:
    """The tag that ECR knows for the image."""
    match = ECR.match(name)
    repository = ecr_backends[match[1]][match[2]].repositories.get(match[3]) if match else None
    tags = (image.image_tag for image in list(repository.images if repository else []) if image.get_image_digest() == digest)
    return next(tags, None)


def secret_value(backend, source: str) -> str:
    """The value of a secret (ARN:json-key:version-stage:version-id, the latter three optional) or of a parameter (name or
    ARN)."""
    parts = source.split(":")
    if parts[:1] != ["arn"] or parts[2] == "ssm":
        region, account = parts[3:5] if len(parts) > 1 else (backend.region_name, backend.account_id)
        name = source.partition(":parameter")[2] if len(parts) > 1 else source
        parameters = ssm_backends[account][region]
        found = parameters.get_parameter(name) or parameters.get_parameter(name.removeprefix("/"))
        if found is None:
            raise CannotStart(f"{SSM}invalid parameters: {source}")
        return found.decrypt(found.value)
    arn, (key, stage, version) = ":".join(parts[:7]), (parts[7:] + ["", "", ""])[:3]
    try:
        found = secretsmanager_backends[parts[4]][parts[3]].get_secret_value(arn, version or None, stage or None)
    except Exception as error:  # whatever moto refuses
        said = "ResourceNotFoundException: Secrets Manager can't find the specified secret."
        said = getattr(error, "message", said) if "NotFound" not in type(error).__name__ else said
        raise CannotStart(f"{ASM}failed to fetch secret {arn} from secrets manager: {said}") from error
    text = found.get("SecretString", "")
    if not key:
        return text
    try:
        value = json.loads(text)[key]
    except (ValueError, KeyError, TypeError):
        raise CannotStart(f"{ASM}retrieved secret from Secrets Manager did not contain json key {key}") from None
    return value if isinstance(value, str) else json.dumps(value)


def log_of(backend, task, container: dict) -> Log | None:
    """The stream PREFIX/CONTAINER/TASK of the driver awslogs, made now. The group must exist, unless it is to be made."""
    configuration = container.get("logConfiguration") or {}
    if configuration.get("logDriver") != "awslogs":
        return None
    options = configuration.get("options") or {}
    logs = logs_backends[backend.account_id][options.get("awslogs-region") or backend.region_name]
    group = options.get("awslogs-group", "")
    if options.get("awslogs-create-group") == "true":
        logs.ensure_log_group(group)
    if group not in logs.groups:
        raise CannotStart(f"{LOGS}ResourceNotFoundException: The specified log group does not exist. : exit status 1")
    stream = "/".join([options.get("awslogs-stream-prefix", "ecs"), container["name"], task.id])
    logs.ensure_log_stream(group, stream)
    return Log(logs, group, stream)
