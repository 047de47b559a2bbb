//! What a monitor wants to know, as a text file for Prometheus: the textfile collector of `node_exporter` reads it.
//!
//! In: the records and the [`Jobs`](crate::world::Jobs). Out: `metrics_file`, written anew by a rename at the start, and when a job begins
//! and when it has ended. The format is that of prometheus.io, "Exposition formats". That it cannot be written is no job's concern.

mod archive;
mod clock;
mod repository;

use std::collections::HashMap;
use std::fmt::Write as _;
use std::fs::File;
use std::io::Read;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use clock::Clock;
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use crate::disk::replace;
use crate::job;
use crate::model::{Flavour, JobKind};
use crate::records::digest::{Digest, Latest};
use crate::records::failure::{Failures, Reason};
use crate::world::{InArchive, InRepository, World};

/// How long the records may take: 1 s. What is not written now is written after the next job.
const ANSWER_WITHIN: Duration = Duration::from_secs(1);

/// How much of an earlier daemon's file is read, in bytes: what is written is 3 KiB.
const MAX_FORMER: u64 = 64 * 1024;
/// The counter of failures.
const FAILED: &str = "jobs_failed_total";

/// Everything that is told.
struct Facts<'a> {
    flavour: Flavour,
    digest: &'a Digest,
    /// How many jobs of each kind are under way.
    running: [(JobKind, usize); 2],
    failures: Failures,
    repository: InRepository,
    archive: Option<InArchive>,
}

/// Keeps the file as things are, until `stop`; then once more.
pub async fn keep(world: Arc<World>, stop: CancellationToken) {
    let mut keeper = Keeper { world, before: None, measured: None, is_failing: false };
    loop {
        keeper.write().await;
        let clock = Clock::now();
        tokio::select! {
            biased;
            () = stop.cancelled() => break,
            () = keeper.world.jobs.turned() => {}
            () = clock.jumps() => {}
        }
    }
    keeper.write().await;
}

struct Keeper {
    world: Arc<World>,
    /// The failures that were recorded before those that this daemon has counted.
    before: Option<Failures>,
    /// A backup whose size the records do not have, and that size.
    measured: Option<(String, u64)>,
    is_failing: bool,
}

impl Keeper {
    async fn write(&mut self) {
        let config = self.world.config();
        let Some(path) = config.metrics_file.clone() else { return };
        let written = match self.text().await {
            Ok(text) => {
                let path = path.clone();
                job::blocking(move || replace(&path, &text).map_err(|why| why.to_string())).await
            }
            Err(why) => Err(why),
        };
        match written {
            Ok(()) if std::mem::take(&mut self.is_failing) => {
                info!(file = %path.display(), "the metrics are written again");
            }
            // Said once, however long it lasts.
            Err(reason) if !std::mem::replace(&mut self.is_failing, true) => {
                warn!(file = %path.display(), reason, "the metrics cannot be written");
            }
            Ok(()) | Err(_) => {}
        }
    }

    async fn text(&mut self) -> Result<String, String> {
        let (config, jobs) = (self.world.config(), Arc::clone(&self.world.jobs));
        let until = Instant::now() + ANSWER_WITHIN;
        let mut digest = self.world.records.digest(until).await.map_err(|why| crate::model::causes(&why))?;
        let counted = jobs.failures();
        let before = if let Some(before) = self.before {
            before
        } else {
            let recorded = self.world.records.failures(until).await.map_err(|why| crate::model::causes(&why))?;
            // Rows may have been removed since; a counter never goes back.
            let path = config.metrics_file.clone().unwrap_or_default();
            let told = job::blocking(move || Ok::<_, String>(told(&path))).await?;
            *self.before.insert(recorded.minus(&counted).at_least(&told))
        };
        for latest in [&mut digest.full, &mut digest.incremental].into_iter().flatten() {
            if latest.size.is_none() {
                latest.size = self.measure(latest, &config.backup_dir).await;
            }
        }
        let running = [JobKind::Backup, JobKind::Restore].map(|kind| (kind, jobs.running(kind)));
        let (failures, repository) = (before.plus(&counted), self.world.told.all());
        let archive = self.world.archive.known();
        Ok(render(&Facts { flavour: config.flavour, digest: &digest, running, failures, repository, archive }))
    }

    /// The size of a backup whose row has none, since the Python API's table has no column for it. It is measured once.
    async fn measure(&mut self, latest: &Latest, backup_dir: &Path) -> Option<u64> {
        let id = crate::model::BackupId::recorded(&latest.id).ok()?;
        if let Some((_, size)) = self.measured.as_ref().filter(|(known, _)| *known == latest.id) {
            return Some(*size);
        }
        let size = job::measured(backup_dir.join(id.as_str())).await?;
        self.measured = Some((latest.id.clone(), size));
        Some(size)
    }
}

