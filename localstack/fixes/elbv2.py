"""Elastic Load Balancing: balancers, listeners, rules."""

import copy

from moto.core.resource_tagging import TaggedResource
from moto.elbv2.exceptions import DuplicateListenerError, DuplicateLoadBalancerName, ELBClientError
from moto.elbv2.exceptions import LoadBalancerNotFoundError, TooManyTagsError
from moto.elbv2.models import ELBv2Backend, FakeAction, FakeListener, FakeListenerRule, FakeLoadBalancer, FakeRule
from moto.elbv2.responses import ELBV2Response

from .patch import around, define

# --- balancers -------------------------------------------------------------------------------------------------------

APPLICATION_ATTRIBUTES = {
    "access_logs.s3.enabled": "false",
    "idle_timeout.timeout_seconds": "60",
    "load_balancing.cross_zone.enabled": "true",
    "routing.http2.enabled": "true",
    "routing.http.drop_invalid_header_fields.enabled": "false",
    "routing.http.xff_client_port.enabled": "false",
    "routing.http.preserve_host_header.enabled": "false",
    "routing.http.xff_header_processing.mode": "append",
    "routing.http.desync_mitigation_mode": "defensive",
    "routing.http.x_amzn_tls_version_and_cipher_suite.enabled": "false",
    "waf.fail_open.enabled": "false",
    "connection_logs.s3.enabled": "false",
    "connection_logs.s3.bucket": "",
    "connection_logs.s3.prefix": "",
    "client_keep_alive.seconds": "3600",
    "zonal_shift.config.enabled": "false",
    "health_check_logs.s3.enabled": "false",
    "health_check_logs.s3.bucket": "",
    "health_check_logs.s3.prefix": "",
}
FakeLoadBalancer.VALID_ATTRS |= {"health_check_logs.s3.bucket", "health_check_logs.s3.prefix"}


@around(FakeLoadBalancer, "__init__")
def attributes_of_a_new_balancer(original, self, *args, **kwargs):
    """DescribeLoadBalancerAttributes lists every attribute with its default."""
    original(self, *args, **kwargs)
    self.attrs.setdefault("access_logs.s3.enabled", "false")
    if self.type == "application":
        self.attrs.update(APPLICATION_ATTRIBUTES)


@around(ELBv2Backend, "create_load_balancer")
def balancer_names_are_unique(original, self, name, security_groups, subnet_ids, subnet_mappings=None, **kwargs):
    """A name in use answers with the existing balancer when the settings are the same, else DuplicateLoadBalancerName."""
    kwargs["scheme"] = kwargs.get("scheme") or "internet-facing"
    kwargs["loadbalancer_type"] = kwargs.get("loadbalancer_type") or "application"
    subnets = set(subnet_ids or []) | {mapping["SubnetId"] for mapping in subnet_mappings or []}
    for balancer in self.load_balancers.values():
        if balancer.name != name:
            continue
        wanted = (kwargs["scheme"], kwargs["loadbalancer_type"], kwargs.get("ip_address_type"), subnets)
        live = (balancer.scheme, balancer.type, balancer.ip_address_type, {s.id for s in balancer.subnets})
        if wanted == live and set(security_groups or []) in (set(), set(balancer.security_groups)):
            return balancer
        raise DuplicateLoadBalancerName()
    if kwargs["loadbalancer_type"] == "application" and not security_groups and subnets:
        vpc_id = self.ec2_backend.get_subnet(sorted(subnets)[0]).vpc_id
        default = self.ec2_backend.get_default_security_group(vpc_id)
        security_groups = [default.id] if default else []
    if kwargs["loadbalancer_type"] == "application" and len(subnets) < 2:
        message = "At least two subnets in two different Availability Zones must be specified"
        raise ELBClientError("ValidationError", message)
    return original(self, name, security_groups, subnet_ids, subnet_mappings, **kwargs)


@around(ELBv2Backend, "delete_load_balancer")
def deletion_protection(original, self, arn):
    """A balancer with deletion protection is not deleted (OperationNotPermitted)."""
    balancer = self.load_balancers.get(arn)
    if balancer and balancer.attrs.get("deletion_protection.enabled") == "true":
        message = f"Load balancer '{arn}' cannot be deleted because deletion protection is enabled"
        raise ELBClientError("OperationNotPermitted", message)
    return original(self, arn)


@around(ELBv2Backend, "describe_load_balancers")
def every_name_must_exist(original, self, arns, names):
    """LoadBalancerNotFound if any of several names or ARNs is unknown (moto answers with another one twice)."""
    balancers = self.load_balancers.values()
    if set(names or []) - {b.name for b in balancers} or set(arns or []) - {b.arn for b in balancers}:
        raise LoadBalancerNotFoundError()
    return original(self, arns, names)


