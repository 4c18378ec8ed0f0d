//! `load_balancers`: a load balancer each, with its firewall and listeners.

use super::Expansion;
use crate::address::Address;
use crate::environment::load_balancers::Scheme;
use crate::environment::network::Tier;
use crate::kinds::listener::{Action, FixedResponse, Listener, Protocol, Redirect};
use crate::kinds::load_balancer::{self, LoadBalancer};
use crate::kinds::security_group::{Peer, Rule, SecurityGroup};
use crate::tags::Tags;
use crate::value::Arg;

/// TLS 1.3, and 1.2 with forward secrecy for clients that know no better.
const TLS_POLICY: &str = "ELBSecurityPolicy-TLS13-1-2-2021-06";

pub(super) fn expand(to: &mut Expansion) {
    for (name, section) in &to.file.load_balancers {
        let origin = ["load_balancers", name.as_str()];
        let tls = section.certificate.as_ref().map(|arn| to.text(arn.as_str(), &["load_balancers", name, "certificate"]));
        let firewall = firewall(to, name, tls.is_some());
        let (scheme, tier) = match section.scheme {
            Scheme::InternetFacing => (load_balancer::Scheme::InternetFacing, Tier::Public),
            Scheme::Internal => (load_balancer::Scheme::Internal, Tier::Private),
        };
        let subnets = to.subnets(tier);
        if subnets.len() == 1 {
            let help = "let `network.zones` be 2 or more".to_owned();
            to.wrong(&origin, "AWS puts a load balancer into two zones at least", Some(help));
        }
        let spec = LoadBalancer {
            deletion_protection: section.deletion_protection,
            drop_invalid_header_fields: true,
            idle_timeout: u16::try_from(section.idle_timeout.seconds()).unwrap_or(u16::MAX),
            ..LoadBalancer::new(scheme, subnets, vec![Arg::output(&firewall, "id")])
        };
        let balancer = to.add(name, &origin, &spec);
        let listener = |port, protocol, default_action| Listener {
            load_balancer_arn: Arg::output(&balancer, "arn"),
            port,
            protocol,
            certificate_arn: None,
            extra_certificates: Vec::new(),
            ssl_policy: None,
            default_action,
            tags: Tags::new(),
        };
        // A request that no service's route takes.
        let nothing = Action::FixedResponse(FixedResponse {
            status: 404,
            content_type: "text/plain".to_owned(),
            body: "not found".to_owned(),
        });
        let Some(certificate) = tls else {
            to.add(format!("{name}-http"), &origin, &listener(80, Protocol::Http, nothing));
            continue;
        };
        let extra = section.certificates.iter().enumerate();
        let extra: Vec<_> = extra
            .map(|(at, arn)| to.text(arn.as_str(), &["load_balancers", name, "certificates", &at.to_string()]))
            .collect();
        let secure = Listener {
            certificate_arn: Some(certificate),
            extra_certificates: extra,
            ssl_policy: Some(TLS_POLICY.to_owned()),
            ..listener(443, Protocol::Https, nothing)
        };
        to.add(format!("{name}-https"), &origin, &secure);
        let redirect = Action::Redirect(to_https());
        to.add(format!("{name}-http"), &origin, &listener(80, Protocol::Http, redirect));
    }
}

fn to_https() -> Redirect {
    Redirect {
        protocol: "HTTPS".to_owned(),
        port: "443".to_owned(),
        host: "#{host}".to_owned(),
        path: "/#{path}".to_owned(),
        query: "#{query}".to_owned(),
        status_code: 301,
    }
}

/// In: who may connect. Out: the ports of the services behind it, and nothing else.
fn firewall(to: &mut Expansion, name: &str, tls: bool) -> Address {
    let section = &to.file.load_balancers[name];
    let origin = ["load_balancers", name];
    let ports: &[u16] = if tls { &[443, 80] } else { &[80] };
    let ingress = ports.iter().flat_map(|port| {
        section.allow.iter().map(move |net| {
            let about = if *port == 443 || !tls { "clients" } else { "redirected to HTTPS" };
            Rule::tcp(*port, Peer::Cidr(net.to_string().into()), about)
        })
    });
    let ingress = ingress.collect();
    let mut egress = Vec::new();
    for (service, section) in &to.file.services {
        if to.balancer_of(service).as_deref() == Some(name)
            && let Some(port) = section.port
        {
            let group = Arg::output(&Address::new("security_group", service), "id");
            egress.push(Rule::tcp(port, Peer::SecurityGroup(group), service));
        }
    }
    let vpc_id = to.vpc(&origin);
    let group = SecurityGroup {
        vpc_id,
        name: None,
        description: format!("Load balancer {name}"),
        ingress,
        egress,
        exclusive: false,
        tags: Tags::new(),
    };
    to.add(format!("lb-{name}"), &origin, &group)
}

impl Expansion<'_> {
    /// The load balancer that routes to a service: the one it names, or the only one.
    pub(super) fn balancer_of(&self, service: &str) -> Option<String> {
        let route = self.file.services.get(service)?.route.as_ref()?;
        route.load_balancer.clone().or_else(|| self.file.load_balancers.keys().next().cloned())
    }

    /// The listener on which a load balancer serves its services.
    pub(super) fn serving_listener(&self, balancer: &str) -> Address {
        let tls = self.file.load_balancers.get(balancer).is_some_and(|section| section.certificate.is_some());
        Address::new("listener", format!("{balancer}-{}", if tls { "https" } else { "http" }))
    }
}
