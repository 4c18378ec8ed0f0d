//! Images: what a name stands for in its registry.

use anyhow::{Context as _, Result, bail};
use aws_sdk_ecr::types::{DescribeImagesFilter, ImageDetail, ImageIdentifier, TagStatus};

use crate::aws::Aws;
use crate::kind::Class;

/// Tags that are shown where one is not found.
const SHOWN: usize = 5;

/// An image in ECR: `123456789012.dkr.ecr.eu-central-1.amazonaws.com/acme/api:v42`.
struct Registered<'a> {
    account: &'a str,
    region: &'a str,
    repository: &'a str,
    reference: Reference<'a>,
}

enum Reference<'a> {
    Tag(&'a str),
    Digest(&'a str),
}

fn parse(image: &str) -> Option<Registered<'_>> {
    let (registry, rest) = image.split_once('/')?;
    let mut parts = registry.split('.');
    let (account, dkr, ecr, region) = (parts.next()?, parts.next()?, parts.next()?, parts.next()?);
    if (dkr, ecr) != ("dkr", "ecr") || !registry.contains(".amazonaws.com") {
        return None;
    }
    let (repository, reference) = match (rest.split_once('@'), rest.split_once(':')) {
        (Some((repository, digest)), _) => (repository.split(':').next()?, Reference::Digest(digest)),
        (None, Some((repository, tag))) => (repository, Reference::Tag(tag)),
        (None, None) => (rest, Reference::Tag("latest")),
    };
    Some(Registered { account, region, repository, reference })
}

/// The repository of an image: without tag and digest.
pub fn repository(image: &str) -> &str {
    let image = image.split('@').next().unwrap_or(image);
    let name = image.rfind('/').map_or(0, |at| at + 1);
    image[name..].find(':').map_or(image, |at| &image[..name + at])
}

/// The image by its digest, where its registry is ECR: a tag can be moved while a release is on its way. Images of
/// other registries stay as they are written.
pub async fn resolve(aws: &Aws, image: &str) -> Result<String> {
    let Some(registered) = parse(image) else { return Ok(image.to_owned()) };
    let id = match registered.reference {
        Reference::Tag(tag) => ImageIdentifier::builder().image_tag(tag).build(),
        Reference::Digest(digest) => ImageIdentifier::builder().image_digest(digest).build(),
    };
    let there = aws.in_region(registered.region);
    let request = there.ecr().describe_images().registry_id(registered.account).repository_name(registered.repository);
    let answer = match there.call("ecr:DescribeImages", request.image_ids(id).send()).await {
        Ok(answer) => answer,
        Err(failure) if failure.class == Class::NotFound || failure.code == "ImageNotFoundException" => {
            bail!("there is no image {image}{}", newest(&there, &registered).await)
        }
        Err(failure) => return Err(failure).with_context(|| format!("the image {image} could not be looked up")),
    };
    let digest = answer.image_details().first().and_then(|detail| detail.image_digest());
    let digest = digest.with_context(|| format!("{image} has no digest"))?;
    Ok(format!("{}@{digest}", repository(image)))
}

/// What there is instead, said only where it can be found out.
async fn newest(aws: &Aws, registered: &Registered<'_>) -> String {
    let filter = DescribeImagesFilter::builder().tag_status(TagStatus::Tagged).build();
    let request = aws.ecr().describe_images().registry_id(registered.account).repository_name(registered.repository);
    let Ok(answer) = aws.call("ecr:DescribeImages", request.filter(filter).send()).await else { return String::new() };
    let mut images: Vec<&ImageDetail> = answer.image_details().iter().collect();
    images.sort_by_key(|image| std::cmp::Reverse(image.image_pushed_at().map(|at| at.secs())));
    let tags: Vec<&str> =
        images.iter().filter_map(|image| Some(image.image_tags().first()?.as_str())).take(SHOWN).collect();
    if tags.is_empty() {
        "; the repository has none yet".to_owned()
    } else {
        format!("; the newest are {}", tags.join(", "))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn images_are_told_apart_from_their_tags() {
        for (image, expected) in [
            ("api", "api"),
            ("api:v1", "api"),
            ("registry.test:5000/acme/api", "registry.test:5000/acme/api"),
            ("registry.test:5000/acme/api:v1", "registry.test:5000/acme/api"),
            ("acme/api:v1@sha256:ab", "acme/api"),
            ("acme/api@sha256:ab", "acme/api"),
        ] {
            assert_eq!(repository(image), expected);
        }
    }

    #[test]
    fn only_ecr_is_asked() {
        let image = "123456789012.dkr.ecr.eu-central-1.amazonaws.com/acme/api:v42";
        let parsed = parse(image).unwrap();
        assert_eq!((parsed.account, parsed.region, parsed.repository), ("123456789012", "eu-central-1", "acme/api"));
        assert!(matches!(parsed.reference, Reference::Tag("v42")));
        assert!(parse("ghcr.io/acme/api:v42").is_none() && parse("acme/api").is_none());
    }
}
