//! Access to the folder of tenant files from async code.

use super::{
    caller::Caller,
    config_errors::{error_bodies, tenant_faulty},
    state::AdminState,
};
use menlou_action::PluginRegistry;
use menlou_config::tenant::TenantName;
use menlou_error::text::Language;
use menlou_error::{Error, Result, admin_codes, codes};
use menlou_tenant::{TenantFileError, TenantFiles};
use secrecy::zeroize::Zeroizing;
use std::{path::Path, sync::Arc};
use tokio::task::spawn_blocking;

/// Runs `work` on a blocking thread: it reads and writes files, and plugins may take a while to check settings. The work of
/// one token runs one after another. If the client disconnects while this waits for earlier work, `work` does not run.
pub(crate) async fn with_tenant_files<T: Send + 'static>(
    state: &AdminState,
    caller: &Caller,
    name: &TenantName,
    work: impl FnOnce(&TenantFiles<'_>, &PluginRegistry, TenantName) -> Result<T> + Send + 'static,
) -> Result<T> {
    let (folder, plugins, keyring) = (state.tenants_folder.clone(), state.library.load_full(), state.keyring.clone());
    let (plugins, name): (Arc<PluginRegistry>, _) = (plugins, name.clone());
    let permit = state.work_limits.acquire(caller).await?;
    let work = move || {
        let done = work(&TenantFiles::new(&folder, &plugins, &keyring), &plugins, name);
        drop(permit);
        done
    };
    let done = spawn_blocking(work).await;
    done.unwrap_or_else(|e| Err(Error::new(&codes::INTERNAL_ERROR).with_cause(e)))
}

/// Reads a tenant file. `None` if there is none.
///
/// # Errors
/// `not_saved` if the file cannot be read.
pub(crate) fn read_file_if_present(path: &Path) -> Result<Option<Zeroizing<Vec<u8>>>> {
    let bytes = menlou_tenant::read_bytes(path).map_err(|text| file_error(TenantFileError::Io(text)))?;
    Ok(bytes.map(Zeroizing::new))
}

/// Reads a tenant file.
///
/// # Errors
/// `unknown_tenant`; `not_saved` if the file cannot be read.
pub(crate) fn read_file(path: &Path) -> Result<Zeroizing<Vec<u8>>> {
    read_file_if_present(path)?.ok_or_else(|| file_error(TenantFileError::Absent))
}

/// The API error for a file operation that failed.
pub(crate) fn file_error(failure: TenantFileError) -> Error {
    match failure {
        TenantFileError::Exists => Error::new(&admin_codes::TENANT_EXISTS),
        TenantFileError::Absent => Error::new(&codes::UNKNOWN_TENANT),
        TenantFileError::Changed => Error::new(&admin_codes::CHANGED_MEANWHILE),
        TenantFileError::Invalid(errors) => tenant_faulty(error_bodies(&errors, None)),
        TenantFileError::InvalidChange(text) => Error::new(&codes::BAD_PARAMETER).with_message(text),
        // The path helps operators and is not secret.
        TenantFileError::Io(text) => {
            let cause = text.get(Language::En).to_owned();
            Error::new(&admin_codes::NOT_SAVED).with_message(text).with_cause(cause)
        }
    }
}
