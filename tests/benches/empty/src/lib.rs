//! The action `empty`: no parameters, no settings, no authentication, `{}` as its data.

use menlou_plugin::prelude::*;

async fn empty(_: &Call, (): ()) -> Result<()> {
    Ok(())
}

menlou_plugin::plugin! {
    name: "empty",
    actions: [Action::new("empty", empty).title("空", "Empty")],
}
