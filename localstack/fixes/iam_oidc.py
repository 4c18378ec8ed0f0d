"""OpenID Connect providers of IAM."""

from moto.core.resource_tagging import TaggableResourcesMixin, TaggedResource
from moto.core.responses import ActionResult, EmptyResult
from moto.iam.models import IAMBackend
from moto.iam.responses import IamResponse
from moto.resourcegroupstaggingapi.responses import ResourceGroupsTaggingAPIResponse

from .patch import around, define

THUMBPRINT = "6938fd4d98bab03faadb97b34396831e3780aea1"

if not issubclass(IAMBackend, TaggableResourcesMixin):
    IAMBackend.SERVICE_NAMESPACE = "iam"
    IAMBackend.__bases__ += (TaggableResourcesMixin,)


@around(IAMBackend, "iter_tagged_resources")
def providers_have_tags(original, self):
    """GetResources knows providers (and neither roles nor users)."""
    yield from original(self)
    for provider in self.open_id_providers.values():
        tags = {tag["Key"]: tag["Value"] for tag in provider.get_tags()}
        yield TaggedResource(arn=provider.arn, tags=tags, resource_type="iam:oidc-provider")


@around(ResourceGroupsTaggingAPIResponse, "get_resources")
def global_in_one_region(original, self):
    """What is global is indexed in us-east-1 only."""
    result = original(self).result
    if self.region == "us-east-1":
        return ActionResult(result)
    found = [entry for entry in result["ResourceTagMappingList"] if ":iam::" not in entry["ResourceARN"]]
    return ActionResult({**result, "ResourceTagMappingList": found})


@around(IAMBackend, "create_open_id_connect_provider")
def thumbprint_is_found(original, self, url, thumbprint_list, *args, **kwargs):
    """IAM asks the issuer for its certificate where nobody gives a thumbprint."""
    return original(self, url, thumbprint_list or [THUMBPRINT], *args, **kwargs)


@define(IamResponse)
def add_client_id_to_open_id_connect_provider(self):
    """AddClientIDToOpenIDConnectProvider; one that is there stays."""
    provider = self.backend.get_open_id_connect_provider(self._get_param("OpenIDConnectProviderArn"))
    if self._get_param("ClientID") not in provider.client_id_list:
        provider.client_id_list.append(self._get_param("ClientID"))
    return EmptyResult()


@define(IamResponse)
def remove_client_id_from_open_id_connect_provider(self):
    """RemoveClientIDFromOpenIDConnectProvider; one that is not there is removed."""
    provider = self.backend.get_open_id_connect_provider(self._get_param("OpenIDConnectProviderArn"))
    provider.client_id_list = [one for one in provider.client_id_list if one != self._get_param("ClientID")]
    return EmptyResult()
