//! Which addresses each subnet has: [`plan_subnets`], and what can be wrong with a network's addresses.
//!
//! The plan rests only on the VPC's range and the sizes of the tiers. Each tier is a block with room for a fixed number
//! of zones (8; where that does not fit, 4, 2 or 1), the blocks are packed from the largest to the smallest, and a
//! zone's subnet is the block's part with the zone's number. So a new zone takes the next free part, and nothing moves.

use ipnet::Ipv4Net;

use super::network::{Network, Prefix, Size, Subnets, Tier, Zones};
use super::rules::Rules;
use crate::diagnostic::Diagnostic;

/// How many zones a tier has room for, in the order of preference.
const SLOTS: [u32; 4] = [8, 4, 2, 1];
/// AWS takes VPCs and subnets of /16 to /28.
const LARGEST: u8 = 16;
const SMALLEST: u8 = 28;

/// Why a network's subnets cannot be laid out.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Problem {
    #[error("a VPC's address range is /16 to /28, not /{}", .0.prefix_len())]
    VpcSize(Ipv4Net),
    #[error("{} has bits set behind its /{}", .0, .0.prefix_len())]
    HostBits(Ipv4Net),
    #[error("{0} is not a private address range")]
    NotPrivate(Ipv4Net),
    #[error("a {} subnet of /{size} is larger than the whole network {cidr}", .tier.name())]
    LargerThanVpc { tier: Tier, size: u8, cidr: Ipv4Net },
    #[error("the subnets do not fit into {cidr}: {} take {needed} addresses, and it has {available}", zones_in_words(*.zones))]
    DoNotFit { cidr: Ipv4Net, zones: usize, needed: u64, available: u64 },
    #[error("the {} subnets list {given} ranges, and there are {zones} zones", .tier.name())]
    TooFewRanges { tier: Tier, given: usize, zones: usize },
    #[error("the {} subnet {net} is outside of the network {cidr}", .tier.name())]
    Outside { tier: Tier, at: usize, net: Ipv4Net, cidr: Ipv4Net },
    #[error("a subnet is /16 to /28; the {} subnet {net} is not", .tier.name())]
    SubnetSize { tier: Tier, at: usize, net: Ipv4Net },
    #[error("the subnets {} and {} overlap", .first.2, .second.2)]
    Overlap { first: (Tier, usize, Ipv4Net), second: (Tier, usize, Ipv4Net) },
}

fn zones_in_words(zones: usize) -> String {
    if zones == 1 { "those of one zone".to_owned() } else { format!("those of {zones} zones") }
}

/// The subnets of a network: tier, number of the zone (from 0), and range, sorted by tier and zone.
///
/// # Errors
/// The first [`Problem`] of the range, the sizes or the explicit ranges.
pub fn plan_subnets(cidr: Ipv4Net, zones: usize, sizes: &Subnets) -> Result<Vec<(Tier, usize, Ipv4Net)>, Problem> {
    check_vpc(cidr)?;
    let blocks = blocks(cidr, zones, sizes)?;
    let mut subnets = Vec::new();
    for tier in Tier::ALL {
        match sizes.of(tier) {
            Some(Size::Ranges(ranges)) => subnets.extend(listed(cidr, zones, tier, ranges)?),
            _ => {
                for block in blocks.iter().filter(|block| block.tier == tier) {
                    let parts = block.net.subnets(block.subnet).into_iter().flatten();
                    subnets.extend(parts.take(zones).enumerate().map(|(zone, net)| (tier, zone, net)));
                }
            }
        }
    }
    for (at, second) in subnets.iter().enumerate() {
        if let Some(first) = subnets[..at].iter().find(|first| overlap(first.2, second.2)) {
            return Err(Problem::Overlap { first: *first, second: *second });
        }
    }
    Ok(subnets)
}

fn check_vpc(cidr: Ipv4Net) -> Result<(), Problem> {
    if cidr.trunc() != cidr {
        return Err(Problem::HostBits(cidr));
    }
    if !(LARGEST..=SMALLEST).contains(&cidr.prefix_len()) {
        return Err(Problem::VpcSize(cidr));
    }
    // 100.64.0.0/10 is the carriers' shared range, which AWS takes for VPCs too.
    let shared = Ipv4Net::new_assert([100, 64, 0, 0].into(), 10);
    if !cidr.network().is_private() && !shared.contains(&cidr) {
        return Err(Problem::NotPrivate(cidr));
    }
    Ok(())
}

/// A tier's part of the VPC.
struct Block {
    tier: Tier,
    net: Ipv4Net,
    /// The prefix length of its subnets.
    subnet: u8,
}