# --- actions and conditions ------------------------------------------------------------------------------------------


@around(FakeAction, "__init__")
def complete_action(original, self, data):
    """A forward to one target group reads back as TargetGroupArn and as ForwardConfig, a weighted one as ForwardConfig;
    a redirect reads back with the parts that were left out."""
    data = copy.deepcopy(dict(data))
    if data.get("Type") == "forward":
        if "ForwardConfig" not in data:
            data["ForwardConfig"] = {"TargetGroups": [{"TargetGroupArn": data["TargetGroupArn"], "Weight": 1}]}
        groups = data["ForwardConfig"].get("TargetGroups", [])
        if len(groups) == 1:
            data["TargetGroupArn"] = groups[0]["TargetGroupArn"]
        else:
            data.pop("TargetGroupArn", None)
    if data.get("Type") == "redirect":
        left_out = {"Protocol": "#{protocol}", "Port": "#{port}", "Host": "#{host}", "Path": "/#{path}", "Query": "#{query}"}
        data["RedirectConfig"] = {**left_out, **data["RedirectConfig"]}
    original(self, data)


def complete_conditions(conditions):
    """Host and path conditions read back both as Values and as their Config."""
    complete = []
    for condition in copy.deepcopy(conditions):
        name = {"host-header": "HostHeaderConfig", "path-pattern": "PathPatternConfig"}.get(condition["Field"])
        if name:
            values = condition.get("Values") or condition.get(name, {}).get("Values") or []
            if values:
                condition.update({"Values": values, name: {**condition.get(name, {}), "Values": values}})
        complete.append(condition)
    return complete


@around(FakeListenerRule, "__init__")
def rule_made(original, self, listener_arn, arn, conditions, priority, actions):
    """See complete_conditions."""
    original(self, listener_arn, arn, complete_conditions(conditions), priority, actions)


@around(ELBv2Backend, "modify_rule")
def rule_modified(original, self, rule_arn, conditions, actions):
    """See complete_conditions."""
    rule = original(self, rule_arn, conditions, actions)
    rule.conditions = complete_conditions(rule.conditions)
    return rule


@around(ELBv2Backend, "describe_rules")
def by_priority(original, self, listener_arn, rule_arns):
    """The rules of a listener come in the order of their priority, the default rule last."""
    rules = original(self, listener_arn, rule_arns)
    return sorted(rules, key=lambda rule: 1_000_000 if rule.is_default else int(rule.priority))


@around(ELBv2Backend, "delete_rule")
def default_rule_stays(original, self, arn):
    """The default rule cannot be deleted."""
    for balancer in self.load_balancers.values():
        for listener in balancer.listeners.values():
            if listener._default_rule[0].arn == arn:
                raise ELBClientError("OperationNotPermitted", f"Default rule '{arn}' cannot be deleted")
    return original(self, arn)


# --- listeners -------------------------------------------------------------------------------------------------------

LISTENER_ATTRIBUTES = {
    "routing.http.response.server.enabled": "true",
    "routing.http.response.strict_transport_security.header_value": "",
    "routing.http.response.access_control_allow_origin.header_value": "",
    "routing.http.response.access_control_allow_methods.header_value": "",
    "routing.http.response.access_control_allow_headers.header_value": "",
    "routing.http.response.access_control_allow_credentials.header_value": "",
    "routing.http.response.access_control_expose_headers.header_value": "",
    "routing.http.response.access_control_max_age.header_value": "",
    "routing.http.response.content_security_policy.header_value": "",
    "routing.http.response.x_content_type_options.header_value": "",
    "routing.http.response.x_frame_options.header_value": "",
}


@around(FakeListener, "__init__")
def new_listener(original, self, *args, **kwargs):
    """Only TLS listeners have a policy and mutual authentication; ALPN is absent unless set; an HTTP(S) listener has the
    attributes of one. The default rule's ARN has the form of every rule's."""
    original(self, *args, **kwargs)
    self.alpn_policy = self.alpn_policy or None
    if self.protocol not in ("HTTPS", "TLS"):
        self.ssl_policy = None
    if self.protocol == "HTTPS":
        self.mutual_authentication = {"Mode": "off"}
    if self.protocol in ("HTTP", "HTTPS"):
        self.attributes = dict(LISTENER_ATTRIBUTES)


