"""Certificate Manager."""


from moto.acm.models import AWSCertificateManagerBackend, CertBundle
from moto.acm.responses import AWSCertificateManagerResponse
from moto.core.exceptions import AWSError
from moto.core.responses import EmptyResult

from .patch import around, define


class ResourceInUse(AWSError):
    TYPE = "ResourceInUseException"


def listeners_with(certificate):
    """(balancer, listener) pairs that serve the certificate."""
    from moto.elbv2.models import elbv2_backends

    region, account = certificate.arn.split(":")[3:5]
    for balancer in elbv2_backends[account][region].load_balancers.values():
        for listener in balancer.listeners.values():
            if certificate.arn in listener.certificates:
                yield balancer, listener


@define(CertBundle)
@property
def in_use_by(self):
    """InUseBy names the balancers that serve the certificate now."""
    named = {balancer.arn: None for balancer, _ in listeners_with(self)}
    return Readonly(named)


CertBundle.in_use_by = CertBundle.in_use_by.setter(lambda self, value: None)


class Readonly(list):
    """A computed list: moto's own appends to it say nothing new."""

    def append(self, value):
        pass


@around(AWSCertificateManagerBackend, "delete_certificate")
def certificate_in_use(original, self, arn):
    """A certificate that a listener serves is not deleted (ResourceInUseException)."""
    certificate = self._certificates.get(arn)
    if certificate is not None and certificate.in_use_by:
        raise ResourceInUse(f"Certificate {arn} in account {self.account_id} is in use.")
    return original(self, arn)


@around(AWSCertificateManagerResponse, "request_certificate")
def keep_request(original, self):
    """The names in the order of the request, its key algorithm and its validation method read back."""
    answer = original(self)
    certificate = self.acm_backend._certificates[answer.result["CertificateArn"]]
    if not hasattr(certificate, "requested_names"):
        names = [self._get_param("DomainName"), *(self._get_param("SubjectAlternativeNames") or [])]
        certificate.requested_names = list(dict.fromkeys(names))
        certificate.requested_algorithm = self._get_param("KeyAlgorithm")
        certificate.requested_method = self._get_param("ValidationMethod") or "EMAIL"
    return answer


def records_exist(certificate):
    """Whether every validation record is in a hosted zone."""
    from moto.route53.models import route53_backends

    account = certificate.arn.split(":")[4]
    records = {
        record.name.rstrip(".").lower()
        for zone in route53_backends[account]["aws"].zones.values()
        for record in zone.rrsets
        if record.type == "CNAME"
    }
    options = certificate.describe()["Certificate"].get("DomainValidationOptions", [])
    return all(option["ResourceRecord"]["Name"].rstrip(".").lower() in records for option in options)


@around(CertBundle, "check")
def issue_when_validated(original, self):
    """A certificate is issued soon after its validation records exist; moto's wait (MOTO_ACM_VALIDATION_WAIT seconds)
    stands for the person who makes them in a zone elsewhere."""
    original(self)
    if self.type == "AMAZON_ISSUED" and self.status == "PENDING_VALIDATION" and records_exist(self):
        self.status = "ISSUED"


@around(CertBundle, "describe")
def certificate_fields(original, self):
    """Names in the order of the request; the algorithm is written with a hyphen (RSA-2048); no dates before issuance."""
    result = original(self)
    shown = result["Certificate"]
    algorithm = getattr(self, "requested_algorithm", None) or shown["KeyAlgorithm"]
    shown["KeyAlgorithm"] = algorithm.replace("_", "-", 1)
    names = getattr(self, "requested_names", None)
    if names:
        shown["SubjectAlternativeNames"] = names
        options = {option["DomainName"]: option for option in shown.get("DomainValidationOptions", [])}
        shown["DomainValidationOptions"] = [options[name] for name in names if name in options]
    if shown["Status"] == "PENDING_VALIDATION":
        for absent in ("IssuedAt", "NotAfter", "NotBefore", "Serial"):
            shown.pop(absent, None)
    return result


@define(AWSCertificateManagerBackend)
def list_certificates(self, statuses, includes):
    """Without Includes.keyTypes only RSA_1024 and RSA_2048 are listed."""
    includes = includes or {}
    types = set(includes.get("keyTypes") or ["RSA_1024", "RSA_2048"])
    for arn in list(self._certificates):
        certificate = self.get_certificate(arn)
        algorithm = certificate.describe()["Certificate"]["KeyAlgorithm"].replace("-", "_", 1)
        exported = includes.get("exportOption") in (None, certificate.cert_options.get("Export"))
        if algorithm in types and exported and (not statuses or certificate.status in statuses):
            yield certificate


@define(AWSCertificateManagerResponse)
def update_certificate_options(self):
    """UpdateCertificateOptions changes the transparency logging preference."""
    certificate = self.acm_backend.get_certificate(self._get_param("CertificateArn"))
    certificate.cert_options.update(self._get_param("Options") or {})
    return EmptyResult()
