//! Where AWS differs from the file, said from AWS's side.

use infra::drift::{Drift, Foreign};

use super::scenario::{GROUPS, NETWORK, but, planned};

/// One line a difference and a changed field, without what is ignored, and then what was ignored in vain.
fn drift(desired: &str, live: &str, ignored: &[&str]) -> Vec<String> {
    let plan = planned(desired, live);
    let ignored: Vec<String> = ignored.iter().map(|one| (*one).to_owned()).collect();
    let foreign = Foreign { what: "subnet", id: "subnet-9".into(), name: None, made_by: None, network: "vpc-1".into() };
    let drift = Drift::find(&plan, vec![foreign], &ignored);
    let mut lines = Vec::new();
    for one in &drift.differences {
        lines.push(format!("{:?} {}", one.what, one.address).to_lowercase());
        lines.extend(one.changes.iter().map(|change| format!("  {}", change.path)));
    }
    lines.extend(drift.foreign.iter().map(|one| format!("foreign {}", one.id)));
    lines.extend(drift.notes.iter().map(|note| format!("note {} {}", note.address, note.text)));
    lines.extend(drift.unused.iter().map(|one| format!("unused {one}")));
    assert_eq!(drift.is_none(), drift.differences.is_empty() && drift.foreign.is_empty());
    lines
}

#[test]
fn each_way_of_differing_has_its_name() {
    assert_eq!(drift(NETWORK, NETWORK, &["subnet-9"]), [""; 0]);
    assert_eq!(drift(NETWORK, NETWORK, &[]), ["foreign subnet-9"]);

    let tagged = but(NETWORK, "zone: us-east-1a", "zone: us-east-1a, tags: { team: x }");
    let lines = drift(NETWORK, &tagged, &[]);
    assert!(lines[0] == "changed subnet.a" && lines[1].starts_with("  tags"), "{lines:?}");
    let deposed =
        format!("{NETWORK}subnet.a@old: {{ is: deposed, vpc_id: vpc-1, cidr: 10.0.32.0/20, zone: us-east-1a }}\n");
    assert_eq!(drift(NETWORK, &deposed, &["subnet-9"]), ["leftbehind subnet.a"]);
    let extra =
        format!("{NETWORK}subnet.c: {{ vpc_id: \"${{vpc.main.id}}\", cidr: 10.0.32.0/20, zone: us-east-1a }}\n");
    assert_eq!(drift(NETWORK, &extra, &["subnet-9"]), ["extra subnet.c"]);
    let twice =
        format!("{NETWORK}subnet.a@two: {{ vpc_id: \"${{vpc.main.id}}\", cidr: 10.0.32.0/20, zone: us-east-1a }}\n");
    assert_eq!(drift(NETWORK, &twice, &["subnet-9"]), ["blocked subnet.a"]);
    let noted = but(NETWORK, "zone: us-east-1a", "zone: us-east-1a, notes: [something]");
    assert_eq!(drift(NETWORK, &noted, &["subnet-9"]), ["note subnet.a something"], "a note by itself is no drift");
    assert_eq!(drift(NETWORK, &noted, &["subnet-9", "subnet.a"]), [""; 0]);
}

/// What refers to something that is gone differs in nothing else, and is told apart from what somebody changed.
#[test]
fn what_follows_from_something_missing_is_told_apart() {
    let live = "vpc.main: { cidr: 10.0.0.0/16 }\nsecurity_group.web: { vpc_id: \"${vpc.main.id}\", description: web, ingress: [{ protocol: \
                tcp, ports: 443, peer: { cidr: 0.0.0.0/0 } }], egress: [{ protocol: tcp, ports: 3000, peer: { security_group: sg-gone } }] }";
    let lines = drift(GROUPS, live, &["subnet-9"]);
    assert_eq!(lines[..2], ["missing security_group.api", "follows security_group.web"], "{lines:?}");
}

#[test]
fn what_is_ignored_is_a_whole_name_or_path() {
    let live = but(NETWORK, "zone: us-east-1a", "zone: us-east-1a, tags: { team: x, cost: little }");
    let rest = drift(NETWORK, &live, &["subnet.a.tags", "subnet-9"]);
    assert_eq!(rest, [""; 0]);
    assert_eq!(drift(NETWORK, &live, &["subnet.a", "subnet-9"]), [""; 0]);
    let lines = drift(NETWORK, &live, &["subnet", "subnet.a.tag", "subnet.b", "subnet-"]);
    assert_eq!(lines[0], "changed subnet.a");
    let unused: Vec<&String> = lines.iter().filter(|line| line.starts_with("unused")).collect();
    assert_eq!(unused, ["unused subnet", "unused subnet.a.tag", "unused subnet.b", "unused subnet-"], "{lines:?}");
}
