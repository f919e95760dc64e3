//! Reloads tenant files while requests are served. If a file becomes invalid, its last valid version stays in service.

use super::{
    PluginReloader, Tenant, TenantRegistry, TenantStatus, ValidatedTenant, build, folder,
    fs_watch::{FolderWatch, identity},
    reload_trigger::ReloadRequests,
};
use menlou_action::Services;
use menlou_config::{config_error::ConfigError, fingerprint::Fingerprint, sources::Files, tenant::TenantName};
use menlou_error::text::{Language, Text};
use menlou_policy::rate_limits::RateLimiter;
use std::{
    collections::{BTreeMap, HashMap, HashSet},
    fs,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};
use tokio::{
    sync::{Notify, oneshot},
    task::spawn_blocking,
    time::{Instant, sleep, timeout},
};

/// Delay after a change, so that changes that follow each other are applied together.
const DEBOUNCE: Duration = Duration::from_millis(150);
/// Minimum interval of the scans without an event, because some file systems report none. If a scan takes long, the interval
/// is [`SCAN_RATIO`] times its duration.
const SCAN_INTERVAL: Duration = Duration::from_millis(1500);
const SCAN_RATIO: u32 = 200;
/// Interval of the check whether the folder is still the same. It is also the minimum interval of scans while there are
/// errors, because their fix (a file of a secret, a folder that is mounted again) may cause no event.
const CHECK_INTERVAL: Duration = Duration::from_millis(500);
/// While there are errors, the scan interval is at least this many times the duration of a scan.
const SCAN_RATIO_WITH_ERRORS: u32 = 20;
/// A new folder without some of the known files counts as still being filled if it changed within this time.
const FILL_TIME: Duration = Duration::from_secs(1);
/// A file that is missing for this long counts as removed. Some editors remove a file before they write it again.
const REMOVAL_DELAY: Duration = Duration::from_millis(500);

/// Keeps the tenant registry up to date with the folders of tenants and plugins.
pub struct TenantWatcher {
    folder: PathBuf,
    plugins: PluginReloader,
    services: Arc<Services>,
    limiter: Arc<RateLimiter>,
    registry: Arc<TenantRegistry>,
    files: BTreeMap<PathBuf, KnownFile>,
    /// Known files that are missing, and since when.
    missing: HashMap<PathBuf, Instant>,
    /// Identity of the folder at the last scan.
    scanned_folder: Option<(u64, u64)>,
    /// The logged reason why the folder cannot be read. It is logged once as long as it stays the same.
    read_error: Option<String>,
    /// Whether a file was skipped because it may still be being written.
    is_unsettled: bool,
}

/// The last read version of a tenant file.
struct KnownFile {
    fingerprint: Fingerprint,
    /// The tenant's name; `None` if the file's name is not a valid one.
    tenant: Option<String>,
    status: TenantStatus,
    /// The files that its secrets were read from.
    sources: Files,
}

impl TenantWatcher {
    /// A watcher of a folder. Nothing is read yet.
    pub fn new(
        folder: PathBuf,
        plugins: PluginReloader,
        services: Arc<Services>,
        limiter: Arc<RateLimiter>,
        registry: Arc<TenantRegistry>,
    ) -> Self {
        Self {
            folder,
            plugins,
            services,
            limiter,
            registry,
            files: BTreeMap::new(),
            missing: HashMap::new(),
            scanned_folder: None,
            read_error: None,
            is_unsettled: false,
        }
    }

