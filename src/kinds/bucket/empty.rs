//! The deletion of a bucket. S3 deletes only empty ones, so what is in it goes before: a page of objects a try.

use aws_sdk_s3::types::{Delete, Error as ObjectError, ObjectIdentifier};
use futures::future::try_join_all;

use super::{PAGE, invalid};
use crate::aws::Aws;
use crate::kind::{Class, Failure, Result};

/// Codes of single objects that trying again mends.
const PASSING: &[&str] = &["InternalError", "ServiceUnavailable", "SlowDown"];

/// Deletes the bucket, or else a page of what is in it; then the executor comes again.
pub(super) async fn delete(aws: &Aws, name: &str) -> Result<()> {
    match aws.call("s3:DeleteBucket", aws.s3().delete_bucket().bucket(name).send()).await {
        Err(failure) if failure.code == "BucketNotEmpty" => {}
        answer => return answer.map(drop),
    }
    let count = delete_versions(aws, name).await? + abort_uploads(aws, name).await?;
    let message = format!("{count} objects, old versions and unfinished uploads deleted just now, others may be left");
    Err(Failure::new("s3:DeleteBucket", "BucketNotEmpty", message).class(Class::Busy))
}

/// Deletes the first page of objects, with their old versions and delete markers.
async fn delete_versions(aws: &Aws, name: &str) -> Result<usize> {
    let request = aws.s3().list_object_versions().bucket(name).max_keys(PAGE);
    let page = aws.call("s3:ListObjectVersions", request.send()).await?;
    let versions = page.versions().iter().map(|version| (version.key(), version.version_id()));
    let markers = page.delete_markers().iter().map(|marker| (marker.key(), marker.version_id()));
    let object = |(key, version): (Option<&str>, Option<&str>)| {
        let object = ObjectIdentifier::builder().set_key(key.map(str::to_owned));
        let object = object.set_version_id(version.map(str::to_owned)).build();
        object.map_err(|error| invalid("s3:DeleteObjects", &error))
    };
    let objects = versions.chain(markers).map(object).collect::<Result<Vec<_>>>()?;
    let count = objects.len();
    if count == 0 {
        return Ok(0);
    }
    let objects = Delete::builder().set_objects(Some(objects)).quiet(true).build();
    let objects = objects.map_err(|error| invalid("s3:DeleteObjects", &error))?;
    let request = aws.s3().delete_objects().bucket(name).delete(objects);
    let answer = aws.call("s3:DeleteObjects", request.send()).await?;
    refused(answer.errors(), count)?;
    Ok(count)
}

/// What S3 says of single objects within an answer that is a success as a whole. Where it was only too busy, the next
/// try has the object again.
fn refused(errors: &[ObjectError], count: usize) -> Result<()> {
    let passing = |error: &&ObjectError| error.code().is_some_and(|code| PASSING.contains(&code));
    let Some(error) = errors.iter().find(|error| !passing(error)) else { return Ok(()) };
    let text = |text: Option<&str>| text.unwrap_or_default().to_owned();
    let message = format!(
        "{} of {count} objects cannot be deleted; the first is {}: {}",
        errors.len(),
        text(error.key()),
        text(error.message()),
    );
    Err(Failure::new("s3:DeleteObjects", error.code().unwrap_or("Unknown"), message))
}

/// Gives up the first page of uploads that were never finished.
async fn abort_uploads(aws: &Aws, name: &str) -> Result<usize> {
    let request = aws.s3().list_multipart_uploads().bucket(name).max_uploads(PAGE);
    let page = aws.call("s3:ListMultipartUploads", request.send()).await?;
    let abort = page.uploads().iter().map(|upload| async move {
        let request = aws.s3().abort_multipart_upload().bucket(name);
        let request = request.set_key(upload.key().map(str::to_owned));
        let request = request.set_upload_id(upload.upload_id().map(str::to_owned));
        match aws.call("s3:AbortMultipartUpload", request.send()).await {
            Err(failure) if failure.code != "NoSuchUpload" => Err(failure),
            _ => Ok(()),
        }
    });
    Ok(try_join_all(abort).await?.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn objects_that_s3_was_too_busy_for_are_tried_again() {
        let error = |code: &str| ObjectError::builder().key("a/b").code(code).message("no").build();
        assert!(refused(&[], 2).is_ok());
        assert!(refused(&[error("InternalError"), error("SlowDown")], 2).is_ok());
        let failure = refused(&[error("InternalError"), error("AccessDenied")], 2).unwrap_err();
        assert_eq!((failure.code.as_str(), failure.class), ("AccessDenied", Class::Fatal));
        assert!(failure.message.ends_with("a/b: no"), "{}", failure.message);
    }
}