/// The failures that the file of an earlier daemon tells; all 0 if there is no such file.
fn told(path: &Path) -> Failures {
    let mut text = String::new();
    let read = File::open(path).and_then(|file| file.take(MAX_FORMER).read_to_string(&mut text));
    if read.is_err() {
        return Failures::default();
    }
    let samples: HashMap<_, _> = text.lines().filter_map(|line| line.rsplit_once(' ')).collect();
    Failures::from_counts(|kind, reason| {
        let name = format!("dbcalm_{FAILED}{{{}}}", labels(kind, reason));
        samples.get(name.as_str()).and_then(|count| count.parse().ok()).unwrap_or_default()
    })
}

fn labels(kind: JobKind, reason: Reason) -> String {
    format!("kind=\"{}\",reason=\"{}\"", kind.as_str(), reason.as_str())
}

/// One metric: its name, kind and help, and its samples with their labels.
fn metric(text: &mut String, name: &str, kind: &str, help: &str, samples: &[(String, String)]) {
    let name = format!("dbcalm_{name}");
    // Writing to a text does not fail.
    let _written = write!(text, "# HELP {name} {help}\n# TYPE {name} {kind}\n");
    for (labels, value) in samples {
        let labels = if labels.is_empty() { String::new() } else { format!("{{{labels}}}") };
        let _written = writeln!(text, "{name}{labels} {value}");
    }
}

