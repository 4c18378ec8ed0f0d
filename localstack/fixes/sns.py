"""SNS: who is asked before getting messages."""

from moto.core.responses import ActionResult
from moto.sns.exceptions import SNSInvalidParameter, SNSNotFoundError
from moto.sns.models import SNSBackend, Subscription
from moto.sns.responses import SNSResponse

from .patch import around, define

ASKED = ["email", "email-json", "http", "https"]
PENDING = "PendingConfirmation"


@around(SNSBackend, "subscribe")
def ask(original, self, topic_arn, endpoint, protocol):
    """An e-mail address or a web address is asked whether it wants the messages, and waits until it says so."""
    subscription = original(self, topic_arn, endpoint, protocol)
    if protocol in ASKED and not subscription.confirmed:
        subscription.attributes["PendingConfirmation"] = True
    else:
        subscription.confirmed = True
    return subscription


def shown(subscription):
    """A subscription as it is listed."""
    return {
        "SubscriptionArn": subscription.arn if subscription.confirmed else PENDING,
        "Owner": subscription.owner,
        "Protocol": subscription.protocol,
        "Endpoint": subscription.endpoint,
        "TopicArn": subscription.topic_arn,
    }


@around(SNSResponse, "list_subscriptions_by_topic")
def pending_by_topic(original, self):
    """One that waits is listed with the words PendingConfirmation in place of its ARN."""
    result = original(self).result
    return ActionResult({**result, "Subscriptions": [shown(one) for one in result["Subscriptions"]]})


@around(SNSResponse, "list_subscriptions")
def pending(original, self):
    """One that waits is listed with the words PendingConfirmation in place of its ARN."""
    result = original(self).result
    return ActionResult({**result, "Subscriptions": [shown(one) for one in result["Subscriptions"]]})


@around(SNSBackend, "unsubscribe")
def nobody_deletes_what_waits(original, self, subscription_arn):
    """One that waits has no ARN, and cannot be deleted."""
    if not subscription_arn.startswith("arn:"):
        raise SNSInvalidParameter("Invalid parameter: SubscriptionArn Reason: An ARN must have at least 6 elements")
    return original(self, subscription_arn)


@around(Subscription, "publish")
def silence(original, self, *arguments, **keywords):
    """One that waits gets no messages."""
    return original(self, *arguments, **keywords) if self.confirmed else None


@define(SNSResponse)
def confirm_subscription(self):
    """The token confirms the subscription. (AWS mails it; here it is the endpoint itself.)"""
    topic, token = self._get_param("TopicArn"), self._get_param("Token")
    of_topic = [one for one in self.backend.subscriptions.values() if one.topic_arn == topic]
    if topic not in self.backend.topics:
        raise SNSNotFoundError("Topic does not exist")
    for subscription in of_topic:
        if subscription.endpoint == token:
            subscription.confirmed = True
            subscription.attributes["PendingConfirmation"] = False
            return ActionResult({"SubscriptionArn": subscription.arn})
    raise SNSInvalidParameter("Invalid parameter: Token")