    /// Reads and applies the changes since the last call. Blocks.
    pub fn reload(&mut self) {
        let mut statuses = BTreeMap::new();
        let mut changes = Vec::new();
        let in_service = || {
            let tenants = self.files.iter().map(|(path, known)| (path, known.tenant.as_deref()));
            tenants.filter_map(|(path, name)| Some((path.clone(), self.registry.find(name?)?))).collect()
        };
        for (path, validated) in self.plugins.reload(in_service) {
            if let Some(known) = self.files.get_mut(&path) {
                known.status.errors = validated.errors.clone();
                log(&validated.errors);
            }
            changes.push(self.build(validated));
        }
        self.is_unsettled = false;
        match self.scan() {
            Ok(found) if self.is_being_filled(&found) => self.is_unsettled = true,
            Ok(found) => {
                self.read_error = None;
                // At the start no file is skipped as being written.
                let is_running = self.scanned_folder.replace(identity(&self.folder).unwrap_or_default()).is_some();
                let present: HashSet<&PathBuf> = found.iter().map(|(path, _)| path).collect();
                let missing = self.files.keys().filter(|path| !present.contains(path));
                let since = |path: &PathBuf| self.missing.get(path).copied().unwrap_or_else(Instant::now);
                let (removed, missing): (HashMap<_, _>, HashMap<_, _>) = missing
                    .map(|path| (path.clone(), since(path)))
                    .partition(|(_, since)| since.elapsed() >= REMOVAL_DELAY);
                self.is_unsettled = !missing.is_empty();
                self.missing = missing;
                for path in removed.into_keys() {
                    if let Some(tenant) = self.files.remove(&path).and_then(|known| known.tenant) {
                        tracing::info!(tenant, "tenant removed: its file is gone");
                        changes.push((tenant, None));
                    }
                }
                for (path, fingerprint) in found {
                    if is_running && self.is_being_written(&path, fingerprint) {
                        self.is_unsettled = true;
                    } else {
                        self.update(&path, fingerprint, &mut changes);
                    }
                }
            }
            Err(error) => {
                // The tenants stay in service: a missing folder is more likely an accident than an intention.
                let why = error.to_string();
                if self.read_error.as_ref() != Some(&why) {
                    tracing::error!("{why}");
                    self.read_error = Some(why);
                }
                let errors = vec![error];
                statuses.insert(self.folder.display().to_string(), TenantStatus { serving: false, errors });
            }
        }
        self.registry.swap(changes);
        for (path, known) in &self.files {
            let name = known.tenant.clone().unwrap_or_else(|| path.display().to_string());
            statuses.insert(name, known.status.clone());
        }
        metrics::gauge!("menlou_tenants").set(self.registry.len() as f64);
        metrics::gauge!("menlou_tenants_invalid")
            .set(statuses.values().filter(|s| !s.errors.is_empty()).count() as f64);
        self.registry.set_statuses(statuses);
    }

    fn update(&mut self, path: &Path, fingerprint: Fingerprint, changes: &mut Vec<(String, Option<Arc<Tenant>>)>) {
        let before = self.files.get(path);
        let is_changed = before.is_none_or(|known| known.fingerprint != fingerprint || known.has_changed_secrets());
        // An unchanged file with errors is read again, because a missing secret or plugin may exist now.
        if !is_changed && before.is_some_and(|known| known.status.errors.is_empty()) {
            return;
        }
        let was_serving = before.is_some_and(|known| known.status.serving);
        let (tenant, checked) = match folder::name(path) {
            None => return,
            Some(Err(error)) => (None, Err(vec![error])),
            Some(Ok(name)) => {
                let (library, keyring) = (self.plugins.library(), &self.plugins.keyring);
                let checked = folder::read(path).and_then(|doc| build::check(&name, &doc, &library, keyring));
                (Some(name.as_str().to_owned()), checked)
            }
        };
        let logged = before.map(|known| texts(&known.status.errors)).unwrap_or_default();
        let mut sources = Files::new();
        let status = match checked {
            Ok(mut validated) => {
                sources = std::mem::take(&mut validated.sources);
                let errors = validated.errors.clone();
                if is_changed || logged != texts(&errors) {
                    let actions = validated.actions.keys().cloned().collect::<Vec<_>>().join(",");
                    tracing::info!(
                        tenant = validated.name,
                        actions,
                        "{}",
                        if was_serving { "tenant reloaded" } else { "tenant loaded" }
                    );
                    log(&errors);
                    changes.push(self.build(validated));
                }
                TenantStatus { serving: true, errors }
            }
            Err(errors) => {
                if is_changed || logged != texts(&errors) {
                    log(&errors);
                    if was_serving {
                        let tenant = tenant.as_deref().unwrap_or_default();
                        tracing::warn!(tenant, "the tenant file is invalid: its last valid version stays in service");
                    }
                }
                TenantStatus { serving: was_serving, errors }
            }
        };
        self.files.insert(path.to_owned(), KnownFile { fingerprint, tenant, status, sources });
    }

    /// Whether the file, or a file of its secrets, changed a moment ago. The first half of a file may be a valid tenant file,
    /// so validation alone does not reveal that it is incomplete.
    fn is_being_written(&self, path: &Path, fingerprint: Fingerprint) -> bool {
        let Some(known) = self.files.get(path) else { return fingerprint.is_fresh() };
        let sources = known.sources.iter().map(|(path, before)| (Fingerprint::for_path(path), *before));
        let mut all = sources.chain([(fingerprint, known.fingerprint)]);
        all.any(|(now, before)| now != before && now.is_fresh())
    }

    /// Whether the folder was replaced by a new one that does not contain all files yet, for example by a copy or a checkout.
    fn is_being_filled(&self, found: &[(PathBuf, Fingerprint)]) -> bool {
        let is_replaced = self.scanned_folder.is_some_and(|before| identity(&self.folder) != Some(before));
        is_replaced && Fingerprint::for_path(&self.folder).is_younger_than(FILL_TIME) && {
            let present: HashSet<&PathBuf> = found.iter().map(|(path, _)| path).collect();
            self.files.keys().any(|path| !present.contains(path))
        }
    }

