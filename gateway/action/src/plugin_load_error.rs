//! Why a plugin file was rejected, with texts that say what to do.

use menlou_error::text::Text;

/// Why the gateway does not run a file of the plugin folder.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PluginLoadError {
    /// The file cannot be read.
    Unreadable(String),
    /// The file is not a shared library, but for example a text, an archive or a program.
    NotALibrary,
    /// The file is truncated, has a hole, or is being copied.
    Incomplete,
    /// The file is being written.
    Unsettled,
    /// The process has loaded the maximum number of plugin versions. Contains that number.
    TooManyGenerations(u64),
    /// The settings of a tenant are invalid for the new version. Contains the tenant and the first error.
    NoLongerFits(String, Text),
    /// The file is for another processor architecture.
    OtherMachine(String),
    /// The shared library has no Menlou note.
    NoNote,
    /// The plugin was built for another major version of the ABI. Contains the plugin's version and the gateway's.
    OtherAbi((u16, u16), (u16, u16)),
    /// The sizes of the plugin's structs are not those of the ABI version that it names.
    OtherHeader((u16, u16)),
    /// The dynamic loader rejected the file.
    NotLoaded(String),
    /// The entry function is missing or returned NULL.
    NoEntry,
    /// The plugin is in Rust and built with `panic = "abort"`.
    Aborts,
    /// The plugin's description is invalid.
    BadDescriptor(String),
    /// The plugin's `init` failed. Contains its result.
    InitFailed(i32),
    /// The plugin's own code did not return while it was loaded. Contains what did not, and the time limit in seconds.
    NotReturned(LoadStage, u64),
    /// Another plugin has an action of the same name. Contains the action and the other plugin.
    Clash(String, String),
    /// The file does not have the plugin's name. Contains the name.
    OtherName(String),
}

/// The part of a load that runs now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum LoadStage {
    /// `dlopen`, with the constructors of libraries that the plugin needs.
    Open,
    /// The constructors of the plugin's own library.
    Constructor,
    /// The entry function.
    Entry,
    /// `init`.
    Init,
}

impl LoadStage {
    pub(super) fn from_number(number: u8) -> Self {
        [Self::Open, Self::Constructor, Self::Entry].into_iter().find(|s| *s as u8 == number).unwrap_or(Self::Init)
    }

    fn name(self) -> &'static str {
        match self {
            Self::Open => "dlopen",
            Self::Constructor => "constructor",
            Self::Entry => "menlou_plugin_v1",
            Self::Init => "init",
        }
    }
}

impl PluginLoadError {
    /// The reason and what to do, in both languages.
    pub fn text(&self) -> Text {
        match self {
            Self::Unreadable(why) => {
                Text::new(format!("无法读取文件：{why}"), format!("the file cannot be read: {why}"))
            }
            Self::NotALibrary => Text::fixed(
                "不是共享库（ELF .so）：请放入 cargo build 产出的 .so 文件",
                "not a shared library (ELF .so): copy the .so file that cargo build produces",
            ),
            Self::Incomplete => Text::fixed(
                "文件不完整（正在复制、被截断或中间有空洞）：请重新复制",
                "the file is incomplete (still being copied, truncated, or with a hole): copy it again",
            ),
            Self::Unsettled => Text::fixed("文件仍在写入", "the file is still being written"),
            Self::TooManyGenerations(most) => Text::new(
                format!("本进程已加载 {most} 个插件版本，达到上限：请重启网关"),
                format!("this process has loaded {most} plugin versions, which is the maximum: restart the gateway"),
            ),
            Self::NoLongerFits(tenant, error) => Text::new(
                format!("租户 {tenant} 的设置不符合新版本，旧版本继续提供服务：{}", error.zh),
                format!(
                    "the settings of tenant {tenant} are invalid for the new version, the old version keeps serving: {}",
                    error.en
                ),
            ),
            Self::OtherMachine(machine) => Text::new(
                format!("为 {machine} 构建，而网关运行于 {}：请为本机架构重新构建", std::env::consts::ARCH),
                format!(
                    "built for {machine}, but this gateway runs on {}: build it for this architecture",
                    std::env::consts::ARCH
                ),
            ),
            Self::NoNote => Text::fixed(
                "不是门楼插件：缺少 .note.menlou 段（Rust 用 plugin! 宏，C 用 MENLOU_PLUGIN_NOTE）",
                "not a Menlou plugin: the section .note.menlou is missing (Rust: the plugin! macro; C: MENLOU_PLUGIN_NOTE)",
            ),
            Self::OtherAbi(theirs, ours) => Text::new(
                format!(
                    "按插件 ABI {}.{} 构建，本网关为 {}.{}：请用匹配的 SDK 重新构建",
                    theirs.0, theirs.1, ours.0, ours.1
                ),
                format!(
                    "built for plugin ABI {}.{}, this gateway has {}.{}: build it with a matching SDK",
                    theirs.0, theirs.1, ours.0, ours.1
                ),
            ),
            Self::OtherHeader(abi) => Text::new(
                format!("声明为 ABI {}.{}，但结构体大小不符：请用已发布的 menlou_plugin.h 编译", abi.0, abi.1),
                format!(
                    "it declares ABI {}.{}, but its structs have other sizes: compile it against a released menlou_plugin.h",
                    abi.0, abi.1
                ),
            ),
            Self::NotLoaded(why) => {
                Text::new(format!("动态链接器无法加载：{why}"), format!("the dynamic loader cannot load it: {why}"))
            }
            Self::NoEntry => Text::fixed(
                "没有入口函数 menlou_plugin_v1，或该函数没有返回描述（可能发生了 panic）",
                "the entry function menlou_plugin_v1 is missing or returned no description (it may have panicked)",
            ),
            Self::Aborts => Text::fixed(
                "以 panic=abort 构建：一次 panic 会终止整个网关，请用 panic=unwind 构建",
                "built with panic=abort, so a panic would end the gateway: build it with panic=unwind",
            ),
            Self::BadDescriptor(why) => {
                Text::new(format!("插件描述有误：{why}"), format!("its description is invalid: {why}"))
            }
            Self::InitFailed(code) => {
                Text::new(format!("init 失败（{code}），详见日志"), format!("its init failed ({code}): see the log"))
            }
            Self::NotReturned(stage, seconds) => Text::new(
                format!(
                    "{} 在 {seconds} 秒内没有返回，文件被拒绝；它占用的线程须重启网关才能释放：加载时不要等待",
                    stage.name()
                ),
                format!(
                    "its {} did not return within {seconds} s, so the file is rejected: do not wait while loading; only a restart of the gateway frees the thread that it keeps",
                    stage.name()
                ),
            ),
            Self::Clash(action, plugin) => Text::new(
                format!("插件 {plugin} 已有动作 {action}：请重命名或移除其中一个"),
                format!("the plugin {plugin} already has an action {action}: rename or remove one of them"),
            ),
            Self::OtherName(name) => Text::new(
                format!("插件名为 {name}：文件应命名为 {name}.so"),
                format!("the plugin's name is {name}: name the file {name}.so"),
            ),
        }
    }
}