/// The blocks of the tiers that have a size rather than a list of ranges.
fn blocks(cidr: Ipv4Net, zones: usize, sizes: &Subnets) -> Result<Vec<Block>, Problem> {
    let mut tiers = Vec::new();
    for tier in Tier::ALL {
        let size = match sizes.of(tier) {
            Some(Size::Ranges(_)) => continue,
            Some(Size::Prefix(Prefix(size))) => *size,
            None => default_size(cidr, tier),
        };
        if size < cidr.prefix_len() {
            return Err(Problem::LargerThanVpc { tier, size, cidr });
        }
        tiers.push((tier, size));
    }
    // From the largest to the smallest, each block begins at a multiple of its own size.
    tiers.sort_by_key(|(tier, size)| (*size, *tier));
    let available = addresses(cidr.prefix_len());
    let needed = |slots: u32| tiers.iter().map(|(_, size)| u64::from(slots) * addresses(*size)).sum::<u64>();
    let slots = SLOTS.into_iter().find(|slots| needed(*slots) <= available);
    let Some(slots) = slots.filter(|slots| zones <= *slots as usize) else {
        let wanted = u32::try_from(zones).unwrap_or(u32::MAX).next_power_of_two();
        return Err(Problem::DoNotFit { cidr, zones, needed: needed(wanted), available });
    };
    let mut next = u32::from(cidr.network());
    let mut blocks = Vec::new();
    for (tier, subnet) in tiers {
        let bits = u8::try_from(slots.trailing_zeros()).unwrap_or_default();
        if let Ok(net) = Ipv4Net::new(next.into(), subnet.saturating_sub(bits)) {
            next = next.saturating_add(slots << (32 - u32::from(subnet)));
            blocks.push(Block { tier, net, subnet });
        }
    }
    Ok(blocks)
}

fn default_size(cidr: Ipv4Net, tier: Tier) -> u8 {
    let more = if tier == Tier::Private { 4 } else { 6 };
    (cidr.prefix_len() + more).min(SMALLEST)
}

const fn addresses(prefix: u8) -> u64 {
    1 << (32 - prefix as u64)
}

fn listed(cidr: Ipv4Net, zones: usize, tier: Tier, ranges: &[Ipv4Net]) -> Result<Vec<(Tier, usize, Ipv4Net)>, Problem> {
    if ranges.len() < zones {
        return Err(Problem::TooFewRanges { tier, given: ranges.len(), zones });
    }
    for (at, net) in ranges.iter().copied().enumerate() {
        if net.trunc() != net {
            return Err(Problem::HostBits(net));
        }
        if !cidr.contains(&net) {
            return Err(Problem::Outside { tier, at, net, cidr });
        }
        if !(LARGEST..=SMALLEST).contains(&net.prefix_len()) {
            return Err(Problem::SubnetSize { tier, at, net });
        }
    }
    Ok(ranges.iter().copied().take(zones).enumerate().map(|(zone, net)| (tier, zone, net)).collect())
}

fn overlap(one: Ipv4Net, other: Ipv4Net) -> bool {
    one.contains(&other) || other.contains(&one)
}

impl Network {
    /// The subnets that this network has.
    ///
    /// # Errors
    /// See [`plan_subnets`].
    pub fn plan_subnets(&self) -> Result<Vec<(Tier, usize, Ipv4Net)>, Problem> {
        plan_subnets(self.cidr, self.zones.count(), &self.subnets)
    }

    pub(super) fn check(&self, region: Option<&str>, rules: &mut Rules<'_>) {
        self.check_zones(region, rules);
        self.check_endpoints(rules);
        self.check_flow_logs(rules);
        for (tier, at, net) in Tier::ALL.iter().flat_map(|tier| match self.subnets.of(*tier) {
            Some(Size::Ranges(ranges)) => ranges.iter().enumerate().map(|(at, net)| (*tier, at, *net)).collect(),
            _ => Vec::new(),
        }) {
            rules.no_host_bits(net, &["network", "subnets", tier.name(), &at.to_string()]);
        }
        if rules.no_host_bits(self.cidr, &["network", "cidr"])
            && let Err(problem) = self.plan_subnets()
            && !matches!(problem, Problem::HostBits(_))
        {
            let error = explain(&problem, rules);
            rules.report(error);
        }
    }

    fn check_zones(&self, region: Option<&str>, rules: &mut Rules<'_>) {
        let Zones::Named(zones) = &self.zones else { return };
        for (at, zone) in zones.iter().enumerate() {
            let place = rules.tree.place_of(&["network", "zones", &at.to_string()]);
            if let Some(first) = zones[..at].iter().position(|other| other.letter() == zone.letter()) {
                let error = Diagnostic::error("zones", format!("the zone `{zone}` is listed twice")).at(place, "");
                rules.report(
                    error.related(rules.tree.place_of(&["network", "zones", &first.to_string()]), "first here"),
                );
            }
            if zone.0.len() > 1
                && let Some(region) = region
                && zone.0.strip_suffix(zone.letter()) != Some(region)
            {
                let error = Diagnostic::error("zones", format!("the zone `{zone}` is not in the region `{region}`"));
                rules.report(error.at(place, "").related(rules.tree.place_of(&["region"]), "the region"));
            }
        }
    }
}

