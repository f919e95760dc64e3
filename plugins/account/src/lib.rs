//! What a person does with an account: `a=login` binds an openid to one, `a=user` reads and changes it, `a=logout` ends the session.

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
                "把会话的 openid 绑定到已有或新建的账号；此后 a=openid 自动登录。method 由租户文件开启。",
                "Binds the session's openid to an existing or a new account; from then on a=openid logs in by itself. \
                 The tenant's file says which methods are on.",
            ),
        Action::new("user", user::user)
            .access(Access::User)
            .title("用户信息", "The user")
            .description(
                "读取当前用户；给出 name 或 avatar_url 时更新。",
                "Reads the user, or updates name and avatar_url where given.",
            ),
        Action::new("logout", logout::logout)
            .access(Access::Session)
            .title("退出登录", "Log out")
            .description(
                "结束会话；unbind=1 同时解除 openid 与账号的绑定。",
                "Ends the session; unbind=1 also takes the openid's binding away.",
            ),
    ],
}
