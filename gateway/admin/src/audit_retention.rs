//! Retention of the audit log: complete months that are older than the setting are exported to files, then deleted.

use super::{audit::AuditEntry, timestamp::Timestamp};
use menlou_clock::unix_millis_i64;
use menlou_store::AdminStore;
use std::{
    fs::{self, DirBuilder, File, OpenOptions},
    io::{self, BufWriter, Write},
    os::unix::fs::{DirBuilderExt, OpenOptionsExt},
    path::{Path, PathBuf},
    sync::Arc,
    time::{Duration, UNIX_EPOCH},
};
use tokio::{
    task::spawn_blocking,
    time::{MissedTickBehavior, interval},
};

/// How often the log is examined.
const INTERVAL: Duration = Duration::from_secs(3600);
/// Number of entries that are read or deleted together.
const BATCH: u32 = 500;
/// Maximum number of files for one month: further ones come from replicas and from runs that ended before the deletion.
const MAX_FILES: u32 = 1000;

/// How long the audit log is kept, and where older entries go.
#[derive(Clone, Debug)]
pub struct AuditRetention {
    /// Number of complete months that are kept, beside the current one.
    pub months: u32,
    /// The folder of the exported files.
    pub folder: PathBuf,
}

/// A month in UTC.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Month {
    year: u32,
    /// 1 to 12.
    month: u32,
}

/// Why a month was not exported or deleted.
type Failure = Box<dyn std::error::Error + Send + Sync>;

impl AuditRetention {
    /// Exports and deletes old months now and then every hour; never returns. What fails is logged and tried again: an entry
    /// that is not in a file is not deleted.
    pub async fn run(self, admins: Arc<dyn AdminStore>) {
        let mut ticks = interval(INTERVAL);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            if let Err(cause) = self.apply(&*admins, unix_millis_i64()).await {
                let folder = self.folder.display();
                tracing::error!(%folder, %cause, "old entries of the audit log were kept: they could not be exported or deleted");
            }
        }
    }

    /// Exports and deletes every month that is over for longer than the retention.
    async fn apply(&self, admins: &dyn AdminStore, now: i64) -> Result<(), Failure> {
        let end = Month::containing(now).ok_or("the clock is wrong")?.minus(self.months);
        let end = end.start().ok_or("the clock is wrong")?;
        while let Some(oldest) = admins.audit_entries_until(end, 0, 1).await?.first() {
            let month = Month::containing(oldest.at).ok_or("an entry has no valid time")?;
            // An entry of a later month with a smaller id, after the clock was set back, is found by the next turn.
            let end = month.plus_one().start().ok_or("an entry has no valid time")?.min(end);
            let (file, last, count) = self.export(admins, month, end).await?;
            while admins.delete_audit_entries(end, last, BATCH).await? == u64::from(BATCH) {}
            let file = file.display();
            tracing::info!(%file, entries = count, "a month of the audit log was exported and deleted");
        }
        Ok(())
    }

    /// Writes the entries until `end` to a new file. Returns the file, the last id and the number of entries.
    async fn export(&self, admins: &dyn AdminStore, month: Month, end: i64) -> Result<(PathBuf, i64, u64), Failure> {
        let folder = self.folder.clone();
        let (path, mut file) = spawn_blocking(move || create(&folder, month)).await??;
        let (mut last, mut count) = (0, 0);
        loop {
            let entries = admins.audit_entries_until(end, last, BATCH).await?;
            let Some(newest) = entries.last() else { break };
            last = newest.id;
            count += entries.len() as u64;
            file = spawn_blocking(move || append(file, entries)).await??;
        }
        let done = path.clone();
        // The entries are deleted once the file is on the disk.
        spawn_blocking(move || finish(file, &done)).await??;
        Ok((path, last, count))
    }
}

/// Creates the first file of this month that does not exist yet: `audit-2026-11.jsonl`, `audit-2026-11.2.jsonl`, ….
fn create(folder: &Path, Month { year, month }: Month) -> io::Result<(PathBuf, BufWriter<File>)> {
    DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
    for n in 1..=MAX_FILES {
        let number = if n == 1 { String::new() } else { format!(".{n}") };
        let path = folder.join(format!("audit-{year:04}-{month:02}{number}.jsonl"));
        match OpenOptions::new().write(true).create_new(true).mode(0o600).open(&path) {
            Ok(file) => return Ok((path, BufWriter::new(file))),
            Err(e) if e.kind() == io::ErrorKind::AlreadyExists => {}
            Err(e) => return Err(e),
        }
    }
    Err(io::Error::other("the folder has too many files of one month"))
}

fn append(mut file: BufWriter<File>, entries: Vec<menlou_store::AuditEntry>) -> io::Result<BufWriter<File>> {
    for entry in entries {
        serde_json::to_writer(&mut file, &AuditEntry::from(entry))?;
        file.write_all(b"\n")?;
    }
    Ok(file)
}

fn finish(file: BufWriter<File>, path: &Path) -> io::Result<()> {
    file.into_inner().map_err(io::IntoInnerError::into_error)?.sync_all()?;
    fs::File::open(path.parent().unwrap_or(Path::new(".")))?.sync_all()
}

impl Month {
    /// The month of a time in Unix milliseconds.
    fn containing(at: i64) -> Option<Self> {
        let shown = Timestamp(at).to_string();
        let mut parts = shown.splitn(3, '-').map(str::parse);
        Some(Self { year: parts.next()?.ok()?, month: parts.next()?.ok()? })
    }

    /// The start of the month in Unix milliseconds.
    fn start(self) -> Option<i64> {
        let Self { year, month } = self;
        let start = humantime::parse_rfc3339(&format!("{year:04}-{month:02}-01T00:00:00Z")).ok()?;
        i64::try_from(start.duration_since(UNIX_EPOCH).ok()?.as_millis()).ok()
    }

    fn plus_one(self) -> Self {
        match self.month {
            12 => Self { year: self.year + 1, month: 1 },
            month => Self { month: month + 1, ..self },
        }
    }

    fn minus(self, months: u32) -> Self {
        let all = (self.year * 12 + self.month - 1).saturating_sub(months);
        Self { year: all / 12, month: all % 12 + 1 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn months_begin_at_midnight_utc_and_cross_years() {
        let december = Month { year: 2026, month: 12 };
        let start = december.start().unwrap();
        assert_eq!(start, 1_796_083_200_000);
        assert_eq!(Month::containing(start), Some(december));
        assert_eq!(Month::containing(start - 1), Some(december.minus(1)));
        assert_eq!(december.plus_one(), Month { year: 2027, month: 1 });
        assert_eq!(december.minus(12), Month { year: 2025, month: 12 });
        assert_eq!(december.minus(23), Month { year: 2025, month: 1 });
    }
}
