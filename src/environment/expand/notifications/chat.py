"""Posts what SNS brings to a chat's incoming webhook.

The environment holds, by severity, the secret with the webhook's address (CHAT_ERROR, an ARN, or `ARN:key::` for one key
of a JSON secret) and how soon to respond (RESPOND_ERROR); and the name of what is watched (WATCHED).
"""

import json
import os
import urllib.request

import boto3

TIMEOUT = 5
SIGNS = {"ALARM": "\U0001F534", "OK": "\U0001F7E2"}
UNSURE = "\U0001F7E1"
ADDRESSES = {}


def handler(event, _context):
    """Posts each record. A failure is raised, so that SNS tries again."""
    for record in event["Records"]:
        message = record["Sns"]
        severity = message["TopicArn"].rsplit("-", 1)[-1]
        post(address(severity), text(severity, message))


def address(severity):
    """The webhook's address, read from its secret once for as long as this process lives."""
    if severity not in ADDRESSES:
        parts = os.environ["CHAT_" + severity.upper()].split(":")
        arn, key = ":".join(parts[:7]), parts[7] if len(parts) > 7 else None
        value = boto3.client("secretsmanager").get_secret_value(SecretId=arn)["SecretString"]
        ADDRESSES[severity] = (json.loads(value)[key] if key else value).strip()
    return ADDRESSES[severity]


def post(url, words):
    """Slack, Mattermost and others take the same JSON."""
    body = json.dumps({"text": words}).encode()
    try:
        request = urllib.request.Request(url, data=body, headers={"Content-Type": "application/json"})
        urllib.request.urlopen(request, timeout=TIMEOUT).close()
    except Exception as problem:
        # A new address may have been put into the secret; and errors, which are logged, may hold the old one.
        ADDRESSES.clear()
        reason = getattr(problem, "code", None) or type(problem).__name__
        raise RuntimeError(f"the chat did not take the message: {reason}") from None


def text(severity, message):
    """The message as people read it."""
    try:
        content = json.loads(message["Message"])
    except ValueError:
        content = None
    if isinstance(content, dict) and "AlarmName" in content:
        lines = alarm(severity, content)
    elif isinstance(content, dict) and "detail-type" in content:
        lines = happening(severity, content)
    else:
        lines = [f"{UNSURE} *{message.get('Subject') or severity}*", message["Message"]]
    return "\n".join(line for line in lines if line)


def alarm(severity, content):
    """A CloudWatch alarm. Its description holds the link to the runbook."""
    state = content.get("NewStateValue", "")
    respond = os.environ.get("RESPOND_" + severity.upper()) if state == "ALARM" else None
    return [
        f"{SIGNS.get(state, UNSURE)} *{content['AlarmName']}*: {state}",
        about(severity, respond),
        content.get("NewStateReason"),
        content.get("AlarmDescription"),
    ]


def happening(severity, content):
    """An event of another service."""
    detail = content.get("detail") or {}
    what = detail.get("eventName") or detail.get("EventID") or ""
    resources = ", ".join(arn.split(":", 5)[-1] for arn in content.get("resources") or [])
    return [
        f"{SIGNS['ALARM']} *{content['detail-type']}*" + (f": {what}" if what else ""),
        about(severity, os.environ.get("RESPOND_" + severity.upper())),
        resources,
        detail.get("reason") or detail.get("Message") or detail.get("message"),
    ]


def about(severity, respond):
    """Where it is, how bad it is, and how soon to respond."""
    words = [os.environ.get("WATCHED"), severity, respond and f"respond within {respond}"]
    return " · ".join(word for word in words if word)
