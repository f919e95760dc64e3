//! Which errors of a save are shown on the form's own page, with the entered values still there.

use menlou_error::{Error, admin_codes, codes};

/// Whether the form's page shows the error, because the admin can correct the values.
pub fn is_shown_on_form(error: &Error) -> bool {
    let correctable = [
        &admin_codes::TENANT_FAULTY,
        &admin_codes::SETTING_RESERVED,
        &admin_codes::CHANGED_MEANWHILE,
        &admin_codes::TENANT_EXISTS,
        &admin_codes::NOT_SAVED,
        &codes::BAD_PARAMETER,
    ];
    correctable.into_iter().any(|code| error.is(code))
}
