//! Actions for accounts: `a=login` binds an openid to an account, `a=user` reads and updates it, `a=logout` ends the session.

mod delegate;
mod login;
mod logout;
mod settings;
mod user;

use menlou_plugin::prelude::*;

menlou_plugin::plugin! {
    name: "account",
    actions: [
        Action::new("login", login::login)
            .access(Access::Session)
            .title("登录", "Log in")
            .description(
                "把会话的 openid 绑定到已有账号或新账号，之后 a=openid 会自动登录。可用的 method 由租户文件决定。",
                "Binds the session's openid to an existing or a new account; a=openid then logs the user in. The tenant file \
                 decides which methods are enabled.",
            ),
        Action::new("user", user::user)
            .access(Access::User)
            .title("用户信息", "The user")
            .description(
                "读取当前用户；带有 name 或 avatar_url 时更新。",
                "Reads the user, or updates name and avatar_url if given.",
            ),
        Action::new("logout", logout::logout)
            .access(Access::Session)
            .title("退出登录", "Log out")
            .description(
                "结束会话；unbind=1 同时解除 openid 与账号的绑定。",
                "Ends the session; unbind=1 also removes the binding of the openid.",
            ),
    ],
}
