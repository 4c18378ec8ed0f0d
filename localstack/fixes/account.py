"""What the account of the emulator has before anybody comes: a certificate, which an environment names by its ARN."""

from moto.acm.models import CertBundle, acm_backends

ACCOUNT = "123456789012"
REGION = "us-east-1"
CERTIFICATE = f"arn:aws:acm:{REGION}:{ACCOUNT}:certificate/11112222-3333-4444-5555-666677778888"

certificate = CertBundle.generate_cert("example.com", ACCOUNT, REGION, sans=["*.example.com"])
certificate.arn = CERTIFICATE
certificate.status = "ISSUED"
acm_backends[ACCOUNT][REGION]._certificates[CERTIFICATE] = certificate