@around(FakeRule, "__init__")
def default_rule_arn(original, self, *args, **kwargs):
    """The id in a rule's ARN has 16 hexadecimal digits."""
    original(self, *args, **kwargs)
    self.arn = f"{self.arn.rpartition('/')[0]}/{id(self) & (2**64 - 1):016x}"


def certificate_problem(self, arn):
    """A certificate must exist and be issued before a listener takes it."""
    if not self._certificate_exists(arn):
        return ELBClientError("CertificateNotFound", f"Certificate '{arn}' not found")
    if ":acm:" in arn:
        from moto.acm.models import acm_backends

        if acm_backends[self.account_id][self.region_name].get_certificate(arn).status != "ISSUED":
            message = f"The certificate '{arn}' must have a fully-qualified domain name, a supported signature, and a "
            return ELBClientError("UnsupportedCertificate", message + "supported key size.")
    return None


def port_in_use(self, balancer, port, but=None):
    return any(listener.port == port and listener is not but for listener in balancer.listeners.values())


@around(ELBv2Backend, "create_listener")
def create_listener(original, self, load_balancer_arn, protocol, port, ssl_policy, certificate, actions, *args, **kwargs):
    """A port is taken once a balancer (DuplicateListener), and an HTTPS listener needs an issued certificate."""
    balancer = self.load_balancers.get(load_balancer_arn)
    if balancer and port_in_use(self, balancer, port):
        raise DuplicateListenerError()
    if balancer and protocol in ("HTTPS", "TLS"):
        if not certificate:
            raise ELBClientError("ValidationError", f"A certificate must be specified for {protocol} listeners")
        if problem := certificate_problem(self, certificate):
            raise problem
    return original(self, load_balancer_arn, protocol, port, ssl_policy, certificate, actions, *args, **kwargs)


@around(ELBv2Backend, "modify_listener")
def modify_listener(original, self, arn, port=None, protocol=None, ssl_policy=None, certificates=None, default_actions=None):
    """A new default certificate leaves the additional ones alone; a port that another listener has is refused."""
    listener = self.describe_listeners(None, [arn])[0]
    if port is not None and port_in_use(self, self.load_balancers[listener.load_balancer_arn], port, but=listener):
        raise DuplicateListenerError()
    for certificate in certificates or []:
        if problem := certificate_problem(self, certificate["CertificateArn"]):
            raise problem
    additional = listener.certificates[1:]
    modified = original(self, arn, port, protocol, ssl_policy, certificates or [], default_actions)
    if certificates:
        default = certificates[0]["CertificateArn"]
        modified.certificates = [default] + [other for other in additional if other != default]
    if modified.protocol not in ("HTTPS", "TLS"):
        modified.ssl_policy, modified.certificates = None, []
    return modified


def default_certificate(certificates):
    """A listener shows its default certificate only; DescribeListenerCertificates shows all."""
    return [{"CertificateArn": certificates[0]}] if certificates else None


for name in ("CreateListenerOutput", "DescribeListenersOutput", "ModifyListenerOutput"):
    ELBV2Response.RESPONSE_KEY_PATH_TO_TRANSFORMER[f"{name}.Listeners.Listener.Certificates"] = default_certificate


# --- tags ------------------------------------------------------------------------------------------------------------


@define(ELBv2Backend)
def add_tags(self, resource_arns, tags):
    """Fifty tags, not ten."""
    for arn in resource_arns:
        self._get_resource_by_arn(arn)
        keys = set(self.tagging_service.get_tag_dict_for_resource(arn)) | {tag["Key"] for tag in tags}
        if len(keys) > 50:
            raise TooManyTagsError()
        self.tagging_service.tag_resource(arn, tags)


@around(ELBv2Backend, "describe_tags")
def tags_of_nothing(original, self, resource_arns):
    """DescribeTags of what does not exist is an error (LoadBalancerNotFound, TargetGroupNotFound ...)."""
    defaults = {
        listener._default_rule[0].arn for balancer in self.load_balancers.values() for listener in balancer.listeners.values()
    }
    for arn in resource_arns:
        if arn not in defaults:
            self._get_resource_by_arn(arn)
    return original(self, resource_arns)


@around(ELBv2Backend, "iter_tagged_resources")
def listeners_and_rules_are_tagged(original, self):
    """GetResources knows listeners and rules."""
    yield from original(self)
    for balancer in self.load_balancers.values():
        for listener in balancer.listeners.values():
            rules = [(arn, "listener-rule") for arn in listener._non_default_rules]
            for arn, kind in [(listener.arn, "listener"), *rules]:
                tags = self.tagging_service.get_tag_dict_for_resource(arn)
                yield TaggedResource(arn=arn, tags=tags, resource_type=f"elasticloadbalancing:{kind}")
