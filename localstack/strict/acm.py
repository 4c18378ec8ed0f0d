"""Certificate Manager: certificates show late, their records later, and they are issued in their own time."""

import time

from moto.acm.models import AWSCertificateManagerBackend, CertBundle, CertificateNotFound
from moto.acm.responses import AWSCertificateManagerResponse

import fixes.acm
from fixes.patch import around

from .later import bear, young
from .settings import settings

RECORDS = 2  # times `lag` until a certificate tells the records that prove it


@around(AWSCertificateManagerBackend, "request_certificate")
def requested(original, self, *args, **kwargs):
    """A certificate is known a few seconds after it was requested."""
    arn = original(self, *args, **kwargs)
    bear("acm", arn)
    return arn


def not_seen_yet(original, self):
    """Until then a call that names it answers ResourceNotFoundException."""
    arn = self._get_param("CertificateArn")
    if young("acm", arn):
        raise CertificateNotFound(arn=arn, account_id=self.current_account)
    return original(self)


for call in ("describe_certificate", "list_tags_for_certificate", "add_tags_to_certificate", "delete_certificate"):
    around(AWSCertificateManagerResponse, call)(not_seen_yet)


@around(AWSCertificateManagerBackend, "list_certificates")
def not_listed_yet(original, self, statuses, includes):
    """Nor do lists show it."""
    return [each for each in original(self, statuses, includes) if not young("acm", each.arn)]


@around(CertBundle, "describe")
def records_come_later(original, self):
    """A new certificate lacks the records that prove it for a while."""
    result = original(self)
    if young("acm", self.arn, times=RECORDS):
        for option in result["Certificate"].get("DomainValidationOptions", []):
            option.pop("ResourceRecord", None)
    return result


records_now = fixes.acm.records_exist


def records_exist(certificate):
    """Once its records exist, it takes a while until the certificate is issued."""
    if young("acm", certificate.arn, times=RECORDS) or not records_now(certificate):
        return False
    if not hasattr(certificate, "proven_since"):
        certificate.proven_since = time.monotonic()
    return time.monotonic() - certificate.proven_since >= settings["settle"]


fixes.acm.records_exist = records_exist
