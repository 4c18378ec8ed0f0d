//! Task definitions with the image of a release.

use std::collections::BTreeMap;
use std::sync::Mutex;

use anyhow::Result;

use super::lock;
use crate::address::Identity;
use crate::aws::Aws;
use crate::kinds::task_definition::{Owner, TaskDefinition};
use crate::value::Arg;

/// A family of task definitions: what the file wants, and the latest revision.
pub struct Family {
    /// Resolved, with the image as the file has it.
    pub spec: TaskDefinition,
    pub latest: TaskDefinition,
    /// Of the latest revision.
    pub arn: String,
    pub identity: Identity,
    pub name: String,
    /// The revisions that were registered since, by image.
    pub registered: Mutex<BTreeMap<String, String>>,
}

impl Family {
    /// The image in the file: with a tag where the file chooses, else the repository.
    pub fn image(&self) -> &str {
        self.spec
            .containers
            .iter()
            .find_map(|container| container.image.get().ok().filter(|_| container.essential))
            .map_or("", String::as_str)
    }

    pub fn is_pinned(&self) -> bool {
        self.spec.image_owner == Owner::File
    }

    /// The ARN of an earlier revision.
    pub fn numbered(&self, number: u32) -> String {
        let family = self.arn.rfind(':').map_or(self.arn.as_str(), |at| &self.arn[..at]);
        format!("{family}:{number}")
    }

    fn wanted(&self, image: &str) -> TaskDefinition {
        let mut wanted = self.spec.clone();
        if !self.is_pinned() {
            for container in wanted.containers.iter_mut().filter(|container| container.untagged()) {
                container.image = Arg::from(image);
            }
        }
        wanted
    }

    /// The revision with the file's shape and this image, if there is one.
    pub fn known(&self, image: &str) -> Option<String> {
        let registered = lock(&self.registered).get(image).cloned();
        registered.or_else(|| self.wanted(image).is_same(&self.latest).then(|| self.arn.clone()))
    }

    /// The revision with the file's shape and this image: the latest one where that is it, else a new one.
    pub async fn revision(&self, aws: &Aws, image: &str) -> Result<String> {
        if let Some(known) = self.known(image) {
            return Ok(known);
        }
        let revision = self.wanted(image).register(aws, &self.identity, &self.name).await?;
        lock(&self.registered).insert(image.to_owned(), revision.clone());
        Ok(revision)
    }
}

/// `api:12` of a revision's ARN.
pub fn short(revision: &str) -> &str {
    revision.rsplit('/').next().unwrap_or(revision)
}