/// The diagnostic for a problem, with its place.
fn explain(problem: &Problem, rules: &Rules<'_>) -> Diagnostic {
    let place = |path: &[&str]| rules.tree.place_of(path);
    let cidr = place(&["network", "cidr"]);
    let subnet = |tier: Tier, at: usize| place(&["network", "subnets", tier.name(), &at.to_string()]);
    let error = Diagnostic::error("network", problem.to_string());
    match problem {
        Problem::HostBits(net) => error.at(cidr, "").help(format!("write `{}`", net.trunc())),
        Problem::VpcSize(_) => error.at(cidr, "AWS takes no other size").help("`10.0.0.0/16` leaves room to grow"),
        Problem::NotPrivate(_) => {
            error.at(cidr, "").help("take a range from 10.0.0.0/8, 172.16.0.0/12, 192.168.0.0/16 or 100.64.0.0/10")
        }
        Problem::LargerThanVpc { tier, .. } => {
            let error = error.at(place(&["network", "subnets", tier.name()]), "").related(cidr, "the network");
            error.help("the larger the number, the smaller the subnet: `/24` has 256 addresses, `/28` has 16")
        }
        Problem::DoNotFit { zones, .. } => {
            let error = error.at(cidr, "too small").related(place(&["network", "zones"]), "");
            let room = u32::try_from(*zones).unwrap_or(u32::MAX).next_power_of_two();
            error.help(format!(
                "take a larger range such as a /16, fewer zones, or smaller `subnets`; each tier keeps room for {room} zones"
            ))
        }
        Problem::TooFewRanges { tier, .. } => {
            error.at(place(&["network", "subnets", tier.name()]), "").related(place(&["network", "zones"]), "the zones")
        }
        Problem::Outside { tier, at, .. } => error.at(subnet(*tier, *at), "").related(cidr, "the network"),
        Problem::SubnetSize { tier, at, .. } => error.at(subnet(*tier, *at), ""),
        Problem::Overlap { first, second } => {
            let (one, other) = (subnet(first.0, first.1), subnet(second.0, second.1));
            let error = error.at(other, format!("{} subnet of zone {}", second.0.name(), second.1 + 1));
            // Where sizes rather than ranges are given, both subnets come from the same line.
            if one == other {
                error
            } else {
                error.related(one, format!("{} subnet of zone {}", first.0.name(), first.1 + 1))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn net(text: &str) -> Ipv4Net {
        text.parse().unwrap()
    }

    #[test]
    fn a_vpc_of_16_over_three_zones() {
        let subnets = plan_subnets(net("10.0.0.0/16"), 3, &Subnets::default()).unwrap();
        let text: Vec<String> =
            subnets.iter().map(|(tier, zone, net)| format!("{} {zone} {net}", tier.name())).collect();
        assert_eq!(
            text,
            [
                "public 0 10.0.128.0/22",
                "public 1 10.0.132.0/22",
                "public 2 10.0.136.0/22",
                "private 0 10.0.0.0/20",
                "private 1 10.0.16.0/20",
                "private 2 10.0.32.0/20",
                "data 0 10.0.160.0/22",
                "data 1 10.0.164.0/22",
                "data 2 10.0.168.0/22",
            ]
        );
    }

    #[test]
    fn small_networks() {
        assert!(plan_subnets(net("10.0.0.0/24"), 4, &Subnets::default()).is_ok());
        let problem = plan_subnets(net("10.0.0.0/24"), 6, &Subnets::default()).unwrap_err();
        assert!(matches!(problem, Problem::DoNotFit { needed: 384, available: 256, .. }), "{problem}");
        assert!(plan_subnets(net("10.0.0.0/26"), 1, &Subnets::default()).is_ok());
        assert!(plan_subnets(net("10.0.0.0/28"), 1, &Subnets::default()).is_err());
    }

    #[test]
    fn ranges_may_not_meet_the_packed_subnets() {
        let ranges = Size::Ranges(vec![net("10.0.0.0/24"), net("10.0.1.0/24")]);
        let sizes = Subnets { public: Some(ranges), ..Subnets::default() };
        let problem = plan_subnets(net("10.0.0.0/16"), 2, &sizes).unwrap_err();
        assert!(matches!(problem, Problem::Overlap { .. }), "{problem}");
    }

    fn size() -> impl Strategy<Value = Option<Size>> {
        proptest::option::of((16_u8..=28).prop_map(|length| Size::Prefix(Prefix(length))))
    }

    proptest! {
        /// A new zone never moves a subnet, no subnets overlap, and all lie inside of the network.
        #[test]
        fn a_new_zone_moves_nothing(length in 16_u8..=28, public in size(), private in size(), data in size()) {
            let cidr = Ipv4Net::new([10, 32, 0, 0].into(), length).unwrap();
            let sizes = Subnets { public, private, data };
            let mut before: Vec<(Tier, usize, Ipv4Net)> = Vec::new();
            for zones in 1..=6 {
                let Ok(subnets) = plan_subnets(cidr, zones, &sizes) else { break };
                prop_assert_eq!(subnets.len(), zones * 3);
                prop_assert!(before.iter().all(|subnet| subnets.contains(subnet)));
                prop_assert!(subnets.iter().all(|(_, _, net)| cidr.contains(net) && net.trunc() == *net));
                before = subnets;
            }
        }
    }
}
