//! Takes changes of the tenants' folder up while running: a bad file keeps its tenant's last good version.

use super::{
    PluginReloader, Tenant, TenantRegistry, TenantStatus, ValidatedTenant, build, folder,
    fs_watch::{FolderWatch, identity},
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
    sync::Notify,
    task::spawn_blocking,
    time::{Instant, sleep, timeout},
};

/// Changes that come together are taken up together.
const TOGETHER: Duration = Duration::from_millis(150);
/// Without any event the folder is looked at this often, because some file systems make none; less often where looking
/// takes long, so that it never takes more than one part in [`SHARE`] of the time.
const LOOK: Duration = Duration::from_millis(1500);
const SHARE: u32 = 200;
/// How often it is seen to whether the folder is still the same. While something is wrong it is looked at as often, but for
/// one part in [`SHARE_FAULTY`] of the time at most: what mends it (a secret's file, a folder that comes back) may make no
/// event.
const GLANCE: Duration = Duration::from_millis(500);
const SHARE_FAULTY: u32 = 20;
/// Who fills a new folder puts in the next file within this time.
const FILLING: Duration = Duration::from_secs(1);
/// What is missing for this long is gone.
const GONE: Duration = Duration::from_millis(500);

/// Keeps a registry as the folders of tenants and plugins say.
pub struct TenantWatcher {
    folder: PathBuf,
    plugins: PluginReloader,
    services: Arc<Services>,
    limiter: Arc<RateLimiter>,
    registry: Arc<TenantRegistry>,
    files: BTreeMap<PathBuf, Seen>,
    /// Of these, those that are not there, and since when.
    missing: HashMap<PathBuf, Instant>,
    /// Which folder was listed last.
    listed: Option<(u64, u64)>,
    /// Why the folder can't be listed, as it was logged: once, however long it lasts.
    unlisted: Option<String>,
    /// Whether a file was left for later, because its writer may not be done.
    unsettled: bool,
}

/// A tenant's file as it was read last.
struct Seen {
    stamp: Fingerprint,
    /// The tenant's name, where the file's is one.
    tenant: Option<String>,
    standing: TenantStatus,
    /// The files that its secrets came from.
    sources: Files,
}

