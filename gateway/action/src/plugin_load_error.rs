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
    /// The settings of a tenant are invalid for the new version. Contains the tenant and the first fault.
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
    /// Another plugin has an action of the same name. Contains the action and the other plugin.
    Clash(String, String),
    /// The file does not have the plugin's name. Contains the name.
    OtherName(String),
}

impl PluginLoadError {
    /// The reason and what to do, in both languages.
    pub fn text(&self) -> Text {
        match self {
            Self::Unreadable(why) => {
                Text::new(format!("无法读取文件：{why}"), format!("the file can't be read: {why}"))
            }
            Self::NotALibrary => Text::fixed(
                "不是共享库（ELF .so）：请放入 cargo build 产出的 .so 文件",
                "it is no shared library (ELF .so): put the .so that cargo build made here",
            ),
            Self::Incomplete => Text::fixed(
                "文件不完整：可能正在复制或复制中断，请重新复制",
                "the file is incomplete: still being copied, cut short, or with a hole in it; copy it again",
            ),
            Self::Unsettled => Text::fixed("文件仍在写入", "the file is still being written"),
            Self::TooManyGenerations(most) => Text::new(
                format!("本进程已加载 {most} 个插件版本，不再加载：请重启网关"),
                format!("this process has loaded {most} versions of plugins and takes no more: restart the gateway"),
            ),
            Self::NoLongerFits(tenant, fault) => Text::new(
                format!("租户 {tenant} 的设置不再符合新版本，旧版本继续服务：{}", fault.zh),
                format!(
                    "the settings of tenant {tenant} don't fit the new version, the old one serves on: {}",
                    fault.en
                ),
            ),
            Self::OtherMachine(machine) => Text::new(
                format!("为 {machine} 构建，而网关运行于 {}：请为本机架构重新构建", std::env::consts::ARCH),
                format!(
                    "built for {machine}, but this gateway runs on {}: build it for this machine",
                    std::env::consts::ARCH
                ),
            ),
            Self::NoNote => Text::fixed(
                "不是门楼插件：缺少 .note.menlou 段（Rust 用 plugin! 宏，C 用 MENLOU_PLUGIN_NOTE）",
                "it is no Menlou plugin: it has no .note.menlou section (Rust: the plugin! macro; C: MENLOU_PLUGIN_NOTE)",
            ),
            Self::OtherAbi(theirs, ours) => Text::new(
                format!(
                    "为插件接口 {}.{} 构建，本网关为 {}.{}：请用匹配的 SDK 重新构建",
                    theirs.0, theirs.1, ours.0, ours.1
                ),
                format!(
                    "built for plugin ABI {}.{}, this gateway has {}.{}: build it with the SDK that fits",
                    theirs.0, theirs.1, ours.0, ours.1
                ),
            ),
            Self::OtherHeader(abi) => Text::new(
                format!("自称接口 {}.{}，结构体大小却不符：用未发布的 menlou_plugin.h 编译？", abi.0, abi.1),
                format!(
                    "it says ABI {}.{}, but its structs have other sizes: compiled against an unreleased menlou_plugin.h?",
                    abi.0, abi.1
                ),
            ),
            Self::NotLoaded(why) => {
                Text::new(format!("系统无法加载：{why}"), format!("the system can't load it: {why}"))
            }
            Self::NoEntry => Text::fixed(
                "没有入口函数 menlou_plugin_v1，或它没有给出自述（可能在描述自己时 panic）",
                "it has no entry function menlou_plugin_v1, or that gave no description: it may have panicked over it",
            ),
            Self::Aborts => Text::fixed(
                "以 panic=abort 构建：一次 panic 会终止整个网关，请用 panic=unwind 构建",
                "built with panic=abort: a panic would end the gateway; build with panic=unwind",
            ),
            Self::BadDescriptor(why) => {
                Text::new(format!("自我描述有误：{why}"), format!("its description is wrong: {why}"))
            }
            Self::InitFailed(code) => {
                Text::new(format!("初始化失败（{code}），详见日志"), format!("its init failed ({code}); see the log"))
            }
            Self::Clash(action, plugin) => Text::new(
                format!("动作 {action} 已由插件 {plugin} 提供：请改名或移走其中一个"),
                format!("the plugin {plugin} has an action {action} already: rename or remove one of them"),
            ),
            Self::OtherName(name) => Text::new(
                format!("插件名为 {name}：文件应命名为 {name}.so"),
                format!("the plugin is called {name}: name the file {name}.so"),
            ),
        }
    }
}
