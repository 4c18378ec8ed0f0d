"""ECR."""

from moto.core.resource_tagging import TaggableResourcesMixin, TaggedResource
from moto.ecr.exceptions import InvalidParameterException
from moto.ecr.models import ECRBackend
from moto.ecr.policy_validation import EcrLifecyclePolicyValidator

from .patch import around, define

PREFIX = EcrLifecyclePolicyValidator.INVALID_PARAMETER_ERROR_MESSAGE

ECRBackend.SERVICE_NAMESPACE = "ecr"
ECRBackend.__bases__ += (TaggableResourcesMixin,)


@define(ECRBackend)
def iter_tagged_resources(self):
    """GetResources knows repositories."""
    for repository in self.repositories.values():
        tags = self.tagger.get_tag_dict_for_resource(repository.arn)
        yield TaggedResource(arn=repository.arn, tags=tags, resource_type="ecr:repository")


@around(ECRBackend, "put_image_scanning_configuration")
def no_is_left_out(original, self, registry_id, repository_name, image_scan_config):
    """A configuration that says nothing turns scanning off."""
    return original(self, registry_id, repository_name, {"scanOnPush": False, **(image_scan_config or {})})


def broken(rules):
    """What ECR says is wrong with the rules together."""
    priorities = [rule["rulePriority"] for rule in rules]
    if len(set(priorities)) < len(priorities):
        return "rulePriority must be unique across all rules"
    if sum(rule["selection"]["tagStatus"] == "untagged" for rule in rules) > 1:
        return "Only one rule can select untagged images"
    for rule in rules:
        selection = rule["selection"]
        lists = [selection.get("tagPatternList"), selection.get("tagPrefixList")]
        tagged = selection["tagStatus"] == "tagged"
        if tagged != any(lists):
            return "tagPrefixList or tagPatternList is required with tagged, and with nothing else"
        if any(pattern.count("*") > 4 for pattern in lists[0] or []):
            return "a tag pattern has four wildcards at most"
        if (selection["countType"] == "sinceImagePushed") != ("countUnit" in selection):
            return "countUnit goes with sinceImagePushed"
        if selection["tagStatus"] == "any" and rule["rulePriority"] != max(priorities):
            return "a rule for any image has the highest rulePriority"
    return None


@around(EcrLifecyclePolicyValidator, "validate")
def rules_that_fit_together(original, self):
    """A lifecycle policy is more than rules that are right one by one."""
    original(self)
    problem = broken(self._rules)
    if problem:
        text = f"{PREFIX}{problem}'"
        raise InvalidParameterException(text)