fn render(facts: &Facts<'_>) -> String {
    let Facts { flavour, digest, running, failures, repository, archive } = facts;
    let mut text = String::new();
    let types = [("full", &digest.full), ("incremental", &digest.incremental)];
    let of_types = |value: &dyn Fn(&Latest) -> Option<String>| -> Vec<_> {
        let sample =
            |(kind, latest): (&str, &Option<Latest>)| Some((format!("type=\"{kind}\""), value(latest.as_ref()?)?));
        types.into_iter().filter_map(sample).collect()
    };
    let mut gauge = |name, help, samples: Vec<_>| metric(&mut text, name, "gauge", help, &samples);
    gauge(
        "build_info",
        "The daemon that wrote this.",
        vec![(format!("version=\"{}\",flavour=\"{}\"", env!("CARGO_PKG_VERSION"), flavour.name()), "1".to_owned())],
    );
    gauge(
        "backup_last_success_timestamp_seconds",
        "When the last successful backup ended.",
        of_types(&|latest| Some(latest.end.to_string())),
    );
    gauge(
        "backup_last_duration_seconds",
        "How long the last successful backup took.",
        of_types(&|latest| Some(latest.seconds?.to_string())),
    );
    gauge(
        "backup_last_size_bytes",
        "How much the last successful backup takes on the disk.",
        of_types(&|latest| Some(latest.size?.to_string())),
    );
    gauge(
        "restore_last_success_timestamp_seconds",
        "When the last successful restore ended.",
        digest.restores.iter().map(|(target, end)| (format!("target=\"{target}\""), end.to_string())).collect(),
    );
    gauge(
        "jobs_running",
        "Jobs that run now.",
        running.iter().map(|(kind, count)| (format!("kind=\"{}\"", kind.as_str()), count.to_string())).collect(),
    );
    let samples: Vec<_> =
        failures.each().map(|(kind, reason, count)| (labels(kind, reason), count.to_string())).collect();
    metric(&mut text, FAILED, "counter", "Jobs that failed, as far back as the records go.", &samples);
    repository::render(&mut text, repository);
    archive::render(&mut text, archive.as_ref());
    text
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::{MetadataExt, symlink};

    use insta::assert_snapshot;

    use crate::world::InRepositoryHeld as Held;

    use super::{Digest, Facts, Failures, Flavour, InRepository, JobKind, Latest, Reason, render, replace, told};

    #[test]
    fn the_text_is_what_prometheus_reads() {
        let mut failures = Failures::default();
        failures.add(JobKind::Backup, Reason::DiskFull);
        let latest = Latest { id: "full-1".to_owned(), end: 1_795_596_533.4, seconds: Some(61.5), size: Some(4096) };
        let digest = Digest { full: Some(latest), incremental: None, restores: vec![("database", 1_795_596_600.0)] };
        let running = [(JobKind::Backup, 1), (JobKind::Restore, 0)];
        let text = render(&Facts {
            flavour: Flavour::MariaDb,
            digest: &digest,
            running,
            failures,
            repository: InRepository::default(),
            archive: None,
        });
        assert_snapshot!(text.replace(env!("CARGO_PKG_VERSION"), "[VERSION]"), @r#"
        # HELP dbcalm_build_info The daemon that wrote this.
        # TYPE dbcalm_build_info gauge
        dbcalm_build_info{version="[VERSION]",flavour="mariadb"} 1
        # HELP dbcalm_backup_last_success_timestamp_seconds When the last successful backup ended.
        # TYPE dbcalm_backup_last_success_timestamp_seconds gauge
        dbcalm_backup_last_success_timestamp_seconds{type="full"} 1795596533.4
        # HELP dbcalm_backup_last_duration_seconds How long the last successful backup took.
        # TYPE dbcalm_backup_last_duration_seconds gauge
        dbcalm_backup_last_duration_seconds{type="full"} 61.5
        # HELP dbcalm_backup_last_size_bytes How much the last successful backup takes on the disk.
        # TYPE dbcalm_backup_last_size_bytes gauge
        dbcalm_backup_last_size_bytes{type="full"} 4096
        # HELP dbcalm_restore_last_success_timestamp_seconds When the last successful restore ended.
        # TYPE dbcalm_restore_last_success_timestamp_seconds gauge
        dbcalm_restore_last_success_timestamp_seconds{target="database"} 1795596600
        # HELP dbcalm_jobs_running Jobs that run now.
        # TYPE dbcalm_jobs_running gauge
        dbcalm_jobs_running{kind="backup"} 1
        dbcalm_jobs_running{kind="restore"} 0
        # HELP dbcalm_jobs_failed_total Jobs that failed, as far back as the records go.
        # TYPE dbcalm_jobs_failed_total counter
        dbcalm_jobs_failed_total{kind="backup",reason="tool"} 0
        dbcalm_jobs_failed_total{kind="backup",reason="verification"} 0
        dbcalm_jobs_failed_total{kind="backup",reason="disk_full"} 1
        dbcalm_jobs_failed_total{kind="backup",reason="server"} 0
        dbcalm_jobs_failed_total{kind="backup",reason="interrupted"} 0
        dbcalm_jobs_failed_total{kind="backup",reason="records"} 0
        dbcalm_jobs_failed_total{kind="backup",reason="repository"} 0
        dbcalm_jobs_failed_total{kind="backup",reason="other"} 0
        dbcalm_jobs_failed_total{kind="restore",reason="tool"} 0
        dbcalm_jobs_failed_total{kind="restore",reason="verification"} 0
        dbcalm_jobs_failed_total{kind="restore",reason="disk_full"} 0
        dbcalm_jobs_failed_total{kind="restore",reason="server"} 0
        dbcalm_jobs_failed_total{kind="restore",reason="interrupted"} 0
        dbcalm_jobs_failed_total{kind="restore",reason="records"} 0
        dbcalm_jobs_failed_total{kind="restore",reason="repository"} 0
        dbcalm_jobs_failed_total{kind="restore",reason="other"} 0
        "#);
    }

    #[test]
    fn what_is_in_a_repository_is_told_where_there_is_one() {
        let held = Held { backups: 3, unsent: 1, bytes: 4096, objects: 15, newest: Some(1_795_596_533.5) };
        let told = InRepository { held: Some(held), retries: 7, failures: [("denied", 2)].into() };
        let mut text = String::new();
        super::repository::render(&mut text, &told);
        let samples = text.lines().filter(|line| !line.starts_with('#')).collect::<Vec<_>>();
        assert_snapshot!(samples.join("\n"), @r#"
        dbcalm_repository_backups 3
        dbcalm_repository_bytes 4096
        dbcalm_repository_objects 15
        dbcalm_repository_unsent_backups 1
        dbcalm_repository_newest_backup_timestamp_seconds 1795596533.5
        dbcalm_repository_retries_total 7
        dbcalm_repository_failures_total{class="denied"} 2
        "#);
    }

    #[test]
    fn what_was_told_before_is_read_again() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("dbcalm.prom");
        assert_eq!(told(&path), Failures::default());
        let mut failures = Failures::from_counts(|_, reason| reason as u64);
        failures.add(JobKind::Restore, Reason::Other);
        let facts = Facts {
            flavour: Flavour::MariaDb,
            digest: &Digest::default(),
            running: [(JobKind::Backup, 0); 2],
            failures,
            repository: InRepository::default(),
            archive: None,
        };
        replace(&path, &render(&facts)).unwrap();
        assert_eq!(told(&path), failures);
        fs::write(&path, "dbcalm_jobs_failed_total{kind=\"backup\",reason=\"tool\"} -1\n\u{0}").unwrap();
        assert_eq!(told(&path), Failures::default());
    }

    #[test]
    fn a_file_is_replaced_as_a_whole_and_readable_for_all() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("dbcalm.prom");
        // What another run left, or somebody put there, is not written through.
        fs::write(dir.path().join("else"), "else").unwrap();
        symlink(dir.path().join("else"), dir.path().join(".dbcalm.prom.new")).unwrap();
        replace(&path, "one\n").unwrap();
        let first = fs::metadata(&path).unwrap();
        let held = fs::File::open(&path).unwrap();
        replace(&path, "two\n").unwrap();
        assert_eq!(std::io::read_to_string(held).unwrap(), "one\n", "who reads it meanwhile reads all of the old one");
        assert_eq!(fs::read_to_string(&path).unwrap(), "two\n");
        assert_eq!((fs::metadata(&path).unwrap().mode() & 0o777, first.mode() & 0o777), (0o644, 0o644));
        assert_eq!(fs::read_to_string(dir.path().join("else")).unwrap(), "else");
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 2);
        assert!(replace(&dir.path().join("none/dbcalm.prom"), "x").is_err());
        fs::create_dir(dir.path().join("taken.prom")).unwrap();
        assert!(replace(&dir.path().join("taken.prom"), "x").is_err());
        assert!(!dir.path().join(".taken.prom.new").exists());
    }
}