    /// The tenant files in the folder.
    fn scan(&self) -> Result<Vec<(PathBuf, Fingerprint)>, ConfigError> {
        let read = || -> std::io::Result<Vec<(PathBuf, Fingerprint)>> {
            let mut files = Vec::new();
            for entry in fs::read_dir(&self.folder)? {
                let path = entry?.path();
                if TenantName::from_path(&path).is_some() {
                    let fingerprint = Fingerprint::for_path(&path);
                    files.push((path, fingerprint));
                }
            }
            Ok(files)
        };
        let mut files = read().map_err(|e| build::unreadable(&self.folder, &e))?;
        // An empty folder is left when a mount is gone, or is created before its files are.
        if files.is_empty() && !self.files.is_empty() && self.scanned_folder != identity(&self.folder) {
            let text = Text::fixed(
                "租户文件夹已被换成一个空文件夹：原有租户继续服务；若确要清空，请重启网关",
                "the tenant folder was replaced by an empty one: the tenants stay in service; restart the gateway if it is meant to be empty",
            );
            return Err(ConfigError::in_file(&self.folder, text));
        }
        files.sort_by(|a, b| a.0.cmp(&b.0));
        Ok(files)
    }

    /// The files that the tenants' secrets were read from.
    fn sources(&self) -> impl Iterator<Item = &Path> {
        self.files.values().flat_map(|known| known.sources.keys()).map(PathBuf::as_path)
    }

    fn build(&self, validated: ValidatedTenant) -> (String, Option<Arc<Tenant>>) {
        metrics::counter!("menlou_tenant_reloads_total").increment(1);
        let activity = self.registry.find(&validated.name).map(|before| before.activity.clone()).unwrap_or_default();
        let name = validated.name.clone();
        let tenant = Tenant::new(validated, &self.services, &self.limiter, activity);
        (name, Some(Arc::new(tenant)))
    }

    /// Applies changes and handles requests until the future is dropped.
    pub async fn run(mut self, mut requests: ReloadRequests) {
        let mut request: Option<oneshot::Sender<()>> = None;
        let changed = Arc::new(Notify::new());
        let (mut folders, mut secrets) = (FolderWatch::new(changed.clone()), FolderWatch::new(changed.clone()));
        // Those that cannot be watched are checked by the scans.
        secrets.keep_files(self.sources());
        let (mut scanned_at, mut scan_time) = (Instant::now(), Duration::ZERO);
        // Each scan after an event is followed by another, because a file that was skipped as being written may cause no
        // further event.
        let mut rescan = false;
        loop {
            let is_watched = folders.keep([self.folder.as_path(), self.plugins.folder.as_path()]);
            let interval = match !is_watched || self.files.values().any(|known| !known.status.errors.is_empty()) {
                true => scan_time * SCAN_RATIO_WITH_ERRORS,
                false => SCAN_INTERVAL.max(scan_time * SCAN_RATIO),
            };
            let has_event = tokio::select! {
                notified = timeout(CHECK_INTERVAL, changed.notified()) => notified.is_ok(),
                Some(sender) = requests.recv(), if request.is_none() => {
                    request = Some(sender);
                    true
                }
            };
            if !has_event && !rescan && !self.is_unsettled && scanned_at.elapsed() < interval {
                continue;
            }
            rescan = has_event;
            sleep(DEBOUNCE).await;
            scanned_at = Instant::now();
            self = match spawn_blocking(move || {
                self.reload();
                self
            })
            .await
            {
                Ok(watcher) => watcher,
                Err(e) => {
                    tracing::error!(cause = %e, "the reload task of tenants and plugins ended: restart the gateway to apply further changes");
                    return;
                }
            };
            secrets.keep_files(self.sources());
            scan_time = scanned_at.elapsed();
            // A file that is still being written is read as soon as it has settled.
            if !self.is_unsettled
                && let Some(request) = request.take()
            {
                // The requester may have gone.
                let _ = request.send(());
            }
        }
    }
}

impl KnownFile {
    fn has_changed_secrets(&self) -> bool {
        self.sources.iter().any(|(path, fingerprint)| Fingerprint::for_path(path) != *fingerprint)
    }
}

fn log(errors: &[ConfigError]) {
    for error in errors {
        // Position and text are on one line, which can be searched. The marked snippet follows below.
        let language = Language::for_operator();
        let rendered = error.render(language, false);
        let snippet = rendered.split_once('\n').map_or("", |(_, snippet)| snippet);
        tracing::error!("{}: {}\n{snippet}", error.at(), error.text.get(language));
    }
}

fn texts(errors: &[ConfigError]) -> Vec<String> {
    errors.iter().map(ToString::to_string).collect()
}
