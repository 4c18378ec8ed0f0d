//! Certificates, which wait for the records that prove them, while listeners wait for them.

use infra::plan::plan;
use insta::assert_snapshot;

use super::scenario::{but, desired, listing, live, steps};

const SITE: &str = r#"
certificate.site: { domain: example.com }
dns_record.proof:
  zone_id: Z1
  host: "${certificate.site.validation_1_name}"
  type: CNAME
  values: ["${certificate.site.validation_1_value}"]
listener.https:
  load_balancer_arn: lb-1
  port: 443
  protocol: HTTPS
  certificate_arn: "${certificate.site.arn}"
  default_action: { fixed_response: { status: 404, content_type: text/plain, body: "" } }
"#;

#[test]
fn the_record_is_made_while_the_certificate_waits_and_the_listener_afterwards() {
    assert_snapshot!(steps(SITE, ""), @r"
    create certificate.site
    create dns_record.proof  after create certificate.site
    wait for certificate.site  after create certificate.site
    create listener.https  after wait for certificate.site
    ");
}

#[test]
fn a_certificate_that_an_earlier_run_left_pending_gets_its_record() {
    let pending = but(SITE, "{ domain", "{ is: pending, domain");
    let only = pending.split("dns_record").next().unwrap();
    assert_snapshot!(steps(SITE, only), @r"
    create dns_record.proof
    wait for certificate.site
    wait for certificate.site  after wait for certificate.site
    create listener.https  after wait for certificate.site
    ");
    assert_snapshot!(steps(SITE, &pending), @r"
    wait for certificate.site
    wait for certificate.site  after wait for certificate.site
    ");
    let changed = steps(&but(SITE, "{ domain", "{ tags: { a: b }, domain"), only);
    assert!(changed.contains("create listener.https  after wait for certificate.site"), "{changed}");
}

#[test]
fn the_record_of_a_pending_certificate_waits_until_aws_has_named_it() {
    let pending = but(SITE, "{ domain", "{ is: pending, domain");
    let mut snapshot = live(pending.split("dns_record").next().unwrap());
    snapshot.live[0].outputs.retain(|name, _| name == "arn");
    assert_snapshot!(listing(&plan(&desired(SITE), &snapshot).unwrap()), @r"
    wait for certificate.site
    create dns_record.proof  after wait for certificate.site
    wait for certificate.site  after wait for certificate.site
    create listener.https  after wait for certificate.site
    ");
}

#[test]
fn one_that_has_expired_is_replaced_under_a_listener_that_goes_on_serving() {
    let expired = but(SITE, "{ domain", "{ is: { failed: the certificate has expired }, domain");
    let steps = steps(SITE, &expired);
    for step in [
        "create certificate.site  after set aside certificate.site",
        "update listener.https  after wait for certificate.site",
        "delete certificate.site  after update listener.https",
    ] {
        assert!(steps.contains(step), "{steps}");
    }
}

#[test]
fn one_that_leaves_the_file_waits_for_its_listener() {
    let two = format!("{SITE}certificate.other: {{ domain: example.org }}\n");
    let two =
        but(&two, "certificate_arn: \"${certificate.site.arn}\"", "certificate_arn: \"${certificate.other.arn}\"");
    assert_snapshot!(steps(SITE, &two), @r"
    update listener.https
    delete certificate.other  after update listener.https
    ");
}