impl TenantWatcher {
    /// A watcher of a folder, nothing read yet.
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
            listed: None,
            unlisted: None,
            unsettled: false,
        }
    }

    /// Reads what changed since the last time, and takes it up. Blocks.
    pub fn reload(&mut self) {
        let mut standing = BTreeMap::new();
        let mut changes = Vec::new();
        let serving = || {
            let tenants = self.files.iter().map(|(path, seen)| (path, seen.tenant.as_deref()));
            tenants.filter_map(|(path, name)| Some((path.clone(), self.registry.find(name?)?))).collect()
        };
        for (path, validated) in self.plugins.reload(serving) {
            if let Some(seen) = self.files.get_mut(&path) {
                seen.standing.faults = validated.faults.clone();
                log(&validated.faults);
            }
            changes.push(self.built(validated));
        }
        self.unsettled = false;
        match self.list() {
            Ok(listed) if self.is_being_filled(&listed) => self.unsettled = true,
            Ok(listed) => {
                self.unlisted = None;
                // What is there at the start is taken as it is.
                let running = self.listed.replace(identity(&self.folder).unwrap_or_default()).is_some();
                let there: HashSet<&PathBuf> = listed.iter().map(|(path, _)| path).collect();
                // Who takes a file away to write it anew has not written it yet: what is missing is looked for once more.
                let missing = self.files.keys().filter(|path| !there.contains(path));
                let since = |path: &PathBuf| self.missing.get(path).copied().unwrap_or_else(Instant::now);
                let (gone, missing): (HashMap<_, _>, HashMap<_, _>) =
                    missing.map(|path| (path.clone(), since(path))).partition(|(_, since)| since.elapsed() >= GONE);
                self.unsettled = !missing.is_empty();
                self.missing = missing;
                for path in gone.into_keys() {
                    if let Some(tenant) = self.files.remove(&path).and_then(|seen| seen.tenant) {
                        tracing::info!(tenant, "tenant removed: its file is gone");
                        changes.push((tenant, None));
                    }
                }
                for (path, stamp) in listed {
                    if running && self.is_being_written(&path, stamp) {
                        self.unsettled = true;
                    } else {
                        self.look_at(&path, stamp, &mut changes);
                    }
                }
            }
            Err(fault) => {
                // Who serves goes on serving: a folder that vanishes is a mishap, not an instruction.
                let why = fault.to_string();
                if self.unlisted.as_ref() != Some(&why) {
                    tracing::error!("{why}");
                    self.unlisted = Some(why);
                }
                let faults = vec![fault];
                standing.insert(self.folder.display().to_string(), TenantStatus { serving: false, faults });
            }
        }
        self.registry.swap(changes);
        for (path, seen) in &self.files {
            let name = seen.tenant.clone().unwrap_or_else(|| path.display().to_string());
            standing.insert(name, seen.standing.clone());
        }
        metrics::gauge!("menlou_tenants").set(self.registry.len() as f64);
        metrics::gauge!("menlou_tenants_invalid")
            .set(standing.values().filter(|s| !s.faults.is_empty()).count() as f64);
        self.registry.set_standing(standing);
    }

    fn look_at(&mut self, path: &Path, stamp: Fingerprint, changes: &mut Vec<(String, Option<Arc<Tenant>>)>) {
        let before = self.files.get(path);
        let changed = before.is_none_or(|seen| seen.stamp != stamp || seen.secrets_changed());
        // A file with faults is read again also where it did not change: its secret may be there now.
        if !changed && before.is_some_and(|seen| seen.standing.faults.is_empty()) {
            return;
        }
        let was_serving = before.is_some_and(|seen| seen.standing.serving);
        let (tenant, checked) = match folder::name(path) {
            None => return,
            Some(Err(fault)) => (None, Err(vec![fault])),
            Some(Ok(name)) => {
                let (library, keyring) = (self.plugins.library(), &self.plugins.keyring);
                let checked = folder::read(path).and_then(|doc| build::check(&name, &doc, &library, keyring));
                (Some(name.as_str().to_owned()), checked)
            }
        };
        let told_before = before.map(|seen| told(&seen.standing.faults)).unwrap_or_default();
        let mut sources = Files::new();
        let standing = match checked {
            Ok(mut validated) => {
                sources = std::mem::take(&mut validated.sources);
                let faults = validated.faults.clone();
                if changed || told_before != told(&faults) {
                    let actions = validated.actions.keys().cloned().collect::<Vec<_>>().join(",");
                    tracing::info!(
                        tenant = validated.name,
                        actions,
                        "{}",
                        if was_serving { "tenant reloaded" } else { "tenant loaded" }
                    );
                    log(&faults);
                    changes.push(self.built(validated));
                }
                TenantStatus { serving: true, faults }
            }
            Err(faults) => {
                if changed || told_before != told(&faults) {
                    log(&faults);
                    if was_serving {
                        let tenant = tenant.as_deref().unwrap_or_default();
                        tracing::warn!(tenant, "its last good version serves on");
                    }
                }
                TenantStatus { serving: was_serving, faults }
            }
        };
        self.files.insert(path.to_owned(), Seen { stamp, tenant, standing, sources });
    }

    /// Whether the file, or one that its secrets come from, changed a moment ago: half of it may be a whole tenant, too.
    fn is_being_written(&self, path: &Path, stamp: Fingerprint) -> bool {
        let Some(seen) = self.files.get(path) else { return stamp.is_fresh() };
        let sources = seen.sources.iter().map(|(path, before)| (Fingerprint::for_path(path), *before));
        let mut all = sources.chain([(stamp, seen.stamp)]);
        all.any(|(now, before)| now != before && now.is_fresh())
    }

    /// Whether this is another folder than before, to which files come that are not all there yet: a copy, a check-out.
    fn is_being_filled(&self, listed: &[(PathBuf, Fingerprint)]) -> bool {
        let another = self.listed.is_some_and(|before| identity(&self.folder) != Some(before));
        another && Fingerprint::for_path(&self.folder).is_younger_than(FILLING) && {
            let there: HashSet<&PathBuf> = listed.iter().map(|(path, _)| path).collect();
            self.files.keys().any(|path| !there.contains(path))
        }
    }

    /// The tenants' files.
    fn list(&self) -> Result<Vec<(PathBuf, Fingerprint)>, ConfigError> {
        let listed = || -> std::io::Result<Vec<(PathBuf, Fingerprint)>> {
            let mut files = Vec::new();
            for entry in fs::read_dir(&self.folder)? {
                let path = entry?.path();
                if TenantName::from_path(&path).is_some() {
                    let stamp = Fingerprint::for_path(&path);
                    files.push((path, stamp));
                }
            }
            Ok(files)
        };
        let mut files = listed().map_err(|e| build::unreadable(&self.folder, &e))?;
        // What is left where a mount has gone, or made anew before its files are.
        if files.is_empty() && !self.files.is_empty() && self.listed != identity(&self.folder) {
            let text = Text::fixed(
                "租户文件夹已被换成一个空文件夹：原有租户继续服务；若确要清空，请重启网关",
                "the tenants' folder was replaced by an empty one: the tenants serve on; restart the gateway if that is meant",
            );
            return Err(ConfigError::in_file(&self.folder, text));
        }
        files.sort_by(|a, b| a.0.cmp(&b.0));
        Ok(files)
    }

    /// The files that tenants' secrets came from.
    fn sources(&self) -> impl Iterator<Item = &Path> {
        self.files.values().flat_map(|seen| seen.sources.keys()).map(PathBuf::as_path)
    }

    fn built(&self, validated: ValidatedTenant) -> (String, Option<Arc<Tenant>>) {
        metrics::counter!("menlou_tenant_reloads_total").increment(1);
        let activity = self.registry.find(&validated.name).map(|before| before.activity.clone()).unwrap_or_default();
        let name = validated.name.clone();
        let tenant = Tenant::new(validated, &self.services, &self.limiter, activity);
        (name, Some(Arc::new(tenant)))
    }

    /// Looks again at each change, until dropped.
    pub async fn run(mut self) {
        let changed = Arc::new(Notify::new());
        let (mut folders, mut secrets) = (FolderWatch::new(changed.clone()), FolderWatch::new(changed.clone()));
        // Where these can't be watched, they are looked at with the rest.
        secrets.keep_files(self.sources());
        let (mut looked, mut took) = (Instant::now(), Duration::ZERO);
        // A file that was still being written is left for later, and makes no event when it has settled.
        let mut again = false;
        loop {
            let watched = folders.keep([self.folder.as_path(), self.plugins.folder.as_path()]);
            let pause = match !watched || self.files.values().any(|seen| !seen.standing.faults.is_empty()) {
                true => took * SHARE_FAULTY,
                false => LOOK.max(took * SHARE),
            };
            let told = timeout(GLANCE, changed.notified()).await.is_ok();
            if !told && !again && !self.unsettled && looked.elapsed() < pause {
                continue;
            }
            again = told;
            sleep(TOGETHER).await;
            looked = Instant::now();
            self = match spawn_blocking(move || {
                self.reload();
                self
            })
            .await
            {
                Ok(watcher) => watcher,
                Err(e) => {
                    tracing::error!(cause = %e, "the watcher of tenants and plugins ended: changes are not taken up any more");
                    return;
                }
            };
            secrets.keep_files(self.sources());
            took = looked.elapsed();
        }
    }
}

impl Seen {
    fn secrets_changed(&self) -> bool {
        self.sources.iter().any(|(path, stamp)| Fingerprint::for_path(path) != *stamp)
    }
}

fn log(faults: &[ConfigError]) {
    for fault in faults {
        // The place and the text on one line, for whoever searches; below it the pointer under the place.
        let language = Language::for_operator();
        let shown = fault.render(language, false);
        let pointer = shown.split_once('\n').map_or("", |(_, pointer)| pointer);
        tracing::error!("{}: {}\n{pointer}", fault.at(), fault.text.get(language));
    }
}

fn told(faults: &[ConfigError]) -> Vec<String> {
    faults.iter().map(ToString::to_string).collect()
}
