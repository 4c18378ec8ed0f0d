//! How long backups are kept, and from when on in cold storage.

use aws_sdk_backup::types::Lifecycle;

pub(super) fn lifecycle(delete: Option<u32>, cold: Option<u32>) -> Option<Lifecycle> {
    let lifecycle = Lifecycle::builder().set_delete_after_days(delete.map(i64::from));
    let lifecycle = lifecycle.set_move_to_cold_storage_after_days(cold.map(i64::from)).build();
    (delete.is_some() || cold.is_some()).then_some(lifecycle)
}

/// Days to deletion and to cold storage. AWS says -1 where nothing was said.
pub(super) fn days(lifecycle: Option<&Lifecycle>) -> (Option<u32>, Option<u32>) {
    let days = |days: Option<i64>| days.and_then(|days| u32::try_from(days).ok());
    let delete = days(lifecycle.and_then(Lifecycle::delete_after_days));
    (delete, days(lifecycle.and_then(Lifecycle::move_to_cold_storage_after_days)))
}
