//! Credentials of databases that rotate themselves: what the function does that Secrets Manager calls.
//!
//! Secrets Manager calls it four times for one rotation, and again whenever it likes: each step looks first at what is
//! done already. With two users that alternate, the pair that is current stays valid until the rotation after this one.

pub mod credentials;
pub mod database;
pub mod roll;
pub mod stages;
mod steps;
pub mod users;

pub use steps::{Rotation, Settings, Step, rotate};

/// The name in the file of the secret of a database's application user.
#[must_use]
pub fn secret_of(database: &str) -> String {
    format!("db-{database}-{USER}")
}

/// The users of an application that alternate: this one, and its clone.
pub const USER: &str = "app";

/// The name in the file of the function that rolls services, and of what belongs to it.
pub const ROLL: &str = "roll";

/// The stages of versions of a secret, as Secrets Manager names them.
pub const CURRENT: &str = "AWSCURRENT";
pub const PENDING: &str = "AWSPENDING";
pub const PREVIOUS: &str = "AWSPREVIOUS";

/// The tag of a secret with the version that all services run which use it.
pub const ROLLED: &str = "infra:rolled";

/// How a tag of a service begins that says with which version of a secret all its tasks have started; the secret's name in
/// the file follows.
pub const RUNS: &str = "infra:secret/";

/// Environment variables by which whoever deploys the functions tells them what they are for.
pub mod variables {
    /// The user to make where the database has none of that name.
    pub const MAKES: &str = "INFRA_MAKES";
    /// Whether services are rolled after a rotation: `true` or `false`.
    pub const ROLLS: &str = "INFRA_ROLLS";
    /// The ARNs of the secrets whose services are rolled, with spaces between. Only the function that rolls has them.
    pub const SECRETS: &str = "INFRA_SECRETS";
    /// The ARN of the cluster.
    pub const CLUSTER: &str = "INFRA_CLUSTER";
    pub const PROJECT: &str = "INFRA_PROJECT";
    pub const ENVIRONMENT: &str = "INFRA_ENVIRONMENT";
}
